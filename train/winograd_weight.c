/*
 * Transforms between the 3 x 3 weights and the points, once a
 * step and layer. PyTorch's layout has the taps of a channel side by side,
 * so that channels and taps change places on the way, in buffers small enough for the first cache.
 */
#include "train/winograd_tile.h"

enum { LANES = 16, DEPTHS = 8 };

#define A WINOGRAD_A
#define B WINOGRAD_B
#define A2 (A * A)
#define B2 (B * B)
/* 1 / prod (p - q) over the other finite points */
#define BY_0 (1 / (A2 * B2))
#define BY_A (1 / (2 * A2 * (A2 - B2)))
#define BY_B (1 / (2 * B2 * (B2 - A2)))

typedef float lanes
    __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));

/* G w, three values to six. */
LANE_BODY void weight_1d(const lanes *w, size_t step, lanes *out, size_t out_step)
{
    lanes w0 = w[0], w1 = w[step], w2 = w[2 * step];
    lanes even_a = (w0 + (float)A2 * w2) * (float)BY_A, odd_a = w1 * (float)(A * BY_A);
    lanes even_b = (w0 + (float)B2 * w2) * (float)BY_B, odd_b = w1 * (float)(B * BY_B);
    out[0] = w0 * (float)BY_0;
    out[out_step] = even_a + odd_a;
    out[2 * out_step] = even_a - odd_a;
    out[3 * out_step] = even_b + odd_b;
    out[4 * out_step] = even_b - odd_b;
    out[5 * out_step] = w2;
}

/* G' m, six values to three `step` apart. */
LANE_BODY void weight_gradient_1d(const lanes *m, lanes *out, size_t step)
{
    const float by_a = (float)BY_A, by_b = (float)BY_B;
    lanes sum_a = (m[1] + m[2]) * by_a, odd_a = (m[1] - m[2]) * by_a;
    lanes sum_b = (m[3] + m[4]) * by_b, odd_b = (m[3] - m[4]) * by_b;
    out[0] = m[0] * (float)BY_0 + sum_a + sum_b;
    out[step] = (float)A * odd_a + (float)B * odd_b;
    out[2 * step] = (float)A2 * sum_a + (float)B2 * sum_b + m[5];
}

/* LANES channels of one depth: their taps to points `step` apart. */
LANE_BODY void weight_points(const float taps[TAPS][LANES], size_t step, float *out)
{
    lanes half[TILE_IN * KERNEL], line[TILE_IN];
#pragma GCC unroll 3
    for (size_t j = 0; j < KERNEL; j++)
        weight_1d((const lanes *)taps[j], KERNEL, half + j, KERNEL);
#pragma GCC unroll 6
    for (size_t i = 0; i < TILE_IN; i++) {
        weight_1d(half + i * KERNEL, 1, line, 1);
#pragma GCC unroll 6
        for (size_t j = 0; j < TILE_IN; j++)
            *(lanes *)(out + (i * TILE_IN + j) * step) = line[j];
    }
}

LANE_BODY void weight_slice(size_t depth, size_t c_in, bool turned, const struct weight_slice *part,
                            const float *weight, float *out)
{
    size_t step = part->panels * depth * PANEL, first = part->channel + part->panel * PANEL;
    for (size_t from = part->from; from < part->to; from += DEPTHS)
        for (size_t l = 0; l < PANEL; l += LANES) {
            float taps[DEPTHS][TAPS][LANES];
            size_t n = size_min(DEPTHS, part->to - from);
            for (size_t k = 0; k < LANES; k++)
                for (size_t d = 0; d < n; d++) {
                    size_t channel = first + l + k;
                    const float *at =
                        weight +
                        (turned ? (from + d) * c_in + channel : channel * c_in + from + d) * TAPS;
#pragma GCC unroll 9
                    for (size_t tap = 0; tap < TAPS; tap++)
                        taps[d][tap][k] = at[turned ? TAPS - 1 - tap : tap];
                }
            float *to = out + (part->panel * depth + from) * PANEL + l;
            for (size_t d = 0; d < n; d++)
                weight_points((const float(*)[LANES])taps[d], step, to + d * PANEL);
        }
}

LANE_BODY void weight_body(const struct winograd *g, bool turned, const struct weight_slice *part,
                           const float *weight, float *out)
{
    size_t c_in = (size_t)g->c_in;
    if (turned)
        weight_slice((size_t)g->c_out, c_in, true, part, weight, out);
    else
        weight_slice(c_in, c_in, false, part, weight, out);
}

/* LANES channels' sums, points `step` apart, to their taps. */
LANE_BODY void weight_taps(const float *sums, size_t step, float *out)
{
    lanes half[KERNEL * TILE_IN], column[TILE_IN];
    float taps[TAPS][LANES];
#pragma GCC unroll 6
    for (size_t j = 0; j < TILE_IN; j++) {
#pragma GCC unroll 6
        for (size_t i = 0; i < TILE_IN; i++)
            column[i] = *(const lanes *)(sums + (i * TILE_IN + j) * step);
        weight_gradient_1d(column, half + j, TILE_IN);
    }
#pragma GCC unroll 3
    for (size_t i = 0; i < KERNEL; i++)
        weight_gradient_1d(half + i * TILE_IN, (lanes *)taps[i * KERNEL], 1);
    for (size_t k = 0; k < LANES; k++)
#pragma GCC unroll 9
        for (size_t tap = 0; tap < TAPS; tap++)
            out[k * TAPS + tap] = taps[tap][k];
}

LANE_BODY void weight_gradient_body(size_t c_in, size_t n_rows, size_t from, size_t to,
                                    const float *sums, float *dweight)
{
    for (size_t row = from; row < to; row++)
        for (size_t c = 0; c < c_in; c += LANES)
            weight_taps(sums + (c / PANEL * n_rows + row) * PANEL + c % PANEL, n_rows * c_in,
                        dweight + (row * c_in + c) * TAPS);
}

LANE_VERSIONS(weight,
              (const struct winograd *g, bool turned, const struct weight_slice *part,
               const float *weight, float *restrict out),
              (g, turned, part, weight, out))
LANE_VERSIONS(weight_gradient,
              (size_t c_in, size_t n_rows, size_t from, size_t to, const float *sums,
               float *restrict dweight),
              (c_in, n_rows, from, to, sums, dweight))

void tile_weight(const struct winograd *g, bool turned, const struct weight_slice *part,
                 const float *weight, float *out)
{
    LANE_CALL(g->simd, weight, (g, turned, part, weight, out));
}

void tile_weight_gradient(enum simd simd, size_t c_in, size_t n_rows, size_t from, size_t to,
                          const float *sums, float *dweight)
{
    LANE_CALL(simd, weight_gradient, (c_in, n_rows, from, to, sums, dweight));
}
