/*
 * Mono samples to a log-mel picture, as librosa 0.11 makes it:
 * power_to_db(melspectrogram(y, sr, n_fft, hop_length, n_mels), ref=np.max, top_db=80).
 * A plan is made once and shared read-only; each thread has its own scratch.
 */
#ifndef REFRAIN_LOGMEL_H
#define REFRAIN_LOGMEL_H

#include "base/err.h"

struct feature_spec {
    uint32_t rate_hz, n_fft, hop, n_mels;
    double f_min_hz, f_max_hz; /* f_max_hz 0: half the rate */
    double top_db;
};

enum { SPEC_TEXT_BYTES = 512 };
/* Canonical text of all that decides the numbers ("librosa rate=22050 resampler=soxr-hq ... "), and
 * its hash, which every record and model carries. */
void feature_spec_text(const struct feature_spec *spec, char out[SPEC_TEXT_BYTES]);
uint64_t feature_spec_hash(const struct feature_spec *spec);

/* 1 + floor(n_samples / hop) */
size_t feature_n_frames(const struct feature_spec *spec, size_t n_samples);

struct logmel_plan;
MUST_CHECK bool logmel_plan_new(const struct feature_spec *spec, struct logmel_plan **out,
                                struct err *e);
void logmel_plan_free(struct logmel_plan *p);

struct logmel;                                             /* one thread's scratch */
struct logmel *logmel_new(const struct logmel_plan *plan); /* borrows the plan for life */
void logmel_free(struct logmel *m);

/* out: (n_frames, n_mels) row-major, time first; dB in [-top_db, 0], maximum exactly 0. *out_ref_db
 * is the level that was subtracted (10 log10 of the clip's largest mel power), so that absolute
 * loudness can be had back. A sample that is not finite or beyond 2^40 is ERR_PERM. */
MUST_CHECK bool logmel_compute(struct logmel *m, const float *samples, size_t n_samples, float *out,
                               float *out_ref_db, struct err *e);

#endif
