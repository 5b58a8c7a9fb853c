/*
 * Winograd's convolution against its definition in float64, all three passes, on pictures that the
 * tiles do not fit, and its versions and threads against each other bit by bit.
 */
#include "base/mem.h"
#include "base/rng.h"
#include "tests/test.h"
#include "train/winograd.h"

/* As train/winograd.h says, with room for other draws; oneDNN's kernels are held to 1e-5. */
#define TOLERANCE 5e-6

enum { KERNEL = 3, TAPS = 9 };

struct pass {
    struct winograd g;
    size_t n_x, n_y, n_weight;
    float *x, *y, *weight; /* drawn; y is the gradient of the output */
    float *out;            /* of the pass, large enough for any */
};

static void fill(float *x, size_t n, uint64_t item, double scale)
{
    struct rng r;
    rng_init(&r, 11, 1, item);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(scale * rng_normal(&r));
}

static void pass_init(struct pass *p, struct winograd g)
{
    size_t pixels = (size_t)(g.n * g.h * g.w);
    *p = (struct pass){.g = g,
                       .n_x = pixels * (size_t)g.c_in,
                       .n_y = pixels * (size_t)g.c_out,
                       .n_weight = (size_t)(g.c_in * g.c_out) * TAPS};
    p->x = mem_alloc(p->n_x, sizeof(float));
    p->y = mem_alloc(p->n_y, sizeof(float));
    p->weight = mem_alloc(p->n_weight, sizeof(float));
    p->out = mem_zalloc(p->n_x + p->n_y + p->n_weight, sizeof(float));
    fill(p->x, p->n_x, 1, 1.0);
    fill(p->y, p->n_y, 2, 1.0);
    fill(p->weight, p->n_weight, 3, 0.05);
    for (size_t i = 0; i < p->n_x; i++) /* as behind a ReLU */
        p->x[i] = p->x[i] < 0 ? 0 : p->x[i];
}

static void pass_release(struct pass *p)
{
    mem_free(p->x);
    mem_free(p->y);
    mem_free(p->weight);
    mem_free(p->out);
}

static void run(struct pass *p, enum winograd_pass pass, bool add)
{
    float *scratch = mem_alloc_aligned(winograd_scratch_bytes(&p->g, pass), 1);
    if (pass == WINOGRAD_FORWARD)
        winograd_forward(&p->g, p->x, p->weight, scratch, &(struct winograd_end){0}, p->out);
    else if (pass == WINOGRAD_DATA)
        winograd_backward_data(&p->g, p->y, p->weight, scratch, add, p->out);
    else
        winograd_backward_weight(&p->g, p->x, p->y, scratch, p->out);
    mem_free(scratch);
}

/* Adds what one tap of one pixel contributes to the result of the pass. */
static void add_term(const struct pass *p, enum winograd_pass pass, size_t x_at, size_t y_at,
                     size_t w_at, double *want)
{
    if (pass == WINOGRAD_FORWARD)
        want[y_at] += (double)p->x[x_at] * (double)p->weight[w_at];
    else if (pass == WINOGRAD_DATA)
        want[x_at] += (double)p->y[y_at] * (double)p->weight[w_at];
    else
        want[w_at] += (double)p->x[x_at] * (double)p->y[y_at];
}

static void add_channels(const struct pass *p, enum winograd_pass pass, size_t x_pixel,
                         size_t y_pixel, size_t tap, double *want)
{
    size_t c_in = (size_t)p->g.c_in, c_out = (size_t)p->g.c_out;
    for (size_t k = 0; k < c_out; k++)
        for (size_t c = 0; c < c_in; c++)
            add_term(p, pass, x_pixel * c_in + c, y_pixel * c_out + k, (k * c_in + c) * TAPS + tap,
                     want);
}

static void define(const struct pass *p, enum winograd_pass pass, double *want)
{
    const struct winograd *g = &p->g;
    for (int32_t n = 0; n < g->n; n++)
        for (int32_t i = 0; i < g->h; i++)
            for (int32_t j = 0; j < g->w; j++)
                for (int32_t tap = 0; tap < TAPS; tap++) {
                    int32_t row = i + tap / KERNEL - 1, column = j + tap % KERNEL - 1;
                    if (row >= 0 && row < g->h && column >= 0 && column < g->w)
                        add_channels(p, pass, (size_t)((n * g->h + row) * g->w + column),
                                     (size_t)((n * g->h + i) * g->w + j), (size_t)tap, want);
                }
}

static size_t result_floats(const struct pass *p, enum winograd_pass pass)
{
    return pass == WINOGRAD_FORWARD ? p->n_y : pass == WINOGRAD_DATA ? p->n_x : p->n_weight;
}

/* The largest error over the largest value. */
static double error_of(struct pass *p, enum winograd_pass pass)
{
    size_t n = result_floats(p, pass);
    double *want = mem_zalloc(n, sizeof *want), worst = 0, scale = 0;
    define(p, pass, want);
    run(p, pass, false);
    for (size_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs((double)p->out[i] - want[i]));
        scale = fmax(scale, fabs(want[i]));
    }
    mem_free(want);
    return worst / scale;
}

static void check_definition(struct winograd g)
{
    struct pass p;
    g.simd = winograd_simd_best();
    pass_init(&p, g);
    CHECK_NEAR(error_of(&p, WINOGRAD_FORWARD), 0, TOLERANCE);
    CHECK_NEAR(error_of(&p, WINOGRAD_DATA), 0, TOLERANCE);
    CHECK_NEAR(error_of(&p, WINOGRAD_WEIGHT), 0, TOLERANCE);
    pass_release(&p);
}

static void test_definition(void)
{
    check_definition(
        (struct winograd){.n = 2, .h = 8, .w = 8, .c_in = 32, .c_out = 32, .threads = 1});
}

static void test_sizes_that_tiles_do_not_fit(void)
{
    check_definition(
        (struct winograd){.n = 3, .h = 7, .w = 5, .c_in = 32, .c_out = 64, .threads = 2});
    check_definition(
        (struct winograd){.n = 1, .h = 1, .w = 3, .c_in = 64, .c_out = 32, .threads = 3});
}

/* More tiles than a block has, and sums over many channels. */
static void test_many(void)
{
    check_definition(
        (struct winograd){.n = 9, .h = 14, .w = 13, .c_in = 32, .c_out = 64, .threads = 2});
    check_definition(
        (struct winograd){.n = 1, .h = 6, .w = 4, .c_in = 512, .c_out = 32, .threads = 2});
    check_definition(
        (struct winograd){.n = 1, .h = 6, .w = 4, .c_in = 32, .c_out = 512, .threads = 2});
}

/* So many channels that weights and sums are made in slices, one narrower than the others; the
 * second time in several blocks of tiles, too. */
static void test_slices(void)
{
    check_definition(
        (struct winograd){.n = 1, .h = 6, .w = 4, .c_in = 512, .c_out = 160, .threads = 2});
    check_definition(
        (struct winograd){.n = 1, .h = 3, .w = 4, .c_in = 160, .c_out = 512, .threads = 3});
    check_definition(
        (struct winograd){.n = 310, .h = 1, .w = 1, .c_in = 512, .c_out = 160, .threads = 2});
}

/* The bits of b are those of a. */
static void check_same(struct winograd a, struct winograd b, enum winograd_pass pass)
{
    struct pass p, q;
    pass_init(&p, a);
    pass_init(&q, b);
    run(&p, pass, false);
    run(&q, pass, false);
    CHECK(memcmp(p.out, q.out, result_floats(&p, pass) * sizeof(float)) == 0);
    pass_release(&p);
    pass_release(&q);
}

static void test_versions_give_the_same_bits(void)
{
    struct winograd plain = {.n = 2, .h = 9, .w = 6, .c_in = 64, .c_out = 32, .threads = 2};
    plain.simd = SIMD_PLAIN;
    for (int simd = SIMD_PLAIN + 1; simd <= (int)winograd_simd_best(); simd++)
        for (int pass = WINOGRAD_FORWARD; pass <= WINOGRAD_WEIGHT; pass++) {
            struct winograd fast = plain;
            fast.simd = (enum simd)simd;
            check_same(plain, fast, (enum winograd_pass)pass);
        }
}

/* As the header says: of activations always, and of weight gradients of many channels; of others,
 * run again with as many threads. */
static void test_threads_and_bits(void)
{
    struct winograd one = {.n = 5, .h = 14, .w = 14, .c_in = 64, .c_out = 64, .threads = 1};
    one.simd = winograd_simd_best();
    for (int32_t threads = 2; threads <= 5; threads++) {
        struct winograd more = one;
        more.threads = threads;
        check_same(one, more, WINOGRAD_FORWARD);
        check_same(one, more, WINOGRAD_DATA);
        check_same(more, more, WINOGRAD_WEIGHT);
    }
    struct winograd wide = {.n = 2, .h = 6, .w = 5, .c_in = 320, .c_out = 192, .threads = 1};
    wide.simd = winograd_simd_best();
    struct winograd shared = wide;
    shared.threads = 3;
    for (int pass = WINOGRAD_FORWARD; pass <= WINOGRAD_WEIGHT; pass++)
        check_same(wide, shared, (enum winograd_pass)pass);
}

static void test_gradient_is_added(void)
{
    struct pass p;
    pass_init(&p, (struct winograd){.n = 2,
                                    .h = 5,
                                    .w = 6,
                                    .c_in = 32,
                                    .c_out = 32,
                                    .threads = 1,
                                    .simd = winograd_simd_best()});
    run(&p, WINOGRAD_DATA, false);
    float *once = mem_alloc(p.n_x, sizeof *once);
    memcpy(once, p.out, p.n_x * sizeof *once);
    run(&p, WINOGRAD_DATA, true);
    bool doubled = true;
    for (size_t i = 0; i < p.n_x; i++)
        doubled = doubled && p.out[i] == 2 * once[i];
    CHECK(doubled);
    mem_free(once);
    pass_release(&p);
}

int main(void)
{
    RUN(test_definition);
    RUN(test_sizes_that_tiles_do_not_fit);
    RUN(test_many);
    RUN(test_slices);
    RUN(test_versions_give_the_same_bits);
    RUN(test_threads_and_bits);
    RUN(test_gradient_is_added);
    return test_done();
}
