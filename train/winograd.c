/*
 * The three passes. Each cuts the pictures into tiles and works through them in blocks that stay in
 * a core's cache: pixels to points, one matrix product a point, points to pixels.
 *
 * - Forward and back to the data, a thread takes every block of a contiguous range of tiles; blocks
 *   know nothing of each other, so the bits do not depend on who does them.
 * - For the weight gradient a product sums over tiles, and sums must not depend on timing. Threads
 *   form a grid: a column owns a slice of the output channels, a row a range of tiles, for which it
 *   has sums of its own; these are added up in the order of the rows. Rows cost memory, columns
 *   transform the same input again, so there are as many rows as SUMS_BYTES_MAX allows.
 */
#include "train/winograd_tile.h"

#include <omp.h>
#include <string.h>

/* 96 tiles of 64 channels in and out fill a second cache of 2 MB. Wider ones do not fit at all, and
 * share each load of the weights between as many tiles; but not more memory than this. */
enum { BLOCK_TILES = 96, BLOCK_BYTES_MAX = 8 << 20, SUMS_BYTES_MAX = 16 << 20 };

static size_t divide_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* Tiles a block: few pictures are cut finer, so that every thread has work. */
static size_t block_tiles(const struct winograd *g, size_t n_tiles, size_t n_parts)
{
    size_t tile_bytes = POINTS * (size_t)(g->c_in + g->c_out) * sizeof(float);
    size_t share = divide_up(divide_up(n_tiles, n_parts), PRODUCT_ROWS) * PRODUCT_ROWS;
    size_t room = BLOCK_BYTES_MAX / tile_bytes / PRODUCT_ROWS * PRODUCT_ROWS;
    return size_min(share, size_max(PRODUCT_ROWS, size_min(room, BLOCK_TILES)));
}

static size_t block_floats(size_t n_rows, size_t channels)
{
    return POINTS * point_floats(n_rows, channels);
}

/* ---------------------------------------------------------------- activations */

/* Forward from x (c_in) to y (c_out); back to the data from dy (c_out) to dx (c_in), with the
 * kernel turned. */
struct filter {
    struct tiles from, to;
    size_t n_tiles, block_tiles, n_blocks;
    size_t weight_floats, thread_floats;
};

static struct filter filter_of(const struct winograd *g, bool turned)
{
    struct filter f = {
        .from = tiles_of(g->n, g->h, g->w, turned ? g->c_out : g->c_in),
        .to = tiles_of(g->n, g->h, g->w, turned ? g->c_in : g->c_out),
        .weight_floats = (size_t)POINTS * (size_t)g->c_in * (size_t)g->c_out,
    };
    f.n_tiles = tiles_count(&f.from);
    f.block_tiles = block_tiles(g, f.n_tiles, (size_t)g->threads);
    f.n_blocks = divide_up(f.n_tiles, f.block_tiles);
    f.thread_floats = block_floats(f.block_tiles, (size_t)g->c_in) +
                      block_floats(f.block_tiles, (size_t)g->c_out);
    return f;
}

static void filter_products(enum simd simd, const struct filter *f, const float *weight,
                            const float *in, float *out)
{
    size_t depth = (size_t)f->from.channels, n_rows = f->block_tiles;
    size_t panels = (size_t)f->to.channels / PANEL;
    struct product p = {.n_outer = depth / PANEL,
                        .n_inner = PANEL,
                        .row = PANEL,
                        .outer = n_rows * PANEL,
                        .inner = 1};
    for (size_t point = 0; point < POINTS; point++)
        for (size_t panel = 0; panel < panels; panel++)
            for (size_t row = 0; row < n_rows; row += PRODUCT_ROWS)
                tile_product(simd, &p, in + point * point_floats(n_rows, depth) + row * PANEL,
                             weight + (point * panels + panel) * depth * PANEL,
                             out + point * point_floats(n_rows, panels * PANEL) +
                                 (panel * n_rows + row) * PANEL);
}

static void filter_run(const struct winograd *g, bool turned, const float *x, const float *weight,
                       float *scratch, const struct winograd_end *how, float *y)
{
    const struct filter f = filter_of(g, turned);
    float *points = scratch;
#pragma omp parallel num_threads(g->threads)
    {
        size_t thread = (size_t)omp_get_thread_num(), n_threads = (size_t)omp_get_num_threads();
        float *in = scratch + f.weight_floats + thread * f.thread_floats;
        float *out = in + block_floats(f.block_tiles, (size_t)f.from.channels);
        for (size_t panel = thread; panel < (size_t)f.to.channels / PANEL; panel += n_threads)
            tile_weight(g, turned, panel, weight, points);
#pragma omp barrier
        size_t end = f.n_blocks * (thread + 1) / n_threads;
        for (size_t block = f.n_blocks * thread / n_threads; block < end; block++) {
            size_t first = block * f.block_tiles;
            struct slice part = {.first = first,
                                 .count = size_min(f.block_tiles, f.n_tiles - first),
                                 .n_rows = f.block_tiles,
                                 .to = f.from.channels};
            tile_input(g->simd, &f.from, &part, x, in);
            filter_products(g->simd, &f, points, in, out);
            part.to = f.to.channels;
            tile_output(g->simd, &f.to, &part, out, how, y);
        }
    }
}

void winograd_forward(const struct winograd *g, const float *x, const float *weight, float *scratch,
                      const struct winograd_end *end, float *y)
{
    filter_run(g, false, x, weight, scratch, end, y);
}

void winograd_backward_data(const struct winograd *g, const float *dy, const float *weight,
                            float *scratch, bool add, float *dx)
{
    filter_run(g, true, dy, weight, scratch, &(struct winograd_end){.add = add}, dx);
}

/* ---------------------------------------------------------------- weights */

struct grid {
    struct tiles in, out;
    size_t n_tiles, block_tiles;
    size_t n_rows, n_columns; /* of threads */
    size_t sums_floats, thread_floats;
};

static struct grid grid_of(const struct winograd *g)
{
    struct grid a = {
        .in = tiles_of(g->n, g->h, g->w, g->c_in),
        .out = tiles_of(g->n, g->h, g->w, g->c_out),
        .sums_floats = (size_t)POINTS * (size_t)g->c_in * (size_t)g->c_out,
    };
    size_t threads = (size_t)g->threads, panels = (size_t)g->c_out / PANEL;
    size_t rows_max = size_max(1, SUMS_BYTES_MAX / (a.sums_floats * sizeof(float)));
    a.n_tiles = tiles_count(&a.in);
    a.n_columns = size_min(panels, divide_up(threads, size_min(threads, rows_max)));
    a.n_rows = size_min(rows_max, threads / a.n_columns);
    a.block_tiles = block_tiles(g, a.n_tiles, a.n_rows);
    a.n_rows = size_min(a.n_rows, divide_up(a.n_tiles, a.block_tiles));
    a.thread_floats = block_floats(a.block_tiles, (size_t)g->c_in) +
                      block_floats(a.block_tiles, divide_up(panels, a.n_columns) * (size_t)PANEL);
    return a;
}

/* sums += the products of one block: `columns` output channels from `from` on. */
static void grid_products(const struct winograd *g, const struct grid *a, const struct slice *part,
                          bool add, const float *in, const float *out, float *sums)
{
    size_t c_in = (size_t)g->c_in, c_out = (size_t)g->c_out, n_rows = a->block_tiles;
    size_t columns = (size_t)(part->to - part->from);
    struct product p = {.n_outer = 1, .n_inner = n_rows, .row = 1, .inner = PANEL, .add = add};
    for (size_t point = 0; point < POINTS; point++)
        for (size_t panel = 0; panel < c_in / PANEL; panel++)
            for (size_t row = 0; row < columns; row += PRODUCT_ROWS) {
                size_t at = (row / PANEL) * n_rows * PANEL + row % PANEL;
                size_t to = (point * (c_in / PANEL) + panel) * c_out + (size_t)part->from + row;
                tile_product(g->simd, &p, out + point * point_floats(n_rows, columns) + at,
                             in + point * point_floats(n_rows, c_in) + panel * PANEL * n_rows,
                             sums + to * PANEL);
            }
}

static void grid_sum(const struct winograd *g, const struct grid *a, size_t row,
                     const struct slice *columns, const float *x, const float *dy, float *scratch,
                     float *sums)
{
    size_t n_blocks = divide_up(a->n_tiles, a->block_tiles);
    size_t begin = n_blocks * row / a->n_rows, end = n_blocks * (row + 1) / a->n_rows;
    assert(begin < end);
    float *in = scratch, *out = in + block_floats(a->block_tiles, (size_t)g->c_in);
    for (size_t block = begin; block < end; block++) {
        size_t first = block * a->block_tiles;
        struct slice part = {.first = first,
                             .count = size_min(a->block_tiles, a->n_tiles - first),
                             .n_rows = a->block_tiles,
                             .to = g->c_in};
        tile_input(g->simd, &a->in, &part, x, in);
        part.from = columns->from;
        part.to = columns->to;
        tile_gradient(g->simd, &a->out, &part, dy, out);
        grid_products(g, a, &part, block > begin, in, out, sums);
    }
}

/* One thread's share of the sums: its range of tiles, its slice of output channels. */
static void grid_member(const struct winograd *g, const struct grid *a, size_t member,
                        const float *x, const float *dy, float *scratch)
{
    size_t row = member / a->n_columns, column = member % a->n_columns;
    size_t panels = (size_t)g->c_out / PANEL;
    struct slice slice = {.from = (int32_t)(panels * column / a->n_columns) * PANEL,
                          .to = (int32_t)(panels * (column + 1) / a->n_columns) * PANEL};
    grid_sum(g, a, row, &slice, x, dy,
             scratch + a->n_rows * a->sums_floats + member * a->thread_floats,
             scratch + row * a->sums_floats);
}

/* A share of row 0's sums += those of the other rows. */
static void grid_add_rows(const struct grid *a, size_t member, size_t n_members, float *sums)
{
    size_t begin = a->sums_floats * member / n_members;
    size_t end = a->sums_floats * (member + 1) / n_members;
    for (size_t r = 1; r < a->n_rows; r++)
        for (size_t i = begin; i < end; i++)
            sums[i] += sums[r * a->sums_floats + i];
}

void winograd_backward_weight(const struct winograd *g, const float *x, const float *dy,
                              float *scratch, float *dweight)
{
    const struct grid a = grid_of(g);
    size_t n_members = a.n_rows * a.n_columns, c_out = (size_t)g->c_out;
#pragma omp parallel num_threads((int)n_members)
    {
        size_t thread = (size_t)omp_get_thread_num(), n_threads = (size_t)omp_get_num_threads();
        for (size_t m = thread; m < n_members; m += n_threads)
            grid_member(g, &a, m, x, dy, scratch);
#pragma omp barrier
        for (size_t m = thread; m < n_members; m += n_threads)
            grid_add_rows(&a, m, n_members, scratch);
#pragma omp barrier
        for (size_t m = thread; m < n_members; m += n_threads)
            tile_weight_gradient(g, (int32_t)(c_out * m / n_members),
                                 (int32_t)(c_out * (m + 1) / n_members), scratch, dweight);
    }
}

size_t winograd_scratch_bytes(const struct winograd *g, enum winograd_pass pass)
{
    size_t threads = (size_t)g->threads;
    if (pass == WINOGRAD_WEIGHT) {
        struct grid a = grid_of(g);
        return (a.n_rows * a.sums_floats + a.n_rows * a.n_columns * a.thread_floats) *
               sizeof(float);
    }
    struct filter f = filter_of(g, pass == WINOGRAD_DATA);
    return (f.weight_floats + threads * f.thread_floats) * sizeof(float);
}
