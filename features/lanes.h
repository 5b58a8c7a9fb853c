/*
 * Eight frames at a time. Spectral arithmetic here runs on vectors whose lanes are eight
 * consecutive frames (or eight neighbouring bins), so every lane sees the same operations in the
 * same order whatever the machine offers: SSE2, AVX2, AVX-512 and NEON give the same bits, as does
 * one frame alone: nothing is ever summed across lanes (base/simd.h).
 *
 * Internal to features/.
 */
#ifndef REFRAIN_LANES_H
#define REFRAIN_LANES_H

#include "base/simd.h"

#include <string.h>

enum { LANES = 8 };

struct lane_f32 {
    _Alignas(32) float at[LANES];
};

struct lane_f64 {
    _Alignas(64) double at[LANES];
};

/* A complex number for each lane. */
struct lane_cpx {
    _Alignas(64) double re[LANES];
    double im[LANES];
};

#endif
