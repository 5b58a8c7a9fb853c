/*
 * Whether E-values are true: how many unrelated songs came up to each E, beside how many it
 * promises.
 *
 * A pair's score hangs on both its works, and each work is in many pairs. So the interval is of
 * works drawn again, each with its pairs on both sides: the pigeonhole bootstrap (Owen, Annals of
 * Applied Statistics 1, 2007) without its term of second order, which is a matter of single pairs.
 * Where hits are rare no resampling says how many there could have been: then it is at least that
 * of a Poisson count of pairs.
 */
#ifndef REFRAIN_MATCH_CHANCE_H
#define REFRAIN_MATCH_CHANCE_H

#include "base/json.h"
#include "train/ranking.h"

enum { EVAL_EVALUES = 7 };
extern const double eval_evalues[EVAL_EVALUES]; /* 0.001 to 1000 */

struct chance_tally {
    size_t n_songs, n_queries;
    double *hits; /* (EVAL_EVALUES, n_songs): pairs up to E that the song is in, on either side */
    double n_found[EVAL_EVALUES], n_promised[EVAL_EVALUES];
};
void chance_tally_init(struct chance_tally *t, size_t n_songs);
void chance_tally_release(struct chance_tally *t); /* safe on {0}, may run twice */

/* One more query was made; then its unrelated songs, with E in a catalogue of n_catalogue songs. */
void chance_tally_query(struct chance_tally *t);
void chance_tally_add(struct chance_tally *t, size_t query_i, size_t song_i, double evalue,
                      double n_catalogue);

struct chance_point {
    double evalue;
    struct figure unrelated; /* songs a query up to it */
    double promised;
};

/* groups: (n_songs), the work of each. Takes it that a pair of songs was counted from both sides.
 */
void chance_tally_measure(const struct chance_tally *t, const uint64_t *groups, uint64_t seed,
                          struct chance_point out[EVAL_EVALUES]);

void figure_json(struct json *j, const char *key, const struct figure *f);
void chance_point_json(const struct chance_point *p, struct json *j); /* as members */

#endif
