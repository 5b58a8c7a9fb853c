#include "base/mem.h"
#include "base/rng.h"
#include "match/significance.h"
#include "tests/test.h"
#include "tests/unit/match/songs.h"

#include <stdlib.h>

enum { RNG_TEST_GUMBEL = 0x67756d62 };

/* Draws of a law give it back, also with a hundredth of relatives among them. */
static void test_fit(void)
{
    enum { N = 20000 };
    const double shape = 0.1;
    double *levels = mem_alloc(N, sizeof *levels);
    struct null_law law = {.shape = shape, .growth = 0.2};
    struct rng r;
    rng_init(&r, 1, RNG_TEST_GUMBEL, 0);
    for (size_t i = 0; i < N; i++) {
        double below = rng_uniform(&r) * 0.999999 + 5e-7;
        levels[i] = i % 100 == 0 ? 3000 : 256 + 32 / shape * (pow(-log(below), -shape) - 1);
    }
    CHECK(null_law_fit(levels, N, &law));
    CHECK_NEAR(law.location, 256, 2); /* standard errors are 0.5; relatives take some */
    CHECK_NEAR(law.scale, 32, 3);
    CHECK(law.shape == shape && law.growth == 0.2);
    CHECK(!null_law_fit(levels, NULL_PAIRS_MIN - 1, &law));
    for (size_t i = 0; i < N; i++)
        levels[i] = 7;
    CHECK(!null_law_fit(levels, N, &law));
    mem_free(levels);
}

static void test_evalues(void)
{
    const struct null_model m = {.laws = {[ALIGN_MELODY] = {256, 32, 0.125, 0.25, 0, 1}}};
    const struct null_law *law = &m.laws[ALIGN_MELODY];
    /* By hand: at the location P = 1 - exp(-1); eight scales above it 1 - exp(-2^-8). */
    CHECK_NEAR(null_law_chance(law, 256, NULL_FRAMES, NULL_FRAMES), 0.63212055882855767, 1e-12);
    CHECK_NEAR(null_model_evalue(&m, ALIGN_MELODY, 256 + 8 * 32, NULL_FRAMES, NULL_FRAMES, 50),
               50 * 3.8986305299e-3, 1e-9);
    CHECK(null_law_chance(law, 0, NULL_FRAMES, NULL_FRAMES) == 1); /* below all that there is */
    /* Sixteen times the area: half the level. A score's P is larger there, and score and chance are
     * inverses. */
    const size_t longer = (NULL_FRAMES - ALIGN_STACK + 1) * 16 + ALIGN_STACK - 1;
    CHECK_NEAR(null_law_level(law, 500, longer, NULL_FRAMES), 250, 1e-9);
    CHECK(null_law_chance(law, 400, 800, 800) > null_law_chance(law, 400, 200, 200));
    for (double chance = 1e-12; chance < 0.5; chance *= 10)
        CHECK_NEAR(null_law_chance(law, null_law_score(law, chance, 300, 100), 300, 100) / chance,
                   1, 1e-9);
}

/* What two parts of a law say together, and back; far out the commonplaces remain. */
static void test_commonplaces(void)
{
    const struct null_law plain = {256, 32, 0.125, 0.25, 0, 1};
    struct null_law law = plain;
    law.share = 0.002;
    law.reach = 6;
    for (double level = 100; level < 4000; level *= 1.5) {
        double general = null_law_chance_of_level(&plain, level);
        double common = level > 256 ? 0.002 * exp(-(level - 256) / 192) : 0.002;
        double both = general + common - general * common;
        CHECK_NEAR(null_law_chance_of_level(&law, level) / both, 1, 1e-9);
    }
    for (double chance = 1e-12; chance < 0.5; chance *= 10)
        CHECK_NEAR(null_law_chance(&law, null_law_score(&law, chance, 300, 100), 300, 100) / chance,
                   1, 1e-9);
}

static void test_qvalues(void)
{
    const double evalues[] = {0.001, 0.5, 0.6, 8};
    double q[4];
    significance_qvalues(evalues, 4, q);
    CHECK_NEAR(q[0], 0.001, 1e-15);
    CHECK_NEAR(q[1], 0.2, 1e-15); /* of the third, which is better */
    CHECK_NEAR(q[2], 0.2, 1e-15);
    CHECK_NEAR(q[3], 1, 1e-15); /* never above 1 */
}

/* The law of songs that are not these: fitted on one half of made-up songs, it must say of the
 * other how many are as good by chance, within the factor of two that docs/MATCH.md promises. */
static void test_calibration(void)
{
    enum { SONGS = 64, FRAMES = 160 };
    struct sequence songs[SONGS];
    double fit[SONGS * SONGS], other[SONGS * SONGS];
    size_t n_fit = 0, n_other = 0;
    struct aligner *al = aligner_new(simd_best());
    struct null_law law = null_model_default.laws[ALIGN_MELODY];
    for (size_t i = 0; i < SONGS; i++)
        songs[i] = song_make(1000 + i, FRAMES);
    for (size_t i = 0; i < SONGS; i++) {
        struct align_side a = align_side_of(&songs[i], 0, FRAMES);
        aligner_set_a(al, &a);
        for (size_t k = 0; k < i; k++) {
            struct align_side b = align_side_of(&songs[k], 0, FRAMES);
            struct align_end ends[ALIGN_MODES];
            aligner_score(al, &b, ALIGN_ONLY_MELODY, 0x111, ends);
            if ((i + k) % 2 == 0)
                fit[n_fit++] = ends[ALIGN_MELODY].score;
            else
                other[n_other++] = ends[ALIGN_MELODY].score;
        }
    }
    CHECK(null_law_fit(fit, n_fit, &law));
    for (double chance = 0.01; chance < 0.5; chance *= 3) {
        size_t hits = 0;
        for (size_t i = 0; i < n_other; i++)
            hits += null_law_chance_of_level(&law, other[i]) <= chance;
        double ratio = (double)hits / (double)n_other / chance;
        CHECK(ratio > 0.5 && ratio < 2);
    }
    for (size_t i = 0; i < SONGS; i++)
        sequence_release(&songs[i]);
    aligner_free(al);
}

int main(void)
{
    RUN(test_fit);
    RUN(test_evalues);
    RUN(test_commonplaces);
    RUN(test_qvalues);
    RUN(test_calibration);
    return test_done();
}
