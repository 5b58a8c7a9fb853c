#include "tests/test.h"

#include "base/err.h"
#include "base/mem.h"
#include "features/elementary.h"
#include "features/mel.h"
#include "features/stft.h"
#include "tests/unit/features/signals.h"

/* A transform of n points in double is within a few ulp times log n of the truth. */
static const double FFT_TOLERANCE = 1e-14;

/* The definition, in long double, of one frame's bin k. */
static void bin_by_definition(const double *x, size_t n, size_t k, double *re, double *im)
{
    long double sum_re = 0, sum_im = 0;
    for (size_t i = 0; i < n; i++) {
        long double a = 2 * 3.14159265358979323846264338327950288L * (long double)(i * k % n) / n;
        sum_re += x[i] * cosl(a);
        sum_im -= x[i] * sinl(a);
    }
    *re = (double)sum_re;
    *im = (double)sum_im;
}

/* Eight different frames through the transform: each is its own lane's. */
static void test_transform_is_the_definition(void)
{
    for (size_t n = FFT_N_MIN; n <= 4096; n *= 2) {
        struct err e = {0};
        struct fft_plan p;
        CHECK_OK(fft_plan_init(&p, n, simd_best(), &e), &e);
        double *x = mem_alloc(LANES * n, sizeof *x);
        uint32_t state = (uint32_t)n;
        for (size_t i = 0; i < LANES * n; i++) {
            state = 1664525 * state + 1013904223;
            x[i] = state / 4294967296.0 - 0.5;
        }
        struct lane_cpx *work = mem_alloc_aligned(n / 2, sizeof *work);
        for (size_t i = 0; i < n / 16; i++)
            for (size_t l = 0; l < LANES; l++) {
                struct fft_two leaf[4];
                for (size_t c = 0; c < 4; c++) {
                    const double *s = x + l * n + i + c * (n / 16);
                    leaf[c] = fft_leaf(s[0], s[n / 4], s[n / 2], s[3 * n / 4]);
                }
                fft_first(work + p.first_slot[i], l, leaf[0], leaf[1], leaf[2], leaf[3],
                          p.levels[0].twiddles);
            }
        fft_forward(&p, work);
        size_t stride = n > 256 ? 37 : 1;
        for (size_t l = 0; l < LANES; l++)
            for (size_t k = 0; k <= n / 2; k += stride) {
                double re, im;
                bin_by_definition(x + l * n, n, k, &re, &im);
                bool is_end = k == 0 || k == n / 2;
                const struct lane_cpx *z = &work[is_end ? 0 : p.bin_slot[k]];
                CHECK_NEAR(k == n / 2 ? z->im[l] : z->re[l], re, FFT_TOLERANCE * (double)n);
                if (!is_end)
                    CHECK_NEAR(z->im[l], im, FFT_TOLERANCE * (double)n);
            }
        mem_free(x);
        mem_free(work);
        fft_plan_release(&p);
    }
}

static void test_inverse_undoes_forward(void)
{
    enum { N = 2048, HOP = 512 };
    struct err e = {0};
    struct stft_plan p;
    struct stft s;
    CHECK_OK(stft_plan_init(&p, N, HOP, simd_best(), &e), &e);
    stft_init(&s, &p);
    struct lane_cpx *bins = mem_alloc_aligned(p.n_bins, sizeof *bins);
    struct lane_f64 *frames = mem_alloc_aligned(N, sizeof *frames);
    float *y = signal_new("q");
    stft_bins(&s, y, SIGNAL_SAMPLES, 8, bins);
    for (size_t l = 0; l < LANES; l++) /* says the contract: ignored */
        bins[0].im[l] = bins[p.n_bins - 1].im[l] = 5;
    stft_inverse(&s, bins, frames);
    double worst = 0;
    for (size_t l = 0; l < LANES; l++)
        for (size_t i = 0; i < N; i++) {
            double want = p.window[i] * p.window[i] * (double)y[(8 + l) * HOP - N / 2 + i];
            worst = fmax(worst, fabs(frames[i].at[l] - want));
        }
    CHECK(worst < FFT_TOLERANCE);
    mem_free(y);
    mem_free(bins);
    mem_free(frames);
    stft_release(&s);
    stft_plan_release(&p);
}

/* Frames over the ends see zeros: as of a signal with zeros around it. */
static void test_ends_are_padded_with_zeros(void)
{
    enum { N = 64, HOP = 16, SAMPLES = 100 };
    struct err e = {0};
    struct stft_plan p;
    struct stft s;
    CHECK_OK(stft_plan_init(&p, N, HOP, simd_best(), &e), &e);
    stft_init(&s, &p);
    float padded[N / 2 + SAMPLES + N + 8 * HOP] = {0};
    float *y = padded + N / 2;
    for (int i = 0; i < SAMPLES; i++)
        y[i] = (float)(i * 7 % 13) - 6;
    struct lane_f32 *power = mem_alloc_aligned(p.n_bins, sizeof *power);
    for (size_t n = 0; n <= SAMPLES; n++) {
        for (size_t i = n; i < SAMPLES; i++)
            y[i] = 0;
        size_t t = n / HOP < 4 ? 0 : n / HOP - 3; /* the first and the last frames */
        stft_power(&s, y, n, t, power);
        for (size_t l = 0; l < LANES; l++)
            for (size_t k = 0; k < p.n_bins; k += 7) {
                double frame[N], re, im;
                for (size_t i = 0; i < N; i++) {
                    size_t at = (t + l) * HOP + i;
                    frame[i] = at < ARRAY_LEN(padded) ? p.window[i] * (double)padded[at] : 0;
                }
                bin_by_definition(frame, N, k, &re, &im);
                CHECK_NEAR(power[k].at[l], re * re + im * im, 1e-6 * (re * re + im * im) + 1e-9);
            }
        for (int i = 0; i < SAMPLES; i++)
            y[i] = (float)(i * 7 % 13) - 6;
    }
    mem_free(power);
    stft_release(&s);
    stft_plan_release(&p);
}

static void test_bad_lengths(void)
{
    static const size_t bad[] = {0, 1, 8, 15, 17, 1000, 2047, (size_t)FFT_N_MAX * 2};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = {0};
        struct fft_plan p;
        CHECK(!fft_plan_init(&p, bad[i], SIMD_PLAIN, &e));
        CHECK(e.kind == ERR_USAGE);
        fft_plan_release(&p);
    }
}

/* Against long double, whose own rounding moves about one result in a thousand. */
static void test_elementary(void)
{
    size_t n = 0, n_off = 0;
    for (double x = -4; x <= 4; x += 0.000371, n += 2) {
        double s = (double)sinl((long double)x), c = (double)cosl((long double)x);
        CHECK_NEAR(elementary_sin(x), s, 2.3e-16 * fabs(s));
        CHECK_NEAR(elementary_cos(x), c, 2.3e-16 * fabs(c));
        n_off += elementary_sin(x) != s;
        n_off += elementary_cos(x) != c;
        CHECK_NEAR(elementary_exp(x * 50) / exp(x * 50), 1, 6e-16);
        CHECK_NEAR(elementary_exp10(x * 50) / pow(10, x * 50), 1, 1e-13);
        CHECK_NEAR(elementary_exp2(x * 50) / exp2(x * 50), 1, 6e-16);
    }
    CHECK(n_off < n / 300);
    for (double x = 1e-6; x < 1e6; x *= 1.00371)
        CHECK_NEAR(elementary_log(x), log(x), 3e-16 * fmax(fabs(log(x)), 1));
    CHECK(elementary_exp(0) == 1);
    CHECK(elementary_log(1) == 0);
    CHECK(elementary_sin(0) == 0);
    CHECK(elementary_cos(0) == 1);
    CHECK(elementary_exp2(-3) == 0.125);
    /* the window's zero of the cosine, and one of glibc's exceptions */
    CHECK(elementary_cos(1.5707963267948966) == 6.123233995736766e-17);
    CHECK(elementary_sin(0x1.534ac0f19860cp-3) == 0x1.51bdf8597c5f2p-3);
}

static void test_mel_scale(void)
{
    CHECK(mel_from_hz(0) == 0);
    CHECK_NEAR(mel_from_hz(1000), 15, 1e-14);
    CHECK_NEAR(mel_from_hz(6400), 42, 1e-13); /* 27 steps for a factor of 6.4 */
    CHECK_NEAR(mel_from_hz(500), 7.5, 1e-14);
    for (double hz = 0; hz < 22050; hz += 17.3)
        CHECK_NEAR(mel_to_hz(mel_from_hz(hz)), hz, 1e-15 * hz + 1e-12);
}

static void check_frames_of_both_hops(const float *x, size_t n_samples, uint32_t n, enum simd simd)
{
    struct err e = {0};
    struct stft_plan quarter, eighth;
    struct stft a, b;
    size_t n_bins = n / 2 + 1, n_off = 0;
    struct lane_f32 *quarters = mem_alloc_aligned(n_bins, sizeof *quarters);
    struct lane_f32 *eighths = mem_alloc_aligned(n_bins, sizeof *eighths);
    CHECK_OK(stft_plan_init(&quarter, n, n / 4, simd, &e), &e);
    CHECK_OK(stft_plan_init(&eighth, n, n / 8, simd, &e), &e);
    stft_init(&a, &quarter);
    stft_init(&b, &eighth);
    for (size_t t = 0; t < stft_n_frames(&quarter, n_samples); t += LANES) {
        stft_power(&a, x, n_samples, t, quarters);
        for (size_t l = 0; l < LANES; l++) {
            stft_power(&b, x, n_samples, 2 * (t + l), eighths);
            for (size_t k = 0; k < n_bins; k++)
                n_off += quarters[k].at[l] != eighths[k].at[0];
        }
    }
    CHECK_U64(n_off, 0);
    stft_release(&a);
    stft_release(&b);
    stft_plan_release(&quarter);
    stft_plan_release(&eighth);
    mem_free(quarters);
    mem_free(eighths);
}

/* Frames a quarter apart are loaded by a way of their own, 2048 and 8192 samples block by block:
 * every second frame at half the hop. */
static void test_any_hop_gives_the_same_frames(void)
{
    static const uint32_t lengths[] = {64, 128, 256, 512, 1024, 2048, 4096, 8192};
    enum { SAMPLES = 20000 };
    float *x = mem_alloc(SAMPLES, sizeof *x);
    for (size_t i = 0; i < SAMPLES; i++)
        x[i] = (float)((int)(i * i % 4001) - 2000) / 2000;
    for (int simd = SIMD_PLAIN; simd <= (int)simd_best(); simd++)
        for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
            check_frames_of_both_hops(x, SAMPLES, lengths[i], (enum simd)simd);
    mem_free(x);
}

int main(void)
{
    RUN(test_transform_is_the_definition);
    RUN(test_inverse_undoes_forward);
    RUN(test_any_hop_gives_the_same_frames);
    RUN(test_ends_are_padded_with_zeros);
    RUN(test_bad_lengths);
    RUN(test_elementary);
    RUN(test_mel_scale);
    return test_done();
}
