/*
 * How good a space of vectors is at finding things, from distances alone. Every figure is a mean
 * over queries of a value in which nothing is fitted, with a 95 % interval by bootstrap over groups
 * (works), because the queries of one work are not independent.
 */
#ifndef REFRAIN_RANKING_H
#define REFRAIN_RANKING_H

#include "base/base.h"

enum { BOOTSTRAP_DRAWS = 1000 };

/* NAN where there is nothing to measure. */
struct figure {
    double value, lo, hi;
};

/* Mean of values[i] over i, with the interval over groups. Equal groups are equal numbers. */
struct figure figure_mean(const double *values, const uint64_t *groups, size_t n, uint64_t seed);

/* One value a query; NAN for queries without a version among the candidates. */
struct ranking {
    double two_choice; /* is a version nearer than one other song, drawn by seed? */
    double auc;        /* share of (version, other song) pairs in which the version is nearer */
    double average_precision;
    double first_rank;   /* of the nearest version, from 1 */
    double precision_1;  /* is the nearest a version? */
    double precision_10; /* versions among the nearest 10, divided by 10 */
};

/* One-sided exact binomial: how likely `n_right` or more of n would be right by coin flips. Takes
 * the trials as independent, which queries of one work are not quite: read it beside the interval.
 */
double binomial_p(uint64_t n_right, uint64_t n);

/* Ranks all items but `query` by distances[n]; versions are the items of the same group. Equal
 * distances count half in two_choice and auc, and rank in the order of items. */
void ranking_of(const float *distances, const uint64_t *groups, size_t n, size_t query,
                uint64_t seed, struct ranking *out);

#endif
