/*
 * How often chance gives a score. The best local alignment of unrelated songs scores by an
 * extreme-value law, as that of biological sequences does (Karlin and Altschul, PNAS 87, 1990).
 * Songs are not random letters: unrelated ones share habits, so that the tail is heavier than
 * Gumbel's. The law is the generalised one (Jenkinson, Quarterly Journal of the Royal
 * Meteorological Society 81, 1955), whose tail beyond any threshold is the generalised Pareto of
 * peaks over it (Pickands, Annals of Statistics 3, 1975), with a shape that is fixed for each kind
 * of alignment: a library is too small to say it.
 *
 *     level = score * (area / area of NULL_FRAMES x NULL_FRAMES)^-growth
 *     P(level >= x) = 1 - (1 - G(x)) * (1 - C(x))
 *     G(x) = 1 - exp(-(1 + shape * (x - location) / scale)^(-1 / shape))
 *     C(x) = share * exp(-(x - location) / (reach * scale)), x above location
 *
 * C are the commonplaces: now and then two songs that have nothing to do with each other have the
 * same progression and over it the same figure for some bars. They are rare and score high, and
 * make what lies beyond one in a thousand.
 *
 * Letters' scores grow with the logarithm of the area searched; those of songs, which stretch over
 * what resembles itself, with a small power of it (docs/MATCH.md has the figures).
 *
 * The E-value of a score is P times the number of songs searched: how many as good chance is
 * expected to give.
 */
#ifndef REFRAIN_SIGNIFICANCE_H
#define REFRAIN_SIGNIFICANCE_H

#include "match/align.h"

struct null_law {
    double location, scale; /* of levels, in ALIGN_UNITs */
    double shape;           /* above 0: the tail falls by a power, not by an exponent */
    double growth;          /* of scores with the area: its power */
    double share, reach;    /* of commonplaces: how many pairs, how many scales until 1/e of them */
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

/* Location and scale from the levels of unrelated pairs: the line through their quantiles from .5
 * to .93, for the shape that *out has. What lies above is left to the law, because a few pairs of
 * any library are not unrelated. Sorts the levels. Keeps what else *out has. False, and
 * *out untouched, when they are fewer than NULL_PAIRS_MIN or hardly differ. */
MUST_CHECK bool null_law_fit(double *levels, size_t n, struct null_law *out);

/* Storey's q-values ("A direct approach to false discovery rates", Journal of the Royal Statistical
 * Society B 64, 2002) with a null share of 1: q[i] is the least share of false ones among the
 * matches up to some E at or above evalues[i]. evalues ascending. */
void significance_qvalues(const double *evalues, size_t n, double *out);

#endif
