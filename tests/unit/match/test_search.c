#include "match/compare.h"
#include "match/search.h"
#include "tests/test.h"
#include "tests/unit/match/songs.h"

#include <stdlib.h>
#include <unistd.h>

enum { SONGS = 40, FRAMES = 144 };

static char dir[] = "/tmp/refrain-test-XXXXXX";

/* Song 31 borrows 60 frames of song 3; everything else is made up by itself. */
static void write_library(void)
{
    struct err e = {0};
    char path[PATH_BYTES];
    struct store_recipe recipe;
    struct store_writer *w = NULL;
    const struct store_writer_params params = {
        .map_bytes = 64 << 20, .commit_clips = 256, .commit_bytes = 1 << 20, .commit_ns = 1};
    struct record_encoder *encoder = record_encoder_new(RECORD_U8, 3);
    struct buf record;
    buf_init(&record, RECORD_MAX_BYTES);
    library_recipe(&recipe);
    CHECK_OK(library_path(path, dir, &e), &e);
    CHECK_OK(store_writer_open(path, &recipe, &params, &w, &e), &e);
    for (uint64_t i = 0; i < SONGS; i++) {
        char id[16];
        bool added;
        struct sequence s = song_make(i + 1, FRAMES + (uint32_t)i),
                        source = song_make(4, FRAMES + 3);
        if (i == 31)
            song_borrow(&source, 40, &s, 70, 60, 9, 1, 1);
        snprintf(id, sizeof id, "T%llu", (unsigned long long)i);
        CHECK_OK(library_encode(encoder, &s, i, &record, &e), &e);
        const struct store_view view = {store_key(i + 100, 0, 0), buf_span(&record), ""};
        const struct store_track track = {i + 100, id, i, &view, 1};
        CHECK_OK(store_put_track(w, &track, 0, &added, &e), &e);
        sequence_release(&s);
        sequence_release(&source);
    }
    CHECK_OK(store_commit(w, &e), &e);
    store_writer_close(w);
    record_encoder_free(encoder);
    buf_release(&record);
}

static void test_library(void)
{
    struct err e = {0};
    struct library l;
    CHECK(!library_open(dir, &l, &e));
    CHECK_U64(e.kind, ERR_USAGE);
    CHECK(strstr(e.msg, "--sequences") != NULL);
    write_library();
    CHECK_OK(library_open(dir, &l, &e), &e);
    CHECK_U64(l.n_songs, SONGS);
    struct sequence want = song_make(6, FRAMES + 5);
    const struct library_song *song = library_find(&l, "T5");
    CHECK(song != NULL && song == library_find(&l, "105") && song->row == 105);
    CHECK(song != NULL && song->sequence.n_frames == want.n_frames &&
          memcmp(song->sequence.levels, want.levels,
                 (size_t)ASPECTS * want.n_frames * SEQUENCE_CLASSES) == 0);
    CHECK(library_find(&l, "T40") == NULL);
    sequence_release(&want);
    library_close(&l);
}

/* The same whatever the threads; kept in a file; not believed when a bit of it is wrong. */
static void test_cohort(void)
{
    struct err e = {0};
    struct library l;
    struct cohort one, four, kept, again;
    char path[PATH_BYTES];
    CHECK_OK(library_open(dir, &l, &e), &e);
    CHECK_OK(cohort_make(&l, 1, 1, NULL, NULL, &one, &e), &e);
    CHECK_OK(cohort_make(&l, 1, 4, NULL, NULL, &four, &e), &e);
    CHECK_OK(cohort_open(dir, &l, 1, 2, NULL, NULL, &kept, &e), &e);
    CHECK(memcmp(&one.null, &four.null, sizeof one.null) == 0);
    CHECK(memcmp(one.excess, four.excess, SONGS * sizeof *one.excess) == 0);
    CHECK(one.null.n_pairs > 1000);
    CHECK_OK(path_join(path, dir, "sequences.null", &e), &e);
    FILE *f = fopen(path, "r+b");
    CHECK(f != NULL && fseek(f, -2, SEEK_END) == 0 && fputc(0x55, f) == 0x55 && fclose(f) == 0);
    CHECK_OK(cohort_open(dir, &l, 1, 2, NULL, NULL, &again, &e), &e);
    CHECK(memcmp(kept.excess, again.excess, SONGS * sizeof *kept.excess) == 0);
    cohort_release(&one);
    cohort_release(&four);
    cohort_release(&kept);
    cohort_release(&again);
    library_close(&l);
}

static void test_search(void)
{
    struct err e = {0};
    struct library l;
    struct cohort c;
    struct search s;
    struct search_hit hits[SONGS];
    uint32_t kept[SONGS];
    size_t n = 0;
    CHECK_OK(library_open(dir, &l, &e), &e);
    CHECK_OK(cohort_open(dir, &l, 1, 2, NULL, NULL, &c, &e), &e);
    s = (struct search){&l, &c};
    const struct search_query q = {&l.songs[31].sequence, 31, 3, true};
    CHECK_OK(search_run(&s, &q, SONGS, hits, &n, &e), &e);
    CHECK_U64(n, SONGS - 1);
    CHECK_U64(hits[0].song_i, 3);
    CHECK_U64(hits[0].rotation, 3); /* nine up is three down, seen from the borrower */
    CHECK(hits[0].evalue < 0.01 && hits[0].qvalue < 0.01);
    CHECK(hits[1].evalue > 0.05);
    CHECK_OK(search_first_pass(&s, &q, kept, &n, &e), &e);
    CHECK_U64(n, SONGS);
    cohort_release(&c);
    library_close(&l);
}

/* What is mapped is what was decoded; what is damaged is named when it is used, and a file of
 * another library is not believed. */
static void test_map(void)
{
    struct err e = {0};
    struct library l, mapped;
    struct cohort c;
    struct search_hit hits[SONGS];
    size_t n = 0;
    char path[PATH_BYTES];
    CHECK_OK(path_join(path, dir, "sequences.map", &e), &e);
    CHECK(unlink(path) == 0);
    CHECK_OK(library_open(dir, &l, &e), &e);
    CHECK_OK(library_open(dir, &mapped, &e), &e);
    CHECK(l.map != NULL && mapped.map != NULL && mapped.n_songs == SONGS);
    for (size_t i = 0; i < SONGS; i++) {
        struct sequence want = song_make(i + 1, FRAMES + (uint32_t)i);
        const struct library_song *song = &mapped.songs[i];
        CHECK_OK(library_check_song(&mapped, i, &e), &e);
        CHECK(song->row == i + 100 && song->sequence.n_frames == want.n_frames);
        CHECK(i == 31 || memcmp(song->sequence.levels, want.levels,
                                (size_t)ASPECTS * want.n_frames * SEQUENCE_CLASSES) == 0);
        sequence_release(&want);
    }
    CHECK_OK(cohort_open(dir, &l, 1, 2, NULL, NULL, &c, &e), &e);
    const struct search s = {&l, &c};
    const struct search_query q = {&l.songs[31].sequence, 31, 2, true};
    FILE *f = fopen(path, "r+b");
    const long at = (long)(l.songs[9].sequence.levels + 500 - (uint8_t *)l.map);
    CHECK(f != NULL && fseek(f, at, SEEK_SET) == 0 && fputc(0x7e, f) == 0x7e && fclose(f) == 0);
    CHECK(!search_run(&s, &q, SONGS, hits, &n, &e));
    CHECK(strstr(e.msg, "damaged at track T9") != NULL);
    cohort_release(&c);
    library_close(&mapped);
    library_close(&l);
    f = fopen(path, "r+b");
    CHECK(f != NULL && fseek(f, 100, SEEK_SET) == 0 && fputc(0x55, f) == 0x55 && fclose(f) == 0);
    CHECK_OK(library_open(dir, &l, &e), &e); /* made again */
    CHECK_OK(library_check_song(&l, 9, &e), &e);
    library_close(&l);
}

/* Of a library larger than the sample excesses are learnt when they are needed, and what has been
 * learnt before changes no result. */
static void test_large(void)
{
    enum { LARGE = COHORT_SAMPLE + 60, SHORT = 27, TOP = 5 };
    struct err e = {0};
    struct library l = {.n_songs = LARGE, .songs = mem_zalloc(LARGE, sizeof *l.songs)};
    struct cohort c;
    struct search_hit first[TOP], again[TOP];
    static uint32_t one[LARGE], three[LARGE];
    size_t n = 0, n_known = 0;
    for (size_t i = 0; i < LARGE; i++)
        l.songs[i].sequence = song_make(i + 1, SHORT + (uint32_t)(i % 5));
    song_borrow(&l.songs[5].sequence, 2, &l.songs[1000].sequence, 2, 25, 2, 1, 1);
    library_make_coarse(&l);
    CHECK_OK(cohort_make(&l, 1, 4, NULL, NULL, &c, &e), &e);
    CHECK(c.evalue_factor > 1 && c.evalue_factor < 2);
    for (size_t i = 0; i < LARGE; i++)
        n_known += isnan(c.excess[i]) ? 0 : 1;
    CHECK_U64(n_known, COHORT_SAMPLE);
    const struct search s = {&l, &c};
    const struct search_query q = {&l.songs[5].sequence, 5, 1, true};
    CHECK_OK(search_run(&s, &q, TOP, first, &n, &e), &e);
    CHECK(n == TOP && first[0].song_i == 1000 && first[0].evalue < 0.1 && first[1].evalue > 1);
    CHECK(c.is_new);
    for (uint32_t i = 0; i < LARGE; i += 3)
        CHECK_OK(cohort_learn(&c, &l, &i, 1, 1, &e), &e);
    CHECK_OK(search_run(&s, &q, TOP, again, &n, &e), &e);
    CHECK(memcmp(first, again, sizeof first) == 0);
    const struct search_query threads = {&l.songs[5].sequence, 5, 3, false};
    CHECK_OK(search_first_pass(&s, &q, one, &n, &e), &e);
    CHECK_OK(search_first_pass(&s, &threads, three, &n, &e), &e);
    CHECK(n == SEARCH_KEPT_MIN && memcmp(one, three, n * sizeof *one) == 0);
    cohort_release(&c);
    library_close(&l);
}

static void test_compare(void)
{
    struct err e = {0};
    struct match m = {0};
    struct sequence a = song_make(4, FRAMES + 3), b = song_make(32, FRAMES + 31);
    song_borrow(&a, 40, &b, 70, 60, 9, 1, 1);
    CHECK_OK(match_compare(&a, &b, &null_model_default, 1, &m, &e), &e);
    CHECK(m.n_segments >= 1 && m.evalue < 1e-5);
    if (m.n_segments >= 1) {
        CHECK_U64(m.segments[0].shift_semitones, -3);
        CHECK_NEAR(m.segments[0].tempo_ratio, 1, 0.1);
        CHECK_NEAR(m.segments[0].a_from_ms, (double)sequence_ms(40), 1500);
        CHECK_NEAR(m.segments[0].b_from_ms, (double)sequence_ms(70), 1500);
        CHECK(m.path_from[1] > 30 && m.path_from[1] <= m.n_path);
    }
    match_release(&m);
    sequence_release(&a);
    sequence_release(&b);
}

int main(void)
{
    if (mkdtemp(dir) == NULL)
        return 1;
    RUN(test_library);
    RUN(test_cohort);
    RUN(test_search);
    RUN(test_map);
    RUN(test_large);
    RUN(test_compare);
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) != 0 || test_done() != 0;
}
