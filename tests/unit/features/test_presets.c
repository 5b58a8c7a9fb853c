/*
 * Presets against the libraries they are named after (tests/golden/features/presets.inc), and the
 * transform of lengths that are no power of two.
 */
#include "tests/test.h"

#include "base/mem.h"
#include "features/dft.h"
#include "features/logmel_plan.h"
#include "features/stft.h"
#include "tests/unit/features/signals.h"

struct golden_preset {
    const char *preset, *signal;
    size_t n_frames, n_mels;
    double mean;
    double cells[64];
};

#include "tests/golden/features/presets.inc"

/* 2 ulp of a float near 100 dB, and 4 near 1. */
static const double DB_TOLERANCE = 2e-5, SCALED_TOLERANCE = 5e-7;

static float *picture_new(const struct feature_spec *spec, enum simd simd, const float *y, size_t n)
{
    struct err e = {0};
    struct logmel_plan *plan = NULL;
    CHECK_OK(logmel_plan_new_simd(spec, simd, &plan, &e), &e);
    struct logmel *m = logmel_new(plan);
    float *out = mem_alloc(feature_n_frames(spec, n) * spec->n_mels, sizeof *out), ref_db;
    CHECK_OK(logmel_compute(m, y, n, out, &ref_db, &e), &e);
    logmel_free(m);
    logmel_plan_free(plan);
    return out;
}

static void test_against_the_libraries(void)
{
    struct err e = {0};
    for (size_t i = 0; i < ARRAY_LEN(GOLDEN_PRESETS); i++) {
        const struct golden_preset *g = &GOLDEN_PRESETS[i];
        struct feature_spec spec;
        CHECK_OK(feature_spec_preset(g->preset, &spec, &e), &e);
        CHECK_U64(feature_n_frames(&spec, PRESET_SAMPLES), g->n_frames);
        CHECK_U64(spec.n_mels, g->n_mels);
        float *y = signal_new(g->signal);
        float *out = picture_new(&spec, simd_best(), y, PRESET_SAMPLES);
        double tolerance = spec.log <= FEATURE_LOG_DB ? DB_TOLERANCE : SCALED_TOLERANCE, sum = 0;
        size_t n_cells = g->n_frames * g->n_mels, n_off = 0;
        for (size_t j = 0; j < PRESET_CELLS; j++)
            n_off +=
                !(fabs((double)out[(j * 2654435761 + 97) % n_cells] - g->cells[j]) <= tolerance);
        for (size_t j = 0; j < n_cells; j++)
            sum += (double)out[j];
        if (n_off > 0)
            printf("# %s, %s: %zu cells off\n", g->preset, g->signal, n_off);
        CHECK_U64(n_off, 0);
        CHECK_NEAR(sum / (double)n_cells, g->mean, tolerance / 2);
        mem_free(out);
        mem_free(y);
    }
}

/* Every instruction set, and a frame alone as among others. */
static void test_same_bits_everywhere(void)
{
    float *y = signal_new("noise");
    for (int p = 0; p < FEATURE_PRESETS; p++) {
        struct feature_spec spec = feature_spec_of((enum feature_preset)p);
        size_t n = 40000, n_bytes = feature_n_frames(&spec, n) * spec.n_mels * sizeof(float);
        float *plain = picture_new(&spec, SIMD_PLAIN, y, n);
        for (int simd = SIMD_PLAIN + 1; simd <= (int)simd_best(); simd++) {
            float *other = picture_new(&spec, (enum simd)simd, y, n);
            CHECK(memcmp(plain, other, n_bytes) == 0);
            mem_free(other);
        }
        mem_free(plain);
    }
    mem_free(y);
}

/* 10 s are 998 frames; zeros before the normalisation become 4.2677393 / (2 * 4.5689974). */
static void test_ast_is_filled_up(void)
{
    enum { N = 160000, THERE = 998, ROWS = 1024 };
    struct feature_spec spec = feature_spec_of(FEATURE_KALDI_AST);
    float *y = signal_new("q");
    float *out = picture_new(&spec, simd_best(), y, N);
    CHECK_U64(feature_n_frames(&spec, N), ROWS);
    CHECK_NEAR(out[THERE * spec.n_mels], 0.46703, 5e-6);
    for (size_t i = THERE * spec.n_mels; i < ROWS * spec.n_mels; i++)
        CHECK(out[i] == out[THERE * spec.n_mels]);
    CHECK(out[THERE * spec.n_mels - 1] != out[THERE * spec.n_mels]);
    mem_free(out);
    mem_free(y);
}

static void test_names_and_texts(void)
{
    struct err e = {0};
    struct feature_spec spec;
    char text[SPEC_TEXT_BYTES];
    for (int p = 0; p < FEATURE_PRESETS; p++) {
        const char *name = feature_preset_name((enum feature_preset)p);
        CHECK_OK(feature_spec_preset(name, &spec, &e), &e);
        CHECK_OK(feature_spec_check(&spec, &e), &e);
        feature_spec_text(&spec, text);
        CHECK(strncmp(text, name, strlen(name)) == 0 && text[strlen(name)] == ' ');
        for (int q = 0; q < p; q++) {
            struct feature_spec other = feature_spec_of((enum feature_preset)q);
            CHECK(feature_spec_hash(&other) != feature_spec_hash(&spec));
        }
        CHECK(feature_spec_is_bounded(&spec) == (p <= FEATURE_LIBROSA_0_8));
    }
    CHECK(!feature_spec_preset("librosa-9", &spec, &e));
    CHECK(e.kind == ERR_USAGE);
    CHECK(strstr(e.msg, "kaldi-ast, whisper") != NULL);
    spec = feature_spec_of(FEATURE_KALDI_AST);
    feature_spec_text(&spec, text);
    CHECK_STR(text, "kaldi-ast pcm=s16 mono=mean resampler=soxr-hq rate=16000 n_fft=512 hop=160 "
                    "win=400 window=hann-symmetric pad=none frames=1024 "
                    "frame=less-mean,pre-emphasis-0.97 power=2 mel=kaldi norm=none n_mels=128 "
                    "f_min=20 f_max=8000 ln amin=2^-23 add=4.2677393 divide=9.1379948");
    spec.drops_last = true; /* no preset has this */
    feature_spec_text(&spec, text);
    CHECK(strncmp(text, "custom ", 7) == 0);
}

/* Each convention is in the text. */
static void test_text_covers_all(void)
{
    const struct feature_spec first = feature_spec_of(FEATURE_LIBROSA_0_10);
    struct feature_spec other[9];
    for (size_t i = 0; i < ARRAY_LEN(other); i++)
        other[i] = first;
    other[0].win = 400;
    other[1].n_frames = 7;
    other[2].drops_last = true;
    other[3].pad = FEATURE_PAD_REFLECT;
    other[4].window = FEATURE_HANN_SYMMETRIC;
    other[5].frame = FEATURE_FRAME_KALDI;
    other[6].mel = FEATURE_MEL_HTK;
    other[7].norm = FEATURE_NORM_NONE;
    other[8].log = FEATURE_LOG_DB;
    for (size_t i = 0; i < ARRAY_LEN(other); i++)
        CHECK(feature_spec_hash(&other[i]) != feature_spec_hash(&first));
}

static void test_what_is_refused(void)
{
    static const struct {
        enum feature_preset preset;
        size_t n_samples;
        const char *says;
    } bad[] = {
        {FEATURE_LIBROSA_0_8, 1024, "1024 samples are too few to reflect 1024 at each end"},
        {FEATURE_WHISPER, 0, "0 samples are too few to reflect 200"},
        {FEATURE_KALDI_AST, 399, "399 samples are too few for a frame"},
    };
    float *y = signal_new("q");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct feature_spec spec = feature_spec_of(bad[i].preset);
        struct logmel_plan *plan = NULL;
        struct err e = {0};
        CHECK_OK(logmel_plan_new(&spec, &plan, &e), &e);
        struct logmel *m = logmel_new(plan);
        float *out = mem_alloc(1025 * (size_t)spec.n_mels, sizeof *out), ref_db;
        CHECK(!logmel_compute(m, y, bad[i].n_samples, out, &ref_db, &e));
        CHECK(e.kind == ERR_PERM);
        CHECK(strstr(e.msg, bad[i].says) != NULL);
        CHECK_OK(logmel_compute(m, y, bad[i].n_samples + 201, out, &ref_db, &e), &e);
        mem_free(out);
        logmel_free(m);
        logmel_plan_free(plan);
    }
    mem_free(y);
    struct feature_spec spec = feature_spec_of(FEATURE_WHISPER);
    struct logmel_plan *plan = NULL;
    struct err e = {0};
    spec.top_db = 80;
    CHECK(!logmel_plan_new(&spec, &plan, &e));
    CHECK(strstr(e.msg, "no decibels") != NULL);
    spec = feature_spec_of(FEATURE_LIBROSA_0_10);
    spec.win = 400;
    CHECK(!logmel_plan_new(&spec, &plan, &e));
    CHECK(strstr(e.msg, "a window of 400 samples does not fit") != NULL);
}

/* The definition, summed in double. */
static void test_transform_of_other_lengths(void)
{
    static const size_t lengths[] = {16, 20, 24, 30, 50, 54, 400, 512, 600, 1000};
    const double pi = 3.14159265358979323846;
    float *y = signal_new("noise");
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        size_t n = lengths[i];
        struct dft_plan p;
        struct err e = {0};
        CHECK_OK(dft_plan_init(&p, n, simd_best(), &e), &e);
        struct lane_cpx *x = mem_alloc_aligned(n / 2, sizeof *x);
        struct lane_cpx *work = mem_alloc_aligned(n / 2, sizeof *work);
        struct lane_cpx *bins = mem_alloc_aligned(n / 2 + 1, sizeof *bins);
        for (size_t k = 0; k < n; k++)
            for (size_t l = 0; l < LANES; l++)
                (k % 2 == 0 ? x[k / 2].re : x[k / 2].im)[l] = (double)y[l * n + k];
        dft_forward(&p, x, work, bins);
        double worst = 0;
        for (size_t k = 0; k <= n / 2; k++)
            for (size_t l = 0; l < LANES; l++) {
                double re = 0, im = 0;
                for (size_t t = 0; t < n; t++) {
                    double a = 2 * pi * (double)(k * t % n) / (double)n;
                    re += (double)y[l * n + t] * cos(a);
                    im -= (double)y[l * n + t] * sin(a);
                }
                worst = fmax(worst, fmax(fabs(re - bins[k].re[l]), fabs(im - bins[k].im[l])));
            }
        CHECK(worst < 1e-12 * (double)n);
        mem_free(x);
        mem_free(work);
        mem_free(bins);
        dft_plan_release(&p);
    }
    static const size_t bad[] = {0, 2, 14, 17, 402, 1 << 18};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct dft_plan p;
        struct err e = {0};
        CHECK(!dft_plan_init(&p, bad[i], simd_best(), &e));
        CHECK(e.kind == ERR_USAGE);
        dft_plan_release(&p);
    }
    mem_free(y);
}

int main(void)
{
    RUN(test_against_the_libraries);
    RUN(test_same_bits_everywhere);
    RUN(test_ast_is_filled_up);
    RUN(test_names_and_texts);
    RUN(test_text_covers_all);
    RUN(test_what_is_refused);
    RUN(test_transform_of_other_lengths);
    return test_done();
}
