/*
 * The pieces of Winograd's convolution that work on one block of tiles, for train/winograd.c alone:
 * transforms of tiles, and the product of two blocks.
 *
 * A block holds for each of the 36 points of the transform a matrix of tiles by channels, in panels
 * of 32 channels: block[point][channel / 32][tile][channel % 32], `n_rows` tiles allocated. A gap
 * follows each point's matrix: a tile's 36 values would else lie a multiple of 4096 bytes apart,
 * which is one set of the first cache.
 */
#ifndef REFRAIN_WINOGRAD_TILE_H
#define REFRAIN_WINOGRAD_TILE_H

#include "train/winograd.h"

enum { TILE_OUT = 4, TILE_IN = 6, POINTS = TILE_IN * TILE_IN, PANEL = WINOGRAD_PANEL };
/* The points are 0, +-A, +-B and infinity. With the polynomial of the Toom-Cook scheme for three
 * weights and four outputs (Barabasz et al. 2020, https://arxiv.org/abs/1803.10986), the matrices
 * are
 *
 *     B'  one row a point p: the coefficients of prod (x - q) over the other points q; the last row
 *         those of prod (x - q) over all finite points
 *     G   one row a point p: (1, p, p^2) / prod (p - q); the last row (0, 0, 1)
 *     A'  row i: the i-th powers of the points; infinity only in the last row */
#define WINOGRAD_A 0.625
#define WINOGRAD_B 1.5

enum { KERNEL = 3, TAPS = KERNEL * KERNEL };
enum { POINT_GAP = 32 /* floats */ };

/* Floats from a point's matrix to the next one's. */
static inline size_t point_floats(size_t n_rows, size_t channels)
{
    return n_rows * channels + POINT_GAP;
}

/* A stack of pictures, cut into tiles of 4 x 4 pixels row by row. */
struct tiles {
    int32_t n, h, w, channels; /* of the pictures */
    int32_t tiles_h, tiles_w;
};

static inline struct tiles tiles_of(int32_t n, int32_t h, int32_t w, int32_t channels)
{
    return (struct tiles){
        n, h, w, channels, (h + TILE_OUT - 1) / TILE_OUT, (w + TILE_OUT - 1) / TILE_OUT};
}

static inline size_t tiles_count(const struct tiles *s)
{
    return (size_t)s->n * (size_t)s->tiles_h * (size_t)s->tiles_w;
}

/* Tiles first .. first + count of all pictures, channels from .. to, into rows 0 .. count; the
 * n_zero rows behind them become zero. `block` begins at channel `from`. */
struct slice {
    size_t first, count, n_zero, n_rows;
    int32_t from, to;
};

/* B' d B of the 6 x 6 pixels around each tile; pixels outside of the picture are zero. */
void tile_input(enum simd simd, const struct tiles *s, const struct slice *part, const float *x,
                float *block);

/* A g A' of the 4 x 4 pixels of each tile: the transpose of tile_output. */
void tile_gradient(enum simd simd, const struct tiles *s, const struct slice *part, const float *dy,
                   float *block);

/* A' m A to the 4 x 4 pixels of each tile. */
void tile_output(enum simd simd, const struct tiles *s, const struct slice *part,
                 const float *block, const struct winograd_end *end, float *y);

/* G w G' of weights (c_out, c_in, 3, 3) to out[point][panel][depth][32], `panels` of them from
 * channel `channel` on, here for panel number `panel` and depth from .. to: the forward pass has
 * depth = c_in and channels = c_out; the pass back to the data has them the other way and the
 * kernel turned by half a turn. */
struct weight_slice {
    size_t channel, panels, panel, from, to;
};

void tile_weight(const struct winograd *g, bool turned, const struct weight_slice *part,
                 const float *weight, float *out);

/* G' m G of sums[point][c_in / 32][row][c_in % 32] to rows from .. to of dweight (n_rows, c_in, 3,
 * 3). */
void tile_weight_gradient(enum simd simd, size_t c_in, size_t n_rows, size_t from, size_t to,
                          const float *sums, float *dweight);

/* c (8 n_groups x 32) = a b or += a b, fused multiply-adds in the order of depth:
 * depth = n_outer * n_inner; element (i, d) of a lies at a[(i / 8) * group + (i % 8) * row +
 * (d / n_inner) * outer + (d % n_inner) * inner]; b is (depth, 32), c (8 n_groups, 32). `ahead` is
 * what b will be next: it is brought nearer meanwhile. */
struct product {
    size_t n_groups, n_outer, n_inner;
    size_t group, row, outer, inner;
    bool add;
};

enum { PRODUCT_ROWS = 8 };

void tile_product(enum simd simd, const struct product *p, const float *a, const float *b,
                  const float *ahead, float *c);

#endif
