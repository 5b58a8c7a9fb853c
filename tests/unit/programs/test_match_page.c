/* What is said of two songs, and the page: on made-up results, with names that would be markup. */
#include "base/mem.h"
#include "programs/match_page.h"
#include "tests/test.h"

#include <stdlib.h>

enum { SECONDS = 12, N = SECONDS * SEQUENCE_RATE_HZ, FRAMES = 80 };

static void test_evalue_text(void)
{
    static const struct {
        double evalue;
        const char *text;
    } cases[] = {{3.2e-7, "3e-7"}, {9.7e-5, "1e-4"}, {0.0123, "0.012"},
                 {0.5, "0.5"},     {1.44, "1.4"},    {12.4, "12"},
                 {1e-120, "0"},    {0, "0"},         {0.0099, "1e-2"}};
    char text[MATCH_TEXT_BYTES];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        CHECK_STR(match_evalue_text(cases[i].evalue, text), cases[i].text);
}

static void test_time_text(void)
{
    char text[MATCH_TEXT_BYTES];
    CHECK_STR(match_time_text(0, text), "0:00");
    CHECK_STR(match_time_text(47400, text), "0:47");
    CHECK_STR(match_time_text(59600, text), "1:00");
    CHECK_STR(match_time_text(3723000, text), "1:02:03");
}

static void test_change_text(void)
{
    char text[MATCH_TEXT_BYTES];
    struct copy_match m = {.pitch_ratio = 1, .tempo_ratio = 1};
    CHECK_STR(match_change_text(&m, text), "pitch and speed unchanged");
    m = (struct copy_match){.change = COPY_SPEED, .pitch_ratio = 1.041f, .tempo_ratio = 1.041f};
    CHECK_STR(match_change_text(&m, text), "played 4.1 % faster, pitch with it");
    m = (struct copy_match){.change = COPY_PITCH, .pitch_ratio = 0.93f, .tempo_ratio = 1};
    CHECK_STR(match_change_text(&m, text), "pitch shifted down by 7.0 %, tempo kept");
    m = (struct copy_match){.change = COPY_TEMPO, .pitch_ratio = 1, .tempo_ratio = 0.92f};
    CHECK_STR(match_change_text(&m, text), "played 8.0 % slower, pitch kept");
}

/* Two songs of noise with sequences of it, and one passage. */
static void make_song(struct match_song *s, const char *name, uint32_t seed)
{
    *s = (struct match_song){.path = name, .name = name, .len_ms = SECONDS * 1000};
    s->format = "MP3";
    s->rate_hz = 44100;
    s->n_channels = seed;
    s->n_bytes = 1234567;
    digest_sha256((struct span){(const uint8_t *)name, strlen(name)}, s->sha256);
    s->samples = mem_zalloc(N, sizeof *s->samples);
    s->n_samples = N;
    s->sequence.n_frames = FRAMES;
    s->sequence.levels = mem_zalloc((size_t)ASPECTS * FRAMES, SEQUENCE_CLASSES);
    for (size_t i = 0; i < N; i++) {
        seed = seed * 1664525u + 1013904223u;
        s->samples[i] = (float)(seed >> 8) / 16777216.0f - 0.5f;
    }
    for (size_t i = 0; i < (size_t)ASPECTS * FRAMES * SEQUENCE_CLASSES; i++)
        s->sequence.levels[i] = (uint8_t)(i * seed >> 27);
}

static void make_pair(struct match_pair *p, const char *name_a, const char *name_b)
{
    enum { CELLS = 30 };
    *p = (struct match_pair){.has_cover = true, .verdict = MATCH_BORROWED, .made_s = 1700000000};
    make_song(&p->a, name_a, 1);
    make_song(&p->b, name_b, 2);
    p->cover.evalue = 3e-7;
    p->cover.n_segments = 1;
    p->cover.segments[0] =
        (struct segment){1000, 6000, 2000, 6700, 2, 1.06f, MATCH_MELODY, 900, 3e-7};
    p->cover.path = mem_alloc(CELLS, sizeof *p->cover.path);
    for (uint16_t i = 0; i < CELLS; i++)
        p->cover.path[i] = (struct match_cell){(uint16_t)(7 + i), (uint16_t)(14 + i)};
    p->cover.n_path = p->cover.path_from[1] = CELLS;
    p->aspect_evalue[MATCH_MELODY] = 3e-7;
    p->aspect_evalue[MATCH_HARMONY] = INFINITY;
    p->copy = (struct copy_match){.evalue = 1, .pitch_ratio = 1, .tempo_ratio = 1};
}

static char *text_of(const struct match_pair *p, bool is_page, bool embed)
{
    char *text = NULL;
    size_t n;
    struct err e = {0};
    const struct match_page_params params = {.embed_audio = embed};
    FILE *out = open_memstream(&text, &n);
    if (is_page)
        CHECK_OK(match_page(p, &params, out, &e), &e);
    else
        match_pair_sentence(p, out);
    fclose(out);
    return text;
}

static void check_sentence(const struct match_pair *p, const char *want)
{
    char *text = text_of(p, false, false);
    CHECK_STR(text, want);
    free(text);
}

static void test_sentences(void)
{
    struct match_pair p;
    make_pair(&p, "a.mp3", "b.mp3");
    check_sentence(&p,
                   "A and B very likely share a passage: 0:01\u20130:06 in A is 0:02\u20130:07 in "
                   "B (melody); chance does that in one of 3 million pairs of unrelated songs.");
    p.verdict = MATCH_NOTHING;
    check_sentence(&p, "Nothing was found that two unrelated songs would not share.");
    p.likeness = (struct likeness){.asked = true,
                                   .known = true,
                                   .model = "songs/default",
                                   .from_ms = 4000,
                                   .clip_ms = 5000,
                                   .percentile = 96.14};
    check_sentence(&p,
                   "Nothing was found that two unrelated songs would not share. To the model "
                   "songs/default what is heard at 0:04\u20130:09 sounds more alike than 96.1 % "
                   "of its data set's pairs of songs.");
    p.likeness = (struct likeness){0};
    p.verdict = MATCH_SAME;
    p.same_bytes = true;
    check_sentence(&p, "A and B are the same file, byte for byte.");
    p.verdict = MATCH_COPY;
    p.copy = (struct copy_match){.change = COPY_SPEED,
                                 .pitch_ratio = 1.04f,
                                 .tempo_ratio = 1.04f,
                                 .from_ms = 3000,
                                 .to_ms = 8200,
                                 .query_from_ms = 0,
                                 .query_to_ms = 5000,
                                 .share = 5.0 / 12};
    check_sentence(&p, "42 % of B is a recording that A holds as well: 0:03\u20130:08 of A is "
                       "0:00\u20130:05 of B, played 4.0 % faster, pitch with it.");
    p.copy.share = 1;
    check_sentence(&p,
                   "B is a part of the recording A: 0:03\u20130:08 of A is 0:00\u20130:05 of B, "
                   "played 4.0 % faster, pitch with it.");
    match_pair_close(&p);
}

/* A version is what half of both songs is in; a phrase of A that comes three times in B is not. */
static void test_verdicts(void)
{
    struct match_pair p;
    make_pair(&p, "a", "b");
    const struct segment phrase = p.cover.segments[0];
    CHECK(match_verdict_of(&p) == MATCH_BORROWED); /* 4.7 s of 12 */
    for (size_t i = 1; i < 3; i++) {
        p.cover.segments[i] = phrase;
        p.cover.segments[i].b_from_ms = 6800 + 2600 * ((uint32_t)i - 1);
        p.cover.segments[i].b_to_ms = p.cover.segments[i].b_from_ms + 2600;
    }
    p.cover.n_segments = 3;
    CHECK(match_verdict_of(&p) == MATCH_BORROWED); /* 9.9 s of B, and still 5 s of A */
    p.cover.segments[1].a_from_ms = 6000;
    p.cover.segments[1].a_to_ms = 8600;
    CHECK(match_verdict_of(&p) == MATCH_VERSION); /* 7.6 s of A and 9.9 s of B */
    p.cover.segments[1].evalue = 0.5;
    CHECK(match_verdict_of(&p) == MATCH_BORROWED); /* what chance gives does not count */
    p.cover.evalue = 0.05;
    CHECK(match_verdict_of(&p) == MATCH_MAYBE);
    p.cover.evalue = 0.5;
    CHECK(match_verdict_of(&p) == MATCH_NOTHING);
    p.cover.n_segments = 1;
    match_pair_close(&p);
}

/* Nothing is called the same recording that chance gives once in five thousand pairs. */
static void test_unclaimed_copy(void)
{
    struct match_pair p;
    make_pair(&p, "a", "b");
    p.copy = (struct copy_match){.evalue = 2e-4,
                                 .score = 43,
                                 .pitch_ratio = 1,
                                 .tempo_ratio = 1,
                                 .from_ms = 1000,
                                 .to_ms = 3000,
                                 .query_to_ms = 2000,
                                 .share = 0.16};
    char *page = text_of(&p, true, false);
    CHECK(strstr(page, "E = 2e-4") != NULL && strstr(page, "not enough for a claim") != NULL);
    CHECK(strstr(page, "The same recording:") == NULL);
    free(page);
    p.cover.evalue = 0.5;
    CHECK(match_verdict_of(&p) == MATCH_MAYBE);
    p.copy.evalue = 1e-6;
    CHECK(match_verdict_of(&p) == MATCH_COPY);
    page = text_of(&p, true, false);
    CHECK(strstr(page, "not enough for a claim") == NULL);
    CHECK(strstr(page, "The same recording: 0:01\u20130:03 in A is 0:00\u20130:02 in B.") != NULL);
    free(page);
    match_pair_close(&p);
}

/* What a file is called must not become markup, and the page must say what it is. */
static void test_page(void)
{
    struct match_pair p;
    make_pair(&p, "<script>alert(1)</script>", "\"quoted\" & \xff.mp3");
    char *page = text_of(&p, true, false);
    CHECK(strstr(page, "Sounds like") == NULL); /* not asked for */
    CHECK(strstr(page, "<script") == NULL);     /* no player, so no script of ours either */
    CHECK(strstr(page, "&lt;script&gt;alert(1)&lt;/script&gt;") != NULL);
    CHECK(strstr(page, "&quot;quoted&quot; &amp; \xEF\xBF\xBD.mp3") != NULL);
    CHECK(strstr(page, match_disclaimer) != NULL);
    CHECK(strstr(page, "0:01\u20130:06</td><td>0:02\u20130:07</td>") != NULL);
    CHECK(strstr(page, "+2</td>") != NULL && strstr(page, "\u00d71.06</td>") != NULL);
    CHECK(strstr(page, "E = 3e-7") != NULL);
    CHECK(strstr(page, "class=\"path\"") != NULL && strstr(page, "class=\"mark\"") != NULL);
    CHECK(strstr(page, "</html>\n") != NULL);
    free(page);
    match_pair_close(&p);
}

/* What an expert asks first: which files, when, with what. */
static void test_provenance(void)
{
    struct match_pair p;
    make_pair(&p, "abc", "");
    char *page = text_of(&p, true, false);
    CHECK(strstr(page, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad") != NULL);
    CHECK(strstr(page, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855") != NULL);
    CHECK(strstr(page, "<td>1 234 567 bytes</td>") != NULL);
    CHECK(strstr(page, "<td>12.000 s</td>") != NULL);
    CHECK(strstr(page, "<td>MP3, 44100 Hz, 1 channel</td><td>MP3, 44100 Hz, 2 channels</td>") !=
          NULL);
    CHECK(strstr(page, "Analysed on 2023-11-14T22:13:20Z by refrain " REFRAIN_VERSION) != NULL);
    CHECK(strstr(page, "Law of chance: shipped with the program") != NULL);
    char *again = text_of(&p, true, false);
    CHECK_STR(page, again);
    free(again);
    free(page);
    match_pair_close(&p);
}

static void test_page_without_sequences(void)
{
    struct match_pair p;
    make_pair(&p, "a", "b");
    match_release(&p.cover);
    p.has_cover = false;
    p.verdict = MATCH_NOTHING;
    snprintf(p.b.no_sequence, sizeof p.b.no_sequence, "3.0 s of sound; a comparison needs 5 s");
    char *page = text_of(&p, true, false);
    CHECK(strstr(page, "3.0 s of sound; a comparison needs 5 s") != NULL);
    CHECK(strstr(page, "similarity matrix with") == NULL);
    free(page);
    match_pair_close(&p);
}

static void test_audio_that_is_gone(void)
{
    struct match_pair p;
    struct err e = {0};
    const struct match_page_params params = {.embed_audio = true};
    make_pair(&p, "/nonexistent/a.mp3", "/nonexistent/b.mp3");
    CHECK(!match_page_write("/nonexistent/page.html", &p, &params, &e));
    CHECK(strstr(e.msg, "embedding /nonexistent/a.mp3") != NULL);
    match_pair_close(&p);
}

int main(void)
{
    RUN(test_evalue_text);
    RUN(test_time_text);
    RUN(test_change_text);
    RUN(test_sentences);
    RUN(test_verdicts);
    RUN(test_unclaimed_copy);
    RUN(test_page);
    RUN(test_provenance);
    RUN(test_page_without_sequences);
    RUN(test_audio_that_is_gone);
    return test_done();
}
