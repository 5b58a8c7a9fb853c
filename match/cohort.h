/*
 * What chance gives in one library: songs are held against a cohort of some of the others, and from
 * these scores come the extreme-value law of the library and how much each song tends to score by
 * itself. A song's excess is taken off its scores ("symmetric score normalisation"), so that a song
 * that resembles everything a little is not first everywhere.
 *
 * Up to COHORT_SAMPLE songs all are held against it. Of a larger library a sample is, drawn by the
 * seed, so that the work is bounded and its error is said; the excess of another song is found when
 * it is asked for, and kept.
 */
#ifndef REFRAIN_COHORT_H
#define REFRAIN_COHORT_H

#include "match/library.h"
#include "match/significance.h"

enum {
    COHORT_SONGS = 48,
    COHORT_SAMPLE = 1024,    /* songs: 49,152 pairs */
    COHORT_LIBRARY_MIN = 16, /* songs; a smaller library has the default law and no excesses */
};

struct cohort {
    struct null_model null;
    double evalue_factor; /* E-values of about 1 are within it, with 95 % confidence, as far as the
                             draw of songs decides; NAN: the default law */
    size_t n_songs, n_sample;
    float *excess;    /* (n_songs): of the melody's scores, in ALIGN_UNITs; NAN: not known yet */
    bool is_new;      /* something was learnt that is not in the file */
    size_t n_members; /* of the cohort */
    uint32_t members[COHORT_SONGS]; /* indices into the library */
    double mean;                    /* of levels over the sample and all members */
};

/* Called now and then from the calling thread; false to stop: ERR_STOP. */
typedef bool cohort_progress_fn(void *arg, uint64_t n_pairs_done, uint64_t n_pairs);

/* Chosen by the seed; the same for the same library, whatever the threads. */
MUST_CHECK bool cohort_make(const struct library *l, uint64_t seed, unsigned threads,
                            cohort_progress_fn *progress, void *arg, struct cohort *out,
                            struct err *e);
void cohort_release(struct cohort *c); /* safe on {0}, may run twice */

/* Makes the excesses of these songs known. */
MUST_CHECK bool cohort_learn(struct cohort *c, const struct library *l, const uint32_t *songs,
                             size_t n, unsigned threads, struct err *e);

/* How much a song that is not in the library exceeds, held against the cohort. */
struct aligner;
MUST_CHECK bool cohort_excess(const struct cohort *c, const struct library *l,
                              const struct sequence *s, struct aligner *al, double *out,
                              struct err *e);

/* DIR/sequences.null: read when it was made of this library, else made and written. */
MUST_CHECK bool cohort_open(const char *dataset_dir, const struct library *l, uint64_t seed,
                            unsigned threads, cohort_progress_fn *progress, void *arg,
                            struct cohort *out, struct err *e);

/* Writes it again when something was learnt. */
MUST_CHECK bool cohort_keep(const char *dataset_dir, const struct library *l, uint64_t seed,
                            struct cohort *c, struct err *e);

/* The bytes of such a file; false, and *out untouched, when they are not of this library. */
bool cohort_parse(struct span bytes, const struct library *l, uint64_t seed, struct cohort *out);
size_t cohort_file_bytes(size_t n_songs); /* how many they are */

/* The melody's score of two songs with both excesses off, and its P by the library's law. */
static inline double cohort_level(const struct cohort *c, double score, const struct sequence *a,
                                  const struct sequence *b, double excess_a, double excess_b)
{
    return null_law_level(&c->null.laws[ALIGN_MELODY], score, a->n_frames, b->n_frames) - excess_a -
           excess_b;
}
double cohort_chance(const struct cohort *c, double level);

#endif
