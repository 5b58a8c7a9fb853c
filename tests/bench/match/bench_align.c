/*
 * Milliseconds of one pair of 30 s, as goals say them, and of a search: each beside its goal.
 */
#include "match/search.h"
#include "tests/unit/match/songs.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { FRAMES = 215, SONGS = 400, PAIRS = 200, QUERIES = 20 };

static double now_s(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
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
        double began = now_s(CLOCK_PROCESS_CPUTIME_ID);
        for (int i = 0; i < PAIRS; i++)
            aligner_score(al, &sb, modes, rotations, ends);
        double ms = (now_s(CLOCK_PROCESS_CPUTIME_ID) - began) * 1e3 / PAIRS;
        best = ms < best ? ms : best;
    }
    aligner_free(al);
    sequence_release(&a);
    sequence_release(&b);
    return best;
}

/* Songs in a library of which each query borrows 60 frames of one. */
static void bench_search(void)
{
    struct library l = {.n_songs = SONGS, .songs = mem_zalloc(SONGS, sizeof *l.songs)};
    struct cohort c = {.null = null_model_default, .n_songs = SONGS};
    struct search s;
    struct err e = {0};
    uint32_t kept[SONGS];
    size_t n_found = 0, n_exact = 0;
    double first_s = 0, exact_s = 0;
    c.excess = mem_zalloc(SONGS, sizeof *c.excess);
    for (size_t i = 0; i < SONGS; i++)
        l.songs[i].sequence = song_make(i + 10, FRAMES);
    search_init(&s, &l, &c);
    for (size_t i = 0; i < QUERIES; i++) {
        struct sequence q = song_make(5000 + i, FRAMES);
        song_borrow(&l.songs[i * 7].sequence, 50, &q, 90, 80, 4, 1, 1);
        const struct search_query query = {&q, SIZE_MAX, 1, true};
        struct search_hit hit;
        size_t n = 0, n_kept = 0;
        double t0 = now_s(CLOCK_PROCESS_CPUTIME_ID);
        bool ok = search_first_pass(&s, &query, kept, &n_kept, &e);
        double t1 = now_s(CLOCK_PROCESS_CPUTIME_ID);
        ok = ok && search_run(&s, &query, 1, &hit, &n, &e);
        exact_s += now_s(CLOCK_PROCESS_CPUTIME_ID) - t1;
        first_s += t1 - t0;
        size_t among = SONGS / SEARCH_KEPT_SHARE, at = 0;
        while (ok && at < among && kept[at] != hit.song_i)
            at++;
        n_exact++;
        n_found += ok && at < among;
        sequence_release(&q);
    }
    printf("first pass %.4f ms a song (50,000 on two cores: %.1f s, goal 1), exhaustive %.4f ms "
           "(%.1f s, goal 15)\n",
           first_s * 1e3 / QUERIES / SONGS, first_s / QUERIES / SONGS * 25000,
           exact_s * 1e3 / QUERIES / SONGS, exact_s / QUERIES / SONGS * 25000);
    printf("recall of the first pass, one song in %d kept: %.3f of %zu best ones (goal 0.97)\n",
           SEARCH_KEPT_SHARE, (double)n_found / (double)n_exact, n_exact);
    search_release(&s);
    for (size_t i = 0; i < SONGS; i++)
        sequence_release(&l.songs[i].sequence);
    mem_free(l.songs);
    cohort_release(&c);
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
    bench_search();
    return 0;
}
