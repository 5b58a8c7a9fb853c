/*
 * Tempogram as librosa.feature.tempogram makes it by default: the onset strength's autocorrelation
 * in a window of 384 frames around each frame, divided by its largest. Row i is a lag of i frames.
 */
#ifndef REFRAIN_TEMPOGRAM_H
#define REFRAIN_TEMPOGRAM_H

#include "base/err.h"
#include "features/lanes.h"

enum { TEMPOGRAM_ROWS = 384, TEMPOGRAM_RATE_HZ = 22050, TEMPOGRAM_HOP = 512 };

struct tempogram_plan; /* read-only once made, shared by threads */
MUST_CHECK bool tempogram_plan_new(enum simd simd, struct tempogram_plan **out, struct err *e);
void tempogram_plan_free(struct tempogram_plan *p);

struct tempogram;                                                   /* one thread's scratch */
struct tempogram *tempogram_new(const struct tempogram_plan *plan); /* borrows the plan for life */
void tempogram_free(struct tempogram *s);

/* samples: at TEMPOGRAM_RATE_HZ. out: (1 + floor(n_samples / TEMPOGRAM_HOP), TEMPOGRAM_ROWS)
 * row-major, time first. A sample that is not finite or beyond 2^40 is ERR_PERM. */
MUST_CHECK bool tempogram_compute(struct tempogram *s, const float *samples, size_t n_samples,
                                  float *out, struct err *e);

#endif
