/*
 * How often chance gives a score. Scores of the best local alignment of unrelated songs follow an
 * extreme-value law whose location grows with the logarithm of the area searched, as those of
 * biological sequences do (Karlin and Altschul, PNAS 87, 1990; Altschul and Gish, Methods in
 * Enzymology 266, 1996). Songs are not random letters: unrelated ones share habits, which gives
 * their scores a heavier tail than Gumbel's. The fourth root of the scores has Gumbel's tail
 * (docs/MATCH.md has the figures), so that
 *
 *     level = score - growth * ln(area / (area of NULL_FRAMES x NULL_FRAMES))
 *     P(level >= x) = 1 - exp(-exp(-(x^(1/4) - location) / scale))
 *
 * The E-value of a score is P times the number of songs searched: how many as good chance is
 * expected to give.
 */
#ifndef REFRAIN_SIGNIFICANCE_H
#define REFRAIN_SIGNIFICANCE_H

#include "match/align.h"

struct null_law {
    double location, scale; /* of the fourth root of levels in ALIGN_UNITs */
    double growth;          /* of scores with the logarithm of the area, in ALIGN_UNITs */
};

struct null_model {
    struct null_law laws[ALIGN_MODES];
    uint64_t n_pairs; /* fitted on; 0: the default that is shipped */
};

enum {
    NULL_FRAMES = 216,    /* 30 s */
    NULL_PAIRS_MIN = 100, /* fewer scores say nothing of a tail */
};

/* Fitted on composed songs (docs/MATCH.md); for who has no data set. */
extern const struct null_model null_model_default;

/* A score as if both songs had NULL_FRAMES frames. */
double null_law_level(const struct null_law *law, double score, size_t n_a, size_t n_b);

double null_law_chance_of_level(const struct null_law *law, double level);

/* P and E of a score between songs of n_a and n_b frames. */
double null_law_chance(const struct null_law *law, double score, size_t n_a, size_t n_b);
double null_model_evalue(const struct null_model *m, enum align_mode mode, double score, size_t n_a,
                         size_t n_b, double n_songs);

/* The least score whose P is at most `chance`, 0 < chance < 1. */
double null_law_score(const struct null_law *law, double chance, size_t n_a, size_t n_b);

/* From the scores of unrelated pairs, corrected for length by null_law_level: the line through
 * their quantiles from .5 to .96. What lies above is left to the law, because a few pairs of any
 * library are not unrelated. Sorts the scores. Keeps out->growth. False, and *out untouched, when
 * they are fewer than NULL_PAIRS_MIN or hardly differ. */
MUST_CHECK bool null_law_fit(double *scores, size_t n, struct null_law *out);

/* Storey's q-values ("A direct approach to false discovery rates", Journal of the Royal Statistical
 * Society B 64, 2002) with a null share of 1: q[i] is the least share of false ones among the
 * matches up to some E at or above evalues[i]. evalues ascending. */
void significance_qvalues(const double *evalues, size_t n, double *out);

#endif
