#include "match/align.h"
#include "tests/test.h"
#include "tests/unit/match/songs.h"

#include <stdlib.h>

/* The scores again, cell by cell in floating point: what align.c does in whole numbers. */
enum { REFERENCE_MAX = 256 };

static double reference_stack(const struct sequence *a, const struct sequence *b, size_t i,
                              size_t j, unsigned rotation)
{
    double sum = 0;
    for (size_t k = 0; k < ALIGN_STACK; k++) {
        int32_t product = 0;
        for (size_t c = 0; c < SEQUENCE_CLASSES; c++)
            product +=
                sequence_aspect(a, ASPECT_MELODY)[(i + k) * SEQUENCE_CLASSES + c] *
                sequence_aspect(
                    b,
                    ASPECT_MELODY)[(j + k) * SEQUENCE_CLASSES + (c + rotation) % SEQUENCE_CLASSES];
        sum += product >> 5;
    }
    return sum;
}

static double reference_score(const struct sequence *a, const struct sequence *b, unsigned rotation)
{
    static double cell[REFERENCE_MAX][REFERENCE_MAX], score[REFERENCE_MAX + 2][REFERENCE_MAX + 2];
    size_t n = align_stacks(a->n_frames), m = align_stacks(b->n_frames);
    double row[REFERENCE_MAX][2] = {{0}}, column[REFERENCE_MAX][2] = {{0}}, best = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m; j++) {
            double x = cell[i][j] = reference_stack(a, b, i, j, rotation);
            row[i][0] += x;
            row[i][1] += x * x;
            column[j][0] += x;
            column[j][1] += x * x;
        }
    memset(score, 0, sizeof score);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m; j++) {
            double rm = row[i][0] / (double)m, cm = column[j][0] / (double)n;
            double rd = sqrt(fmax(3600, row[i][1] / (double)m - rm * rm));
            double cd = sqrt(fmax(3600, column[j][1] / (double)n - cm * cm));
            double z = 16 * fmin((cell[i][j] - rm) / rd, (cell[i][j] - cm) / cd) - 24;
            double from = fmax(score[i + 1][j + 1], fmax(score[i + 1][j], score[i][j + 1]) - 5);
            score[i + 2][j + 2] = fmax(0, from + fmax(-24, fmin(24, z)));
            best = fmax(best, score[i + 2][j + 2]);
        }
    return best;
}

static void score_both(struct aligner *al, const struct sequence *a, const struct sequence *b,
                       unsigned rotations, struct align_end out[ALIGN_MODES])
{
    struct align_side sa = align_side_of(a, 0, a->n_frames), sb = align_side_of(b, 0, b->n_frames);
    aligner_set_a(al, &sa);
    aligner_score(al, &sb, ALIGN_ALL, rotations, out);
}

/* Whole numbers are rounded down: a cell may be one unit less, a path of 100 cells 100. */
static void test_reference(void)
{
    struct aligner *al = aligner_new(simd_best());
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct sequence a = song_make(seed, 120),
                        b = song_make(seed + 100, 90 + 7 * (uint32_t)seed);
        struct align_end ends[ALIGN_MODES];
        song_borrow(&a, 20, &b, 30, 40, 3, 1, 1);
        for (unsigned r = 0; r < SEQUENCE_CLASSES; r += 3) {
            score_both(al, &a, &b, 1U << r, ends);
            double want = reference_score(&a, &b, r);
            CHECK_NEAR(ends[ALIGN_MELODY].score, want, 60);
        }
        CHECK(reference_score(&a, &b, 3) > 600);
        sequence_release(&a);
        sequence_release(&b);
    }
    aligner_free(al);
}

static void test_same_bits_at_every_width(void)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct sequence a = song_make(seed, 36 + 41 * (uint32_t)seed);
        struct sequence b = song_make(seed + 50, 300 - 31 * (uint32_t)seed);
        struct align_end ends[SIMD_LEVELS][ALIGN_MODES];
        for (size_t simd = 0; simd <= (size_t)simd_best(); simd++) {
            struct aligner *al = aligner_new((enum simd)simd);
            score_both(al, &a, &b, ALIGN_ROTATIONS, ends[simd]);
            aligner_free(al);
            CHECK(memcmp(ends[simd], ends[0], sizeof ends[0]) == 0);
        }
        sequence_release(&a);
        sequence_release(&b);
    }
}

/* A passage of 60 frames, 5 semitones up and a sixth faster, in its place. Chance may carry a path
 * on for a few notes: up to 3 s. */
enum { CARRIED_ON = 20 };

static void test_passage(void)
{
    struct sequence a = song_make(7, 216), b = song_make(8, 216);
    struct align_path paths[2];
    struct align_end ends[ALIGN_MODES];
    struct aligner *al = aligner_new(simd_best());
    song_borrow(&a, 100, &b, 40, 60, 5, 7, 6);
    score_both(al, &a, &b, ALIGN_ROTATIONS, ends);
    CHECK_U64(ends[ALIGN_MELODY].rotation, 5);
    struct align_side sb = align_side_of(&b, 0, b.n_frames);
    size_t n = aligner_trace(al, &sb, ALIGN_MELODY, 5, 300, 2, paths);
    CHECK(n >= 1 && paths[0].end.score == ends[ALIGN_MELODY].score);
    if (n >= 1) {
        const struct align_cell *first = &paths[0].cells[0];
        const struct align_cell *last = &paths[0].cells[paths[0].n_cells - 1];
        CHECK_NEAR(first->a, 100, 8);
        CHECK_NEAR(first->b, 40, 8);
        CHECK_NEAR(last->a + ALIGN_STACK, 170, CARRIED_ON);
        CHECK_NEAR(last->b + ALIGN_STACK, 100, CARRIED_ON);
        CHECK(paths[0].aspect_score[ASPECT_MELODY] > 300);
        for (size_t i = 1; i < paths[0].n_cells; i++) {
            int da = paths[0].cells[i].a - paths[0].cells[i - 1].a;
            int db = paths[0].cells[i].b - paths[0].cells[i - 1].b;
            CHECK(da >= 1 && da <= 2 && db >= 1 && db <= 2 && da + db <= 3);
        }
    }
    aligner_free(al);
    sequence_release(&a);
    sequence_release(&b);
}

/* Two passages far from each other are two paths, and neither is found again. */
static void test_two_passages(void)
{
    struct sequence a = song_make(17, 300), b = song_make(18, 300);
    struct align_path paths[ALIGN_PATHS_MAX];
    struct aligner *al = aligner_new(simd_best());
    song_borrow(&a, 20, &b, 200, 60, 2, 1, 1);
    song_borrow(&a, 200, &b, 30, 50, 2, 1, 1);
    struct align_side sa = align_side_of(&a, 0, a.n_frames), sb = align_side_of(&b, 0, b.n_frames);
    aligner_set_a(al, &sa);
    size_t n = aligner_trace(al, &sb, ALIGN_MELODY, 2, 600, ALIGN_PATHS_MAX, paths);
    CHECK_U64(n, 2);
    CHECK(n == 2 && paths[0].cells[0].b > 180 && paths[1].cells[0].b < 60);
    aligner_free(al);
    sequence_release(&a);
    sequence_release(&b);
}

static void test_silence_stands_out_nowhere(void)
{
    struct sequence a = song_make(1, 100), b = song_make(2, 100);
    struct align_end ends[ALIGN_MODES];
    struct aligner *al = aligner_new(simd_best());
    memset(a.levels, 0, (size_t)ASPECTS * a.n_frames * SEQUENCE_CLASSES);
    score_both(al, &a, &b, ALIGN_ROTATIONS, ends);
    for (size_t i = 0; i < ALIGN_MODES; i++)
        CHECK_U64(ends[i].score, 0);
    aligner_free(al);
    sequence_release(&a);
    sequence_release(&b);
}

/* The largest sides: sums and scores stay within their types. */
static void test_limits(void)
{
    struct sequence a = song_make(3, ALIGN_FRAMES_MAX);
    struct align_end ends[ALIGN_MODES];
    struct aligner *al = aligner_new(simd_best());
    score_both(al, &a, &a, 1, ends);
    CHECK_U64(ends[ALIGN_MELODY].score, 32000);
    struct sequence shortest = song_make(3, ALIGN_STACK);
    score_both(al, &shortest, &a, 1, ends);
    CHECK(ends[ALIGN_MELODY].score >= 0 && ends[ALIGN_MELODY].score <= 24);
    aligner_free(al);
    sequence_release(&a);
    sequence_release(&shortest);
}

int main(void)
{
    RUN(test_reference);
    RUN(test_same_bits_at_every_width);
    RUN(test_passage);
    RUN(test_two_passages);
    RUN(test_silence_stands_out_nowhere);
    RUN(test_limits);
    return test_done();
}
