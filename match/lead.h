/*
 * Which pitch class the lead voice has, frame by frame, by what signal processing knows of voices
 * (lead.c): nothing is learned. docs/MATCH.md has what it reaches and on what.
 */
#ifndef REFRAIN_LEAD_H
#define REFRAIN_LEAD_H

#include "match/spectrum.h"

enum {
    LEAD_LOW = 47,        /* MIDI number of the first candidate, B2 */
    LEAD_CANDIDATES = 50, /* up to C7 */
    LEAD_CLASSES = 12,
};

/* Names this way of finding it: changes with everything that changes a probability. */
#define LEAD_PLAIN "plain 1"

/* out: (n_frames, LEAD_CLASSES), the probability that the lead voice sounds in this class, C
 * first; what is missing to 1 is that there is none. */
void lead_classes(const struct spectrum *s, float *out);

#endif
