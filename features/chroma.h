/*
 * Chroma as librosa.feature.chroma_stft makes it by default: the power spectrum on twelve pitch
 * classes from C on, tuned to the clip, each frame divided by its largest. What the clip is tuned
 * to is looked for first, so that it is passed through twice.
 */
#ifndef REFRAIN_CHROMA_H
#define REFRAIN_CHROMA_H

#include "base/err.h"
#include "features/lanes.h"

enum { CHROMA_ROWS = 12, CHROMA_RATE_HZ = 22050, CHROMA_HOP = 512 };

struct chroma_plan; /* read-only once made, shared by threads */
MUST_CHECK bool chroma_plan_new(enum simd simd, struct chroma_plan **out, struct err *e);
void chroma_plan_free(struct chroma_plan *p);

struct chroma;                                             /* one thread's scratch */
struct chroma *chroma_new(const struct chroma_plan *plan); /* borrows the plan for life */
void chroma_free(struct chroma *s);

/* samples: at CHROMA_RATE_HZ. out: (1 + floor(n_samples / CHROMA_HOP), CHROMA_ROWS) row-major, time
 * first. A sample that is not finite or beyond 2^40 is ERR_PERM. */
MUST_CHECK bool chroma_compute(struct chroma *s, const float *samples, size_t n_samples, float *out,
                               struct err *e);

#endif
