/*
 * Transforms between pixels and the six points 0, +-a, +-b, infinity, once down the columns and
 * once along the rows of a tile (train/winograd_tile.h has the matrices). Points in pairs of one
 * size let both share what is even and what is odd in them. Whole vectors of LANES channels go
 * through at once; no sum runs across lanes and nothing is contracted, so every instruction set
 * gives the same bits.
 */
#include "train/winograd_tile.h"

#include <string.h>

enum { LANES = 16 };

#define A WINOGRAD_A
#define B WINOGRAD_B
#define A2 (A * A)
#define B2 (B * B)

typedef float lanes
    __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));
typedef int32_t mask __attribute__((vector_size(LANES * sizeof(int32_t))));

/* ---------------------------------------------------------------- one dimension */

/* B' d, six values to six values `step` apart. */
LANE_BODY void input_1d(const lanes *d, size_t step, lanes *out)
{
    const float a = (float)A, b = (float)B, a2 = (float)A2, b2 = (float)B2;
    const float sum = (float)(A2 + B2), product = (float)(A2 * B2);
    lanes d0 = d[0], d1 = d[1], d2 = d[2], d3 = d[3], d4 = d[4], d5 = d[5];
    lanes even_a = d4 - b2 * d2, odd_a = a * (d3 - b2 * d1);
    lanes even_b = d4 - a2 * d2, odd_b = b * (d3 - a2 * d1);
    out[0] = product * d0 - sum * d2 + d4;
    out[step] = even_a + odd_a;
    out[2 * step] = even_a - odd_a;
    out[3 * step] = even_b + odd_b;
    out[4 * step] = even_b - odd_b;
    out[5 * step] = product * d1 - sum * d3 + d5;
}

/* A' m, six values to four `step` apart. */
LANE_BODY void output_1d(const lanes *m, size_t step, lanes *out)
{
    const float a = (float)A, b = (float)B, a2 = (float)A2, b2 = (float)B2;
    const float a3 = (float)(A2 * A), b3 = (float)(B2 * B);
    lanes sum_a = m[1] + m[2], odd_a = m[1] - m[2];
    lanes sum_b = m[3] + m[4], odd_b = m[3] - m[4];
    out[0] = m[0] + sum_a + sum_b;
    out[step] = a * odd_a + b * odd_b;
    out[2 * step] = a2 * sum_a + b2 * sum_b;
    out[3 * step] = a3 * odd_a + b3 * odd_b + m[5];
}

/* A g, four values to six `step` apart. */
LANE_BODY void gradient_1d(const lanes *g, size_t step, lanes *out)
{
    const float a = (float)A, b = (float)B, a2 = (float)A2, b2 = (float)B2;
    const float a3 = (float)(A2 * A), b3 = (float)(B2 * B);
    lanes g0 = g[0], g1 = g[1], g2 = g[2], g3 = g[3];
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

/* A tile's pixels: of size x size of them those inside of the picture. Pixel (i, j) lies at
 * at + (i * w + j) * channels. */
struct place {
    ptrdiff_t at;
    size_t row; /* floats from one row of pixels to the next one */
    int32_t top, bottom, left, right;
};

LANE_BODY struct place place_of(const struct tiles *s, size_t tile, int32_t before, int32_t size)
{
    size_t tile_row = tile / (size_t)s->tiles_w;
    int32_t picture = (int32_t)(tile_row / (size_t)s->tiles_h);
    int32_t row = (int32_t)(tile_row % (size_t)s->tiles_h) * TILE_OUT - before;
    int32_t column = (int32_t)(tile % (size_t)s->tiles_w) * TILE_OUT - before;
    return (struct place){
        .at = (((ptrdiff_t)picture * s->h + row) * s->w + column) * s->channels,
        .row = (size_t)s->w * (size_t)s->channels,
        .top = row < 0 ? -row : 0,
        .left = column < 0 ? -column : 0,
        .bottom = s->h - row < size ? s->h - row : size,
        .right = s->w - column < size ? s->w - column : size,
    };
}

/* Column j of a tile, LANES channels of each of its `size` pixels. */
LANE_BODY void load_column(const struct place *p, int32_t size, int32_t j, size_t channels,
                           const float *x, lanes *out)
{
    const float *from =
        x + (p->at + (ptrdiff_t)(p->top * (ptrdiff_t)p->row) + j * (ptrdiff_t)channels);
    if (p->top == 0 && p->bottom == size) {
#pragma GCC unroll 6
        for (int32_t i = 0; i < size; i++)
            out[i] = *(const lanes *)(from + (size_t)i * p->row);
        return;
    }
#pragma GCC unroll 6
    for (int32_t i = 0; i < size; i++)
        out[i] = (lanes){0};
    for (int32_t i = p->top; i < p->bottom; i++, from += p->row)
        out[i] = *(const lanes *)from;
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
    size_t panels = (size_t)(part->to - part->from) / PANEL;
    for (size_t i = 0; part->n_zero > 0 && i < POINTS * panels; i++) {
        float *panel = block + i / panels * block_step(part) + i % panels * part->n_rows * PANEL;
        memset(panel + part->count * PANEL, 0, part->n_zero * PANEL * sizeof *panel);
    }
}

LANE_BODY void input_body(const struct tiles *s, const struct slice *part, const float *x,
                          float *block)
{
    size_t channels = (size_t)(part->to - part->from), step = block_step(part);
    for (size_t t = 0; t < part->count; t++) {
        struct place at = place_of(s, part->first + t, 1, TILE_IN);
        lanes half[POINTS] = {{0}}; /* columns outside of the picture stay zero */
        for (size_t c = 0; c < channels; c += LANES) {
            lanes line[TILE_IN];
            float *to = block + block_offset(part, t, c);
            for (int32_t j = at.left; j < at.right; j++) {
                load_column(&at, TILE_IN, j, (size_t)s->channels, x + (size_t)part->from + c, line);
                input_1d(line, TILE_IN, half + j);
            }
#pragma GCC unroll 6
            for (size_t i = 0; i < TILE_IN; i++) {
                input_1d(half + i * TILE_IN, 1, line);
#pragma GCC unroll 6
                for (size_t j = 0; j < TILE_IN; j++)
                    *(lanes *)(to + (i * TILE_IN + j) * step) = line[j];
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
        struct place at = place_of(s, part->first + t, 0, TILE_OUT);
        lanes half[TILE_IN * TILE_OUT] = {{0}};
        for (size_t c = 0; c < channels; c += LANES) {
            lanes line[TILE_IN];
            float *to = block + block_offset(part, t, c);
            for (int32_t j = 0; j < at.right; j++) {
                load_column(&at, TILE_OUT, j, (size_t)s->channels, dy + (size_t)part->from + c,
                            line);
                gradient_1d(line, TILE_OUT, half + j);
            }
#pragma GCC unroll 6
            for (size_t i = 0; i < TILE_IN; i++) {
                gradient_1d(half + i * TILE_OUT, 1, line);
#pragma GCC unroll 6
                for (size_t j = 0; j < TILE_IN; j++)
                    *(lanes *)(to + (i * TILE_IN + j) * step) = line[j];
            }
        }
    }
    zero_rows(part, block);
}

/* Stores a result where `out` is. */
LANE_BODY void store_result(const lanes *v, const struct winograd_end *end, size_t channel,
                            lanes *out)
{
    lanes sum = *v;
    if (end->factor != NULL)
        sum = sum * *(const lanes *)(end->factor + channel) + *(const lanes *)(end->bias + channel);
    if (end->add)
        sum += *out;
    if (end->relu) /* max(0, sum) */
        sum = (lanes)((mask)sum & (sum > 0.0f));
    *out = sum;
}

LANE_BODY void output_body(const struct tiles *s, const struct slice *part, const float *block,
                           const struct winograd_end *how, float *y)
{
    size_t channels = (size_t)(part->to - part->from), step = block_step(part);
    const struct winograd_end end = *how;
    for (size_t t = 0; t < part->count; t++) {
        struct place at = place_of(s, part->first + t, 0, TILE_OUT);
        for (size_t c = 0; c < channels; c += LANES) {
            lanes half[TILE_OUT * TILE_IN], line[TILE_IN];
            const float *from = block + block_offset(part, t, c);
            float *to = y + at.at + (size_t)part->from + c;
#pragma GCC unroll 6
            for (size_t j = 0; j < TILE_IN; j++) {
#pragma GCC unroll 6
                for (size_t i = 0; i < TILE_IN; i++)
                    line[i] = *(const lanes *)(from + (i * TILE_IN + j) * step);
                output_1d(line, TILE_IN, half + j);
            }
            for (int32_t i = 0; i < at.bottom; i++, to += at.row) {
                output_1d(half + i * TILE_IN, 1, line);
                for (int32_t j = 0; j < at.right; j++)
                    store_result(&line[j], &end, (size_t)part->from + c,
                                 (lanes *)(to + j * s->channels));
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
