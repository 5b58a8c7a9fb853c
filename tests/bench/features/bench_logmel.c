/*
 * What the audio arithmetic of a 10 s clip at 22,050 Hz costs on one core: best of many runs, in
 * milliseconds of processor time, and as a multiple of real time. FFTW, where it is installed, does
 * the same windowed transforms to power for comparison.
 */
#include "base/err.h"
#include "base/mem.h"
#include "features/augment.h"
#include "features/db.h"
#include "features/logmel_plan.h"
#include "features/mel.h"
#include "features/noise.h"
#include "features/resample.h"
#include "features/stft.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RATE = 22050, SECONDS = 10, N = RATE * SECONDS, N_FFT = 2048, HOP = 512, N_MELS = 128 };
enum { N_FRAMES = 1 + N / HOP, N_BINS = N_FFT / 2 + 1, RUNS = 40 };

static const struct feature_spec SPEC = {
    .rate_hz = RATE, .n_fft = N_FFT, .hop = HOP, .n_mels = N_MELS, .top_db = 80};

/* One thing to measure: run() does it once on `samples`, which are made anew each time. */
struct subject {
    const char *name;
    bool (*run)(struct subject *s, struct err *e);
    float *samples, *out;
    const void *plan;
    void *state;
    const char *record;
    enum simd simd;
};

static void samples_fill(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((int64_t)((7 * (uint64_t)i * i + 13 * i) % 65536) - 32768) / 65536;
}

/* Of this thread: other work on the machine must not count. */
static uint64_t cpu_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static double measure_ms(struct subject *s, size_t n_samples, double *baseline_ms)
{
    struct err e = {0};
    uint64_t best_ns = UINT64_MAX;
    for (int i = 0; i < RUNS; i++) {
        samples_fill(s->samples, n_samples);
        uint64_t start_ns = cpu_now_ns();
        if (!s->run(s, &e)) {
            fprintf(stderr, "%s: %s\n", s->name, e.msg);
            exit(1);
        }
        best_ns = u64_min(best_ns, cpu_now_ns() - start_ns);
    }
    double ms = (double)best_ns / 1e6;
    printf("%-34s %8.3f ms %8.0f x real time", s->name, ms, SECONDS * 1e3 / ms);
    if (baseline_ms && *baseline_ms > 0)
        printf("   %.2f of FFTW", ms / *baseline_ms);
    printf("\n");
    return ms;
}

/* ---------------------------------------------------------------- subjects */

static bool run_logmel(struct subject *s, struct err *e)
{
    float ref_db;
    return logmel_compute(s->state, s->samples, N, s->out, &ref_db, e);
}

static bool run_spectra(struct subject *s, struct err *e)
{
    (void)e;
    struct lane_f32 *power = (struct lane_f32 *)s->out;
    for (size_t t = 0; t < N_FRAMES; t += LANES)
        stft_power(s->state, s->samples, N, t, power);
    return true;
}

static bool run_bands(struct subject *s, struct err *e)
{
    (void)e;
    struct lane_f32 *mel = (struct lane_f32 *)s->out, *power = (struct lane_f32 *)s->samples;
    for (size_t t = 0; t < N_FRAMES; t += LANES)
        mel_apply(s->plan, s->simd, power, mel);
    return true;
}

static bool run_decibels(struct subject *s, struct err *e)
{
    (void)e;
    db_from_power(s->samples, (size_t)N_FRAMES * N_MELS, 80, s->simd);
    return true;
}

static bool run_resample(struct subject *s, struct err *e)
{
    return resample(s->samples, 2 * N, 2 * RATE, RATE, s->out, e);
}

static bool run_augment(struct subject *s, struct err *e)
{
    return augment_apply_record(s->state, s->record, s->samples, N, e);
}

/* ---------------------------------------------------------------- FFTW */

struct fftw {
    void *(*plan)(int, double *, double (*)[2], unsigned);
    void (*execute)(const void *);
    const void *planned;
    double *window, *in;
    double (*out)[2];
};

static bool fftw_open(struct fftw *f)
{
    enum { ESTIMATE = 1 << 6 };
    void *lib = dlopen("libfftw3.so.3", RTLD_NOW);
    if (!lib)
        return false;
    memcpy(&f->plan, &(void *){dlsym(lib, "fftw_plan_dft_r2c_1d")}, sizeof f->plan);
    memcpy(&f->execute, &(void *){dlsym(lib, "fftw_execute")}, sizeof f->execute);
    if (!f->plan || !f->execute)
        return false;
    f->window = mem_alloc_aligned(N_FFT, sizeof *f->window);
    f->in = mem_alloc_aligned(N_FFT, sizeof *f->in);
    f->out = mem_alloc_aligned(N_BINS, sizeof *f->out);
    for (int i = 0; i < N_FFT; i++)
        f->window[i] = 0.5 - 0.5 * cos(2 * M_PI * i / N_FFT);
    f->planned = f->plan(N_FFT, f->in, f->out, ESTIMATE);
    return true;
}

static bool run_fftw(struct subject *s, struct err *e)
{
    (void)e;
    struct fftw *f = s->state;
    for (size_t t = 0; t < N_FRAMES; t++) { /* as many frames, without padding at the ends */
        const float *frame = s->samples + size_min(t * HOP, N - N_FFT);
        for (size_t i = 0; i < N_FFT; i++)
            f->in[i] = f->window[i] * frame[i];
        f->execute(f->planned);
        for (size_t k = 0; k < N_BINS; k++) {
            float re = (float)f->out[k][0], im = (float)f->out[k][1];
            s->out[k] = (float)((double)re * re + (double)im * im);
        }
    }
    return true;
}

/* ---------------------------------------------------------------- */

static void must(bool ok, const struct err *e)
{
    if (ok)
        return;
    fprintf(stderr, "bench_logmel: %s\n", e->msg);
    exit(1);
}

static void bench_spectra(float *samples, float *out, enum simd simd, double *fftw_ms)
{
    struct err e = {0};
    struct stft_plan stft_plan;
    struct stft stft;
    struct mel_bank bank;
    struct logmel_plan *plan = NULL;
    must(stft_plan_init(&stft_plan, N_FFT, HOP, simd, &e), &e);
    must(mel_bank_init(&bank, RATE, N_FFT, N_MELS, 0, RATE / 2.0, &e), &e);
    must(logmel_plan_new_simd(&SPEC, simd, &plan, &e), &e);
    stft_init(&stft, &stft_plan);
    struct logmel *logmel = logmel_new(plan);
    struct subject subjects[] = {
        {"log-mel", run_logmel, samples, out, NULL, logmel, NULL, simd},
        {"  window, transform, power", run_spectra, samples, out, NULL, &stft, NULL, simd},
        {"  mel bands", run_bands, samples, out, &bank, NULL, NULL, simd},
        {"  decibels", run_decibels, samples, out, NULL, NULL, NULL, simd},
    };
    printf("-- %s\n", simd_name(simd));
    for (size_t i = 0; i < ARRAY_LEN(subjects); i++)
        measure_ms(&subjects[i], N, i == 1 ? fftw_ms : NULL);
    logmel_free(logmel);
    logmel_plan_free(plan);
    mel_bank_release(&bank);
    stft_release(&stft);
    stft_plan_release(&stft_plan);
}

static void bench_augment(float *samples, float *out)
{
    static const char *const records[] = {
        "gaussian_noise amplitude=0.01 noise=0000000000000001",
        "gaussian_snr db=7 noise=0000000000000001",
        "gain db=3",
        "time_stretch rate=0.8",
        "time_stretch rate=1.25",
        "pitch_shift semitones=-4",
        "pitch_shift semitones=4",
        "clipping percent=30",
        "time_stretch rate=0.8 mode=librosa-f32",
        "band_pass center=1000 width=1 order=2",
        "reverb seconds=1 wet=-10 noise=0000000000000001",
    };
    printf("-- augmentation\n");
    struct augment *augment = augment_new(NULL, RATE);
    for (size_t i = 0; i < ARRAY_LEN(records); i++) {
        char name[35];
        snprintf(name, sizeof name, "%s", records[i]);
        struct subject s = {name, run_augment, samples, out, NULL, augment, records[i], SIMD_PLAIN};
        measure_ms(&s, N, NULL);
    }
    augment_free(augment);
}

int main(void)
{
    float *samples = mem_alloc_aligned(2 * N, sizeof *samples);
    float *out = mem_alloc_aligned(N, sizeof *out);
    double fftw_ms = 0;
    struct fftw fftw = {0};
    if (fftw_open(&fftw)) {
        struct subject s = {"FFTW: window, transform, power",
                            run_fftw,
                            samples,
                            out,
                            NULL,
                            &fftw,
                            NULL,
                            SIMD_PLAIN};
        fftw_ms = measure_ms(&s, N, NULL);
    }
    for (int simd = SIMD_PLAIN; simd <= (int)simd_best(); simd++)
        bench_spectra(samples, out, (enum simd)simd, &fftw_ms);
    printf("-- rate\n");
    struct subject s = {
        "44,100 to 22,050 Hz", run_resample, samples, out, NULL, NULL, NULL, SIMD_PLAIN};
    measure_ms(&s, 2 * N, NULL);
    bench_augment(samples, out);
    mem_free(samples);
    mem_free(out);
    mem_free(fftw.window);
    mem_free(fftw.in);
    mem_free(fftw.out);
    return 0;
}
