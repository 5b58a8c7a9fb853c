/*
 * How often chance gives a score. Scores of the best local alignment of unrelated songs follow an
 * extreme-value law whose location grows with the logarithm of the area searched, as those of
 * biological sequences do (Karlin and Altschul, PNAS 87, 1990; Altschul and Gish, Methods in
 * Enzymology 266, 1996): P(S >= x) = 1 - exp(-exp(-(x - mu(m, n)) / beta)),
 * mu = location + beta * slope * ln(m n / AREA). The E-value of a match is -ln(1 - P) times the
 * number of songs searched: how many as good as this chance is expected to give.
 */
#ifndef REFRAIN_SIGNIFICANCE_H
#define REFRAIN_SIGNIFICANCE_H

#include "base/err.h"

struct null_model {
    double location, scale; /* Gumbel, for a pair of NULL_FRAMES frames each */
    double slope;           /* how much the logarithm of the area counts: 1 by theory */
    uint64_t n_pairs;       /* fitted on; 0: the default that is shipped */
};

enum { NULL_FRAMES = 216 /* 30 s */ };

/* Fitted on composed songs; for `refrain match A B` without a data set. */
extern const struct null_model null_model_default;

/* How many pairs of n_a and n_b frames in n_songs are expected to reach the score by chance. */
double null_model_evalue(const struct null_model *m, double score, size_t n_a, size_t n_b,
                         double n_songs);

#endif
