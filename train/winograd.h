/*
 * Convolution 3x3 with stride 1 and padding 1 by Winograd's minimal filtering F(4x4, 3x3): 36
 * multiplications for 16 outputs where the definition has 144, forward and both ways backward
 * (Lavin and Gray 2016, https://arxiv.org/abs/1509.09308).
 *
 * What it costs in accuracy depends on the five points at which polynomials are evaluated. Here
 * they are 0, +-5/8, +-3/2 and infinity: with 64 to 512 channels an output is off by at most 3e-6
 * of the largest one, which is what a plain float32 sum is off by; with the usual 0, +-1, +-2 it
 * would be 1.1e-5 (docs/TRAIN.md).
 *
 * Activations are NHWC, weights PyTorch's OIHW. Nothing is allocated: the caller gives the scratch
 * memory. The bits of the two passes that give activations are the same for any number of threads
 * and any processor; those of the weight gradient depend, with few channels, on the number of
 * threads.
 */
#ifndef REFRAIN_WINOGRAD_H
#define REFRAIN_WINOGRAD_H

#include "base/simd.h"

enum winograd_pass { WINOGRAD_FORWARD, WINOGRAD_DATA, WINOGRAD_WEIGHT };

enum { WINOGRAD_PANEL = 32 }; /* channels: counts of them are multiples of it */

struct winograd {
    int32_t n, h, w;     /* pictures, rows, columns */
    int32_t c_in, c_out; /* channels */
    int32_t threads;
    enum simd simd;
};

/* The best that this processor has; AVX2 is of use with fused multiply-adds only. */
enum simd winograd_simd_best(void);

size_t winograd_scratch_bytes(const struct winograd *g, enum winograd_pass pass);

/* What is done to results before they are stored, in this order. */
struct winograd_end {
    const float *factor, *bias; /* one a channel; both or neither */
    bool add;                   /* to what is there, instead of replacing it */
    bool relu;
};

/* x (n, h, w, c_in), weight (c_out, c_in, 3, 3), y (n, h, w, c_out). `scratch` on a cache line. */
void winograd_forward(const struct winograd *g, const float *x, const float *weight, float *scratch,
                      const struct winograd_end *end, float *y);

/* dx = the gradient of the input, or dx += it. */
void winograd_backward_data(const struct winograd *g, const float *dy, const float *weight,
                            float *scratch, bool add, float *dx);

void winograd_backward_weight(const struct winograd *g, const float *x, const float *dy,
                              float *scratch, float *dweight);

#endif
