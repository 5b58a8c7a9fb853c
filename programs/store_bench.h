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
};

/* Reads batches of random keys, decoded to float32, for about `seconds` after a first second that
 * warms the cache and does not count. */
MUST_CHECK bool store_bench(struct store *s, size_t n_threads, double seconds,
                            struct store_bench_result *out, struct err *e);

#endif
