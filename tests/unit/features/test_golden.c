/*
 * Every stage against numbers that librosa 0.11 and audiomentations 0.43 gave:
 * tests/golden/features/golden.inc and the script that made it.
 */
#include "tests/test.h"

#include "base/err.h"
#include "base/mem.h"
#include "features/augment.h"
#include "features/logmel_plan.h"
#include "features/mel.h"
#include "features/resample.h"
#include "features/stft.h"
#include "tests/unit/features/signals.h"

enum { N_FFT = 2048, HOP = 512, N_MELS = 128, N_BINS = N_FFT / 2 + 1, N_FRAMES = 431 };

static const struct feature_spec SPEC = {
    .rate_hz = SIGNAL_RATE, .n_fft = N_FFT, .hop = HOP, .n_mels = N_MELS, .top_db = 80};
static const double DB_TOLERANCE = 2e-5;   /* the gate: 2 ulp of a float at 80 dB is 1.5e-5 */
static const double MEAN_TOLERANCE = 5e-6; /* NumPy's log10 of the reference may be an ulp off */
static const double POWER_TOLERANCE =
    1e-6; /* relative: librosa sums bands in float, in any order */
static const double RESAMPLE_TOLERANCE = 1e-6; /* 0 where libsoxr has the same vector unit */
static const double STRETCH_SNR_DB = 120, SHIFT_SNR_DB = 110; /* shift: resampled in float32 */

struct golden_spectrum {
    const char *signal;
    uint32_t signal_crc, stft_crc;
    double mean_db;
    double mel[96], db[96];
};

struct golden_bank {
    size_t n_nonzero;
    uint32_t crc;
    double sum, w_0_1, w_0_2, w_127_1000;
};

struct golden_resampled {
    uint32_t rate_hz;
    size_t lengths[6];
    double samples[96];
};

struct golden_view {
    const char *signal, *record;
    double samples[192];
};

struct golden_exact {
    const char *signal, *record;
    uint32_t crc;
};

#include "tests/golden/features/golden.inc"

static size_t sampled_at(size_t j, size_t n)
{
    return (j * 2654435761 + 97) % n;
}

/* ---------------------------------------------------------------- spectra */

static uint32_t stft_crc(const struct stft_plan *plan, const float *y)
{
    struct stft stft;
    stft_init(&stft, plan);
    struct lane_cpx *bins = mem_alloc_aligned(N_BINS, sizeof *bins);
    uint32_t crc = 0;
    for (size_t t = 0; t < N_FRAMES; t += LANES) {
        stft_bins(&stft, y, SIGNAL_SAMPLES, t, bins);
        for (size_t l = 0; l < LANES && t + l < N_FRAMES; l++) {
            float spectrum[N_BINS][2];
            for (size_t k = 0; k < N_BINS; k++) {
                spectrum[k][0] = (float)bins[k].re[l];
                spectrum[k][1] = (float)bins[k].im[l];
            }
            crc = signal_crc(crc, spectrum[0], sizeof spectrum / sizeof(float));
        }
    }
    mem_free(bins);
    stft_release(&stft);
    return crc;
}

/* All 441,775 complex64 bins of each signal, whatever the processor. */
static void test_stft_bits(void)
{
    struct err e = {0};
    for (size_t i = 0; i < ARRAY_LEN(GOLDEN_SPECTRA); i++) {
        const struct golden_spectrum *g = &GOLDEN_SPECTRA[i];
        float *y = signal_new(g->signal);
        CHECK_U64(signal_crc(0, y, SIGNAL_SAMPLES), g->signal_crc);
        for (int simd = SIMD_PLAIN; simd <= (int)simd_best(); simd++) {
            struct stft_plan plan;
            CHECK_OK(stft_plan_init(&plan, N_FFT, HOP, (enum simd)simd, &e), &e);
            uint32_t crc = stft_crc(&plan, y);
            CHECK_U64(crc, g->stft_crc);
            if (crc != g->stft_crc)
                printf("# signal %s, %s\n", g->signal, simd_name((enum simd)simd));
            stft_plan_release(&plan);
        }
        mem_free(y);
    }
}

static void test_mel_power(void)
{
    struct err e = {0};
    struct logmel_plan *plan = NULL;
    CHECK_OK(logmel_plan_new(&SPEC, &plan, &e), &e);
    struct logmel *m = logmel_new(plan);
    float *mel = mem_alloc((size_t)N_FRAMES * N_MELS, sizeof *mel);
    for (size_t i = 0; i < ARRAY_LEN(GOLDEN_SPECTRA); i++) {
        const struct golden_spectrum *g = &GOLDEN_SPECTRA[i];
        float *y = signal_new(g->signal);
        logmel_power(m, y, SIGNAL_SAMPLES, mel);
        double most = 0;
        for (size_t k = 0; k < (size_t)N_FRAMES * N_MELS; k++)
            most = fmax(most, (double)mel[k]);
        for (size_t j = 0; j < GOLDEN_CELLS; j++)
            CHECK_NEAR(mel[sampled_at(j, (size_t)N_FRAMES * N_MELS)], g->mel[j],
                       POWER_TOLERANCE * g->mel[j] + 1e-9 * most);
        mem_free(y);
    }
    mem_free(mel);
    logmel_free(m);
    logmel_plan_free(plan);
}

static void test_decibels(void)
{
    struct err e = {0};
    struct logmel_plan *plan = NULL;
    CHECK_OK(logmel_plan_new(&SPEC, &plan, &e), &e);
    struct logmel *m = logmel_new(plan);
    float *db = mem_alloc((size_t)N_FRAMES * N_MELS, sizeof *db), ref_db;
    for (size_t i = 0; i < ARRAY_LEN(GOLDEN_SPECTRA); i++) {
        const struct golden_spectrum *g = &GOLDEN_SPECTRA[i];
        float *y = signal_new(g->signal);
        CHECK_OK(logmel_compute(m, y, SIGNAL_SAMPLES, db, &ref_db, &e), &e);
        for (size_t j = 0; j < GOLDEN_CELLS; j++)
            CHECK_NEAR(db[sampled_at(j, (size_t)N_FRAMES * N_MELS)], g->db[j], DB_TOLERANCE);
        double sum = 0;
        for (size_t k = 0; k < (size_t)N_FRAMES * N_MELS; k++)
            sum += (double)db[k];
        CHECK_NEAR(sum / (N_FRAMES * N_MELS), g->mean_db, MEAN_TOLERANCE);
        mem_free(y);
    }
    mem_free(db);
    logmel_free(m);
    logmel_plan_free(plan);
}

static void test_mel_bank(void)
{
    struct err e = {0};
    struct mel_bank bank;
    CHECK_OK(mel_bank_init(&bank, SIGNAL_RATE, N_FFT, N_MELS, 0, SIGNAL_RATE / 2.0, &e), &e);
    uint32_t crc = 0;
    double sum = 0;
    for (size_t i = 0; i < N_MELS; i++) {
        const struct mel_band *b = &bank.bands[i];
        float row[N_BINS] = {0};
        for (size_t k = 0; k < b->n_bins; k++) {
            row[b->first_bin + k] = (float)bank.weights[b->weight_i + k];
            sum += (double)row[b->first_bin + k];
        }
        crc = signal_crc(crc, row, N_BINS);
        if (i == 0) {
            CHECK(row[1] == (float)GOLDEN_BANK.w_0_1);
            CHECK(row[2] == (float)GOLDEN_BANK.w_0_2);
        }
        if (i == 127)
            CHECK(row[1000] == (float)GOLDEN_BANK.w_127_1000);
    }
    CHECK_U64(bank.n_weights, GOLDEN_BANK.n_nonzero);
    CHECK_U64(GOLDEN_BANK.n_nonzero, 2018);
    CHECK_U64(crc, GOLDEN_BANK.crc);
    CHECK_NEAR(sum, GOLDEN_BANK.sum, 1e-8);
    mel_bank_release(&bank);
}

/* ---------------------------------------------------------------- resampling */

static void test_resampled(void)
{
    float *y = signal_new("q");
    for (size_t i = 0; i < ARRAY_LEN(GOLDEN_RESAMPLED); i++) {
        const struct golden_resampled *g = &GOLDEN_RESAMPLED[i];
        for (size_t j = 0; j < GOLDEN_LENGTHS; j++)
            CHECK_U64(resample_n_out(GOLDEN_LENGTH[j], g->rate_hz, SIGNAL_RATE), g->lengths[j]);
        struct err e = {0};
        size_t n = GOLDEN_LENGTH[GOLDEN_LENGTHS - 1], n_out = g->lengths[GOLDEN_LENGTHS - 1];
        float *out = mem_alloc(n_out, sizeof *out);
        CHECK_OK(resample(y, n, g->rate_hz, SIGNAL_RATE, out, &e), &e);
        for (size_t j = 0; j < GOLDEN_CELLS; j++)
            CHECK_NEAR(out[sampled_at(j, n_out)], g->samples[j], RESAMPLE_TOLERANCE);
        mem_free(out);
    }
    mem_free(y);
}

/* ---------------------------------------------------------------- augmentation */

static float *view_new(const char *signal, const char *record)
{
    struct err e = {0};
    float *y = signal_new(signal);
    struct augment *a = augment_new(NULL, SIGNAL_RATE);
    CHECK_OK(augment_apply_record(a, record, y, SIGNAL_SAMPLES, &e), &e);
    augment_free(a);
    return y;
}

/* librosa's phase vocoder on float64 samples is the reference, or on float32 samples with angles
 * rounded to the nearest float; SciPy's Butterworth. */
static void test_stretched_and_shifted(void)
{
    for (size_t i = 0; i < ARRAY_LEN(GOLDEN_VIEWS); i++) {
        const struct golden_view *g = &GOLDEN_VIEWS[i];
        float *y = view_new(g->signal, g->record);
        double signal = 0, error = 1e-300;
        for (size_t j = 0; j < GOLDEN_SAMPLES; j++) {
            double d = (double)y[sampled_at(j, SIGNAL_SAMPLES)] - g->samples[j];
            signal += g->samples[j] * g->samples[j];
            error += d * d;
        }
        double snr_db = 10 * log10(signal / error);
        bool is_shift = strncmp(g->record, "pitch", 5) == 0;
        CHECK(snr_db >= (is_shift ? SHIFT_SNR_DB : STRETCH_SNR_DB));
        if (snr_db < 120)
            printf("# %s %s: %.1f dB\n", g->signal, g->record, snr_db);
        mem_free(y);
    }
}

static void test_exact_transforms(void)
{
    for (size_t i = 0; i < ARRAY_LEN(GOLDEN_EXACT); i++) {
        const struct golden_exact *g = &GOLDEN_EXACT[i];
        float *y = view_new(g->signal, g->record);
        CHECK_U64(signal_crc(0, y, SIGNAL_SAMPLES), g->crc);
        mem_free(y);
    }
}

int main(void)
{
    RUN(test_mel_bank);
    RUN(test_stft_bits);
    RUN(test_mel_power);
    RUN(test_decibels);
    RUN(test_resampled);
    RUN(test_stretched_and_shifted);
    RUN(test_exact_transforms);
    return test_done();
}
