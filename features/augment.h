/*
 * Augmented positives as audiomentations 0.43 makes them (its librosa_phase_vocoder method for
 * stretching and shifting): a chain of transforms, each with a range and a probability, written in
 * the configuration. Every draw is a pure function of (seed, track, clip, view, position in the
 * chain); what was drawn is recorded as text, and augment_apply_record makes the same samples from
 * it.
 *
 *     gaussian_noise(0.001,0.015,p=0.5) time_stretch(0.8,1.25,p=0.5) pitch_shift(-4,4,p=0.5)
 *
 * A step is NAME(LO,HI), with a range for each parameter and options behind them: its parameters
 * are drawn uniformly from [LO, HI], and it happens with probability p= (1 when not given). Steps
 * are separated by blanks. NAME() is written by transforms without a parameter.
 *
 *     name            parameters                    y
 *     gaussian_noise  amplitude, above 0 to 10      x + amplitude * N(0, 1)
 *     gaussian_snr    db, -60 to 120                x + N(0, rms(x) / 10^(db / 20))
 *     gain            db, -120 to 120               x * 10^(db / 20)
 *     time_stretch    rate, 0.1 to 10               phase vocoder; cut or zero-padded at the end
 *     pitch_shift     semitones, -24 to 24          stretched by 2^(-semitones / 12), resampled
 *     clipping        percent, 0 to 100, whole      clipped to the percentiles p / 2, 100 - p / 2
 *     shift           fraction, -1 to 1             rotated; 5 ms fades on both sides of the seam
 *     polarity        none                          -x
 *     band_pass       center, 10 to 20000 Hz, even  Butterworth; width is relative to the centre,
 *                     in mel; width, 0.01 to 1.99;  order 6 dB an octave each
 *                     order, 1 to 8, whole
 *     reverb          seconds, 0.01 to 5; wet, -60  x * (1, then noise that decays by 60 dB in so
 *                     to 40 dB                      many seconds), scaled to a peak of 0.5, cut
 *
 * time_stretch and pitch_shift take mode=exact (the default) or mode=librosa-f32
 * (features/vocoder.h).
 *
 * The length never changes and nothing is limited to [-1, 1], as there.
 */
#ifndef REFRAIN_AUGMENT_H
#define REFRAIN_AUGMENT_H

#include "base/err.h"

enum { AUGMENT_STEPS_MAX = 16, AUGMENT_RECORD_BYTES = 512 };

struct augment_chain; /* parsed, read-only, shared by threads */

/* A chain that is not understood, or whose record could not fit AUGMENT_RECORD_BYTES, is ERR_USAGE
 * with the position. An empty text is a chain of no steps. */
MUST_CHECK bool augment_chain_new(const char *text, struct augment_chain **out, struct err *e);
void augment_chain_free(struct augment_chain *c);

struct augment; /* one thread's scratch for this rate and chain */

/* Borrows the chain for life; NULL is enough for augment_apply_record. */
struct augment *augment_new(const struct augment_chain *chain, uint32_t rate_hz);
void augment_free(struct augment *a);

/* The seed of an epoch's draws: every epoch draws anew; 0 is `seed` itself. */
uint64_t augment_seed(uint64_t seed, uint64_t epoch);

/* Changes samples in place. record: what was done, "gain db=-2.31; gaussian_snr db=7.02 noise=...",
 * "" for nothing. */
MUST_CHECK bool augment_apply(struct augment *a, uint64_t seed, uint64_t track_key, uint32_t clip_i,
                              uint32_t view_i, float *samples, size_t n_samples,
                              char record[AUGMENT_RECORD_BYTES], struct err *e);

/* Does what a record says: the same samples as augment_apply made, bit for bit. A record that is
 * not understood is ERR_USAGE with the position. */
MUST_CHECK bool augment_apply_record(struct augment *a, const char *record, float *samples,
                                     size_t n_samples, struct err *e);

#endif
