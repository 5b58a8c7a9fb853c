/*
 * Magnitudes of a constant-Q transform as librosa.cqt makes it by default: 84 bins, 12 an octave
 * from C1 (32.70 Hz) on. Each octave is the same twelve filters on the signal at half the rate of
 * the octave above, which soxr makes; a filter is a handful of bins of a 256-point spectrum, as
 * librosa leaves out what makes 1 % of its weight.
 */
#ifndef REFRAIN_CQT_H
#define REFRAIN_CQT_H

#include "base/err.h"
#include "features/lanes.h"

enum { CQT_ROWS = 84, CQT_RATE_HZ = 22050, CQT_HOP = 512 };

struct cqt_plan; /* read-only once made, shared by threads */
MUST_CHECK bool cqt_plan_new(enum simd simd, struct cqt_plan **out, struct err *e);
void cqt_plan_free(struct cqt_plan *p);

struct cqt;                                       /* one thread's scratch */
struct cqt *cqt_new(const struct cqt_plan *plan); /* borrows the plan for life */
void cqt_free(struct cqt *s);

/* samples: at CQT_RATE_HZ. out: (1 + floor(n_samples / CQT_HOP), CQT_ROWS) row-major, time first. A
 * sample that is not finite or beyond 2^40 is ERR_PERM. */
MUST_CHECK bool cqt_compute(struct cqt *s, const float *samples, size_t n_samples, float *out,
                            struct err *e);

#endif
