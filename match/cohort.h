/*
 * What chance gives in one library: every song is held against a cohort of some of the others, and
 * from these scores come the extreme-value law of the library and how much each song tends to score
 * by itself. A song's excess is taken off its scores ("symmetric score normalisation"), so that a
 * song that resembles everything a little is not first everywhere.
 */
#ifndef REFRAIN_COHORT_H
#define REFRAIN_COHORT_H

#include "match/library.h"
#include "match/significance.h"

enum {
    COHORT_SONGS = 48,
    COHORT_LIBRARY_MIN = 16, /* songs; a smaller library has the default law and no excesses */
    COHORT_THREADS_MAX = 64,
};

struct cohort {
    struct null_model null;
    size_t n_songs;
    float *excess;                  /* (n_songs): of the melody's scores, in ALIGN_UNITs */
    size_t n_members;               /* of the cohort */
    uint32_t members[COHORT_SONGS]; /* indices into the library */
    double mean;                    /* of levels over all songs and members */
};

/* Called now and then from the calling thread; false to stop: ERR_STOP. */
typedef bool cohort_progress_fn(void *arg, uint64_t n_pairs_done, uint64_t n_pairs);

/* Chosen by the seed; the same for the same library, whatever the threads. */
MUST_CHECK bool cohort_make(const struct library *l, uint64_t seed, unsigned threads,
                            cohort_progress_fn *progress, void *arg, struct cohort *out,
                            struct err *e);
void cohort_release(struct cohort *c); /* safe on {0}, may run twice */

/* How much a song that is not in the library exceeds, held against the cohort. */
struct aligner;
double cohort_excess(const struct cohort *c, const struct library *l, const struct sequence *s,
                     struct aligner *al);

/* DIR/sequences.null: read when it was made of this library, else made and written. */
MUST_CHECK bool cohort_open(const char *dataset_dir, const struct library *l, uint64_t seed,
                            unsigned threads, cohort_progress_fn *progress, void *arg,
                            struct cohort *out, struct err *e);

/* The melody's score of two songs with both excesses off, and its P by the library's law. */
static inline double cohort_level(const struct cohort *c, double score, const struct sequence *a,
                                  const struct sequence *b, double excess_a, double excess_b)
{
    return null_law_level(&c->null.laws[ALIGN_MELODY], score, a->n_frames, b->n_frames) - excess_a -
           excess_b;
}
double cohort_chance(const struct cohort *c, double level);

#endif
