#include "tests/test.h"

#include "base/err.h"
#include "features/resample.h"
#include "tests/unit/features/signals.h"

#include <soxr.h>

/* libsoxr's vector unit for x86-64 gives the known answers exactly, other ones within this. */
static const double OTHER_UNIT = 1e-6;

static const struct {
    double in_hz, out_hz;
} RATES[] = {{44100, 22050}, {48000, 22050}, {8000, 22050},    {32000, 22050},
             {96000, 22050}, {22050, 16000}, {17500.5, 22050}, {22050 / 1.0594630943592953, 22050}};

/* Known answers from librosa 0.11.0: Q's first 44,100 samples. */
static void test_known_answers(void)
{
    struct err e = {0};
    float *y = signal_new("q"), *r = mem_alloc(22050, sizeof *r);
    CHECK_U64(resample_n_out(44100, 44100, 22050), 22050);
    CHECK_OK(resample(y, 44100, 44100, 22050, r, &e), &e);
    CHECK_NEAR(r[0], -0.36979887, OTHER_UNIT);
    CHECK_NEAR(r[1], -0.53800362, OTHER_UNIT);
    CHECK_NEAR(r[1000], -0.17628679, OTHER_UNIT);
    CHECK_NEAR(r[11025], -0.045335241, OTHER_UNIT);
    CHECK_NEAR(r[22049], -0.21864386, OTHER_UNIT);
    double sum = 0;
    for (size_t i = 0; i < 22050; i++)
        sum += (double)r[i];
    CHECK_NEAR(sum, 18.264941, 22050 * OTHER_UNIT / 100);
    /* soxr gives 20,258 samples; the last is librosa's zero */
    CHECK_U64(resample_n_out(44100, 48000, 22050), 20259);
    CHECK_OK(resample(y, 44100, 48000, 22050, r, &e), &e);
    CHECK(r[20257] != 0);
    CHECK(r[20258] == 0);
    mem_free(y);
    mem_free(r);
}

/* Bit for bit what libsoxr gives when it is fed in pieces, as python-soxr does. */
static void test_pieces_make_no_difference(void)
{
    enum { N = 50000, PIECE = 1237 };
    float *y = signal_new("q");
    for (size_t i = 0; i < ARRAY_LEN(RATES); i++) {
        size_t n_out = resample_n_out(N, RATES[i].in_hz, RATES[i].out_hz), n_done = 0, n_new;
        float *whole = mem_alloc(n_out, sizeof *whole), *pieces = mem_zalloc(n_out, sizeof *pieces);
        struct err e = {0};
        CHECK_OK(resample(y, N, RATES[i].in_hz, RATES[i].out_hz, whole, &e), &e);
        soxr_error_t why = NULL;
        soxr_io_spec_t io = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
        soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
        soxr_t soxr = soxr_create(RATES[i].in_hz, RATES[i].out_hz, 1, &why, &io, &quality, NULL);
        CHECK(why == NULL);
        for (size_t from = 0; from < N; from += PIECE) {
            size_t n = size_min(PIECE, N - from), n_used;
            soxr_process(soxr, y + from, n, &n_used, pieces + n_done, n_out - n_done, &n_new);
            CHECK_U64(n_used, n);
            n_done += n_new;
        }
        do {
            soxr_process(soxr, NULL, 0, NULL, pieces + n_done, n_out - n_done, &n_new);
            n_done += n_new;
        } while (n_new > 0);
        soxr_delete(soxr);
        CHECK(memcmp(whole, pieces, n_out * sizeof *whole) == 0);
        mem_free(whole);
        mem_free(pieces);
    }
    mem_free(y);
}

static void test_lengths(void)
{
    static const size_t lengths[] = {0, 1, 2, 3, 10, 100, 4411, 44101};
    float *y = signal_new("noise");
    for (size_t r = 0; r < ARRAY_LEN(RATES); r++)
        for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
            double exact = (double)lengths[i] * (RATES[r].out_hz / RATES[r].in_hz);
            size_t n_out = resample_n_out(lengths[i], RATES[r].in_hz, RATES[r].out_hz);
            CHECK_U64(n_out, ceil(exact));
            float *out = mem_alloc(n_out + 1, sizeof *out);
            struct err e = {0};
            for (size_t k = 0; k < n_out; k++)
                out[k] = NAN;
            out[n_out] = 77; /* must not be touched */
            CHECK_OK(resample(y, lengths[i], RATES[r].in_hz, RATES[r].out_hz, out, &e), &e);
            CHECK(out[n_out] == 77);
            for (size_t k = 0; k < n_out; k++)
                CHECK(isfinite(out[k]));
            mem_free(out);
        }
    mem_free(y);
}

/* A tone below half of both rates passes as it is: same frequency, phase and level. */
static void test_tone_passes(void)
{
    enum { N = 48000 };
    float *x = mem_alloc(N, sizeof *x), *out = mem_alloc(N, sizeof *out);
    struct err e = {0};
    for (int i = 0; i < N; i++)
        x[i] = (float)sin(2 * M_PI * 1000 * i / 48000.0);
    CHECK_OK(resample(x, N, 48000, 22050, out, &e), &e);
    double worst = 0;
    for (int i = 2000; i < 20000; i++)
        worst = fmax(worst, fabs((double)out[i] - sin(2 * M_PI * 1000 * i / 22050.0)));
    CHECK(worst < 2e-6); /* 20 bits */
    mem_free(x);
    mem_free(out);
}

static void test_equal_rates_copy(void)
{
    const float x[] = {1, -2, 3};
    float y[3];
    struct err e = {0};
    CHECK_U64(resample_n_out(3, 22050, 22050), 3);
    CHECK_OK(resample(x, 3, 22050, 22050, y, &e), &e);
    CHECK(memcmp(x, y, sizeof x) == 0);
}

static void test_bad_rates(void)
{
    static const struct {
        double in_hz, out_hz;
    } bad[] = {{0, 22050}, {22050, 0}, {-1, 1}, {(double)NAN, 1}, {1, (double)INFINITY}};
    const float x[1] = {1};
    float y[1];
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = {0};
        CHECK(!resample(x, 1, bad[i].in_hz, bad[i].out_hz, y, &e));
        CHECK(e.kind == ERR_PERM);
        CHECK(strstr(e.msg, "must be positive") != NULL);
    }
}

int main(void)
{
    RUN(test_known_answers);
    RUN(test_pieces_make_no_difference);
    RUN(test_lengths);
    RUN(test_tone_passes);
    RUN(test_equal_rates_copy);
    RUN(test_bad_rates);
    return test_done();
}
