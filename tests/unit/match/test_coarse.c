#include "match/coarse.h"
#include "tests/test.h"
#include "tests/unit/match/songs.h"

enum { SONGS = 50, QUERY = 215 };

struct groups {
    struct sequence songs[SONGS];
    uint32_t n_frames[SONGS];
    struct coarse_plan plan;
    uint8_t *levels;
};

/* Of all lengths that come in groups, and one song that is too long for one. */
static void groups_make(struct groups *g)
{
    uint8_t frames[COARSE_FRAMES_MAX * SEQUENCE_CLASSES];
    for (uint32_t i = 0; i < SONGS; i++) {
        g->n_frames[i] = i == 20 ? 400 : i < 20 ? 215 : 35 + 7 * i;
        g->songs[i] = song_make(i + 1, g->n_frames[i]);
    }
    coarse_plan_init(&g->plan, g->n_frames, SONGS);
    g->levels = mem_zalloc(g->plan.levels_bytes, 1);
    for (size_t i = 0; i < g->plan.n_groups; i++)
        for (size_t k = 0; k < g->plan.groups[i].n_songs; k++) {
            coarse_make(&g->songs[g->plan.groups[i].songs[k]], frames);
            coarse_group_put(&g->plan.groups[i], k, frames,
                             g->levels + g->plan.groups[i].levels_at);
        }
}

static void groups_release(struct groups *g)
{
    for (size_t i = 0; i < SONGS; i++)
        sequence_release(&g->songs[i]);
    coarse_plan_release(&g->plan);
    mem_free(g->levels);
}

static void score_all(const struct groups *g, enum simd simd, const uint8_t *query, uint32_t n,
                      int16_t out[SONGS])
{
    struct coarse_scorer *s = coarse_scorer_new(simd);
    coarse_scorer_set_query(s, query, n);
    for (size_t i = 0; i < g->plan.n_groups; i++) {
        const struct coarse_group *group = &g->plan.groups[i];
        int16_t scores[COARSE_SONGS];
        coarse_scorer_run(s, group, g->levels + group->levels_at, scores);
        for (size_t k = 0; k < group->n_songs; k++)
            out[group->songs[k]] = scores[k];
        for (size_t k = group->n_songs; k < COARSE_SONGS; k++)
            CHECK_U64(scores[k], 0);
    }
    coarse_scorer_free(s);
}

static void test_plan(void)
{
    static struct groups g;
    bool seen[SONGS] = {false};
    groups_make(&g);
    CHECK_U64(g.plan.n_groups, 2);
    CHECK_U64(g.plan.n_singles, 1);
    CHECK_U64(g.plan.singles[0], 20);
    for (size_t i = 0; i < g.plan.n_groups; i++)
        for (size_t k = 0; k < g.plan.groups[i].n_songs; k++) {
            uint32_t song = g.plan.groups[i].songs[k];
            CHECK(!seen[song] && song != 20);
            CHECK_U64(g.plan.groups[i].n_frames[k], g.n_frames[song] / COARSE_POOL);
            seen[song] = true;
        }
    groups_release(&g);
}

/* Many songs at once, at every width, as each of them alone by the aligner: its deviations are
 * doubles, so that a cell may be one unit off in a hundred thousand. */
enum { FLOAT_UNITS = 2 };

static void test_scores(void)
{
    static struct groups g;
    static int16_t scores[SIMD_LEVELS][SONGS];
    groups_make(&g);
    static const uint32_t lengths[] = {23, 87, 151, QUERY, COARSE_QUERY_MAX * COARSE_POOL};
    for (size_t at = 0; at < ARRAY_LEN(lengths); at++) {
        const uint32_t n = lengths[at];
        struct sequence q = song_make(1000 + n, n);
        struct sequence coarse = {.n_frames = coarse_frames(n)};
        coarse.levels = mem_zalloc((size_t)ASPECTS * coarse.n_frames, SEQUENCE_CLASSES);
        if (n >= QUERY)
            song_borrow(&g.songs[7], 50, &q, 90, 80, 4, 1, 1);
        uint8_t *melody = coarse.levels + (size_t)coarse.n_frames * SEQUENCE_CLASSES;
        coarse_make(&q, melody);
        for (size_t simd = 0; simd <= (size_t)simd_best(); simd++) {
            score_all(&g, (enum simd)simd, melody, coarse.n_frames, scores[simd]);
            CHECK(memcmp(scores[simd], scores[0], sizeof scores[0]) == 0);
        }
        CHECK(n < QUERY || scores[0][7] > 400);
        struct aligner *al = aligner_new(simd_best());
        struct align_side a = align_side_of(&coarse, 0, coarse.n_frames);
        aligner_set_a(al, &a);
        for (size_t i = 0; i < SONGS; i++) {
            struct sequence song = {.n_frames = coarse_frames(g.n_frames[i])};
            struct align_end ends[ALIGN_MODES];
            song.levels = mem_zalloc((size_t)ASPECTS * song.n_frames, SEQUENCE_CLASSES);
            coarse_make(&g.songs[i], song.levels + (size_t)song.n_frames * SEQUENCE_CLASSES);
            struct align_side b = align_side_of(&song, 0, song.n_frames);
            aligner_score(al, &b, ALIGN_ONLY_MELODY, ALIGN_ROTATIONS, ends);
            if (i != 20)
                CHECK_NEAR(scores[0][i], ends[ALIGN_MELODY].score, FLOAT_UNITS);
            sequence_release(&song);
        }
        aligner_free(al);
        sequence_release(&coarse);
        sequence_release(&q);
    }
    groups_release(&g);
}

/* The longest of both sides. */
static void test_limits(void)
{
    struct sequence s = song_make(5, COARSE_FRAMES_MAX * COARSE_POOL);
    const uint32_t n_frames = s.n_frames;
    struct coarse_plan plan;
    uint8_t frames[COARSE_FRAMES_MAX * SEQUENCE_CLASSES];
    int16_t scores[COARSE_SONGS];
    CHECK(coarse_is_grouped(n_frames) && !coarse_is_grouped(n_frames + COARSE_POOL));
    CHECK(coarse_meets_groups(COARSE_QUERY_MAX * COARSE_POOL) &&
          !coarse_meets_groups((COARSE_QUERY_MAX + 1) * COARSE_POOL));
    CHECK(coarse_is_grouped(SEQUENCE_FRAMES_MIN) && !coarse_is_grouped(COARSE_POOL));
    coarse_plan_init(&plan, &n_frames, 1);
    uint8_t *levels = mem_zalloc(plan.levels_bytes, 1);
    coarse_make(&s, frames);
    coarse_group_put(&plan.groups[0], 0, frames, levels);
    struct coarse_scorer *scorer = coarse_scorer_new(simd_best());
    coarse_scorer_set_query(scorer, frames, COARSE_FRAMES_MAX);
    coarse_scorer_run(scorer, &plan.groups[0], levels, scores);
    CHECK(scores[0] > 1000 && scores[0] <= 24 * COARSE_FRAMES_MAX);
    coarse_scorer_free(scorer);
    mem_free(levels);
    coarse_plan_release(&plan);
    sequence_release(&s);
}

int main(void)
{
    RUN(test_plan);
    RUN(test_scores);
    RUN(test_limits);
    return test_done();
}
