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

/* Tiles first .. first + count of all pictures, channels from .. to, into rows 0 .. count.
 * `block` begins at channel `from`; rows behind the last one are zero. */
struct slice {
    size_t first, count, n_rows;
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

/* G w G' of weights (c_out, c_in, 3, 3) to out[point][channel / 32][depth][channel % 32] for panel
 * number `panel` of channels: the forward pass has depth = c_in and channels = c_out; the pass back
 * to the data has them the other way and the kernel turned by half a turn. */
void tile_weight(const struct winograd *g, bool turned, size_t panel, const float *weight,
                 float *out);

/* G' m G of sums[point][c_in / 32][c_out][c_in % 32] to dweight (c_out, c_in, 3, 3), rows from ..
 * to of c_out. */
void tile_weight_gradient(const struct winograd *g, int32_t from, int32_t to, const float *sums,
                          float *dweight);

/* c (8 x 32) = a b or += a b, fused multiply-adds in the order of depth:
 * depth = n_outer * n_inner; element (i, d) of a lies at a[i * row + (d / n_inner) * outer +
 * (d % n_inner) * inner]; b is (depth, 32), c (8, 32). */
struct product {
    size_t n_outer, n_inner, row, outer, inner;
    bool add;
};

enum { PRODUCT_ROWS = 8 };

void tile_product(enum simd simd, const struct product *p, const float *a, const float *b,
                  float *c);

#endif
