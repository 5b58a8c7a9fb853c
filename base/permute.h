/*
 * An order as a pure function: position i of a permutation of [0, n) that is named by (seed,
 * cycle), without a table, so that a resumed run needs two integers and no memory grows with the
 * data set. A four-round Feistel network over the smallest even number of bits that holds n, with
 * Philox as round function; values at or above n are sent through again until they fall below
 * ("cycle walking", Black and Rogaway, "Ciphers with arbitrary finite domains", 2002), at most four
 * times on average.
 */
#ifndef REFRAIN_PERMUTE_H
#define REFRAIN_PERMUTE_H

#include "base/base.h"

/* i < n, n > 0. For fixed n, seed and cycle a bijection of [0, n). */
uint64_t permute_at(uint64_t seed, uint64_t cycle, uint64_t n, uint64_t i);

#endif
