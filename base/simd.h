/*
 * One loop, compiled for several instruction sets, the copy chosen at run time. An inner loop is
 * written once, as a plain C loop over a constant number of lanes in a LANE_BODY function
 * NAME_body, marked LANE_LOOP where it writes what others read. LANE_VERSIONS compiles a copy for
 * each instruction set, which gcc vectorises (also at -O2, because the count is a constant), and
 * LANE_CALL runs the chosen one.
 *
 * Every copy gives the same bits as long as nothing is summed across lanes but whole numbers, and
 * only + - * / and square root are used of floats, which IEEE 754 rounds exactly; -ffp-contract=off
 * forbids fused multiply-adds.
 */
#ifndef REFRAIN_SIMD_H
#define REFRAIN_SIMD_H

#include "base/base.h"

/* Before a loop over lanes: no turn of it reads what another one writes. */
#define LANE_LOOP _Pragma("GCC ivdep")

/* Which copy of a function runs. Results do not depend on it. */
enum simd { SIMD_PLAIN, SIMD_AVX2, SIMD_AVX512, SIMD_LEVELS };

/* The best copy this machine can run. */
enum simd simd_best(void);
const char *simd_name(enum simd simd); /* "avx2" */

#if defined(__x86_64__)
#define LANE_TARGET_AVX2 __attribute__((target("avx2")))
/* gcc prefers half-width vectors on machines of ten years ago; whole ones are faster today. */
#define LANE_TARGET_AVX512                                                                         \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")))
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
