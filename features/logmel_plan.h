/*
 * Inside of the log-mel, for tests and for the other parts of this room: the mel power before
 * decibels, and a plan for a given instruction set.
 */
#ifndef REFRAIN_LOGMEL_PLAN_H
#define REFRAIN_LOGMEL_PLAN_H

#include "features/lanes.h"
#include "features/logmel.h"

/* The processor must have `simd`. */
MUST_CHECK bool logmel_plan_new_simd(const struct feature_spec *spec, enum simd simd,
                                     struct logmel_plan **out, struct err *e);

/* out: (n_frames, n_mels) mel power, as librosa.feature.melspectrogram. Samples must be finite. */
void logmel_power(struct logmel *m, const float *samples, size_t n_samples, float *out);

/* A sample that is not finite or beyond 2^40 is ERR_PERM. */
MUST_CHECK bool logmel_check_samples(enum simd simd, const float *samples, size_t n_samples,
                                     struct err *e);

#endif
