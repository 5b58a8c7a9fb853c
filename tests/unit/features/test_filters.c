/* Convolution, rooms and band-passes against their definitions. */
#include "tests/test.h"

#include "base/err.h"
#include "base/mem.h"
#include "features/augment.h"
#include "features/convolve.h"
#include "features/filter.h"
#include "features/lane_math.h"

enum { RATE = 22050 };

static float *noise_new(size_t n, uint32_t state)
{
    float *x = mem_alloc(n, sizeof *x);
    for (size_t i = 0; i < n; i++) {
        state = 1664525 * state + 1013904223;
        x[i] = (float)(state >> 8) / 0x1p23f - 1;
    }
    return x;
}

/* ---------------------------------------------------------------- convolution */

static void check_convolution(struct convolve *c, size_t n, size_t m)
{
    float *x = noise_new(n, 1), *h = noise_new(m, 2);
    const double *y = convolve_apply(c, x, n, h, m);
    size_t stride = n * m > 1 << 20 ? 997 : 1;
    for (size_t i = 0; i < n + m - 1; i += stride) {
        double want = 0;
        for (size_t k = i < n ? 0 : i - n + 1; k < m && k <= i; k++)
            want += (double)h[k] * (double)x[i - k];
        CHECK_NEAR(y[i], want, 1e-11);
    }
    mem_free(x);
    mem_free(h);
}

/* Lengths around a part of 4096, and several groups of eight parts. */
static void test_convolution_is_the_definition(void)
{
    static const size_t lengths[][2] = {{1, 1},       {2, 1},        {1, 9000},     {4096, 4096},
                                        {4097, 4096}, {4095, 4098},  {40000, 8193}, {70000, 40000},
                                        {300, 40},    {32768, 32769}};
    struct convolve *c = convolve_new(simd_best());
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
        check_convolution(c, lengths[i][0], lengths[i][1]);
    convolve_free(c);
}

static void test_convolution_bits(void)
{
    enum { N = 30000, M = 9000 };
    float *x = noise_new(N, 3), *h = noise_new(M, 4);
    double *plain = mem_alloc(N + M - 1, sizeof *plain);
    for (int simd = SIMD_PLAIN; simd <= (int)simd_best(); simd++) {
        struct convolve *c = convolve_new((enum simd)simd);
        const double *y = convolve_apply(c, x, N, h, M);
        if (simd == SIMD_PLAIN)
            memcpy(plain, y, (N + M - 1) * sizeof *y);
        CHECK(memcmp(plain, y, (N + M - 1) * sizeof *y) == 0);
        convolve_free(c);
    }
    mem_free(plain);
    mem_free(x);
    mem_free(h);
}

/* ---------------------------------------------------------------- rooms */

static double energy(const float *x, size_t from, size_t to)
{
    double sum = 0;
    for (size_t i = from; i < to; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

/* A click in a room is the room's response: the click, then a tail that falls 60 dB in 0.5 s. */
static void test_reverb_of_a_click(void)
{
    enum { N = RATE };
    struct err e = {0};
    float *x = mem_zalloc(N, sizeof *x);
    x[100] = 0.25f;
    struct augment *a = augment_new(NULL, RATE);
    CHECK_OK(augment_apply_record(a, "reverb seconds=0.5 wet=-10 noise=0123456789abcdef", x, N, &e),
             &e);
    CHECK_NEAR(x[100], 0.5, 1e-7); /* the peak */
    for (size_t i = 0; i < 100; i++)
        CHECK_NEAR(x[i], 0, 1e-12);
    double direct = energy(x, 100, 101), tail = energy(x, 101, N);
    CHECK_NEAR(10 * log10(tail / direct), -10, 0.01);
    /* over a tenth of a second each: 12 dB less a tenth of a second later */
    double early = energy(x, 101, 101 + RATE / 10),
           late = energy(x, 101 + RATE / 10, 101 + RATE / 5);
    CHECK_NEAR(10 * log10(early / late), 12, 1);
    CHECK(energy(x, 101 + RATE / 2, N) < 1e-20);
    augment_free(a);
    mem_free(x);
}

static void test_reverb_of_silence(void)
{
    float x[500] = {0};
    struct err e = {0};
    struct augment *a = augment_new(NULL, RATE);
    CHECK_OK(augment_apply_record(a, "reverb seconds=0.5 wet=0 noise=0000000000000007", x, 500, &e),
             &e);
    for (size_t i = 0; i < 500; i++)
        CHECK_NEAR(x[i], 0, 0);
    augment_free(a);
}

/* ---------------------------------------------------------------- band-pass */

/* The level of a tone behind the filter, once it has settled. */
static double level_db(const struct filter *f, double hz)
{
    enum { N = 40000, FROM = 20000 };
    float *x = mem_alloc(N, sizeof *x);
    for (int i = 0; i < N; i++)
        x[i] = (float)sin(2 * M_PI * hz * i / RATE);
    filter_apply(f, x, N);
    double db = 10 * log10(2 * energy(x, FROM, N) / (N - FROM));
    mem_free(x);
    return db;
}

/* Butterworth: 3 dB down at the edges whatever the order, flat between. The skirts are those of
 * (s^2 + w0^2) / (b s) warped: computed, not approximated by so many dB an octave. */
static void test_band_pass_levels(void)
{
    const double low = 400, high = 1600, pi = 3.14159265358979323846;
    for (unsigned order = 1; order <= 6; order++) {
        struct filter f;
        filter_band_pass(&f, order, low, high, RATE);
        CHECK_U64(f.n_sections, order);
        CHECK_NEAR(level_db(&f, low), -3.0103, 0.02);
        CHECK_NEAR(level_db(&f, high), -3.0103, 0.02);
        for (double hz = 100; hz < 8000; hz *= 1.7) {
            double w = tan(pi * hz / RATE), w1 = tan(pi * low / RATE), w2 = tan(pi * high / RATE);
            double q = (w * w - w1 * w2) / (w * (w2 - w1));
            double want = -10 * log10(1 + pow(q * q, order));
            if (want > -90)
                CHECK_NEAR(level_db(&f, hz), want, 0.05);
        }
    }
}

/* A wide band of odd order has real poles; a constant before the first sample is no click. */
static void test_band_pass_starts_settled(void)
{
    static const unsigned orders[] = {1, 2, 3, 5};
    for (size_t k = 0; k < ARRAY_LEN(orders); k++) {
        struct filter f;
        float x[2000];
        filter_band_pass(&f, orders[k], 5, 1995, RATE);
        for (int i = 0; i < 2000; i++)
            x[i] = 0.5f;
        filter_apply(&f, x, 2000);
        for (int i = 0; i < 2000; i++)
            CHECK_NEAR(x[i], 0, 1e-6);
    }
}

static void test_band_above_the_rate(void)
{
    float x[100] = {1};
    struct err e = {0};
    struct augment *a = augment_new(NULL, 8000);
    CHECK(!augment_apply_record(a, "band_pass center=9000 width=1 order=2", x, 100, &e));
    CHECK(e.kind == ERR_PERM);
    CHECK(strstr(e.msg, "a band from 4500 Hz on lies above half of 8000 Hz") != NULL);
    /* the upper edge alone is cut, as audiomentations does */
    e = (struct err){0};
    CHECK_OK(augment_apply_record(a, "band_pass center=3000 width=1 order=2", x, 100, &e), &e);
    augment_free(a);
}

/* ---------------------------------------------------------------- lane_math */

static void test_lane_math(void)
{
    for (int i = 0; i < 200000; i++) {
        double x = i * 4.7123 - 400000, c, s;
        lane_cos_sin(x, &c, &s);
        CHECK_NEAR(c, cos(x), 1e-13);
        CHECK_NEAR(s, sin(x), 1e-13);
        double y = sin(i * 0.7), z = cos(i * 1.3);
        CHECK_NEAR(lane_angle(y, z), atan2(y, z), 1e-14);
    }
    CHECK_NEAR(lane_angle(0, 0), 0, 0);
    CHECK_NEAR(lane_angle(0, -2), M_PI, 0);
    CHECK_NEAR(lane_angle(1e-300, 1), 1e-300, 1e-310);
    CHECK_NEAR(lane_round(2.5), 2, 0);
    CHECK_NEAR(lane_round(-3.5), -4, 0);
}

int main(void)
{
    RUN(test_convolution_is_the_definition);
    RUN(test_convolution_bits);
    RUN(test_reverb_of_a_click);
    RUN(test_reverb_of_silence);
    RUN(test_band_pass_levels);
    RUN(test_band_pass_starts_settled);
    RUN(test_band_above_the_rate);
    RUN(test_lane_math);
    return test_done();
}
