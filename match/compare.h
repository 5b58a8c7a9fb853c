/*
 * Two songs: every passage that they share, as segments with E-values.
 */
#ifndef REFRAIN_COMPARE_H
#define REFRAIN_COMPARE_H

#include "match/match.h"
#include "match/significance.h"

/* E-values count what chance gives in n_songs comparisons. *out is empty on entry; it is
 * match_release'd by the caller. The pair's score and E-value are the melody's, or the harmony's
 * where a song has hardly a lead voice. */
MUST_CHECK bool match_compare(const struct sequence *a, const struct sequence *b,
                              const struct null_model *null, double n_songs, struct match *out,
                              struct err *e);

/* Whether there is a lead voice to compare. */
bool sequence_is_voiced(const struct sequence *s);

#endif
