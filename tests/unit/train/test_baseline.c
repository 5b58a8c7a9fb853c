/* Vectors without a network: each kind by its definition, and the rotations of chroma. */
#include "base/rng.h"
#include "tests/test.h"
#include "tests/unit/train/synth.h"
#include "train/validation.h"

enum { FRAMES = 6, BANDS = 40, FIRST = 2 }; /* band FIRST + i is i semitones above C5 */
#define C5_HZ 523.25113060119725

static struct chroma_bands bands;
static struct chroma_fold fold;

/* One band a semitone, three octaves of them within the range. */
static void set_bands(double units_per_decade)
{
    bands = (struct chroma_bands){.n = BANDS, .units_per_decade = units_per_decade};
    for (size_t m = 0; m < BANDS; m++)
        bands.centre_hz[m] = C5_HZ * exp2(((double)m - FIRST) / 12.0);
}

/* A tune of one loud band a frame, `up` semitones higher; all else `depth` below. */
static void play(float *picture, size_t up, float depth)
{
    static const size_t tune[FRAMES] = {0, 4, 7, 5, 2, 11};
    for (size_t i = 0; i < FRAMES * BANDS; i++)
        picture[i] = -depth;
    for (size_t t = 0; t < FRAMES; t++)
        picture[t * BANDS + FIRST + tune[t] + up] = 0.0f;
}

static void test_classes(void)
{
    float picture[FRAMES * BANDS], classes[FRAMES * CHROMA_CLASSES];
    set_bands(10.0);
    CHECK(chroma_fold_init(&fold, &bands));
    play(picture, 0, 60.0f);
    chroma_fold_picture(&fold, picture, FRAMES, BANDS, classes);
    static const size_t tune[FRAMES] = {0, 4, 7, 5, 2, 11}; /* C, E, G ...: numbers from C on */
    for (size_t t = 0; t < FRAMES; t++)
        for (size_t c = 0; c < CHROMA_CLASSES; c++)
            CHECK_NEAR((double)classes[t * CHROMA_CLASSES + c], c == tune[t] ? 1.0 : 0.0, 1e-5);
    for (size_t i = 0; i < FRAMES * BANDS; i++)
        picture[i] =
            -30.0f; /* equal power in all bands: equal classes, however many bands they have */
    chroma_fold_picture(&fold, picture, FRAMES, BANDS, classes);
    for (size_t i = 0; i < FRAMES * CHROMA_CLASSES; i++)
        CHECK_NEAR((double)classes[i], 1.0, 1e-6);
}

/* A band between two pitches belongs to both; 4 kHz and 500 Hz bound what counts. */
static void test_between_and_beyond(void)
{
    float picture[BANDS], classes[CHROMA_CLASSES];
    set_bands(10.0);
    bands.centre_hz[FIRST + 1] = C5_HZ * exp2(1.25 / 12.0);
    bands.centre_hz[0] = 499.0;
    bands.centre_hz[BANDS - 1] = 4000.0;
    CHECK(chroma_fold_init(&fold, &bands));
    for (size_t m = 0; m < BANDS; m++)
        picture[m] = m == FIRST + 1 || m == 0 || m == BANDS - 1 ? 0.0f : -90.0f;
    chroma_fold_picture(&fold, picture, 1, BANDS, classes);
    /* C#: bands at 1 (twice, higher up) and this one at 3/4; D: three at 2 and this one at 1/4 */
    CHECK_NEAR((double)classes[1], 1.0, 1e-6);
    CHECK_NEAR((double)classes[2], 0.25 / 3.25 / (0.75 / 2.75), 1e-5);
    for (size_t c = 3; c < CHROMA_CLASSES; c++)
        CHECK_NEAR((double)classes[c], 0.0, 1e-5);
    bands.n = 12; /* less than an octave of them within the range */
    CHECK(!chroma_fold_init(&fold, &bands));
}

/* Any transposition is distance 0, another tune is not; other units are the same chroma. */
static void test_rotations(void)
{
    float a[FRAMES * BANDS], b[FRAMES * BANDS], x[FRAMES * CHROMA_CLASSES], y[ARRAY_LEN(x)];
    struct baseline_space s = {BASELINE_CHROMA, FRAMES, BANDS, &fold};
    set_bands(10.0);
    CHECK(chroma_fold_init(&fold, &bands));
    CHECK_U64(baseline_dim(&s), ARRAY_LEN(x));
    play(a, 0, 60.0f);
    baseline_vector(&s, a, x);
    for (size_t up = 0; up < 24; up++) {
        play(b, up, 60.0f);
        baseline_vector(&s, b, y);
        CHECK_NEAR(baseline_distance(&s, x, y), 0.0, 1e-5);
        CHECK_NEAR(baseline_distance(&s, y, x), 0.0, 1e-5);
        if (up % 12 != 0)
            CHECK(vector_distance(x, y, ARRAY_LEN(x)) > 0.5);
    }
    b[FIRST + 6] = 1.0f; /* the first note is another one */
    baseline_vector(&s, b, y);
    CHECK(baseline_distance(&s, x, y) > 0.3);
    set_bands(0.25);
    CHECK(chroma_fold_init(&fold, &bands));
    play(b, 3, 60.0f / 40.0f);
    baseline_vector(&s, b, y);
    CHECK_NEAR(baseline_distance(&s, x, y), 0.0, 1e-5);
}

static void test_by_definition(void)
{
    enum { N_MELS = 24, COUNT = FRAMES * N_MELS };
    float picture[COUNT], whole[COUNT], mean[N_MELS], cepstrum[20];
    struct baseline_space mel = {BASELINE_MEL, FRAMES, N_MELS, NULL}, s = mel;
    struct rng r;
    rng_init(&r, 1, 2, 5);
    double squares = 0.0, sum = 0.0;
    for (size_t i = 0; i < COUNT; i++)
        picture[i] = (float)(-40.0 + 10.0 * rng_normal(&r));
    baseline_vector(&mel, picture, whole);
    for (size_t i = 0; i < COUNT; i++) {
        sum += (double)whole[i];
        squares += (double)whole[i] * (double)whole[i];
        /* an affine function of the picture, rising */
        CHECK((picture[i] > picture[0]) == (whole[i] > whole[0]));
    }
    CHECK_NEAR(sum, 0.0, 1e-5);
    CHECK_NEAR(squares, 1.0, 1e-5);
    s.kind = BASELINE_MEL_MEAN;
    CHECK_U64(baseline_dim(&s), N_MELS);
    baseline_vector(&s, picture, mean);
    double ratio = 0.0, bands_of[N_MELS] = {0};
    for (size_t i = 0; i < COUNT; i++)
        bands_of[i % N_MELS] += (double)whole[i] / FRAMES;
    for (size_t m = 0; m < N_MELS; m++)
        ratio += bands_of[m] * bands_of[m];
    for (size_t m = 0; m < N_MELS; m++)
        CHECK_NEAR((double)mean[m], bands_of[m] / sqrt(ratio), 1e-5);
    s.kind = BASELINE_MFCC_MEAN;
    CHECK_U64(baseline_dim(&s), 20);
    baseline_vector(&s, picture, cepstrum);
    double of[20], length = 0.0;
    for (size_t k = 0; k < 20; k++) {
        of[k] = 0.0;
        for (size_t m = 0; m < N_MELS; m++)
            of[k] += bands_of[m] * cos(3.14159265358979 * (double)(k + 1) * ((double)m + 0.5) / 24);
        length += of[k] * of[k];
    }
    for (size_t k = 0; k < 20; k++)
        CHECK_NEAR((double)cepstrum[k], of[k] / sqrt(length), 1e-5);
    for (size_t i = 0; i < COUNT; i++)
        picture[i] = -80.0f;
    baseline_vector(&mel, picture, whole);
    for (size_t i = 0; i < COUNT; i++)
        CHECK_NEAR((double)whole[i], 0.0, 0.0);
}

/* Distances of validation triplets, read tile by tile, are those of the clips one by one. */
static void test_tiles(void)
{
    enum { LONG = 512, WIDE = 1024, TRACKS = 8 };
    struct synth_params p = {1, 0, TRACKS, LONG, WIDE, 3, RECORD_U8, 1, SYNTH_SOUND};
    struct baseline_space s = {BASELINE_MEL, LONG, WIDE, NULL};
    struct synth_open f;
    struct split split = {0};
    struct validation v = {0};
    struct triplet_stats stats;
    struct err e = {0};
    char dir[256];
    synth_dir(dir);
    CHECK_OK(synth_open(dir, &p, &f, &e), &e);
    struct split_params sp = {.work_dir = dir, .seed = 1, .validation_share = 0.95};
    CHECK_OK(split_init(f.store, &f.snap, &sp, &split, &e), &e);
    struct sampler fixed = {f.snap.keys, &split.validation, 1, SAMPLE_VALIDATE, 0, false};
    validation_init(&v, &fixed);
    CHECK(v.n_keys > baseline_tile(&s));
    CHECK_OK(validation_baseline(&v, &s, f.store, 1.0, &stats, &e), &e);
    float *rows = mem_alloc(v.n_keys * baseline_dim(&s), sizeof *rows);
    CHECK_OK(baseline_keys(&s, f.store, v.keys, v.n_keys, rows, &e), &e);
    for (size_t i = 0; i < v.n_triplets; i++) {
        const float *of[3];
        for (size_t k = 0; k < 3; k++)
            of[k] = rows + v.at[i][k] * baseline_dim(&s);
        CHECK(v.positive[i] == baseline_distance(&s, of[0], of[1]));
        CHECK(v.negative[i] == baseline_distance(&s, of[0], of[2]));
    }
    mem_free(rows);
    validation_release(&v);
    split_release(&split);
    synth_close(&f);
    synth_remove(dir);
}

int main(void)
{
    RUN(test_classes);
    RUN(test_between_and_beyond);
    RUN(test_rotations);
    RUN(test_by_definition);
    RUN(test_tiles);
    return test_done();
}
