/*
 * MFCC, chroma, tempogram and constant-Q against librosa (tests/golden/features/kinds.inc).
 */
#include "tests/test.h"

#include "base/mem.h"
#include "features/chroma.h"
#include "features/kind.h"
#include "features/mfcc.h"
#include "tests/unit/features/signals.h"

struct golden_kind {
    const char *kind, *signal;
    size_t n_frames, n_rows;
    double mean, most;
    double cells[64];
};

#include "tests/golden/features/kinds.inc"

/* Of the largest value. librosa's sums are in float32, and chroma and CQT weights are float32. */
static const double TOLERANCE = 2e-6;

static float *kind_new(const char *name, enum simd simd, const float *y, size_t n)
{
    const struct feature_kind *kind = feature_kind_find(name);
    struct err e = {0};
    float *out = mem_alloc((1 + n / kind->hop) * kind->n_rows, sizeof *out);
    CHECK_OK(feature_kind_once(kind, simd, y, n, out, &e), &e);
    return out;
}

static void test_against_librosa(void)
{
    for (size_t i = 0; i < ARRAY_LEN(GOLDEN_KINDS); i++) {
        const struct golden_kind *g = &GOLDEN_KINDS[i];
        const struct feature_kind *kind = feature_kind_find(g->kind);
        CHECK(kind != NULL);
        CHECK_U64(kind->n_rows, g->n_rows);
        CHECK_U64(1 + SIGNAL_SAMPLES / kind->hop, g->n_frames);
        float *y = signal_new(g->signal);
        float *out = kind_new(g->kind, simd_best(), y, SIGNAL_SAMPLES);
        size_t n_cells = g->n_frames * g->n_rows;
        double worst = 0, sum = 0;
        for (size_t j = 0; j < KIND_CELLS; j++)
            worst = fmax(worst, fabs((double)out[(j * 2654435761 + 97) % n_cells] - g->cells[j]));
        for (size_t j = 0; j < n_cells; j++)
            sum += (double)out[j];
        if (!(worst <= TOLERANCE * g->most))
            printf("# %s, %s: off by %g of %g\n", g->kind, g->signal, worst, g->most);
        CHECK(worst <= TOLERANCE * g->most);
        CHECK_NEAR(sum / (double)n_cells, g->mean, TOLERANCE * g->most);
        mem_free(out);
        mem_free(y);
    }
}

static void test_same_bits_everywhere(void)
{
    enum { N = 50000 };
    float *y = signal_new("chord");
    for (size_t i = 0; i < FEATURE_KINDS; i++) {
        const struct feature_kind *kind = &feature_kinds[i];
        size_t n_bytes = (1 + N / kind->hop) * kind->n_rows * sizeof(float);
        float *plain = kind_new(kind->name, SIMD_PLAIN, y, N);
        for (int simd = SIMD_PLAIN + 1; simd <= (int)simd_best(); simd++) {
            float *other = kind_new(kind->name, (enum simd)simd, y, N);
            CHECK(memcmp(plain, other, n_bytes) == 0);
            mem_free(other);
        }
        mem_free(plain);
    }
    mem_free(y);
}

/* Scratch that has seen a long signal, and another one, gives what fresh scratch gives. */
static void test_scratch_keeps_nothing(void)
{
    enum { N = 30000 };
    struct chroma_plan *plan = NULL;
    struct err e = {0};
    CHECK_OK(chroma_plan_new(simd_best(), &plan, &e), &e);
    struct chroma *s = chroma_new(plan);
    float *chord = signal_new("chord"), *noise = signal_new("noise");
    float *out = mem_alloc((size_t)(1 + SIGNAL_SAMPLES / CHROMA_HOP) * CHROMA_ROWS, sizeof *out);
    CHECK_OK(chroma_compute(s, noise, SIGNAL_SAMPLES, out, &e), &e);
    CHECK_OK(chroma_compute(s, chord, N, out, &e), &e);
    float *fresh = kind_new("chroma", simd_best(), chord, N);
    CHECK(memcmp(out, fresh, (1 + N / CHROMA_HOP) * CHROMA_ROWS * sizeof *out) == 0);
    mem_free(fresh);
    mem_free(out);
    mem_free(chord);
    mem_free(noise);
    chroma_free(s);
    chroma_plan_free(plan);
}

/* 440 Hz is A, row 9 from C on, and bin 45 from C1 on. */
static void test_a_tone(void)
{
    enum { N = 44100, MIDDLE = 40 };
    float *y = signal_new("tone"); /* 440.1 Hz */
    float *chroma = kind_new("chroma", simd_best(), y, N),
          *cqt = kind_new("cqt", simd_best(), y, N);
    CHECK(chroma[MIDDLE * 12 + 9] == 1);
    for (size_t i = 0; i < 84; i++)
        CHECK(cqt[MIDDLE * 84 + i] <= cqt[MIDDLE * 84 + 45]);
    mem_free(chroma);
    mem_free(cqt);
    mem_free(y);
}

static void test_silence_and_short_signals(void)
{
    static const size_t lengths[] = {1, 2, 63, 511, 512, 3000};
    float *y = signal_new("silence");
    for (size_t i = 0; i < FEATURE_KINDS; i++)
        for (size_t k = 0; k < ARRAY_LEN(lengths); k++) {
            const struct feature_kind *kind = &feature_kinds[i];
            float *out = kind_new(kind->name, simd_best(), y, lengths[k]);
            size_t n = (1 + lengths[k] / kind->hop) * kind->n_rows;
            for (size_t j = 0; j < n; j++) /* 20 coefficients of -100 dB in each of 128 bands */
                CHECK_NEAR(out[j], i == 0 && j % MFCC_ROWS == 0 ? -100 * sqrt(128) : 0, 1e-3);
            mem_free(out);
        }
    mem_free(y);
}

static void test_what_is_refused(void)
{
    for (size_t i = 0; i < FEATURE_KINDS; i++) {
        float y[1000] = {0}, out[2 * 384];
        struct err e = {0};
        y[700] = NAN;
        CHECK(!feature_kind_once(&feature_kinds[i], simd_best(), y, ARRAY_LEN(y), out, &e));
        CHECK(e.kind == ERR_PERM);
        CHECK(strstr(e.msg, "sample 700 of 1000") != NULL);
    }
    float out[84];
    struct err e = {0};
    CHECK(!feature_kind_once(feature_kind_find("cqt"), simd_best(), out, 0, out, &e));
    CHECK(strstr(e.msg, "no samples") != NULL);
    CHECK(feature_kind_find("mel") == NULL);
}

int main(void)
{
    RUN(test_against_librosa);
    RUN(test_same_bits_everywhere);
    RUN(test_scratch_keeps_nothing);
    RUN(test_a_tone);
    RUN(test_silence_and_short_signals);
    RUN(test_what_is_refused);
    return test_done();
}
