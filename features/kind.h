/*
 * How the kinds of features/spec.h beside the log-mel are computed: a plan for all threads and
 * scratch for each, as features/mfcc.h and its like have them. features/feature.h is for callers to
 * whom it is all one.
 */
#ifndef REFRAIN_KIND_H
#define REFRAIN_KIND_H

#include "features/lanes.h"
#include "features/spec.h"

struct feature_kind_functions {
    bool (*plan_new)(enum simd simd, void **out, struct err *e);
    void (*plan_free)(void *plan);
    void *(*scratch_new)(const void *plan); /* borrows the plan for life */
    void (*scratch_free)(void *scratch);
    /* out: (1 + floor(n_samples / hop), n_rows) row-major, time first */
    bool (*compute)(void *scratch, const float *samples, size_t n_samples, float *out,
                    struct err *e);
};

const struct feature_kind_functions *feature_kind_functions(const struct feature_kind *kind);

/* One picture: plan and scratch are made and freed within. */
MUST_CHECK bool feature_kind_once(const struct feature_kind *kind, enum simd simd,
                                  const float *samples, size_t n_samples, float *out,
                                  struct err *e);

#endif
