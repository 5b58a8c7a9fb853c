/*
 * Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random
 * numbers: as easy as 1, 2, 3", SC'11). A draw is a pure function of (seed, key, index):
 * independent of threads, order and resume. The state is plain bytes.
 *
 *     struct rng r;
 *     rng_init(&r, seed, RNG_CLIP_START, track_key);     // one stream per purpose and item
 *     uint64_t start_ms = rng_below(&r, span_ms);
 */
#ifndef REFRAIN_RNG_H
#define REFRAIN_RNG_H

#include "base/base.h"

struct rng {
    uint32_t key[2];
    uint32_t counter[4];
    uint32_t block[4];
    uint32_t used; /* words of block already given out; 4: none left */
};

/* The bijection itself: ten rounds over counter with key. */
void rng_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* `purpose` separates uses of one seed (any constant), `item` names what is drawn for. */
void rng_init(struct rng *r, uint64_t seed, uint32_t purpose, uint64_t item);

uint32_t rng_u32(struct rng *r);
uint64_t rng_u64(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n); /* uniform in [0, n), unbiased; n > 0 */
double rng_uniform(struct rng *r);             /* [0, 1), 53 bits */
double rng_range(struct rng *r, double lo, double hi);
double rng_normal(struct rng *r); /* mean 0, variance 1 (Box-Muller, one of the pair) */

#endif
