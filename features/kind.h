/*
 * The features beside the log-mel, by name, for callers that compute one picture and are done: plan
 * and scratch are made and freed within. Loops use features/mfcc.h and its like.
 */
#ifndef REFRAIN_KIND_H
#define REFRAIN_KIND_H

#include "base/err.h"
#include "features/lanes.h"

struct feature_kind {
    const char *name; /* "mfcc" */
    const char *what; /* its rows: "coefficients" */
    uint32_t n_rows, rate_hz, hop;
    /* out: (1 + floor(n_samples / hop), n_rows) row-major, time first */
    bool (*compute)(enum simd simd, const float *samples, size_t n_samples, float *out,
                    struct err *e);
};

extern const struct feature_kind feature_kinds[];
extern const size_t feature_n_kinds;

/* NULL when there is none of this name. */
const struct feature_kind *feature_kind_find(const char *name);

#endif
