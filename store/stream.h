/*
 * Batches read ahead of whoever uses them, in order, by threads that go from one batch into the
 * next without waiting for each other: where records come from a disk, threads that end together
 * with each batch stand still for a third of the time.
 *
 * What is read, and in which order, depends on keys_fn alone, not on the threads. Memory: n_slots
 * batches, whatever the number of keys.
 */
#ifndef REFRAIN_STORE_STREAM_H
#define REFRAIN_STORE_STREAM_H

#include "store/batch.h"

enum { STORE_STREAM_SLOTS_MIN = 2, STORE_STREAM_SLOTS_MAX = 64, STORE_STREAM_BATCH_MAX = 1 << 16 };

/* The keys of batch i into keys[batch]; returns how many there are, 0 at the end (and for all i
 * behind it). A function of i alone; any thread calls it, several at once, and more than once. */
typedef size_t store_stream_keys_fn(void *arg, uint64_t i, uint64_t *keys);

struct store_stream_params {
    struct store *store; /* borrowed until close */
    uint32_t n_frames, n_mels;
    size_t batch; /* records, at most */
    store_stream_keys_fn *keys_fn;
    void *keys_arg;
    uint32_t n_threads; /* 1 to STORE_BATCH_THREADS_MAX */
    uint32_t n_slots;   /* batches in memory: the one in use and those that are read ahead */
};

struct store_stream;
/* ERR_TEMP when not one thread could be started. */
MUST_CHECK bool store_stream_open(const struct store_stream_params *params,
                                  struct store_stream **out, struct err *e);
/* Not while another thread waits for a batch. NULL is fine. */
void store_stream_close(struct store_stream *stream);

struct store_stream_batch {
    uint64_t i;
    const uint64_t *keys;
    size_t n;  /* 0: there are no more */
    float *db; /* (n, n_frames, n_mels), the caller's to change */
};

/* The next batch, lent until the next call, by one thread. A record that cannot be read is its
 * error when its batch's turn comes, the same whatever the threads; nothing comes after it. */
MUST_CHECK bool store_stream_next(struct store_stream *stream, struct store_stream_batch *out,
                                  struct err *e);

#endif
