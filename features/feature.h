/*
 * What a spec asks for, log-mel or another kind: for programs that compute pictures and store them.
 * A plan is made once and shared read-only; each thread has its own scratch.
 */
#ifndef REFRAIN_FEATURE_H
#define REFRAIN_FEATURE_H

#include "features/spec.h"

struct feature_plan;
MUST_CHECK bool feature_plan_new(const struct feature_spec *spec, struct feature_plan **out,
                                 struct err *e);
void feature_plan_free(struct feature_plan *p); /* NULL is fine */

struct feature;
struct feature *feature_new(const struct feature_plan *plan); /* borrows the plan for life */
void feature_free(struct feature *f);                         /* NULL is fine */

/* out: (feature_n_frames(), n_mels) row-major, time first. *out_ref_db: as logmel_compute's, 0 of
 * other kinds. Errors as logmel_compute's. */
MUST_CHECK bool feature_compute(struct feature *f, const float *samples, size_t n_samples,
                                float *out, float *out_ref_db, struct err *e);

#endif
