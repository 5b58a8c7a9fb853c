/*
 * The three passes. Each cuts the pictures into tiles: pixels to points, one matrix product a
 * point, points to pixels.
 *
 * - Forward and back to the data, a thread owns a range of tiles and goes through it in blocks;
 *   blocks know nothing of each other, so the bits do not depend on who does them. Where all
 *   weights in points are few, they are made once and blocks are so small that they stay in a
 *   core's cache. Else blocks are as large as memory allows, the weights are made in slices of
 *   output channels, and all threads work on one slice at a time.
 * - The weight gradient is a sum over tiles. With few channels each thread has sums of its own,
 *   which are added up in the order of the threads. With many, threads transform the tiles together
 *   and then share out the sums among them, a slice of output channels at a time.
 */
#include "train/winograd_tile.h"

#include <omp.h>

enum {
    RESIDENT_BYTES_MAX = 10 << 20, /* weights in points, or sums, that are held at a time */
    CACHED_BYTES_MAX = 1 << 20,    /* those that leave a core's second cache room for a block */
    CACHED_BLOCK_BYTES = 1300 << 10,
    LARGE_BLOCK_BYTES = 16 << 20,  /* a thread's block beside more weights than that */
    SHARED_BLOCK_BYTES = 24 << 20, /* the block that all threads make together */
};

static size_t divide_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

static size_t round_up(size_t a, size_t b)
{
    return divide_up(a, b) * b;
}

static size_t block_floats(size_t n_rows, size_t channels)
{
    return POINTS * point_floats(n_rows, channels);
}

/* A member's even share of n things: begin .. end. */
struct range {
    size_t begin, end;
};

static struct range share(size_t n, size_t member, size_t n_members)
{
    return (struct range){n * member / n_members, n * (member + 1) / n_members};
}

/* A share of tiles, whole groups of rows of a product. */
static struct range share_tiles(size_t n, size_t member, size_t n_members)
{
    struct range r = share(divide_up(n, PRODUCT_ROWS), member, n_members);
    return (struct range){size_min(n, r.begin * PRODUCT_ROWS), size_min(n, r.end * PRODUCT_ROWS)};
}

/* Output channels at a time, so that a slice of all points by `depth` stays below the limit. */
static size_t slice_channels(size_t channels, size_t depth)
{
    size_t panel_bytes = POINTS * depth * PANEL * sizeof(float);
    size_t panels = channels / PANEL, most = size_max(1, RESIDENT_BYTES_MAX / panel_bytes);
    return divide_up(panels, divide_up(panels, most)) * PANEL;
}

/* Tiles of so many channels in all that fit in `bytes`, in even blocks. */
static size_t block_tiles(size_t n_tiles, size_t channels, size_t bytes)
{
    size_t fit = bytes / (POINTS * channels * sizeof(float)) / PRODUCT_ROWS * PRODUCT_ROWS;
    size_t n_blocks = divide_up(n_tiles, size_max(PRODUCT_ROWS, fit));
    return round_up(divide_up(n_tiles, size_max(1, n_blocks)), PRODUCT_ROWS);
}

/* ---------------------------------------------------------------- activations */

/* Forward from x (c_in) to y (c_out); back to the data from dy (c_out) to dx (c_in), with the
 * kernel turned. */
struct filter {
    struct tiles from, to;
    size_t n_tiles, block_tiles;
    size_t slice, end_slice; /* channels of the result: of weights at a time, of points at a time */
    size_t weight_floats, thread_floats;
};

static struct filter filter_of(const struct winograd *g, bool turned)
{
    struct filter f = {
        .from = tiles_of(g->n, g->h, g->w, turned ? g->c_out : g->c_in),
        .to = tiles_of(g->n, g->h, g->w, turned ? g->c_in : g->c_out),
    };
    size_t depth = (size_t)f.from.channels, threads = (size_t)g->threads;
    f.n_tiles = tiles_count(&f.from);
    f.slice = slice_channels((size_t)f.to.channels, depth);
    f.weight_floats = POINTS * depth * f.slice;
    size_t share_max = round_up(divide_up(f.n_tiles, threads), PRODUCT_ROWS);
    bool cached = f.weight_floats * sizeof(float) <= CACHED_BYTES_MAX;
    f.end_slice = cached ? PANEL : f.slice;
    f.block_tiles = block_tiles(share_max, depth + f.end_slice,
                                cached ? CACHED_BLOCK_BYTES : LARGE_BLOCK_BYTES);
    f.thread_floats = block_floats(f.block_tiles, depth) + block_floats(f.block_tiles, f.end_slice);
    return f;
}

/* Whether one slice is all of the weights, made once. */
static bool filter_is_resident(const struct filter *f)
{
    return f->slice >= (size_t)f->to.channels;
}

/* One thread's share of the weights of a slice, in points. */
static void filter_weights(const struct winograd *g, const struct filter *f, bool turned,
                           size_t channel, size_t thread, size_t n_threads, const float *weight,
                           float *points)
{
    size_t slice = size_min(f->slice, (size_t)f->to.channels - channel);
    size_t depth = (size_t)f->from.channels, panels = slice / PANEL;
    struct range units = share(panels * depth, thread, n_threads);
    for (size_t u = units.begin; u < units.end;) {
        struct weight_slice part = {.channel = channel,
                                    .panels = panels,
                                    .panel = u / depth,
                                    .from = u % depth,
                                    .to = size_min(depth, u % depth + units.end - u)};
        tile_weight(g, turned, &part, weight, points);
        u += part.to - part.from;
    }
}

/* out = in times the weights of panels from .. from + panels of `all`. */
static void filter_products(enum simd simd, size_t n_rows, size_t depth, size_t all, size_t from,
                            size_t panels, const float *weight, const float *in, float *out)
{
    struct product p = {.n_groups = n_rows / PRODUCT_ROWS,
                        .n_outer = depth / PANEL,
                        .n_inner = PANEL,
                        .group = PRODUCT_ROWS * PANEL,
                        .row = PANEL,
                        .outer = n_rows * PANEL,
                        .inner = 1};
    for (size_t point = 0; point < POINTS; point++)
        for (size_t panel = 0; panel < panels; panel++) {
            const float *b = weight + (point * all + from + panel) * depth * PANEL;
            const float *ahead =
                panel + 1 < panels ? b + depth * PANEL : b + (all - panels + 1) * depth * PANEL;
            tile_product(simd, &p, in + point * point_floats(n_rows, depth), b, ahead,
                         out + point * point_floats(n_rows, panels * PANEL) +
                             panel * n_rows * PANEL);
        }
}

/* The slice of results from `channel` on of one block, whose points are in `in`. */
static void filter_slice(const struct winograd *g, const struct filter *f, struct slice part,
                         size_t channel, const float *points, const float *in, float *out,
                         const struct winograd_end *how, float *y)
{
    size_t slice = size_min(f->slice, (size_t)f->to.channels - channel);
    for (size_t from = 0; part.count > 0 && from < slice; from += f->end_slice) {
        size_t width = size_min(f->end_slice, slice - from);
        filter_products(g->simd, part.n_rows, (size_t)f->from.channels, slice / PANEL, from / PANEL,
                        width / PANEL, points, in, out);
        part.from = (int32_t)(channel + from);
        part.to = (int32_t)(channel + from + width);
        tile_output(g->simd, &f->to, &part, out, how, y);
    }
}

static void filter_run(const struct winograd *g, bool turned, const float *x, const float *weight,
                       float *scratch, const struct winograd_end *how, float *y)
{
    const struct filter f = filter_of(g, turned);
    const bool resident = filter_is_resident(&f);
    float *points = scratch;
#pragma omp parallel num_threads(g->threads)
    {
        size_t thread = (size_t)omp_get_thread_num(), n_threads = (size_t)omp_get_num_threads();
        struct range tiles = share_tiles(f.n_tiles, thread, n_threads);
        size_t share_max = round_up(divide_up(f.n_tiles, n_threads), PRODUCT_ROWS);
        float *in = scratch + f.weight_floats + thread * f.thread_floats;
        float *out = in + block_floats(f.block_tiles, (size_t)f.from.channels);
        if (resident) {
            filter_weights(g, &f, turned, 0, thread, n_threads, weight, points);
#pragma omp barrier
        }
        for (size_t at = 0; at < share_max; at += f.block_tiles) { /* as often in each thread */
            size_t first = size_min(tiles.end, tiles.begin + at);
            size_t count = size_min(f.block_tiles, tiles.end - first);
            struct slice part = {.first = first,
                                 .count = count,
                                 .n_zero = round_up(count, PRODUCT_ROWS) - count,
                                 .n_rows = round_up(count, PRODUCT_ROWS),
                                 .to = f.from.channels};
            tile_input(g->simd, &f.from, &part, x, in);
            for (size_t channel = 0; channel < (size_t)f.to.channels; channel += f.slice) {
                if (!resident) {
#pragma omp barrier
                    filter_weights(g, &f, turned, channel, thread, n_threads, weight, points);
#pragma omp barrier
                }
                filter_slice(g, &f, part, channel, points, in, out, how, y);
            }
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

struct gradient {
    struct tiles in, out;
    size_t n_tiles, block_tiles;
    size_t n_teams;      /* of threads, each with sums of its own */
    size_t slice;        /* output channels at a time */
    size_t sums_floats;  /* of a slice */
    size_t block_floats; /* of points of the input and of a slice of the output's gradient */
};

static struct gradient gradient_of(const struct winograd *g)
{
    struct gradient a = {
        .in = tiles_of(g->n, g->h, g->w, g->c_in),
        .out = tiles_of(g->n, g->h, g->w, g->c_out),
        .slice = slice_channels((size_t)g->c_out, (size_t)g->c_in),
        .n_teams = 1,
    };
    size_t channels = (size_t)g->c_in + a.slice, bytes = SHARED_BLOCK_BYTES;
    a.n_tiles = tiles_count(&a.in);
    a.sums_floats = POINTS * (size_t)g->c_in * a.slice;
    size_t share_max = a.n_tiles;
    if (a.sums_floats * sizeof(float) <= CACHED_BYTES_MAX) {
        a.n_teams = size_min((size_t)g->threads, divide_up(a.n_tiles, PRODUCT_ROWS));
        share_max = divide_up(a.n_tiles, a.n_teams);
        bytes = CACHED_BLOCK_BYTES;
    }
    a.block_tiles = block_tiles(share_max, channels, bytes);
    a.block_floats =
        block_floats(a.block_tiles, (size_t)g->c_in) + block_floats(a.block_tiles, a.slice);
    return a;
}

/* sums of units begin .. end, each a point and a panel of input channels, = or += the products of a
 * block's points of n_rows tiles. */
static void gradient_products(const struct winograd *g, size_t n_rows, size_t slice, bool add,
                              struct range units, const float *in, const float *out, float *sums)
{
    size_t panels = (size_t)g->c_in / PANEL;
    struct product p = {.n_groups = PANEL / PRODUCT_ROWS,
                        .n_outer = n_rows / PRODUCT_ROWS,
                        .n_inner = PRODUCT_ROWS,
                        .group = PRODUCT_ROWS,
                        .row = 1,
                        .outer = PRODUCT_ROWS * PANEL,
                        .inner = PANEL,
                        .add = add};
    for (size_t u = units.begin; u < units.end; u++) {
        size_t point = u / panels, panel = u % panels;
        const float *b =
            in + point * point_floats(n_rows, (size_t)g->c_in) + panel * n_rows * PANEL;
        for (size_t row = 0; row < slice; row += PANEL)
            tile_product(g->simd, &p, out + point * point_floats(n_rows, slice) + row * n_rows, b,
                         b + n_rows * PANEL, sums + (u * slice + row) * PANEL);
    }
}

/* Those who make one sum together: one thread, or all. */
struct team {
    size_t member, n_members;
    struct range tiles;
    float *in, *out, *sums;
};

static struct team team_of(const struct winograd *g, const struct gradient *a, size_t team,
                           size_t thread, size_t n_threads, float *scratch)
{
    bool alone = a->n_teams > 1;
    struct team t = {.member = alone ? 0 : thread,
                     .n_members = alone ? 1 : n_threads,
                     .tiles = share_tiles(a->n_tiles, team, a->n_teams)};
    t.sums = scratch + team * a->sums_floats;
    t.in = scratch + a->n_teams * a->sums_floats + team * a->block_floats;
    t.out = t.in + block_floats(a->block_tiles, (size_t)g->c_in);
    return t;
}

static void team_wait(const struct team *t)
{
    if (t->n_members > 1) {
#pragma omp barrier
    }
}

/* The team's sums for output channels `channel` .. + width. A single block's input is transformed
 * for the first slice only. */
static void team_sum(const struct winograd *g, const struct gradient *a, const struct team *t,
                     size_t channel, size_t width, const float *x, const float *dy)
{
    size_t n_units = POINTS * (size_t)g->c_in / PANEL, n_tiles = t->tiles.end - t->tiles.begin;
    for (size_t at = 0; at < n_tiles; at += a->block_tiles) {
        size_t count = size_min(a->block_tiles, n_tiles - at);
        struct range rows = share_tiles(count, t->member, t->n_members);
        struct slice part = {.first = t->tiles.begin + at + rows.begin,
                             .count = rows.end - rows.begin,
                             .n_zero = round_up(rows.end, PRODUCT_ROWS) - rows.end,
                             .n_rows = round_up(count, PRODUCT_ROWS),
                             .to = g->c_in};
        if (channel == 0 || n_tiles > a->block_tiles)
            tile_input(g->simd, &a->in, &part, x, t->in + rows.begin * PANEL);
        part.from = (int32_t)channel;
        part.to = (int32_t)(channel + width);
        tile_gradient(g->simd, &a->out, &part, dy, t->out + rows.begin * PANEL);
        team_wait(t);
        gradient_products(g, part.n_rows, width, at > 0, share(n_units, t->member, t->n_members),
                          t->in, t->out, t->sums);
        team_wait(t);
    }
}

/* A share of the first team's sums += those of the other teams. */
static void add_teams(const struct gradient *a, size_t thread, size_t n_threads, float *sums)
{
    struct range r = share(a->sums_floats, thread, n_threads);
    for (size_t team = 1; team < a->n_teams; team++)
        for (size_t i = r.begin; i < r.end; i++)
            sums[i] += sums[team * a->sums_floats + i];
}

void winograd_backward_weight(const struct winograd *g, const float *x, const float *dy,
                              float *scratch, float *dweight)
{
    const struct gradient a = gradient_of(g);
    size_t c_in = (size_t)g->c_in, c_out = (size_t)g->c_out;
#pragma omp parallel num_threads(a.n_teams > 1 ? (int)a.n_teams : g->threads)
    {
        size_t thread = (size_t)omp_get_thread_num(), n_threads = (size_t)omp_get_num_threads();
        for (size_t channel = 0; channel < c_out; channel += a.slice) {
            size_t width = size_min(a.slice, c_out - channel);
            struct range rows = share(width, thread, n_threads);
            for (size_t team = a.n_teams > 1 ? thread : 0; team < a.n_teams; team += n_threads) {
                struct team t = team_of(g, &a, team, thread, n_threads, scratch);
                team_sum(g, &a, &t, channel, width, x, dy);
            }
            if (a.n_teams > 1) {
#pragma omp barrier
                add_teams(&a, thread, n_threads, scratch);
#pragma omp barrier
            }
            tile_weight_gradient(g->simd, c_in, width, rows.begin, rows.end, scratch,
                                 dweight + channel * c_in * TAPS);
        }
    }
}

size_t winograd_scratch_bytes(const struct winograd *g, enum winograd_pass pass)
{
    if (pass == WINOGRAD_WEIGHT) {
        struct gradient a = gradient_of(g);
        return a.n_teams * (a.sums_floats + a.block_floats) * sizeof(float);
    }
    struct filter f = filter_of(g, pass == WINOGRAD_DATA);
    return (f.weight_floats + (size_t)g->threads * f.thread_floats) * sizeof(float);
}
