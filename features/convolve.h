/*
 * Convolution of a signal with a long impulse response, in double, by transforms of 8192 points:
 * both are cut into parts of 4096 samples, and each part of the result is the sum over the parts of
 * the response of spectrum times spectrum. Eight parts are the lanes of a vector; the same bits on
 * every machine.
 */
#ifndef REFRAIN_CONVOLVE_H
#define REFRAIN_CONVOLVE_H

#include "features/lanes.h"

enum { CONVOLVE_RESPONSE_MAX = 1 << 17 };

struct convolve; /* one thread's plan and scratch; grows to the longest signal it saw */
struct convolve *convolve_new(enum simd simd);
void convolve_free(struct convolve *c);

/* Lends the n_samples + n_response - 1 samples of the result until the next call. 0 < n_samples, 0
 * < n_response <= CONVOLVE_RESPONSE_MAX. */
const double *convolve_apply(struct convolve *c, const float *samples, size_t n_samples,
                             const float *response, size_t n_response);

#endif
