#include "tests/test.h"

#include "base/err.h"
#include "features/db.h"
#include "features/logmel_plan.h"
#include "tests/unit/features/signals.h"

#include <pthread.h>

/* 2 ulp of a float near 80 dB, which is what two correct implementations differ by. */
static const double DB_TOLERANCE = 2e-5;
static const struct feature_spec SPEC = {
    .rate_hz = 22050, .n_fft = 2048, .hop = 512, .n_mels = 128, .top_db = 80};
enum { N_FRAMES = 431, N_MELS = 128, N_CELLS = N_FRAMES * N_MELS };

static float *picture(const struct feature_spec *spec, enum simd simd, const float *y, size_t n,
                      float *ref_db)
{
    struct err e = {0};
    struct logmel_plan *plan = NULL;
    CHECK_OK(logmel_plan_new_simd(spec, simd, &plan, &e), &e);
    struct logmel *m = logmel_new(plan);
    float *db = mem_alloc(feature_n_frames(spec, n) * spec->n_mels, sizeof *db);
    CHECK_OK(logmel_compute(m, y, n, db, ref_db, &e), &e);
    logmel_free(m);
    logmel_plan_free(plan);
    return db;
}

static bool all_equal(const float *x, size_t n, float value)
{
    for (size_t i = 0; i < n; i++)
        if (x[i] != value)
            return false;
    return true;
}

/* ---------------------------------------------------------------- known answers */

/* A value that librosa 0.11.0 gave, at [mel, frame]. */
struct cell {
    int mel, frame;
    double db;
};

static void check_cells(const float *db, const struct cell *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        CHECK_NEAR(db[want[i].frame * N_MELS + want[i].mel], want[i].db, DB_TOLERANCE);
}

static double mean(const float *db)
{
    double sum = 0;
    for (size_t i = 0; i < N_CELLS; i++)
        sum += (double)db[i];
    return sum / N_CELLS;
}

static void test_signal_q(void)
{
    static const struct cell want[] = {{0, 0, -5.436419},      {0, 1, -10.535698},
                                       {5, 3, -21.444796},     {64, 200, -12.304626},
                                       {30, 215, -16.484966},  {100, 429, -17.018616},
                                       {127, 430, -21.547297}, {1, 128, 0}};
    float *y = signal_new("q"), ref_db;
    float *db = picture(&SPEC, simd_best(), y, SIGNAL_SAMPLES, &ref_db);
    check_cells(db, want, ARRAY_LEN(want));
    CHECK_NEAR(ref_db, 10 * log10(134.58353), DB_TOLERANCE);
    CHECK_NEAR(mean(db), -15.654905, 1e-6);
    float min = 0;
    for (size_t i = 0; i < N_CELLS; i++)
        min = fminf(min, db[i]);
    CHECK_NEAR(min, -35.699142, DB_TOLERANCE);
    mem_free(db);
    mem_free(y);
}

/* The mel power that these decibels are made of. */
static void test_power_of_signal_q(void)
{
    static const struct {
        int mel, frame;
        double power;
    } want[] = {{1, 128, 134.58353},   {0, 0, 38.490166},     {0, 1, 11.896576},
                {5, 3, 0.96496689},    {64, 200, 7.9164295},  {30, 215, 3.0233967},
                {100, 429, 2.6738088}, {127, 430, 0.94245869}};
    struct err e = {0};
    struct logmel_plan *plan = NULL;
    CHECK_OK(logmel_plan_new(&SPEC, &plan, &e), &e);
    struct logmel *m = logmel_new(plan);
    float *y = signal_new("q"), *power = mem_alloc(N_CELLS, sizeof *power);
    double sum = 0;
    logmel_power(m, y, SIGNAL_SAMPLES, power);
    for (size_t i = 0; i < ARRAY_LEN(want); i++)
        CHECK_NEAR(power[want[i].frame * N_MELS + want[i].mel], want[i].power,
                   1e-6 * want[i].power);
    for (size_t i = 0; i < N_CELLS; i++)
        sum += (double)power[i];
    CHECK_NEAR(sum, 326424.863, 0.05);
    mem_free(power);
    mem_free(y);
    logmel_free(m);
    logmel_plan_free(plan);
}

/* A decaying tone: nearly all cells lie on the floor. */
static void test_signal_d(void)
{
    static const struct cell want[] = {
        {17, 2, -7.808470}, {17, 200, -34.431019}, {0, 0, -32.798119}, {127, 0, -75.327713}};
    float *y = mem_alloc(SIGNAL_SAMPLES, sizeof *y), ref_db;
    for (int i = 0; i < SIGNAL_SAMPLES; i++) {
        double t = (double)i / SIGNAL_RATE;
        y[i] = (float)(0.8 * exp(-t / 1.5) * sin(2 * M_PI * 440 * t) +
                       0.1 * exp(-t / 4) * sin(2 * M_PI * 3000 * t));
    }
    float *db = picture(&SPEC, simd_best(), y, SIGNAL_SAMPLES, &ref_db);
    check_cells(db, want, ARRAY_LEN(want));
    CHECK_NEAR(ref_db, 10 * log10(7292.7729), DB_TOLERANCE);
    CHECK_NEAR(mean(db), -77.820348, 5e-6);
    size_t n_floor = 0;
    for (size_t i = 0; i < N_CELLS; i++)
        n_floor += db[i] == -80;
    CHECK_NEAR((double)n_floor / N_CELLS, 0.9341, 5e-5);
    mem_free(db);
    mem_free(y);
}

/* ---------------------------------------------------------------- same bits */

static void test_every_instruction_set(void)
{
    static const char *const names[] = {"q", "chirp", "decay", "square"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        float *y = signal_new(names[i]), ref_db, other_ref_db;
        float *plain = picture(&SPEC, SIMD_PLAIN, y, SIGNAL_SAMPLES, &ref_db);
        for (int simd = SIMD_AVX2; simd <= (int)simd_best(); simd++) {
            float *db = picture(&SPEC, (enum simd)simd, y, SIGNAL_SAMPLES, &other_ref_db);
            CHECK(memcmp(plain, db, N_CELLS * sizeof *db) == 0);
            CHECK(ref_db == other_ref_db);
            mem_free(db);
        }
        mem_free(plain);
        mem_free(y);
    }
}

struct worker {
    pthread_t thread;
    const struct logmel_plan *plan;
    const float *samples;
    float *db;
    bool ok;
};

static void *worker_run(void *arg)
{
    struct worker *w = arg;
    struct err e = {0};
    struct logmel *m = logmel_new(w->plan);
    float ref_db;
    w->ok = logmel_compute(m, w->samples, SIGNAL_SAMPLES, w->db, &ref_db, &e);
    logmel_free(m);
    return NULL;
}

static void test_threads_share_a_plan(void)
{
    enum { THREADS = 8 };
    struct err e = {0};
    struct logmel_plan *plan = NULL;
    CHECK_OK(logmel_plan_new(&SPEC, &plan, &e), &e);
    struct worker workers[THREADS];
    float *y = signal_new("chord");
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.plan = plan, .samples = y};
        workers[i].db = mem_alloc(N_CELLS, sizeof(float));
        CHECK(pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(workers[i].thread, NULL) == 0);
        CHECK(workers[i].ok);
        CHECK(memcmp(workers[0].db, workers[i].db, N_CELLS * sizeof(float)) == 0);
    }
    for (int i = 0; i < THREADS; i++)
        mem_free(workers[i].db);
    mem_free(y);
    logmel_plan_free(plan);
}

/* Pieces of a signal, each with the samples under its first and last windows. */
enum { PIECE = 24, MARGIN = 2, N_PIECES = (N_FRAMES - 2 * MARGIN) / PIECE };

struct piece_worker {
    pthread_t thread;
    const struct logmel_plan *plan;
    const float *samples;
    float *power;
    size_t first, step; /* of the pieces that are this worker's */
};

static void *pieces_run(void *arg)
{
    const struct piece_worker *w = arg;
    struct logmel *m = logmel_new(w->plan);
    float *power = mem_alloc((PIECE + 2 * MARGIN + 1) * N_MELS, sizeof *power);
    for (size_t i = w->first; i < N_PIECES; i += w->step) {
        logmel_power(m, w->samples + i * PIECE * 512, (PIECE + 2 * MARGIN) * 512, power);
        memcpy(w->power + (MARGIN + i * PIECE) * N_MELS, power + MARGIN * N_MELS,
               PIECE * N_MELS * sizeof *power);
    }
    mem_free(power);
    logmel_free(m);
    return NULL;
}

static void test_pieces_in_threads_make_the_whole(void)
{
    enum { THREADS = 8, FROM = MARGIN * N_MELS, N = N_PIECES * PIECE * N_MELS };
    struct err e = {0};
    struct logmel_plan *plan = NULL;
    CHECK_OK(logmel_plan_new(&SPEC, &plan, &e), &e);
    struct logmel *m = logmel_new(plan);
    float *y = signal_new("chirp");
    float *whole = mem_alloc(N_CELLS, sizeof *whole), *pieces = mem_alloc(N_CELLS, sizeof *pieces);
    logmel_power(m, y, SIGNAL_SAMPLES, whole);
    for (size_t n_threads = 1; n_threads <= THREADS; n_threads++) {
        struct piece_worker workers[THREADS];
        memset(pieces, 0, N_CELLS * sizeof *pieces);
        for (size_t i = 0; i < n_threads; i++) {
            workers[i] = (struct piece_worker){0, plan, y, pieces, i, n_threads};
            CHECK(pthread_create(&workers[i].thread, NULL, pieces_run, &workers[i]) == 0);
        }
        for (size_t i = 0; i < n_threads; i++)
            CHECK(pthread_join(workers[i].thread, NULL) == 0);
        CHECK(memcmp(whole + FROM, pieces + FROM, N * sizeof *whole) == 0);
    }
    mem_free(whole);
    mem_free(pieces);
    mem_free(y);
    logmel_free(m);
    logmel_plan_free(plan);
}

/* A frame's mel power depends on its own samples only: of a cut signal, in another lane. */
static void test_shift_by_a_hop_shifts_columns(void)
{
    enum { HOPS = 3, FIRST = 2, LAST = 400 };
    struct err e = {0};
    struct logmel_plan *plan = NULL;
    CHECK_OK(logmel_plan_new(&SPEC, &plan, &e), &e);
    struct logmel *m = logmel_new(plan);
    float *y = signal_new("q");
    float *whole = mem_alloc(N_CELLS, sizeof *whole), *cut = mem_alloc(N_CELLS, sizeof *cut);
    logmel_power(m, y, SIGNAL_SAMPLES, whole);
    logmel_power(m, y + HOPS * 512, SIGNAL_SAMPLES - HOPS * 512, cut);
    CHECK(memcmp(whole + (FIRST + HOPS) * N_MELS, cut + FIRST * N_MELS,
                 (LAST - FIRST) * N_MELS * sizeof *cut) == 0);
    mem_free(whole);
    mem_free(cut);
    mem_free(y);
    logmel_free(m);
    logmel_plan_free(plan);
}

/* Powers of two scale exactly, so that only the subtraction of another reference rounds. */
static void test_gain_changes_nothing(void)
{
    float *y = signal_new("q"), ref_db, other_ref_db;
    float *db = picture(&SPEC, simd_best(), y, SIGNAL_SAMPLES, &ref_db);
    for (size_t i = 0; i < SIGNAL_SAMPLES; i++)
        y[i] *= 0.25f;
    float *quarter = picture(&SPEC, simd_best(), y, SIGNAL_SAMPLES, &other_ref_db);
    for (size_t i = 0; i < N_CELLS; i++)
        CHECK_NEAR(quarter[i], db[i], DB_TOLERANCE);
    CHECK_NEAR(ref_db - other_ref_db, 20 * log10(4), DB_TOLERANCE);
    mem_free(db);
    mem_free(quarter);
    mem_free(y);
}

/* ---------------------------------------------------------------- edges */

/* As librosa: with nothing to refer to, everything is at the level of the loudest. */
static void test_silence(void)
{
    float *y = signal_new("silence"), ref_db;
    float *db = picture(&SPEC, simd_best(), y, SIGNAL_SAMPLES, &ref_db);
    CHECK(all_equal(db, N_CELLS, 0));
    CHECK(ref_db == -100);
    mem_free(db);
    /* so quiet that all powers are below amin */
    for (size_t i = 0; i < SIGNAL_SAMPLES; i++)
        y[i] = i % 2 ? 1e-12f : -1e-12f;
    db = picture(&SPEC, simd_best(), y, SIGNAL_SAMPLES, &ref_db);
    CHECK(all_equal(db, N_CELLS, 0));
    mem_free(db);
    mem_free(y);
}

/* Away from the ends a constant has power in the lowest bands only. */
static void test_dc(void)
{
    float *y = signal_new("dc"), ref_db;
    float *db = picture(&SPEC, simd_best(), y, SIGNAL_SAMPLES, &ref_db);
    const float *middle = db + 200 * N_MELS;
    CHECK(middle[0] > -20);
    CHECK(all_equal(middle + 2, N_MELS - 2, -80));
    mem_free(db);
    mem_free(y);
}

/* A click is under four windows; other frames are silent. */
static void test_impulse(void)
{
    float *y = signal_new("impulse"), ref_db;
    float *db = picture(&SPEC, simd_best(), y, SIGNAL_SAMPLES, &ref_db);
    for (size_t t = 0; t < N_FRAMES; t++) {
        bool under = t * 512 < 100000 + 1024 && 100000 < t * 512 + 1024;
        CHECK(all_equal(db + t * N_MELS, N_MELS, -80) == !under);
    }
    mem_free(db);
    mem_free(y);
}

static void test_full_scale_square(void)
{
    float *y = signal_new("square"), ref_db;
    float *db = picture(&SPEC, simd_best(), y, SIGNAL_SAMPLES, &ref_db);
    float most = -99;
    for (size_t i = 0; i < N_CELLS; i++) {
        CHECK(db[i] >= -80);
        most = fmaxf(most, db[i]);
    }
    CHECK(most == 0);
    mem_free(db);
    mem_free(y);
}

static void test_frame_counts(void)
{
    static const size_t lengths[] = {0, 1, 511, 512, 1023, 1024, 2047, 2048, 4095, 220500, 220672};
    static const size_t frames[] = {1, 1, 1, 2, 2, 3, 4, 5, 8, 431, 432};
    float *y = signal_new("q"), ref_db;
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        CHECK_U64(feature_n_frames(&SPEC, lengths[i]), frames[i]);
        if (lengths[i] > SIGNAL_SAMPLES)
            continue;
        float *db = picture(&SPEC, simd_best(), y, lengths[i], &ref_db);
        float most = -99;
        for (size_t k = 0; k < frames[i] * N_MELS; k++) {
            CHECK(db[k] >= -80 && db[k] <= 0);
            most = fmaxf(most, db[k]);
        }
        CHECK(most == 0);
        mem_free(db);
    }
    float *db = picture(&SPEC, simd_best(), y, 0, &ref_db);
    CHECK(all_equal(db, N_MELS, 0));
    mem_free(db);
    mem_free(y);
}

static void test_samples_that_are_refused(void)
{
    static const size_t places[] = {0, 7, 8, 1000, 1023, 1024};
    const float bad[] = {NAN, -NAN, INFINITY, -INFINITY, 0x1.000002p40f, -1e30f};
    struct err e = {0};
    struct logmel_plan *plan = NULL;
    CHECK_OK(logmel_plan_new(&SPEC, &plan, &e), &e);
    struct logmel *m = logmel_new(plan);
    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        for (size_t k = 0; k < ARRAY_LEN(bad); k++) {
            float y[1025] = {0}, db[3 * N_MELS], ref_db;
            e = (struct err){0};
            CHECK_OK(logmel_compute(m, y, ARRAY_LEN(y), db, &ref_db, &e), &e);
            y[places[i]] = 0x1p40f; /* the largest that is taken */
            CHECK_OK(logmel_compute(m, y, ARRAY_LEN(y), db, &ref_db, &e), &e);
            for (size_t c = 0; c < ARRAY_LEN(db); c++)
                CHECK(db[c] >= -80 && db[c] <= 0);
            y[places[i]] = bad[k];
            CHECK(!logmel_compute(m, y, ARRAY_LEN(y), db, &ref_db, &e));
            CHECK(e.kind == ERR_PERM);
            char where[40];
            snprintf(where, sizeof where, "sample %zu of 1025", places[i]);
            CHECK(strstr(e.msg, where) != NULL);
        }
    logmel_free(m);
    logmel_plan_free(plan);
}

static void test_bad_specs(void)
{
    static const struct {
        struct feature_spec spec;
        const char *says;
    } bad[] = {
        {{.rate_hz = 22050, .n_fft = 2002, .hop = 512, .n_mels = 128, .top_db = 80},
         "2002 is not even"},
        {{.rate_hz = 22050, .n_fft = 8, .hop = 4, .n_mels = 2, .top_db = 80},
         "not a power of two from 16"},
        {{.rate_hz = 22050, .n_fft = 2048, .hop = 0, .n_mels = 128, .top_db = 80},
         "hop is 0 samples"},
        {{.rate_hz = 22050, .n_fft = 2048, .hop = 4096, .n_mels = 128, .top_db = 80},
         "hop is 4096 samples"},
        {{.rate_hz = 22050, .n_fft = 2048, .hop = 512, .n_mels = 0, .top_db = 80}, "0 mel bands"},
        {{.rate_hz = 22050, .n_fft = 2048, .hop = 512, .n_mels = 9999, .top_db = 80},
         "9999 mel bands"},
        {{.rate_hz = 22050,
          .n_fft = 2048,
          .hop = 512,
          .n_mels = 128,
          .f_max_hz = 12000,
          .top_db = 80},
         "f_max <= 11025"},
        {{.rate_hz = 22050,
          .n_fft = 2048,
          .hop = 512,
          .n_mels = 128,
          .f_min_hz = 5000,
          .f_max_hz = 4000,
          .top_db = 80},
         "mel bands from 5000 to 4000 Hz"},
        {{.rate_hz = 22050,
          .n_fft = 2048,
          .hop = 512,
          .n_mels = 128,
          .f_min_hz = -1,
          .f_max_hz = 4000,
          .top_db = 80},
         "mel bands from -1"},
        {{.rate_hz = 22050, .n_fft = 2048, .hop = 512, .n_mels = 128}, "top_db is 0 dB"},
        {{.rate_hz = 22050, .n_fft = 2048, .hop = 512, .n_mels = 128, .top_db = (double)NAN},
         "top_db is nan"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = {0};
        struct logmel_plan *plan = NULL;
        CHECK(!logmel_plan_new(&bad[i].spec, &plan, &e));
        CHECK(e.kind == ERR_USAGE);
        CHECK(strstr(e.msg, bad[i].says) != NULL);
    }
}

/* Other geometries run, and bands narrower than a bin stay at the floor instead of failing. */
static void test_other_specs(void)
{
    static const struct feature_spec specs[] = {
        {.rate_hz = 16000,
         .n_fft = 512,
         .hop = 160,
         .n_mels = 128,
         .f_min_hz = 20,
         .f_max_hz = 8000,
         .top_db = 80},
        {.rate_hz = 44100, .n_fft = 4096, .hop = 1024, .n_mels = 256, .top_db = 120},
        {.rate_hz = 8000, .n_fft = 64, .hop = 64, .n_mels = 40, .top_db = 60},
        {.rate_hz = 48000,
         .n_fft = 65536,
         .hop = 4800,
         .n_mels = 64,
         .f_min_hz = 30,
         .f_max_hz = 16000,
         .top_db = 80},
        {.rate_hz = 22050, .n_fft = 16, .hop = 1, .n_mels = 4, .top_db = 80},
    };
    float *y = signal_new("noise"), ref_db;
    for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
        size_t n = 20000, n_out = feature_n_frames(&specs[i], n) * specs[i].n_mels;
        float *db = picture(&specs[i], simd_best(), y, n, &ref_db);
        float most = -999, least = 999;
        for (size_t k = 0; k < n_out; k++) {
            most = fmaxf(most, db[k]);
            least = fminf(least, db[k]);
        }
        CHECK(most == 0);
        CHECK((double)least >= -specs[i].top_db);
        mem_free(db);
    }
    mem_free(y);
}

static void test_spec_hash(void)
{
    char text[SPEC_TEXT_BYTES];
    struct feature_spec other = SPEC;
    feature_spec_text(&SPEC, text);
    CHECK_STR(text,
              "librosa-0.10 pcm=s16 mono=mean resampler=soxr-hq rate=22050 n_fft=2048 hop=512 "
              "window=hann-periodic pad=zeros-centred power=2 mel=slaney norm=slaney "
              "n_mels=128 f_min=0 f_max=11025 ref=max amin=1e-10 top_db=80");
    other.f_max_hz = 11025; /* what 0 stands for */
    CHECK_U64(feature_spec_hash(&other), feature_spec_hash(&SPEC));
    other.hop = 513;
    CHECK(feature_spec_hash(&other) != feature_spec_hash(&SPEC));
}

/* ---------------------------------------------------------------- decibels */

/* Over all magnitudes: the correctly rounded float, or its neighbour. */
static void test_log10(void)
{
    size_t n_off = 0, n = 0;
    for (float x = 1e-10f; x < 1e10f; x *= 1.00037f, n++) {
        float want = (float)log10((double)x), got = db_log10(x);
        n_off += got != want;
        CHECK_NEAR(got, want, 1e-7 * fabs((double)want) + 1e-12);
    }
    CHECK(n > 100000);
    CHECK(n_off < n / 1000);
    CHECK(db_log10(1) == 0);
    CHECK(db_log10(1000) == 3);
}

static void test_decibels_of_any_length(void)
{
    float whole[64], part[64];
    for (size_t n = 1; n <= 64; n++) {
        for (size_t i = 0; i < 64; i++)
            whole[i] = part[i] = (float)((i * 37) % 64 + 1);
        float ref = db_from_power(part, n, 80, simd_best());
        for (size_t i = 0; i < n; i++) {
            CHECK_NEAR(part[i] + ref, 10 * log10((double)whole[i]), 1e-5);
            CHECK(part[i] <= 0);
        }
        CHECK(n == 64 || part[n] == whole[n]);
    }
}

int main(void)
{
    RUN(test_signal_q);
    RUN(test_power_of_signal_q);
    RUN(test_signal_d);
    RUN(test_every_instruction_set);
    RUN(test_threads_share_a_plan);
    RUN(test_pieces_in_threads_make_the_whole);
    RUN(test_shift_by_a_hop_shifts_columns);
    RUN(test_gain_changes_nothing);
    RUN(test_silence);
    RUN(test_dc);
    RUN(test_impulse);
    RUN(test_full_scale_square);
    RUN(test_frame_counts);
    RUN(test_samples_that_are_refused);
    RUN(test_bad_specs);
    RUN(test_other_specs);
    RUN(test_spec_hash);
    RUN(test_log10);
    RUN(test_decibels_of_any_length);
    return test_done();
}
