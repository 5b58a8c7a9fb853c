/*
 * 8 x 32 results of a matrix product in registers: each step along the depth loads 32 values of b
 * and spreads 8 of a. Every result is one chain of fused multiply-adds in the order of depth, in
 * each version, so that all versions give the same bits.
 */
#include "train/winograd_tile.h"

#include <math.h>

#if defined(__x86_64__)
#include <immintrin.h>

enum { LINE_FLOATS = 16 /* a cache line */ };

/* Lines of `ahead` to fetch in each outer step of each group: all n_inner rows of b in the end. */
static inline size_t lines_ahead(const struct product *p)
{
    size_t lines = p->n_inner * PANEL / LINE_FLOATS;
    return (lines + p->n_groups - 1) / p->n_groups;
}

__attribute__((target("avx512f"))) static void product_avx512(const struct product *p,
                                                              const float *a, const float *b,
                                                              const float *ahead, float *c)
{
    const size_t row = p->row, inner = p->inner, lines = lines_ahead(p);
    for (size_t group = 0; group < p->n_groups; group++, a += p->group, c += PRODUCT_ROWS * PANEL) {
        const float *from = b;
        __m512 sum[PRODUCT_ROWS][2];
#pragma GCC unroll 8
        for (size_t i = 0; i < PRODUCT_ROWS; i++) {
            sum[i][0] = p->add ? _mm512_loadu_ps(c + i * PANEL) : _mm512_setzero_ps();
            sum[i][1] = p->add ? _mm512_loadu_ps(c + i * PANEL + 16) : _mm512_setzero_ps();
        }
        for (size_t o = 0; o < p->n_outer; o++) {
            const float *at = a + o * p->outer;
            for (size_t line = 0; line < lines; line++, ahead += LINE_FLOATS)
                _mm_prefetch((const char *)ahead, _MM_HINT_T1);
            for (size_t i = 0; i < PRODUCT_ROWS; i++) { /* the next step of a, either way it lies */
                _mm_prefetch((const char *)(at + p->outer + i * PANEL), _MM_HINT_T0);
                _mm_prefetch((const char *)(at + p->outer + i * PANEL + LINE_FLOATS), _MM_HINT_T0);
            }
            for (size_t d = 0; d < p->n_inner; d++, at += inner, from += PANEL) {
                __m512 b0 = _mm512_loadu_ps(from), b1 = _mm512_loadu_ps(from + 16);
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
}

/* 16 registers hold a 4 x 16 part of the result: four parts, one after the other. */
__attribute__((target("avx2,fma"))) static void part_avx2(const struct product *p, const float *a,
                                                          const float *b, float *c)
{
    enum { ROWS = 4 };
    const size_t row = p->row, inner = p->inner;
    __m256 sum[ROWS][2];
#pragma GCC unroll 4
    for (size_t i = 0; i < ROWS; i++) {
        sum[i][0] = p->add ? _mm256_loadu_ps(c + i * PANEL) : _mm256_setzero_ps();
        sum[i][1] = p->add ? _mm256_loadu_ps(c + i * PANEL + 8) : _mm256_setzero_ps();
    }
    for (size_t o = 0; o < p->n_outer; o++) {
        const float *at = a + o * p->outer;
        for (size_t d = 0; d < p->n_inner; d++, at += inner, b += PANEL) {
            __m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + 8);
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
        _mm256_storeu_ps(c + i * PANEL, sum[i][0]);
        _mm256_storeu_ps(c + i * PANEL + 8, sum[i][1]);
    }
}

static void product_avx2(const struct product *p, const float *a, const float *b, float *c)
{
    enum { ROWS = 4, COLUMNS = 16 };
    for (size_t group = 0; group < p->n_groups; group++)
        for (size_t row = 0; row < PRODUCT_ROWS; row += ROWS)
            for (size_t column = 0; column < PANEL; column += COLUMNS)
                part_avx2(p, a + group * p->group + row * p->row, b + column,
                          c + (group * PRODUCT_ROWS + row) * PANEL + column);
}
#endif

static void product_plain(const struct product *p, const float *a, const float *b, float *c)
{
    for (size_t row = 0; row < p->n_groups * PRODUCT_ROWS; row++, c += PANEL) {
        const float *at = a + row / PRODUCT_ROWS * p->group + row % PRODUCT_ROWS * p->row;
        const float *from = b;
        float sum[PANEL];
        for (size_t k = 0; k < PANEL; k++)
            sum[k] = p->add ? c[k] : 0.0f;
        for (size_t o = 0; o < p->n_outer; o++)
            for (size_t d = 0; d < p->n_inner; d++, from += PANEL)
                for (size_t k = 0; k < PANEL; k++)
                    sum[k] = fmaf(at[o * p->outer + d * p->inner], from[k], sum[k]);
        for (size_t k = 0; k < PANEL; k++)
            c[k] = sum[k];
    }
}

void tile_product(enum simd simd, const struct product *p, const float *a, const float *b,
                  const float *ahead, float *c)
{
#if defined(__x86_64__)
    if (simd == SIMD_AVX512) {
        product_avx512(p, a, b, ahead, c);
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
