/*
 * 8 x 32 results of a matrix product in registers: each step along the depth loads 32 values of b
 * and spreads 8 of a. Every result is one chain of fused multiply-adds in the order of depth, in
 * each version, so that all versions give the same bits.
 */
#include "train/winograd_tile.h"

#include <math.h>

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx512f"))) static void product_avx512(const struct product *p,
                                                              const float *a, const float *b,
                                                              float *c)
{
    __m512 sum[PRODUCT_ROWS][2];
#pragma GCC unroll 8
    for (size_t i = 0; i < PRODUCT_ROWS; i++) {
        sum[i][0] = p->add ? _mm512_loadu_ps(c + i * PANEL) : _mm512_setzero_ps();
        sum[i][1] = p->add ? _mm512_loadu_ps(c + i * PANEL + 16) : _mm512_setzero_ps();
    }
    const size_t row = p->row, inner = p->inner;
    for (size_t o = 0; o < p->n_outer; o++) {
        const float *at = a + o * p->outer;
        for (size_t d = 0; d < p->n_inner; d++, at += inner, b += PANEL) {
            __m512 b0 = _mm512_loadu_ps(b), b1 = _mm512_loadu_ps(b + 16);
#pragma GCC unroll 8
            for (size_t i = 0; i < PRODUCT_ROWS; i++) {
                __m512 spread = _mm512_set1_ps(at[i * row]);
                sum[i][0] = _mm512_fmadd_ps(spread, b0, sum[i][0]);
                sum[i][1] = _mm512_fmadd_ps(spread, b1, sum[i][1]);
            }
        }
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < PRODUCT_ROWS; i++) {
        _mm512_storeu_ps(c + i * PANEL, sum[i][0]);
        _mm512_storeu_ps(c + i * PANEL + 16, sum[i][1]);
    }
}

/* 16 registers hold a 4 x 16 part of the result: four parts, one after the other. */
__attribute__((target("avx2,fma"))) static void product_avx2(const struct product *p,
                                                             const float *a, const float *b,
                                                             float *c)
{
    enum { ROWS = 4, COLUMNS = 16 };
    const size_t row = p->row, inner = p->inner;
    for (size_t part = 0; part < (PRODUCT_ROWS / ROWS) * (PANEL / COLUMNS); part++) {
        size_t first_row = part / (PANEL / COLUMNS) * ROWS, column = part % 2 * COLUMNS;
        float *to = c + first_row * PANEL + column;
        const float *from = b + column;
        __m256 sum[ROWS][2];
#pragma GCC unroll 4
        for (size_t i = 0; i < ROWS; i++) {
            sum[i][0] = p->add ? _mm256_loadu_ps(to + i * PANEL) : _mm256_setzero_ps();
            sum[i][1] = p->add ? _mm256_loadu_ps(to + i * PANEL + 8) : _mm256_setzero_ps();
        }
        for (size_t o = 0; o < p->n_outer; o++) {
            const float *at = a + o * p->outer + first_row * row;
            for (size_t d = 0; d < p->n_inner; d++, at += inner, from += PANEL) {
                __m256 b0 = _mm256_loadu_ps(from), b1 = _mm256_loadu_ps(from + 8);
#pragma GCC unroll 4
                for (size_t i = 0; i < ROWS; i++) {
                    __m256 spread = _mm256_set1_ps(at[i * row]);
                    sum[i][0] = _mm256_fmadd_ps(spread, b0, sum[i][0]);
                    sum[i][1] = _mm256_fmadd_ps(spread, b1, sum[i][1]);
                }
            }
        }
#pragma GCC unroll 4
        for (size_t i = 0; i < ROWS; i++) {
            _mm256_storeu_ps(to + i * PANEL, sum[i][0]);
            _mm256_storeu_ps(to + i * PANEL + 8, sum[i][1]);
        }
    }
}
#endif

static void product_plain(const struct product *p, const float *a, const float *b, float *c)
{
    float sum[PRODUCT_ROWS][PANEL];
    for (size_t i = 0; i < PRODUCT_ROWS; i++)
        for (size_t k = 0; k < PANEL; k++)
            sum[i][k] = p->add ? c[i * PANEL + k] : 0.0f;
    for (size_t o = 0; o < p->n_outer; o++)
        for (size_t d = 0; d < p->n_inner; d++, b += PANEL)
            for (size_t i = 0; i < PRODUCT_ROWS; i++)
                for (size_t k = 0; k < PANEL; k++)
                    sum[i][k] = fmaf(a[i * p->row + o * p->outer + d * p->inner], b[k], sum[i][k]);
    for (size_t i = 0; i < PRODUCT_ROWS; i++)
        for (size_t k = 0; k < PANEL; k++)
            c[i * PANEL + k] = sum[i][k];
}

void tile_product(enum simd simd, const struct product *p, const float *a, const float *b, float *c)
{
#if defined(__x86_64__)
    if (simd == SIMD_AVX512) {
        product_avx512(p, a, b, c);
        return;
    }
    if (simd == SIMD_AVX2) {
        product_avx2(p, a, b, c);
        return;
    }
#endif
    assert(simd == SIMD_PLAIN);
    product_plain(p, a, b, c);
}

enum simd winograd_simd_best(void)
{
    enum simd best = simd_best();
#if defined(__x86_64__)
    if (best == SIMD_AVX2 && !__builtin_cpu_supports("fma"))
        return SIMD_PLAIN;
#endif
    return best;
}
