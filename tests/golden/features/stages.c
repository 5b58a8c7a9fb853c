/*
 * One stage of the audio front end on raw float32 from stdin, raw float32 to stdout: how
 * conformance.py looks inside.
 *
 *     stages resample 44100 22050     stages stft       (n_frames, n_bins) complex64
 *     stages power                    (n_frames, n_bins)
 *     stages mel                      (n_frames, n_mels)
 *     stages db                       (n_frames, n_mels)
 *     stages bank                     (n_mels, n_bins), stdin unused
 *     stages preset NAME              (n_frames, n_mels), samples at the preset's rate
 *     stages KIND                     (n_frames, rows): mfcc, chroma, tempogram or cqt
 *     stages augment RECORD           stages stretch RATE
 *     stages time                     microseconds of processor time of db, the best of many
 */
#include "base/mem.h"
#include "features/augment.h"
#include "features/kind.h"
#include "features/logmel_plan.h"
#include "features/mel.h"
#include "features/resample.h"
#include "features/stft.h"
#include "features/vocoder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RATE = 22050, N_FFT = 2048, HOP = 512, N_MELS = 128, N_BINS = N_FFT / 2 + 1 };
static const struct feature_spec SPEC = {
    .rate_hz = RATE, .n_fft = N_FFT, .hop = HOP, .n_mels = N_MELS, .top_db = 80};

static float *read_floats(size_t *out_n)
{
    size_t cap = 1 << 20, n = 0;
    float *x = mem_alloc(cap, sizeof *x);
    for (size_t got; (got = fread(x + n, sizeof *x, cap - n, stdin)) > 0;) {
        n += got;
        if (n == cap)
            x = mem_resize(x, cap *= 2, sizeof *x);
    }
    *out_n = n;
    return x;
}

static void write_floats(const float *x, size_t n)
{
    if (fwrite(x, sizeof *x, n, stdout) != n)
        exit(1);
}

static bool run_spectra(const char *stage, const float *x, size_t n, struct err *e)
{
    struct stft_plan plan = {0};
    struct stft stft = {0};
    if (!stft_plan_init(&plan, N_FFT, HOP, simd_best(), e))
        return false;
    stft_init(&stft, &plan);
    struct lane_cpx *bins = mem_alloc_aligned(N_BINS, sizeof *bins);
    struct lane_f32 *power = mem_alloc_aligned(N_BINS, sizeof *power);
    size_t n_frames = stft_n_frames(&plan, n);
    for (size_t t = 0; t < n_frames; t += LANES) {
        stft_bins(&stft, x, n, t, bins);
        stft_power(&stft, x, n, t, power);
        for (size_t l = 0; l < LANES && t + l < n_frames; l++)
            for (size_t k = 0; k < N_BINS; k++) {
                float cpx[2] = {(float)bins[k].re[l], (float)bins[k].im[l]};
                if (strcmp(stage, "stft") == 0)
                    write_floats(cpx, 2);
                else
                    write_floats(&power[k].at[l], 1);
            }
    }
    mem_free(bins);
    mem_free(power);
    stft_release(&stft);
    stft_plan_release(&plan);
    return true;
}

/* Of this thread: other work on the machine does not count. */
static uint64_t cpu_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void print_time(struct logmel *m, const float *x, size_t n, float *out, struct err *e)
{
    enum { TIMES = 200 };
    uint64_t best_ns = UINT64_MAX;
    float ref_db;
    for (int i = 0; i < TIMES; i++) {
        uint64_t start_ns = cpu_now_ns();
        if (!logmel_compute(m, x, n, out, &ref_db, e))
            return;
        best_ns = u64_min(best_ns, cpu_now_ns() - start_ns);
    }
    printf("%.1f\n", (double)best_ns / 1e3);
}

static bool run_mel(const char *stage, const float *x, size_t n, struct err *e)
{
    struct logmel_plan *plan = NULL;
    if (!logmel_plan_new(&SPEC, &plan, e))
        return false;
    struct logmel *m = logmel_new(plan);
    size_t n_out = feature_n_frames(&SPEC, n) * N_MELS;
    float *out = mem_alloc(n_out, sizeof *out), ref_db;
    bool ok = true;
    if (strcmp(stage, "time") == 0) {
        print_time(m, x, n, out, e);
    } else {
        logmel_power(m, x, n, out);
        if (strcmp(stage, "db") == 0)
            ok = logmel_compute(m, x, n, out, &ref_db, e);
        write_floats(out, n_out);
    }
    mem_free(out);
    logmel_free(m);
    logmel_plan_free(plan);
    return ok;
}

static bool run_preset(const char *name, const float *x, size_t n, struct err *e)
{
    struct feature_spec spec;
    struct logmel_plan *plan = NULL;
    if (!feature_spec_preset(name, &spec, e) || !logmel_plan_new(&spec, &plan, e))
        return false;
    struct logmel *m = logmel_new(plan);
    size_t n_out = feature_n_frames(&spec, n) * spec.n_mels;
    float *out = mem_alloc(n_out, sizeof *out), ref_db;
    bool ok = logmel_compute(m, x, n, out, &ref_db, e);
    if (ok)
        write_floats(out, n_out);
    mem_free(out);
    logmel_free(m);
    logmel_plan_free(plan);
    return ok;
}

static bool run_kind(const struct feature_kind *kind, const float *x, size_t n, struct err *e)
{
    size_t n_out = (1 + n / kind->hop) * kind->n_rows;
    float *out = mem_alloc(n_out, sizeof *out);
    bool ok = feature_kind_once(kind, simd_best(), x, n, out, e);
    if (ok)
        write_floats(out, n_out);
    mem_free(out);
    return ok;
}

static bool run_bank(struct err *e)
{
    struct mel_bank bank = {0};
    if (!mel_bank_init(&bank, RATE, N_FFT, N_MELS, 0, RATE / 2.0, e))
        return false;
    for (uint32_t i = 0; i < N_MELS; i++) {
        float row[N_BINS] = {0};
        const struct mel_band *band = &bank.bands[i];
        for (uint32_t k = 0; k < band->n_bins; k++)
            row[band->first_bin + k] = (float)bank.weights[band->weight_i + k];
        write_floats(row, N_BINS);
    }
    mel_bank_release(&bank);
    return true;
}

static bool run_resample(const float *x, size_t n, double from_hz, double to_hz, struct err *e)
{
    size_t n_out = resample_n_out(n, from_hz, to_hz);
    float *out = mem_alloc(n_out + 1, sizeof *out);
    bool ok = resample(x, n, from_hz, to_hz, out, e);
    write_floats(out, n_out);
    mem_free(out);
    return ok;
}

static bool run_augment(const char *record, float *x, size_t n, struct err *e)
{
    struct augment *a = augment_new(NULL, RATE);
    bool ok = augment_apply_record(a, record, x, n, e);
    write_floats(x, n);
    augment_free(a);
    return ok;
}

static bool run_stretch(enum vocoder_mode mode, const float *x, size_t n, double rate)
{
    struct vocoder *v = vocoder_new(simd_best());
    size_t n_out = vocoder_n_out(n, rate);
    float *out = mem_alloc(n_out + 1, sizeof *out);
    vocoder_stretch(v, mode, x, n, rate, out);
    write_floats(out, n_out);
    mem_free(out);
    vocoder_free(v);
    return true;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    const char *stage = argc > 1 ? argv[1] : "";
    size_t n;
    float *x = read_floats(&n);
    bool ok = false;
    if (strcmp(stage, "resample") == 0 && argc == 4)
        ok = run_resample(x, n, strtod(argv[2], NULL), strtod(argv[3], NULL), &e);
    else if (strcmp(stage, "stft") == 0 || strcmp(stage, "power") == 0)
        ok = run_spectra(stage, x, n, &e);
    else if (strcmp(stage, "mel") == 0 || strcmp(stage, "db") == 0 || strcmp(stage, "time") == 0)
        ok = run_mel(stage, x, n, &e);
    else if (strcmp(stage, "bank") == 0)
        ok = run_bank(&e);
    else if (feature_kind_find(stage) != NULL)
        ok = run_kind(feature_kind_find(stage), x, n, &e);
    else if (strcmp(stage, "preset") == 0 && argc == 3)
        ok = run_preset(argv[2], x, n, &e);
    else if (strcmp(stage, "augment") == 0 && argc == 3)
        ok = run_augment(argv[2], x, n, &e);
    else if (strcmp(stage, "stretch") == 0 && argc == 3)
        ok = run_stretch(VOCODER_EXACT, x, n, strtod(argv[2], NULL));
    else if (strcmp(stage, "stretch-f32") == 0 && argc == 3)
        ok = run_stretch(VOCODER_F32, x, n, strtod(argv[2], NULL));
    else
        err_set(&e, ERR_USAGE, "unknown stage \"%s\"", stage);
    mem_free(x);
    if (!ok)
        fprintf(stderr, "stages: %s\n", e.msg);
    return !ok;
}
