/*
 * Loops over blocks of 32 neighbouring 16-bit numbers, compiled for several instruction sets as
 * features/lanes.h does it for lanes of frames: whole numbers only, so that every copy gives the
 * same bits. Internal to match/.
 */
#ifndef REFRAIN_WIDE_H
#define REFRAIN_WIDE_H

#include "features/lanes.h"

enum { BLOCK = 32 };

static inline size_t whole_blocks(size_t n)
{
    return (n + BLOCK - 1) / BLOCK * BLOCK;
}

#if defined(__x86_64__)
/* gcc prefers half-width vectors on machines of ten years ago; whole blocks are faster today. */
#define WIDE_TARGET_AVX512                                                                         \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")))
#else
#define WIDE_TARGET_AVX512
#endif

/* The given copy, or the next lower one that this machine can run. */
static inline enum simd wide_simd(enum simd wanted)
{
#if defined(__x86_64__)
    if (wanted == SIMD_AVX512 && !__builtin_cpu_supports("avx512bw"))
        return SIMD_AVX2;
#endif
    return wanted;
}

/* As LANE_VERSIONS, for bodies whose inner loops run over BLOCK. Called by LANE_CALL. */
#define WIDE_VERSIONS(name, params, args)                                                          \
    static void name##_plain params                                                                \
    {                                                                                              \
        name##_body args;                                                                          \
    }                                                                                              \
    LANE_TARGET_AVX2 static void name##_avx2 params                                                \
    {                                                                                              \
        name##_body args;                                                                          \
    }                                                                                              \
    WIDE_TARGET_AVX512 static void name##_avx512 params                                            \
    {                                                                                              \
        name##_body args;                                                                          \
    }

#endif
