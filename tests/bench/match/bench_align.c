/*
 * Milliseconds of one pair of 30 s beside its goal.
 */
#include "match/align.h"
#include "tests/unit/match/songs.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { FRAMES = 215, PAIRS = 200 };

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The best of five rounds, in ms a pair of processor time. */
static double pair_ms(enum simd simd, unsigned modes, unsigned rotations)
{
    struct sequence a = song_make(1, FRAMES), b = song_make(2, FRAMES);
    struct align_side sa = align_side_of(&a, 0, FRAMES), sb = align_side_of(&b, 0, FRAMES);
    struct aligner *al = aligner_new(simd);
    double best = 1e9;
    aligner_set_a(al, &sa);
    for (int round = 0; round < 5; round++) {
        struct align_end ends[ALIGN_MODES];
        double began = now_s();
        for (int i = 0; i < PAIRS; i++)
            aligner_score(al, &sb, modes, rotations, ends);
        double ms = (now_s() - began) * 1e3 / PAIRS;
        best = ms < best ? ms : best;
    }
    aligner_free(al);
    sequence_release(&a);
    sequence_release(&b);
    return best;
}

int main(void)
{
    const double plain = pair_ms(SIMD_PLAIN, ALIGN_ALL, 3),
                 best = pair_ms(simd_best(), ALIGN_ALL, 3);
    printf("pair, both aspects, two transpositions: %.3f ms (goal 0.4), plain %.3f ms, %.1f times "
           "as long\n",
           best, plain, plain / best);
    printf("pair, melody, all transpositions: %.3f ms\n",
           pair_ms(simd_best(), ALIGN_ONLY_MELODY, ALIGN_ROTATIONS));
    return 0;
}
