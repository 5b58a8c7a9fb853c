/*
 * A batch read by several threads, straight into the caller's array.
 */
#ifndef REFRAIN_STORE_BATCH_H
#define REFRAIN_STORE_BATCH_H

#include "store/store.h"

enum { STORE_BATCH_THREADS_MAX = 64 };

struct store_batch {
    const uint64_t *keys;
    size_t n;
    uint32_t n_frames, n_mels;
    /* one of the two: dB, or levels of the given grid; (n, n_frames, n_mels) */
    float *db;
    uint8_t *levels;
    float scale, offset;
};

/* As store_read_batch or store_read_levels, by n_threads (1 to STORE_BATCH_THREADS_MAX) that take
 * short runs of the keys in turn; the caller's is one of them, the others live as long as the call.
 * The error is that of the first failing run. */
MUST_CHECK bool store_read_parallel(struct store *s, const struct store_batch *batch,
                                    uint32_t n_threads, struct err *e);

#endif
