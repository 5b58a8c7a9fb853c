/*
 * How fast a store is read at random, by as many threads as asked for.
 */
#ifndef REFRAIN_STORE_BENCH_H
#define REFRAIN_STORE_BENCH_H

#include "store/store.h"

enum { STORE_BENCH_THREADS_MAX = 64, STORE_BENCH_BATCH = 64 };

struct store_bench_result {
    uint64_t clips;
    double seconds;
    double clips_per_s;
    double pinned; /* fraction of the records */
};

/* Reads batches of random keys, decoded to float32, for about `seconds` after a first second that
 * warms the cache and does not count; pin_bytes of records are kept in memory, 0: none. */
MUST_CHECK bool store_bench(struct store *s, size_t n_threads, double seconds, uint64_t pin_bytes,
                            struct store_bench_result *out, struct err *e);

#endif
