#include "base/simd.h"

enum simd simd_best(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return SIMD_AVX512;
    if (__builtin_cpu_supports("avx2"))
        return SIMD_AVX2;
#endif
    return SIMD_PLAIN;
}

const char *simd_name(enum simd simd)
{
    static const char *const names[SIMD_LEVELS] = {"plain", "avx2", "avx512"};
    assert(simd < SIMD_LEVELS);
    return names[simd];
}
