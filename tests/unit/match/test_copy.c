/* Fingerprints of made-up music: copies that were shifted and cut are found, with how and where. */
#include "match/copy.h"

#include "base/mem.h"
#include "base/rng.h"
#include "match/copy_align.h"
#include "match/copy_search.h"
#include "tests/test.h"

enum { RATE_HZ = 22050, SONG_S = 20, NOTES_PER_S = 3, VOICES = 3, HARMONICS = 5, WAVE = 4096 };

static float wave[WAVE]; /* one period of a tone with harmonics, filled by main */

static void fill_wave(void)
{
    for (int i = 0; i < WAVE; i++)
        for (int h = 1; h <= HARMONICS; h++)
            wave[i] += sinf(6.283185307f * (float)(i * h) / WAVE) / (float)h;
}

/* Chords of random semitones, a new one each third of a second; `pitch` and `tempo` play them
 * higher and faster. From `from_s` on of the song's own time. */
static float *make_song(uint64_t seed, double pitch, double tempo, double from_s, double seconds,
                        size_t *out_n)
{
    size_t n = (size_t)(seconds * RATE_HZ);
    float *x = mem_zalloc(n, sizeof *x);
    double step[VOICES] = {0}, phase[VOICES] = {0};
    uint64_t note = UINT64_MAX;
    for (size_t i = 0; i < n; i++) {
        double at = (from_s + (double)i / RATE_HZ * tempo) * NOTES_PER_S;
        double fade = 1 - (at - floor(at)) * 0.8;
        for (uint32_t v = 0; v < VOICES && note != (uint64_t)at; v++) {
            struct rng r;
            rng_init(&r, seed, v, (uint64_t)at);
            step[v] = 130.8 * exp2((double)rng_below(&r, 30) / 12) * pitch * WAVE / RATE_HZ;
        }
        note = (uint64_t)at;
        for (int v = 0; v < VOICES; v++) {
            phase[v] += step[v];
            x[i] += (float)fade * wave[(size_t)phase[v] % WAVE];
        }
    }
    *out_n = n;
    return x;
}

static void print_of(const float *x, size_t n, struct fingerprint *out)
{
    struct err e = {0};
    *out = (struct fingerprint){0};
    CHECK_OK(fingerprint_compute(x, n, RATE_HZ, 1, out, &e), &e);
}

static void known_song(uint64_t seed, struct fingerprint *out)
{
    size_t n;
    float *x = make_song(seed, 1, 1, 0, SONG_S, &n);
    print_of(x, n, out);
    mem_free(x);
}

static void compare(const struct fingerprint *known, const float *x, size_t n,
                    struct copy_match *out)
{
    struct err e = {0};
    struct copy_query q;
    CHECK_OK(copy_query_init(x, n, RATE_HZ, true, &q, &e), &e);
    copy_compare(known, &q, 1, out);
    copy_query_release(&q);
}

static void test_a_song_is_a_copy_of_itself(void)
{
    struct fingerprint known;
    struct copy_match m;
    size_t n;
    float *x = make_song(1, 1, 1, 0, SONG_S, &n);
    print_of(x, n, &known);
    CHECK(known.n_codes > 180 && known.n_codes < 220);
    compare(&known, x, n, &m);
    CHECK(m.evalue < 1e-100);
    CHECK(m.bit_error_rate == 0);
    CHECK(m.from_ms == 0 && m.query_from_ms == 0 && m.share > 0.98);
    CHECK(m.pitch_ratio == 1 && m.tempo_ratio == 1);
    fingerprint_release(&known);
    mem_free(x);
}

/* Cut to 5 s from second 7 on and changed: found, with the change and the place. */
static void test_shifted_and_cut(void)
{
    static const double TOLERANCE_MS = 450;       /* codes of 2 s at the edges of 5 s */
    static const double PITCH_TOLERANCE = 0.0045; /* a step of the search */
    static const struct {
        double pitch, tempo;
    } changes[] = {{1, 1},    {0.93, 0.93}, {1.075, 1.075}, {0.92, 1},
                   {1.06, 1}, {1, 0.925},   {1, 1.08},      {1.0803, 1.0803}};
    struct fingerprint known;
    known_song(2, &known);
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        struct copy_match m;
        size_t n;
        float *x = make_song(2, changes[i].pitch, changes[i].tempo, 7, 5, &n);
        compare(&known, x, n, &m);
        CHECK(m.evalue < 1e-6);
        CHECK(m.share > 0.85);
        CHECK_NEAR(m.pitch_ratio, changes[i].pitch, PITCH_TOLERANCE);
        CHECK_NEAR(m.tempo_ratio, changes[i].tempo, 0.05);
        CHECK_NEAR(m.from_ms, 7000, TOLERANCE_MS);
        CHECK_NEAR(m.to_ms, 7000 + 5000 * changes[i].tempo, TOLERANCE_MS);
        mem_free(x);
    }
    fingerprint_release(&known);
}

static void test_tempo_of_a_whole_copy(void)
{
    struct fingerprint known;
    struct copy_match m;
    size_t n;
    known_song(3, &known);
    float *x = make_song(3, 1, 0.95, 0, SONG_S / 0.95, &n);
    compare(&known, x, n, &m);
    CHECK(m.change == COPY_TEMPO);
    CHECK_NEAR(m.tempo_ratio, 0.95, 0.011);
    CHECK_NEAR(m.query_to_ms, SONG_S * 1000 / 0.95, 300);
    mem_free(x);
    x = make_song(3, 1.05, 1, 0, SONG_S, &n);
    compare(&known, x, n, &m);
    CHECK(m.change == COPY_PITCH);
    CHECK_NEAR(m.pitch_ratio, 1.05, 0.0045);
    mem_free(x);
    fingerprint_release(&known);
}

/* Beyond what is looked for it is not found, and that is no match by mistake. */
static void test_others_are_no_copies(void)
{
    struct fingerprint known;
    double worst = 1;
    known_song(4, &known);
    for (uint64_t seed = 100; seed < 106; seed++) {
        struct copy_match m;
        size_t n;
        float *x = make_song(seed, 1, 1, 0, 8, &n);
        compare(&known, x, n, &m);
        worst = fmin(worst, m.evalue);
        mem_free(x);
    }
    CHECK(worst > 1e-3);
    fingerprint_release(&known);
}

/* Both are silent for 8 s: that is nothing in common. Both hold a tone for 8 s: that is little,
 * where 8 s of a song are beyond doubt. */
static void test_silence_and_drones_say_little(void)
{
    enum { N = 10 * RATE_HZ };
    static const double least[] = {1e-3, 1e-5};
    for (int drone = 0; drone < 2; drone++) {
        struct fingerprint known;
        struct copy_match m;
        size_t n;
        float *a = mem_zalloc(N, sizeof *a), *b = mem_zalloc(N, sizeof *b);
        float *tail_a = make_song(5, 1, 1, 0, 2, &n), *tail_b = make_song(6, 1, 1, 0, 2, &n);
        for (size_t i = 0; i < N - n && drone; i++)
            a[i] = b[i] = 0.5f * sinf(0.05f * (float)i);
        memcpy(a + N - n, tail_a, n * sizeof *a);
        memcpy(b + N - n, tail_b, n * sizeof *b);
        print_of(a, N, &known);
        compare(&known, b, N, &m);
        CHECK(m.evalue > least[drone]);
        mem_free(a);
        mem_free(b);
        mem_free(tail_a);
        mem_free(tail_b);
        fingerprint_release(&known);
    }
}

static void test_nothing_to_go_by(void)
{
    struct err e = {0};
    struct fingerprint known, f = {0};
    struct copy_match m;
    float silence[RATE_HZ] = {0}, bad[RATE_HZ] = {0};
    known_song(7, &known);
    compare(&known, silence, RATE_HZ, &m);
    CHECK(m.score == 0 && m.evalue == 1 && m.share == 0);
    compare(&known, silence, 0, &m);
    CHECK(m.score == 0);
    bad[100] = NAN;
    CHECK(!fingerprint_compute(bad, RATE_HZ, RATE_HZ, 1, &f, &e));
    CHECK(e.kind == ERR_PERM);
    CHECK(!fingerprint_compute(silence, (size_t)7000 * RATE_HZ, RATE_HZ, 1, &f, &e));
    CHECK(strstr(e.msg, "7000 s of sound") != NULL);
    fingerprint_release(&known);
    fingerprint_release(&f);
}

/* Every instruction set and the plain loop find the 50 codes that were put there, one bit off. */
static void test_runs_do_not_depend_on_the_machine(void)
{
    enum { N = 700 };
    struct fingerprint a = {N, mem_alloc(N, 4)}, b = {N, mem_alloc(N, 4)};
    struct rng r;
    rng_init(&r, 8, 1, 0);
    for (size_t i = 0; i < N; i++) {
        a.codes[i] = (uint32_t)rng_below(&r, UINT32_MAX);
        b.codes[i] = (uint32_t)rng_below(&r, UINT32_MAX);
    }
    for (size_t i = 0; i < 50; i++)
        b.codes[30 + i] = a.codes[140 + i] ^ 1u << (i % 32);
    for (enum simd simd = SIMD_PLAIN; simd <= simd_best(); simd++) {
        struct copy_run run = {0};
        copy_best_run(simd, &a, &b, -N, N, &run);
        CHECK_U64(run.score, 50 * 7);
        CHECK_U64(run.a_at, 140);
        CHECK_U64(run.b_at, 30);
        CHECK_U64(run.n_codes, 50);
    }
    fingerprint_release(&a);
    fingerprint_release(&b);
}

/* Three songs among 400 of noise: a shifted and cut copy of the second is found there, and only it;
 * a song that is not in the catalogue finds nothing. */
static void test_search(void)
{
    enum { SONGS = 400, CODES = 300, AT = 123 };
    struct fingerprint prints[SONGS] = {0};
    const struct fingerprint *list[SONGS];
    struct copy_hit hits[COPY_HITS_MAX];
    struct copy_query query;
    struct err e = {0};
    struct rng r;
    size_t n, n_hits = 0;
    rng_init(&r, 9, 1, 0);
    for (size_t i = 0; i < SONGS; i++) {
        list[i] = &prints[i];
        if (i >= AT && i < AT + 3) {
            known_song(20 + i - AT, &prints[i]);
            continue;
        }
        prints[i] = (struct fingerprint){i % 50 == 0 ? 0 : CODES, mem_alloc(CODES, 4)};
        for (size_t k = 0; k < CODES; k++)
            prints[i].codes[k] = (uint32_t)rng_below(&r, UINT32_MAX);
    }
    float *x = make_song(21, 0.95, 0.95, 6, 5, &n);
    CHECK_OK(copy_query_init(x, n, RATE_HZ, true, &query, &e), &e);
    CHECK_OK(copy_search(list, SONGS, &query, 1e-3, 1, hits, &n_hits, &e), &e);
    CHECK_U64(n_hits, 1);
    CHECK_U64(hits[0].song, AT + 1);
    CHECK_NEAR(hits[0].match.from_ms, 6000, 450);
    CHECK_NEAR(hits[0].match.pitch_ratio, 0.95, 0.0045);
    /* A hundred songs that are it: the first ones, for any threads. */
    for (size_t i = 200; i < 300; i++)
        list[i] = &prints[AT + 1];
    for (unsigned threads = 1; threads <= 3; threads++) {
        CHECK_OK(copy_search(list, SONGS, &query, 1e-3, threads, hits, &n_hits, &e), &e);
        CHECK_U64(n_hits, COPY_HITS_MAX);
        CHECK_U64(hits[0].song, AT + 1);
        for (size_t i = 1; i < n_hits; i++)
            CHECK_U64(hits[i].song, 199 + i);
    }
    CHECK_OK(copy_search(list, 0, &query, 1e-3, 2, hits, &n_hits, &e), &e);
    CHECK_U64(n_hits, 0);
    copy_query_release(&query);
    mem_free(x);
    x = make_song(99, 1, 1, 0, 5, &n);
    CHECK_OK(copy_query_init(x, n, RATE_HZ, true, &query, &e), &e);
    CHECK_OK(copy_search(list, SONGS, &query, 1e-3, 2, hits, &n_hits, &e), &e);
    CHECK_U64(n_hits, 0);
    copy_query_release(&query);
    mem_free(x);
    for (size_t i = 0; i < SONGS; i++)
        fingerprint_release(&prints[i]);
}

/* By hand, where 30 s lie against 30 s: e times fewer for each 5 of the score; the same score is
 * rarer in a smaller area and where fewer takes were tried. */
static void test_evalue(void)
{
    CHECK_NEAR(copy_evalue(12.5, 302, 302, 101, 1), 1, 1e-12);
    CHECK_NEAR(copy_evalue(17.5, 302, 302, 101, 50), 50 * exp(-1), 1e-12);
    CHECK_NEAR(copy_evalue(12.5, 302, 302, 1, 1), exp(-0.48 * log(101)), 1e-12);
    CHECK(copy_evalue(40, 302, 33, 101, 1) < copy_evalue(40, 302, 302, 101, 1));
    /* Two whole recordings that have nothing to do with each other, 131 s and 60 s. */
    CHECK(copy_evalue(48, 1411, 641, 101, 1) > 0.015);
    CHECK(copy_evalue(120, 302, 33, 101, 50000) < 1e-4); /* a copy of 5 s, in 50,000 songs */
    CHECK(copy_evalue(120, 65536, 65536, 101, 1) < copy_evalue(110, 65536, 65536, 101, 1));
}

int main(void)
{
    fill_wave();
    RUN(test_a_song_is_a_copy_of_itself);
    RUN(test_shifted_and_cut);
    RUN(test_tempo_of_a_whole_copy);
    RUN(test_others_are_no_copies);
    RUN(test_silence_and_drones_say_little);
    RUN(test_nothing_to_go_by);
    RUN(test_runs_do_not_depend_on_the_machine);
    RUN(test_search);
    RUN(test_evalue);
    return test_done();
}
