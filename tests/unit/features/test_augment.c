#include "tests/test.h"

#include "base/err.h"
#include "base/mem.h"
#include "features/augment.h"
#include "features/noise.h"
#include "features/vocoder.h"

#include <stdlib.h>

enum { RATE = 22050, N = 220500 };

/* A chord that fades, between -1 and 1. */
static float *tone_new(size_t n)
{
    float *y = mem_alloc(n, sizeof *y);
    for (size_t i = 0; i < n; i++) {
        double t = (double)i / RATE;
        y[i] =
            (float)(0.5 * exp(-t / 4) * (sin(2 * M_PI * 220 * t) + 0.5 * sin(2 * M_PI * 330 * t)));
    }
    return y;
}

static double rms(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - (b ? (double)b[i] : 0);
        sum += d * d;
    }
    return sqrt(sum / (double)n);
}

static struct augment_chain *chain_new(const char *text)
{
    struct err e = {0};
    struct augment_chain *chain = NULL;
    CHECK_OK(augment_chain_new(text, &chain, &e), &e);
    return chain;
}

/* One view of the tone by this chain; record may be NULL. */
static float *view_new(const char *text, uint64_t seed, uint64_t track, uint32_t clip,
                       uint32_t view, size_t n, char *record)
{
    char own_record[AUGMENT_RECORD_BYTES];
    struct err e = {0};
    struct augment_chain *chain = chain_new(text);
    struct augment *a = augment_new(chain, RATE);
    float *y = tone_new(n);
    CHECK_OK(augment_apply(a, seed, track, clip, view, y, n, record ? record : own_record, &e), &e);
    augment_free(a);
    augment_chain_free(chain);
    return y;
}

static const char DEFAULT_CHAIN[] =
    "gaussian_noise(0.001,0.015,p=0.5) time_stretch(0.8,1.25,p=0.5) pitch_shift(-4,4,p=0.5) "
    "gain(-5,5,p=1) gaussian_snr(5,10,p=1)";

static void test_bad_chains(void)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"reverse(0,1)", "character 1: there is no transform \"reverse\""},
        {"gain", "character 5: gain: an opening parenthesis"},
        {"gain(", "character 6: a number is expected"},
        {"gain(1)", "character 7: gain: a comma"},
        {"gain(1,", "character 8: a number"},
        {"gain(1,2", "character 9: gain: a closing"},
        {"gain(2,1)", "the range from 2 to 1 is empty"},
        {"gain(-5,5,q=1)", "p= is expected"},
        {"gain(-5,5,p=1.5)", "character 13: gain: p is 1.5, it must be from 0 to 1"},
        {"gain(-5,5,p=-0.1)", "it must be from 0 to 1"},
        {"gain(-5,5,p=nan)", "a number is expected"},
        {"gain(-5,0x5)", "a closing"},
        {"gain(1e,5)", "\"1e\" is not a number"},
        {"gain(-5,1e999)", "is not a number"},
        {"gain(-5,500)", "db is 500, it must be from -120 to 120"},
        {"time_stretch(0,1)", "rate is 0, it must be from 0.1 to 10"},
        {"clipping(1.5,3)", "percent is 1.5, it must be a whole number"},
        {"gain(0,0) gaussian_noise(0.1,0.2) ,", "character 35: a transform's name"},
        {"GAIN(0,1)", "a transform's name is expected"},
        {"polarity(1,2)", "p= is expected"},
        {"gain(-5,5,mode=exact)", "p= is expected"},
        {"time_stretch(0.8,1.25,mode=fast)", "p=, mode=exact or mode=librosa-f32 is expected"},
        {"band_pass(200,4000)", "character 19: band_pass: a comma and another range"},
        {"band_pass(200,4000,0.5,2,2,4)", "width is 2, it must be from 0.01 to 1.99"},
        {"band_pass(200,4000,0.5,1.5,2.5,4)", "order is 2.5, it must be a whole number"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = {0};
        struct augment_chain *chain = NULL;
        CHECK(!augment_chain_new(bad[i].text, &chain, &e));
        CHECK(e.kind == ERR_USAGE);
        CHECK(strstr(e.msg, bad[i].says) != NULL);
        if (!strstr(e.msg, bad[i].says))
            printf("# %s: %s\n", bad[i].text, e.msg);
        CHECK(chain == NULL);
    }
}

static void test_too_many_steps(void)
{
    char text[AUGMENT_STEPS_MAX * 24 + 64] = "";
    struct err e = {0};
    struct augment_chain *chain = NULL;
    for (int i = 0; i < AUGMENT_STEPS_MAX; i++)
        strcat(text, " polarity()");
    CHECK_OK(augment_chain_new(text, &chain, &e), &e);
    augment_chain_free(chain);
    strcat(text, " polarity()");
    CHECK(!augment_chain_new(text, &chain, &e));
    CHECK(strstr(e.msg, "more than 16 transforms") != NULL);
    /* Fewer steps, but of the longest records. */
    text[0] = '\0';
    for (int i = 0; i < 10; i++)
        strcat(text, "gaussian_noise(0.1,0.2) ");
    CHECK(!augment_chain_new(text, &chain, &e));
    CHECK(strstr(e.msg, "the record of what was drawn would take") != NULL);
}

/* Whatever the draws are, a view is a function of its key, and keys that differ give others. */
static void test_view_is_a_function_of_its_key(void)
{
    char record[AUGMENT_RECORD_BYTES], other[AUGMENT_RECORD_BYTES];
    float *a = view_new(DEFAULT_CHAIN, 7, 42, 0, 1, N, record);
    float *b = view_new(DEFAULT_CHAIN, 7, 42, 0, 1, N, other);
    CHECK(memcmp(a, b, N * sizeof *a) == 0);
    CHECK_STR(other, record);
    static const struct {
        uint64_t seed, track;
        uint32_t clip, view;
    } keys[] = {{8, 42, 0, 1}, {7, 43, 0, 1}, {7, 42, 1, 1}, {7, 42, 0, 2}};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        float *c = view_new("gain(-5,5)", keys[i].seed, keys[i].track, keys[i].clip, keys[i].view,
                            1, other);
        float *d = view_new("gain(-5,5)", 7, 42, 0, 1, 1, record);
        CHECK(strcmp(record, other) != 0);
        mem_free(c);
        mem_free(d);
    }
    mem_free(a);
    mem_free(b);
}

/* Every transform, and the default chain under many keys: the record alone gives the same bits. */
static void test_record_makes_the_view_again(void)
{
    static const char *const chains[] = {
        DEFAULT_CHAIN,
        "gaussian_noise(0.001,0.015)",
        "gaussian_snr(5,10)",
        "gain(-5,5)",
        "time_stretch(0.8,1.25)",
        "pitch_shift(-4,4)",
        "clipping(10,60)",
        "shift(-0.5,0.5)",
        "polarity()",
        "polarity(p=0.5)",
        "time_stretch(0.1,0.1)",
        "time_stretch(10,10)",
        "pitch_shift(-24,-24)",
        "pitch_shift(24,24)",
        "",
    };
    enum { N_SHORT = 30000 };
    for (size_t i = 0; i < ARRAY_LEN(chains); i++)
        for (uint64_t track = 0; track < 3; track++) {
            char record[AUGMENT_RECORD_BYTES];
            struct err e = {0};
            float *a = view_new(chains[i], 1, track, 0, 1, N_SHORT, record);
            float *b = tone_new(N_SHORT);
            struct augment *again = augment_new(NULL, RATE);
            CHECK_OK(augment_apply_record(again, record, b, N_SHORT, &e), &e);
            CHECK(memcmp(a, b, N_SHORT * sizeof *a) == 0);
            augment_free(again);
            mem_free(a);
            mem_free(b);
        }
}

static void test_bad_records(void)
{
    static const char *const bad[] = {
        "gain",
        "gain db=",
        "gain db=1;",
        "gain db=1; ",
        "gain db=1 x",
        "gain db=1e9",
        "loud db=1",
        "gaussian_noise amplitude=0.1",
        "gaussian_noise amplitude=0.1 noise=12",
        "gaussian_noise amplitude=0.1 noise=00000000000000000",
        " gain db=1",
    };
    float x[4] = {0};
    struct augment *a = augment_new(NULL, RATE);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = {0};
        CHECK(!augment_apply_record(a, bad[i], x, 4, &e));
        CHECK(e.kind == ERR_USAGE);
    }
    augment_free(a);
}

/* Steps of one kind in one chain draw on their own. */
static void test_steps_are_independent(void)
{
    char record[AUGMENT_RECORD_BYTES];
    for (uint64_t track = 0; track < 20; track++) {
        mem_free(view_new("gain(-5,5) gain(-5,5)", 1, track, 0, 1, 1, record));
        double first = strtod(record + strlen("gain db="), NULL);
        const char *rest = strstr(record, "; gain db=");
        CHECK(rest != NULL && strtod(rest + strlen("; gain db="), NULL) != first);
    }
}

/* What a faster rate leaves free is silence. */
static void test_stretch_pads_with_zeros(void)
{
    float *x = view_new("time_stretch(1.25,1.25)", 1, 1, 0, 1, N, NULL);
    size_t n_left = vocoder_n_out(N, 1.25);
    CHECK(x[n_left - 1] != 0);
    for (size_t i = n_left; i < N; i++)
        CHECK(x[i] == 0);
    mem_free(x);
}

static void test_record_length(void)
{
    char record[AUGMENT_RECORD_BYTES + 1];
    float x = 1;
    struct err e = {0};
    struct augment *a = augment_new(NULL, RATE);
    memset(record, '0', sizeof record);
    memcpy(record, "gain db=1;", 10);
    record[AUGMENT_RECORD_BYTES] = '\0';
    CHECK(!augment_apply_record(a, record, &x, 1, &e));
    CHECK(strstr(e.msg, "longer than 511 bytes") != NULL);
    CHECK(x == 1);
    augment_free(a);
}

static void test_probability(void)
{
    enum { DRAWS = 4000 };
    struct err e = {0};
    struct augment_chain *chain = chain_new("gain(1,1,p=0.3) polarity(p=0) gain(0,0,p=1)");
    struct augment *a = augment_new(chain, RATE);
    int first = 0;
    for (uint64_t track = 0; track < DRAWS; track++) {
        char record[AUGMENT_RECORD_BYTES];
        float x = 1;
        CHECK_OK(augment_apply(a, 1, track, 0, 1, &x, 1, record, &e), &e);
        first += strcmp(record, "gain db=1; gain db=0") == 0;
        CHECK(first > 0 || strcmp(record, "gain db=0") == 0);
    }
    CHECK_NEAR(first / (double)DRAWS, 0.3, 0.029); /* four standard deviations */
    augment_free(a);
    augment_chain_free(chain);
}

/* The drawn values cover their range evenly. */
static void test_range(void)
{
    enum { DRAWS = 4000 };
    struct err e = {0};
    struct augment_chain *chain = chain_new("gain(-5,5)");
    struct augment *a = augment_new(chain, RATE);
    double sum = 0, min = 9, max = -9;
    for (uint64_t track = 0; track < DRAWS; track++) {
        char record[AUGMENT_RECORD_BYTES];
        float x = 1;
        CHECK_OK(augment_apply(a, 1, track, 0, 1, &x, 1, record, &e), &e);
        double db = strtod(record + strlen("gain db="), NULL);
        CHECK_NEAR(x, pow(10, db / 20), 1e-7 * pow(10, db / 20));
        sum += db;
        min = fmin(min, db);
        max = fmax(max, db);
    }
    CHECK(min >= -5 && min < -4.98);
    CHECK(max <= 5 && max > 4.98);
    CHECK_NEAR(sum / DRAWS, 0, 4 * 2.887 / sqrt(DRAWS));
    augment_free(a);
    augment_chain_free(chain);
}

static void test_snr(void)
{
    float *x = tone_new(N);
    for (int db = 5; db <= 40; db += 5) {
        char text[64];
        snprintf(text, sizeof text, "gaussian_snr(%d,%d)", db, db);
        float *y = view_new(text, 1, (uint64_t)db, 0, 1, N, NULL);
        CHECK_NEAR(20 * log10(rms(x, NULL, N) / rms(x, y, N)), db, 0.1);
        mem_free(y);
    }
    mem_free(x);
}

static void test_noise_amplitude(void)
{
    float *x = tone_new(N);
    float *y = view_new("gaussian_noise(0.01,0.01)", 1, 1, 0, 1, N, NULL);
    CHECK_NEAR(rms(x, y, N), 0.01, 0.01 * 4 / sqrt(2.0 * N));
    mem_free(x);
    mem_free(y);
}

/* Moments to the fourth within five standard errors, no correlation with the neighbour, and the
 * tails of a normal. */
static void test_noise_is_normal(void)
{
    enum { M = 1 << 20 };
    float *z = mem_alloc(M, sizeof *z);
    noise_fill(1234, simd_best(), z, M);
    double m1 = 0, m2 = 0, m3 = 0, m4 = 0, lag = 0, half = 0, beyond3 = 0;
    for (size_t i = 0; i < M; i++) {
        double v = (double)z[i];
        m1 += v;
        m2 += v * v;
        m3 += v * v * v;
        m4 += v * v * v * v;
        lag += v * (double)z[(i + 1) % M];
        half += v * (double)z[(i + 32) % M];
        beyond3 += fabs(v) > 3;
    }
    double root = 5 / sqrt(M);
    CHECK_NEAR(m1 / M, 0, root);
    CHECK_NEAR(m2 / M, 1, root * sqrt(2));
    CHECK_NEAR(m3 / M, 0, root * sqrt(15));
    CHECK_NEAR(m4 / M, 3, root * sqrt(96));
    CHECK_NEAR(lag / M, 0, root);
    CHECK_NEAR(half / M, 0, root);
    CHECK_NEAR(beyond3 / M, 0.0026998, root * sqrt(0.0027));
    mem_free(z);
}

/* The same numbers for any length and any instruction set, and from libm within float rounding. */
static void test_noise_bits(void)
{
    float whole[1000], part[1000];
    noise_fill(5, SIMD_PLAIN, whole, 1000);
    for (int simd = SIMD_PLAIN; simd <= (int)simd_best(); simd++)
        for (size_t n = 0; n < 200; n++) {
            noise_fill(5, (enum simd)simd, part, n);
            CHECK(memcmp(whole, part, n * sizeof *part) == 0);
        }
    noise_fill(6, SIMD_PLAIN, part, 1000);
    CHECK(memcmp(whole, part, sizeof part) != 0);
}

static void test_clipping(void)
{
    enum { M = 101 };
    float x[M];
    struct err e = {0};
    for (int i = 0; i < M; i++)
        x[(i * 37) % M] = (float)i; /* percentile q of 0..100 is q */
    struct augment *a = augment_new(NULL, RATE);
    CHECK_OK(augment_apply_record(a, "clipping percent=21", x, M, &e), &e);
    for (int i = 0; i < M; i++)
        CHECK(x[(i * 37) % M] == (float)(i < 10 ? 10 : i > 90 ? 90 : i));
    x[3] = NAN;
    CHECK(!augment_apply_record(a, "clipping percent=21", x, M, &e));
    CHECK(e.kind == ERR_PERM);
    augment_free(a);
}

static void test_shift(void)
{
    enum { M = 1000, FADE = 110 };
    float x[M];
    struct err e = {0};
    for (int i = 0; i < M; i++)
        x[i] = (float)i;
    struct augment *a = augment_new(NULL, RATE);
    CHECK_OK(augment_apply_record(a, "shift fraction=0.25", x, M, &e), &e);
    for (int i = 250 + FADE; i < M; i++)
        CHECK(x[i] == (float)(i - 250));
    for (int i = 0; i < 250 - FADE; i++)
        CHECK(x[i] == (float)(i + 750));
    CHECK(x[250] == 0); /* masks are 0 at the seam and 1 at their far ends */
    CHECK(x[249] == 0);
    CHECK(x[250 - FADE] == 890);
    CHECK(x[250 + FADE - 1] == FADE - 1);
    /* As far back: the seam alone differs from the original. */
    CHECK_OK(augment_apply_record(a, "shift fraction=-0.25", x, M, &e), &e);
    CHECK(x[0 + FADE] == (float)FADE);
    CHECK(x[500] == 500);
    augment_free(a);
}

/* A click: a time stretch moves it, a pitch shift leaves it in its place. */
static void test_clicks_land_where_they_should(void)
{
    enum { M = 44100, AT = 20000, NEAR = 1024 }; /* the vocoder smears it over half a window */
    static const struct {
        const char *record;
        double at;
    } cases[] = {{"time_stretch rate=0.8", AT / 0.8},
                 {"time_stretch rate=1.25", AT / 1.25},
                 {"time_stretch rate=1", AT},
                 {"pitch_shift semitones=4", AT},
                 {"pitch_shift semitones=-4", AT}};
    struct augment *a = augment_new(NULL, RATE);
    for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
        float *x = mem_zalloc(M, sizeof *x);
        struct err e = {0};
        x[AT] = 1;
        CHECK_OK(augment_apply_record(a, cases[c].record, x, M, &e), &e);
        double energy = 0, moment = 0;
        for (int i = 0; i < M; i++) {
            energy += (double)x[i] * (double)x[i];
            moment += i * (double)x[i] * (double)x[i];
        }
        CHECK_NEAR(moment / energy, cases[c].at, NEAR);
        mem_free(x);
    }
    augment_free(a);
}

/* A steady tone keeps its frequency when stretched and moves by the interval when shifted:
 * measured by its zero crossings. */
static void test_pitch(void)
{
    enum { M = 66150, FROM = 10000, TO = 50000 };
    static const struct {
        const char *record;
        double hz;
    } cases[] = {{"time_stretch rate=0.8", 440},
                 {"time_stretch rate=1.25", 440},
                 {"pitch_shift semitones=12", 880},
                 {"pitch_shift semitones=-12", 220},
                 {"pitch_shift semitones=3.7", 440 * 1.23826}};
    struct augment *a = augment_new(NULL, RATE);
    for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
        float *x = mem_alloc(M, sizeof *x);
        struct err e = {0};
        for (int i = 0; i < M; i++)
            x[i] = (float)sin(2 * M_PI * 440 * i / RATE);
        CHECK_OK(augment_apply_record(a, cases[c].record, x, M, &e), &e);
        int crossings = 0;
        for (int i = FROM; i < TO; i++)
            crossings += x[i] < 0 && x[i + 1] >= 0;
        CHECK_NEAR(crossings * (double)RATE / (TO - FROM), cases[c].hz, 1);
        mem_free(x);
    }
    augment_free(a);
}

/* At rate 1 analysis and synthesis cancel. */
static void test_stretch_by_one_is_identity(void)
{
    float *x = tone_new(N), *y = mem_alloc(N, sizeof *y);
    struct vocoder *v = vocoder_new(simd_best());
    CHECK_U64(vocoder_n_out(N, 1), N);
    vocoder_stretch(v, VOCODER_EXACT, x, N, 1, y);
    CHECK(20 * log10(rms(x, NULL, N) / rms(x, y, N)) > 140);
    vocoder_free(v);
    mem_free(x);
    mem_free(y);
}

static void test_lengths(void)
{
    static const size_t lengths[] = {0, 1, 2, 511, 512, 513, 1024, 2047, 4411};
    static const char *const records[] = {"time_stretch rate=0.8",
                                          "time_stretch rate=1.25",
                                          "pitch_shift semitones=4",
                                          "pitch_shift semitones=-4",
                                          "shift fraction=0.4",
                                          "shift fraction=1",
                                          "shift fraction=-1",
                                          "clipping percent=30",
                                          "time_stretch rate=1.25 mode=librosa-f32",
                                          "band_pass center=500 width=1 order=3",
                                          "reverb seconds=0.3 wet=-6 noise=0000000000000001",
                                          "gaussian_snr db=5 noise=0000000000000001"};
    struct augment *a = augment_new(NULL, RATE);
    for (size_t r = 0; r < ARRAY_LEN(records); r++)
        for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
            size_t n = lengths[i];
            float *x = tone_new(n + 1);
            struct err e = {0};
            x[n] = 77; /* must not be touched */
            CHECK_OK(augment_apply_record(a, records[r], x, n, &e), &e);
            CHECK(x[n] == 77);
            for (size_t k = 0; k < n; k++)
                CHECK(isfinite(x[k]));
            mem_free(x);
        }
    augment_free(a);
    CHECK_U64(vocoder_n_out(220500, 0.8), 275625);
    CHECK_U64(vocoder_n_out(5, 2), 2); /* 2.5 and 3.5 go to the even neighbour, as Python's round */
    CHECK_U64(vocoder_n_out(7, 2), 4);
}

/* ---------------------------------------------------------------- several parameters, options */

static void test_parameters_of_a_band(void)
{
    char record[AUGMENT_RECORD_BYTES];
    int n_low = 0, n_order[5] = {0};
    for (uint64_t track = 0; track < 400; track++) {
        double center, width;
        int order;
        mem_free(view_new("band_pass(200,4000,0.5,1.99,2,4,p=1)", 1, track, 0, 1, 1, record));
        CHECK(sscanf(record, "band_pass center=%lf width=%lf order=%d", &center, &width, &order) ==
              3);
        CHECK(center >= 200 && center <= 4000 && width >= 0.5 && width <= 1.99);
        CHECK(order >= 2 && order <= 4);
        n_low += center < 1236; /* the middle in mel; the middle in Hz is 2100 */
        n_order[order]++;
    }
    CHECK_NEAR(n_low, 200, 40);
    for (int i = 2; i <= 4; i++)
        CHECK_NEAR(n_order[i], 133, 40);
}

static void test_mode_is_recorded(void)
{
    char record[AUGMENT_RECORD_BYTES], again[AUGMENT_RECORD_BYTES];
    float *a = view_new("time_stretch(1.1,1.1,mode=librosa-f32)", 1, 1, 0, 1, N, record);
    CHECK_STR(record, "time_stretch rate=1.1 mode=librosa-f32");
    float *b = view_new("time_stretch(1.1,1.1,p=1,mode=exact)", 1, 1, 0, 1, N, again);
    CHECK_STR(again, "time_stretch rate=1.1");
    double snr_db = 20 * log10(rms(a, NULL, N) / rms(a, b, N));
    CHECK(snr_db > 20 && snr_db < 80); /* of float32's phases, docs/FEATURES.md */
    struct augment *augment = augment_new(NULL, RATE);
    struct err e = {0};
    float *c = tone_new(N);
    CHECK_OK(augment_apply_record(augment, record, c, N, &e), &e);
    CHECK(memcmp(a, c, N * sizeof *a) == 0);
    augment_free(augment);
    mem_free(a);
    mem_free(b);
    mem_free(c);
}

static void test_epochs_draw_anew(void)
{
    char records[3][AUGMENT_RECORD_BYTES];
    CHECK_U64(augment_seed(7, 0), 7);
    for (uint64_t epoch = 0; epoch < 3; epoch++)
        mem_free(view_new(DEFAULT_CHAIN, augment_seed(7, epoch), 42, 0, 1, 1, records[epoch]));
    CHECK(strcmp(records[0], records[1]) != 0);
    CHECK(strcmp(records[0], records[2]) != 0);
    CHECK(strcmp(records[1], records[2]) != 0);
}

static void test_stretch_on_every_instruction_set(void)
{
    float *x = tone_new(N), *plain = mem_alloc(2 * N, sizeof *x), *y = mem_alloc(2 * N, sizeof *x);
    for (int mode = VOCODER_EXACT; mode <= VOCODER_F32; mode++)
        for (int simd = SIMD_PLAIN; simd <= (int)simd_best(); simd++) {
            struct vocoder *v = vocoder_new((enum simd)simd);
            float *out = simd == SIMD_PLAIN ? plain : y;
            vocoder_stretch(v, (enum vocoder_mode)mode, x, N, 0.83, out);
            CHECK(memcmp(out, plain, vocoder_n_out(N, 0.83) * sizeof *out) == 0);
            vocoder_free(v);
        }
    mem_free(x);
    mem_free(plain);
    mem_free(y);
}

int main(void)
{
    RUN(test_bad_chains);
    RUN(test_too_many_steps);
    RUN(test_view_is_a_function_of_its_key);
    RUN(test_record_makes_the_view_again);
    RUN(test_bad_records);
    RUN(test_record_length);
    RUN(test_steps_are_independent);
    RUN(test_stretch_pads_with_zeros);
    RUN(test_probability);
    RUN(test_range);
    RUN(test_snr);
    RUN(test_noise_amplitude);
    RUN(test_noise_is_normal);
    RUN(test_noise_bits);
    RUN(test_clipping);
    RUN(test_shift);
    RUN(test_clicks_land_where_they_should);
    RUN(test_pitch);
    RUN(test_stretch_by_one_is_identity);
    RUN(test_lengths);
    RUN(test_parameters_of_a_band);
    RUN(test_mode_is_recorded);
    RUN(test_epochs_draw_anew);
    RUN(test_stretch_on_every_instruction_set);
    return test_done();
}
