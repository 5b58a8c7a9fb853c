/*
 * Mono samples to a log-mel picture. By default as librosa 0.11 makes it:
 * power_to_db(melspectrogram(y, sr, n_fft, hop_length, n_mels), ref=np.max, top_db=80); other
 * conventions by the spec. A plan is made once and shared read-only; each thread has its own
 * scratch.
 */
#ifndef REFRAIN_LOGMEL_H
#define REFRAIN_LOGMEL_H

#include "features/spec.h"

struct logmel_plan;
MUST_CHECK bool logmel_plan_new(const struct feature_spec *spec, struct logmel_plan **out,
                                struct err *e);
void logmel_plan_free(struct logmel_plan *p);

struct logmel;                                             /* one thread's scratch */
struct logmel *logmel_new(const struct logmel_plan *plan); /* borrows the plan for life */
void logmel_free(struct logmel *m);

/* out: (n_frames, n_mels) row-major, time first, n_frames = feature_n_frames(). By default dB in
 * [-top_db, 0], maximum exactly 0; *out_ref_db is then the level that was subtracted (10 log10 of
 * the clip's largest mel power), so that absolute loudness can be had back, and 0 for scales that
 * subtract none. A sample that is not finite or beyond 2^40 is ERR_PERM, and so is a signal too
 * short for a frame or for reflection (n_fft / 2 + 1 samples). */
MUST_CHECK bool logmel_compute(struct logmel *m, const float *samples, size_t n_samples, float *out,
                               float *out_ref_db, struct err *e);

#endif
