/*
 * Transforms between pixels and the six points 0, +-a, +-b, infinity, once down the columns and
 * once along the rows of a tile. With the polynomial of the Toom-Cook scheme for three weights and
 * four outputs (Barabasz et al. 2020, https://arxiv.org/abs/1803.10986), the matrices are
 *
 *     B'  one row a point p: the coefficients of prod (x - q) over the other points q; the last row
 *         those of prod (x - q) over all finite points
 *     G   one row a point p: (1, p, p^2) / prod (p - q); the last row (0, 0, 1)
 *     A'  row i: the i-th powers of the points; infinity only in the last row
 *
 * Points in pairs of one size let both share what is even and what is odd in them. Whole vectors of
 * LANES channels go through at once; no sum runs across lanes and nothing is contracted, so every
 * instruction set gives the same bits.
 */
#include "train/winograd_tile.h"

#include <string.h>

enum { LANES = 16 };

#define A 0.625
#define B 1.5
#define A2 (A * A)
#define B2 (B * B)
/* 1 / prod (p - q) over the other finite points */
#define BY_0 (1 / (A2 * B2))
#define BY_A (1 / (2 * A2 * (A2 - B2)))
#define BY_B (1 / (2 * B2 * (B2 - A2)))

typedef float lanes
    __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));
typedef int32_t mask __attribute__((vector_size(LANES * sizeof(int32_t))));
typedef double wide __attribute__((vector_size(LANES * sizeof(double))));

/* ---------------------------------------------------------------- one dimension */

/* B' d, six values `step` apart to six values `step` apart. */
LANE_BODY void input_1d(const lanes *d, size_t step, lanes *out)
{
    const float a = (float)A, b = (float)B, a2 = (float)A2, b2 = (float)B2;
    const float sum = (float)(A2 + B2), product = (float)(A2 * B2);
    lanes d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step],
          d5 = d[5 * step];
    lanes even_a = d4 - b2 * d2, odd_a = a * (d3 - b2 * d1);
    lanes even_b = d4 - a2 * d2, odd_b = b * (d3 - a2 * d1);
    out[0] = product * d0 - sum * d2 + d4;
    out[step] = even_a + odd_a;
    out[2 * step] = even_a - odd_a;
    out[3 * step] = even_b + odd_b;
    out[4 * step] = even_b - odd_b;
    out[5 * step] = product * d1 - sum * d3 + d5;
}

/* A' m, six values to four. */
LANE_BODY void output_1d(const lanes *m, size_t step, lanes *out)
{
    const float a = (float)A, b = (float)B, a2 = (float)A2, b2 = (float)B2;
    const float a3 = (float)(A2 * A), b3 = (float)(B2 * B);
    lanes sum_a = m[step] + m[2 * step], odd_a = m[step] - m[2 * step];
    lanes sum_b = m[3 * step] + m[4 * step], odd_b = m[3 * step] - m[4 * step];
    out[0] = m[0] + sum_a + sum_b;
    out[step] = a * odd_a + b * odd_b;
    out[2 * step] = a2 * sum_a + b2 * sum_b;
    out[3 * step] = a3 * odd_a + b3 * odd_b + m[5 * step];
}

/* A g, four values to six. */
LANE_BODY void gradient_1d(const lanes *g, size_t step, lanes *out)
{
    const float a = (float)A, b = (float)B, a2 = (float)A2, b2 = (float)B2;
    const float a3 = (float)(A2 * A), b3 = (float)(B2 * B);
    lanes g0 = g[0], g1 = g[step], g2 = g[2 * step], g3 = g[3 * step];
    lanes even_a = g0 + a2 * g2, odd_a = a * g1 + a3 * g3;
    lanes even_b = g0 + b2 * g2, odd_b = b * g1 + b3 * g3;
    out[0] = g0;
    out[step] = even_a + odd_a;
    out[2 * step] = even_a - odd_a;
    out[3 * step] = even_b + odd_b;
    out[4 * step] = even_b - odd_b;
    out[5 * step] = g3;
}

/* ---------------------------------------------------------------- tiles */

/* Where a tile's first pixel lies; it may be outside of the picture. */
struct place {
    int32_t picture, row, column;
};

LANE_BODY struct place place_of(const struct tiles *s, size_t tile, int32_t before)
{
    size_t row = tile / (size_t)s->tiles_w;
    return (struct place){(int32_t)(row / (size_t)s->tiles_h),
                          (int32_t)(row % (size_t)s->tiles_h) * TILE_OUT - before,
                          (int32_t)(tile % (size_t)s->tiles_w) * TILE_OUT - before};
}

/* The pixel i rows below and j columns beside a place, or NULL outside of the picture. */
LANE_BODY const float *pixel(const struct tiles *s, const struct place *at, int32_t i, int32_t j,
                             const float *x)
{
    int32_t row = at->row + i, column = at->column + j;
    if (row < 0 || row >= s->h || column < 0 || column >= s->w)
        return NULL;
    return x + ((size_t)(at->picture * s->h + row) * (size_t)s->w + (size_t)column) *
                   (size_t)s->channels;
}

/* size x size pixels of one tile, LANES channels of them. */
LANE_BODY void load_tile(const struct tiles *s, const struct place *at, int32_t size,
                         size_t channel, const float *x, lanes *out)
{
    for (int32_t i = 0; i < size; i++)
        for (int32_t j = 0; j < size; j++) {
            const float *from = pixel(s, at, i, j, x);
            out[i * size + j] = from != NULL ? *(const lanes *)(from + channel) : (lanes){0};
        }
}

/* Of one tile's row in the first point's matrix; the other points follow at equal distances. */
LANE_BODY size_t block_offset(const struct slice *part, size_t row, size_t channel)
{
    return ((channel / PANEL) * part->n_rows + row) * PANEL + channel % PANEL;
}

LANE_BODY size_t block_step(const struct slice *part)
{
    return point_floats(part->n_rows, (size_t)(part->to - part->from));
}

LANE_BODY void zero_rows(const struct slice *part, float *block)
{
    size_t panels = (size_t)(part->to - part->from) / PANEL, left = part->n_rows - part->count;
    for (size_t i = 0; left > 0 && i < POINTS * panels; i++) {
        float *panel = block + i / panels * block_step(part) + i % panels * part->n_rows * PANEL;
        memset(panel + part->count * PANEL, 0, left * PANEL * sizeof *panel);
    }
}

LANE_BODY void input_body(const struct tiles *s, const struct slice *part, const float *x,
                          float *block)
{
    size_t channels = (size_t)(part->to - part->from), step = block_step(part);
    for (size_t t = 0; t < part->count; t++) {
        struct place at = place_of(s, part->first + t, 1);
        for (size_t c = 0; c < channels; c += LANES) {
            lanes d[POINTS], half[POINTS];
            float *to = block + block_offset(part, t, c);
            load_tile(s, &at, TILE_IN, (size_t)part->from + c, x, d);
            for (size_t j = 0; j < TILE_IN; j++)
                input_1d(d + j, TILE_IN, half + j);
            for (size_t i = 0; i < TILE_IN; i++) {
                input_1d(half + i * TILE_IN, 1, d);
                for (size_t j = 0; j < TILE_IN; j++)
                    *(lanes *)(to + (i * TILE_IN + j) * step) = d[j];
            }
        }
    }
    zero_rows(part, block);
}

LANE_BODY void gradient_body(const struct tiles *s, const struct slice *part, const float *dy,
                             float *block)
{
    size_t channels = (size_t)(part->to - part->from), step = block_step(part);
    for (size_t t = 0; t < part->count; t++) {
        struct place at = place_of(s, part->first + t, 0);
        for (size_t c = 0; c < channels; c += LANES) {
            lanes g[TILE_OUT * TILE_OUT], half[TILE_IN * TILE_OUT], row[TILE_IN];
            float *to = block + block_offset(part, t, c);
            load_tile(s, &at, TILE_OUT, (size_t)part->from + c, dy, g);
            for (size_t j = 0; j < TILE_OUT; j++)
                gradient_1d(g + j, TILE_OUT, half + j);
            for (size_t i = 0; i < TILE_IN; i++) {
                gradient_1d(half + i * TILE_OUT, 1, row);
                for (size_t j = 0; j < TILE_IN; j++)
                    *(lanes *)(to + (i * TILE_IN + j) * step) = row[j];
            }
        }
    }
    zero_rows(part, block);
}

/* v = max(0, v) */
LANE_BODY void keep_positive(lanes *v)
{
    *v = (lanes)((mask)*v & (*v > 0.0f));
}

LANE_BODY void output_body(const struct tiles *s, const struct slice *part, const float *block,
                           const struct winograd_end *end, float *y)
{
    size_t channels = (size_t)(part->to - part->from), step = block_step(part);
    for (size_t t = 0; t < part->count; t++) {
        struct place at = place_of(s, part->first + t, 0);
        for (size_t c = 0; c < channels; c += LANES) {
            lanes m[POINTS], half[TILE_OUT * TILE_IN], row[TILE_OUT];
            const float *from = block + block_offset(part, t, c);
            for (size_t p = 0; p < POINTS; p++)
                m[p] = *(const lanes *)(from + p * step);
            for (size_t j = 0; j < TILE_IN; j++)
                output_1d(m + j, TILE_IN, half + j);
            for (int32_t i = 0; i < TILE_OUT; i++) {
                output_1d(half + i * TILE_IN, 1, row);
                for (int32_t j = 0; j < TILE_OUT; j++) {
                    float *to = (float *)(uintptr_t)pixel(s, &at, i, j, y);
                    if (to == NULL)
                        continue;
                    lanes *out = (lanes *)(to + (size_t)part->from + c);
                    if (end->bias != NULL)
                        row[j] += *(const lanes *)(end->bias + c);
                    if (end->add)
                        row[j] += *out;
                    if (end->relu)
                        keep_positive(&row[j]);
                    *out = row[j];
                }
            }
        }
    }
}

LANE_VERSIONS(input,
              (const struct tiles *s, const struct slice *part, const float *x,
               float *restrict block),
              (s, part, x, block))
LANE_VERSIONS(gradient,
              (const struct tiles *s, const struct slice *part, const float *dy,
               float *restrict block),
              (s, part, dy, block))
LANE_VERSIONS(output,
              (const struct tiles *s, const struct slice *part, const float *block,
               const struct winograd_end *end, float *restrict y),
              (s, part, block, end, y))

void tile_input(enum simd simd, const struct tiles *s, const struct slice *part, const float *x,
                float *block)
{
    LANE_CALL(simd, input, (s, part, x, block));
}

void tile_gradient(enum simd simd, const struct tiles *s, const struct slice *part, const float *dy,
                   float *block)
{
    LANE_CALL(simd, gradient, (s, part, dy, block));
}

void tile_output(enum simd simd, const struct tiles *s, const struct slice *part,
                 const float *block, const struct winograd_end *end, float *y)
{
    LANE_CALL(simd, output, (s, part, block, end, y));
}

/* ---------------------------------------------------------------- weights */

/* G w, three values to six, in float64: once a step and layer, so it may cost. */
LANE_BODY void weight_1d(const wide *w, size_t step, wide *out, size_t out_step)
{
    wide w0 = w[0], w1 = w[step], w2 = w[2 * step];
    wide even_a = (w0 + A2 * w2) * BY_A, odd_a = w1 * (A * BY_A);
    wide even_b = (w0 + B2 * w2) * BY_B, odd_b = w1 * (B * BY_B);
    out[0] = w0 * BY_0;
    out[out_step] = even_a + odd_a;
    out[2 * out_step] = even_a - odd_a;
    out[3 * out_step] = even_b + odd_b;
    out[4 * out_step] = even_b - odd_b;
    out[5 * out_step] = w2;
}

/* G' m, six values to three. */
LANE_BODY void weight_gradient_1d(const wide *m, size_t step, wide *out, size_t out_step)
{
    wide sum_a = (m[step] + m[2 * step]) * BY_A, odd_a = (m[step] - m[2 * step]) * BY_A;
    wide sum_b = (m[3 * step] + m[4 * step]) * BY_B, odd_b = (m[3 * step] - m[4 * step]) * BY_B;
    out[0] = m[0] * BY_0 + sum_a + sum_b;
    out[out_step] = A * odd_a + B * odd_b;
    out[2 * out_step] = A2 * sum_a + B2 * sum_b + m[5 * step];
}

enum { KERNEL = 3, TAPS = KERNEL * KERNEL };

LANE_BODY void weight_body(const struct winograd *g, bool turned, size_t panel, const float *weight,
                           float *out)
{
    size_t depth = (size_t)(turned ? g->c_out : g->c_in);
    size_t panels = (size_t)(turned ? g->c_in : g->c_out) / PANEL, c_in = (size_t)g->c_in;
    for (size_t d = 0; d < depth; d++)
        for (size_t l = 0; l < PANEL; l += LANES) {
            wide w[TAPS], half[TILE_IN * KERNEL], full[POINTS];
            for (size_t k = 0; k < LANES; k++) {
                size_t channel = panel * PANEL + l + k;
                const float *from =
                    weight + (turned ? d * c_in + channel : channel * c_in + d) * TAPS;
                for (size_t tap = 0; tap < TAPS; tap++)
                    w[tap][k] = (double)from[turned ? TAPS - 1 - tap : tap];
            }
            for (size_t j = 0; j < KERNEL; j++)
                weight_1d(w + j, KERNEL, half + j, KERNEL);
            for (size_t i = 0; i < TILE_IN; i++)
                weight_1d(half + i * KERNEL, 1, full + i * TILE_IN, 1);
            for (size_t p = 0; p < POINTS; p++)
                for (size_t k = 0; k < LANES; k++)
                    out[((p * panels + panel) * depth + d) * PANEL + l + k] = (float)full[p][k];
        }
}

LANE_BODY void weight_gradient_body(const struct winograd *g, int32_t from, int32_t to,
                                    const float *sums, float *dweight)
{
    size_t c_in = (size_t)g->c_in, c_out = (size_t)g->c_out;
    for (size_t row = (size_t)from; row < (size_t)to; row++)
        for (size_t c = 0; c < c_in; c += LANES) {
            wide m[POINTS], half[KERNEL * TILE_IN], w[TAPS];
            for (size_t p = 0; p < POINTS; p++)
                for (size_t k = 0; k < LANES; k++)
                    m[p][k] =
                        (double)sums[((p * (c_in / PANEL) + c / PANEL) * c_out + row) * PANEL +
                                     c % PANEL + k];
            for (size_t j = 0; j < TILE_IN; j++)
                weight_gradient_1d(m + j, TILE_IN, half + j, TILE_IN);
            for (size_t i = 0; i < KERNEL; i++)
                weight_gradient_1d(half + i * TILE_IN, 1, w + i * KERNEL, 1);
            for (size_t k = 0; k < LANES; k++)
                for (size_t tap = 0; tap < TAPS; tap++)
                    dweight[(row * c_in + c + k) * TAPS + tap] = (float)w[tap][k];
        }
}

LANE_VERSIONS(weight,
              (const struct winograd *g, bool turned, size_t panel, const float *weight,
               float *restrict out),
              (g, turned, panel, weight, out))
LANE_VERSIONS(weight_gradient,
              (const struct winograd *g, int32_t from, int32_t to, const float *sums,
               float *restrict dweight),
              (g, from, to, sums, dweight))

void tile_weight(const struct winograd *g, bool turned, size_t panel, const float *weight,
                 float *out)
{
    LANE_CALL(g->simd, weight, (g, turned, panel, weight, out));
}

void tile_weight_gradient(const struct winograd *g, int32_t from, int32_t to, const float *sums,
                          float *dweight)
{
    LANE_CALL(g->simd, weight_gradient, (g, from, to, sums, dweight));
}
