/*
 * Eight frames at a time. Spectral arithmetic here runs on vectors whose lanes are eight
 * consecutive frames (or eight neighbouring bins), so every lane sees the same operations in the
 * same order whatever the machine offers: SSE2, AVX2, AVX-512 and NEON give the same bits, as does
 * one frame alone. This holds because nothing is ever summed across lanes, -ffp-contract=off
 * forbids fused multiply-adds, and only + - * / and square root are used, which IEEE 754 rounds
 * exactly.
 *
 * An inner loop is written once, as a plain C loop over LANES in a LANE_BODY function NAME_body,
 * marked LANE_LOOP where it writes what others read. LANE_VERSIONS compiles a copy for each
 * instruction set, which gcc vectorises (also at -O2, because the count is a constant), and
 * LANE_CALL runs the chosen one.
 *
 * Internal to features/.
 */
#ifndef REFRAIN_LANES_H
#define REFRAIN_LANES_H

#include "base/base.h"

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

/* Before a loop over lanes: no turn of it reads what another one writes. */
#define LANE_LOOP _Pragma("GCC ivdep")

/* Which copy of a function runs. Results do not depend on it. */
enum simd { SIMD_PLAIN, SIMD_AVX2, SIMD_AVX512, SIMD_LEVELS };

/* The best copy this machine can run. */
enum simd simd_best(void);
const char *simd_name(enum simd simd); /* "avx2" */

#if defined(__x86_64__)
#define LANE_TARGET_AVX2 __attribute__((target("avx2")))
#define LANE_TARGET_AVX512 __attribute__((target("avx512f,avx512dq,avx512vl")))
#else
#define LANE_TARGET_AVX2
#define LANE_TARGET_AVX512
#endif

#define LANE_BODY static inline __attribute__((always_inline))

/* params and args in parentheses: LANE_VERSIONS(sum, (const float *in, float *out), (in, out)) */
#define LANE_VERSIONS(name, params, args)                                                          \
    static void name##_plain params                                                                \
    {                                                                                              \
        name##_body args;                                                                          \
    }                                                                                              \
    LANE_TARGET_AVX2 static void name##_avx2 params                                                \
    {                                                                                              \
        name##_body args;                                                                          \
    }                                                                                              \
    LANE_TARGET_AVX512 static void name##_avx512 params                                            \
    {                                                                                              \
        name##_body args;                                                                          \
    }

#define LANE_CALL(simd, name, args)                                                                \
    ((simd) == SIMD_AVX512 ? name##_avx512 args                                                    \
     : (simd) == SIMD_AVX2 ? name##_avx2 args                                                      \
                           : name##_plain args)

#endif
