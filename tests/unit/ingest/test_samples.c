#include "ingest/samples.h"

#include "base/rng.h"
#include "tests/test.h"

enum { N = 1152 * 2 + 37 };

/* Every kind of float: all exponents, ties, the limits of 16 bit. */
static float draw_float(struct rng *r)
{
    uint32_t bits = rng_u32(r);
    float x;
    switch (rng_below(r, 4)) {
    case 0: /* any bits, finite */
        memcpy(&x, &bits, sizeof x);
        return isfinite(x) ? x : 0.0f;
    case 1: /* a tie */
        return ((float)(bits % 65536) - 32768.0f + 0.5f) / 32768.0f;
    case 2: /* near full scale */
        return (bits & 1 ? 1.0f : -1.0f) * (1.0f + ((float)(bits % 8192) - 4096.0f) * 0x1p-24f);
    default:
        return (float)rng_range(r, -1.2, 1.2);
    }
}

/* The definition, in double, where x * 32768 is exact. */
static int16_t expected(float x)
{
    double v = rint((double)x * 32768.0);
    return (int16_t)(v > 32767 ? 32767 : v < -32768 ? -32768 : v);
}

static void test_float(void)
{
    static float left[N], right[N];
    static int16_t out[2 * N];
    for (uint64_t round = 0; round < 50; round++) {
        struct rng r;
        rng_init(&r, 1, 0, round);
        size_t n = N - round;
        for (size_t i = 0; i < n; i++) {
            left[i] = draw_float(&r);
            right[i] = draw_float(&r);
        }
        CHECK(samples_from_float(left, n, out));
        for (size_t i = 0; i < n; i++)
            CHECK_U64(out[i], expected(left[i]));
        CHECK(samples_from_float_stereo(left, right, n, out));
        for (size_t i = 0; i < n; i++) {
            CHECK_U64(out[2 * i], expected(left[i]));
            CHECK_U64(out[2 * i + 1], expected(right[i]));
        }
        CHECK(samples_from_float_strided(left, n / 3, out, 3));
        for (size_t i = 0; i < n / 3; i++)
            CHECK_U64(out[3 * i], expected(left[i]));
    }
}

static void test_versions_agree(void)
{
    static float left[N], right[N];
    static int16_t out[2 * N], plain[2 * N];
    struct rng r;
    rng_init(&r, 2, 0, 0);
    for (size_t i = 0; i < N; i++) {
        left[i] = draw_float(&r);
        right[i] = draw_float(&r);
    }
    CHECK(samples_from_float(left, N, out));
    CHECK(samples_from_float_plain(left, N, plain));
    CHECK(memcmp(out, plain, N * sizeof *out) == 0);
    CHECK(samples_from_float_stereo(left, right, N, out));
    CHECK(samples_from_float_stereo_plain(left, right, N, plain));
    CHECK(memcmp(out, plain, sizeof out) == 0);
}

static void test_wild(void)
{
    static const float values[] = {NAN, -NAN, INFINITY, -INFINITY};
    static float in[200], zeros[200];
    int16_t out[400];
    for (size_t v = 0; v < ARRAY_LEN(values); v++)
        for (size_t at = 0; at < ARRAY_LEN(in); at += 33) { /* in blocks and behind them */
            memset(in, 0, sizeof in);
            in[at] = values[v];
            CHECK(!samples_from_float(in, 200, out));
            CHECK(!samples_from_float_plain(in, 200, out));
            CHECK(!samples_from_float_stereo(in, zeros, 200, out));
            CHECK(!samples_from_float_stereo(zeros, in, 200, out));
            CHECK(!samples_from_float_strided(in, 200, out, 2));
            double wide[200] = {0};
            wide[at] = (double)values[v];
            CHECK(!samples_from_double(wide, 200, out, 1));
        }
    in[0] = 3.4e38f; /* times 32768 is infinite, but the sample is not */
    memset(in + 1, 0, sizeof in - sizeof in[0]);
    CHECK(samples_from_float(in, 200, out));
    CHECK_U64(out[0], 32767);
}

static void test_integers(void)
{
    static const uint8_t u8[] = {0, 127, 128, 129, 255};
    static const int16_t s16[] = {-32768, -1, 0, 1, 32767};
    static const int32_t s32[] = {INT32_MIN, -1, 0, 65535, INT32_MAX};
    static const double f64[] = {-2, -0.5 / 32768, 1.5 / 32768, 1.0, 1e300};
    static const int16_t from_u8[] = {-32768, -256, 0, 256, 32512};
    static const int16_t from_s32[] = {-32768, -1, 0, 0, 32767};
    static const int16_t from_f64[] = {-32768, 0, 2, 32767, 32767};
    int16_t out[10] = {0};
    samples_from_u8(u8, 5, out, 2);
    for (size_t i = 0; i < 5; i++)
        CHECK_U64(out[2 * i], from_u8[i]);
    samples_from_s16(s16, 5, out, 1);
    for (size_t i = 0; i < 5; i++)
        CHECK_U64(out[i], s16[i]);
    samples_from_s32(s32, 5, out, 1);
    for (size_t i = 0; i < 5; i++)
        CHECK_U64(out[i], from_s32[i]);
    CHECK(samples_from_double(f64, 5, out, 1));
    for (size_t i = 0; i < 5; i++)
        CHECK_U64(out[i], from_f64[i]);
}

int main(void)
{
    RUN(test_float);
    RUN(test_versions_agree);
    RUN(test_wild);
    RUN(test_integers);
    return test_done();
}
