/*
 * Which pitch class the lead voice has, frame by frame: a small network that looks at the semitone
 * spectrum around each candidate pitch, the same weights for all of them, so that a melody looks
 * the same in every key. It was taught by composed songs, whose lead voice is known
 * (scripts/train_lead.py; docs/MATCH.md has what it reaches and on what).
 */
#ifndef REFRAIN_LEAD_H
#define REFRAIN_LEAD_H

#include "match/spectrum.h"

enum {
    LEAD_HIDDEN = 24,
    LEAD_LOW = 47,        /* MIDI number of the first candidate, B2 */
    LEAD_CANDIDATES = 50, /* up to C7 */
    LEAD_BELOW = 19,      /* semitones looked at below a candidate */
    LEAD_OFFSETS = 63,    /* and in all: up to 43 above, the twelfth harmonic */
    LEAD_FRAMES = 5,      /* of the spectrum: lead_frames around the present one */
    LEAD_CLASSES = 12,
};

/* The network as it is shipped: lead_weights.c, written by scripts/train_lead.py. Hidden unit h is
 * the positive part of bias[h] + scale[h] * sum of weights * levels; a candidate's logit is its
 * prior plus the sum of output[h] * hidden[h]; `silence` is the logit of no lead voice. */
extern const int8_t lead_weights[LEAD_FRAMES * LEAD_OFFSETS][LEAD_HIDDEN];
extern const float lead_scale[LEAD_HIDDEN], lead_bias[LEAD_HIDDEN], lead_output[LEAD_HIDDEN];
extern const float lead_prior[LEAD_CANDIDATES], lead_silence;

/* out: (n_frames, LEAD_CLASSES), the probability that the lead voice sounds in this class, C
 * first; what is missing to 1 is that there is none. */
void lead_classes(enum simd simd, const struct spectrum *s, float *out);

#endif
