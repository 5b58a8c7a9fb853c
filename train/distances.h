/*
 * How far positives and negatives lie from their anchors: histograms of the triplets that
 * `refrain eval` measures, for the model and for each baseline, and distances.svg, which shows
 * them one below the other. What a model has learnt is the gap between the two.
 */
#ifndef REFRAIN_DISTANCES_H
#define REFRAIN_DISTANCES_H

#include "base/err.h"

/* All vectors that are compared have length 1: distances lie in 0 .. 2. */
#define DISTANCE_MAX 2.0

enum { DISTANCE_BINS = 40 };

struct distances {
    uint32_t positive[DISTANCE_BINS], negative[DISTANCE_BINS];
};

void distances_count(const double *positive, const double *negative, size_t n,
                     struct distances *out);

struct distances_row {
    const char *name; /* "model", "mel" ... */
    const struct distances *counts;
};

/* `title` is shown escaped. Written atomically. */
MUST_CHECK bool distances_write(const struct distances_row *rows, size_t n_rows, const char *title,
                                const char *path, struct err *e);

#endif
