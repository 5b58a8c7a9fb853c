/*
 * Augmented positives as audiomentations makes them: a chain of transforms, each with a range and a
 * probability, written in the configuration. Every draw is a pure function of (seed, track, view,
 * position in the chain); what was drawn is recorded as text, so that any view can be made again.
 *
 *     gaussian_noise(0.001,0.015,p=0.5) time_stretch(0.8,1.25,p=0.5) pitch_shift(-4,4,p=0.5) ...
 */
#ifndef REFRAIN_AUGMENT_H
#define REFRAIN_AUGMENT_H

#include "base/err.h"

enum { AUGMENT_STEPS_MAX = 16, AUGMENT_RECORD_BYTES = 512 };

struct augment_chain; /* parsed, read-only, shared by threads */
MUST_CHECK bool augment_chain_new(const char *text, struct augment_chain **out, struct err *e);
void augment_chain_free(struct augment_chain *c);

struct augment; /* one thread's scratch for this rate and chain */
struct augment *augment_new(const struct augment_chain *chain, uint32_t rate_hz);
void augment_free(struct augment *a);

/* samples are changed in place, length stays. record: "gain db=-2.31; gaussian_snr db=7.02". */
MUST_CHECK bool augment_apply(struct augment *a, uint64_t seed, uint64_t track_key, uint32_t clip_i,
                              uint32_t view_i, float *samples, size_t n_samples,
                              char record[AUGMENT_RECORD_BYTES], struct err *e);

#endif
