/*
 * Mel-frequency cepstral coefficients as librosa.feature.mfcc makes them by default: decibels of
 * 128 mel bands with ref=1 and top_db=80, their DCT-II, orthonormal, the first 20.
 */
#ifndef REFRAIN_MFCC_H
#define REFRAIN_MFCC_H

#include "base/err.h"
#include "features/lanes.h"

enum { MFCC_ROWS = 20, MFCC_RATE_HZ = 22050, MFCC_HOP = 512 };

struct mfcc_plan; /* read-only once made, shared by threads */
MUST_CHECK bool mfcc_plan_new(enum simd simd, struct mfcc_plan **out, struct err *e);
void mfcc_plan_free(struct mfcc_plan *p);

struct mfcc;                                         /* one thread's scratch */
struct mfcc *mfcc_new(const struct mfcc_plan *plan); /* borrows the plan for life */
void mfcc_free(struct mfcc *s);

/* samples: at MFCC_RATE_HZ. out: (1 + floor(n_samples / MFCC_HOP), MFCC_ROWS) row-major, time
 * first. A sample that is not finite or beyond 2^40 is ERR_PERM. */
MUST_CHECK bool mfcc_compute(struct mfcc *s, const float *samples, size_t n_samples, float *out,
                             struct err *e);

#endif
