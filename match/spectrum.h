/*
 * The spectrum of a song in semitones, tuned to the song: what both sequences are made of.
 *
 * Magnitudes of an 8192-point transform go through a bank of Gaussians three a semitone; the phase
 * of the mean spectrum's component of one turn a semitone is how far the song is off A4 = 440 Hz
 * (as in Mauch and Dixon, "Approximate note transcription", ISMIR 2010); a second, wider Gaussian
 * around each tuned semitone gathers the bank.
 */
#ifndef REFRAIN_SPECTRUM_H
#define REFRAIN_SPECTRUM_H

#include "base/err.h"
#include "features/lanes.h"

enum {
    SPECTRUM_RATE_HZ = 22050,
    SPECTRUM_HOP = 1536,
    SPECTRUM_LOW = 28,       /* MIDI number of the first semitone, E1 */
    SPECTRUM_SEMITONES = 92, /* up to G9, 12.5 kHz; what the rate cannot hold is empty */
};

struct spectrum {
    size_t n_frames;
    float *levels; /* (n_frames, SPECTRUM_SEMITONES): log(1 + 1000 x), x of the song's largest,
                      divided by log(1001): 0 to 1 */
    float tuning;  /* semitones above A4 = 440 Hz, -0.5 to 0.5 */
    size_t cap_levels;
};
void spectrum_release(struct spectrum *s); /* safe on {0}, may run twice */

struct spectrum_maker; /* one thread's plan and scratch */
MUST_CHECK bool spectrum_maker_new(enum simd simd, struct spectrum_maker **out, struct err *e);
void spectrum_maker_free(struct spectrum_maker *m);

/* samples: finite, mono at SPECTRUM_RATE_HZ, n_samples > 0. The memory of *out is used again. A
 * song without a sound is all zeros. */
void spectrum_make(struct spectrum_maker *m, const float *samples, size_t n_samples,
                   struct spectrum *out);

#endif
