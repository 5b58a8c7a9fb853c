/*
 * White Gaussian noise as a pure function of (key, index): the Philox words of base/rng.h, made
 * normal by Box and Muller's method with our own logarithm, sine and cosine, so that the bits are
 * the same on every machine, and both numbers of a pair are used. About 1e-9 from the exact
 * transform, which is far below a float's spacing; the largest value possible is 6.6.
 */
#ifndef REFRAIN_NOISE_H
#define REFRAIN_NOISE_H

#include "features/lanes.h"

/* out[i]: independent, mean 0, variance 1. n below 2^34. */
void noise_fill(uint64_t key, enum simd simd, float *out, size_t n);

#endif
