/*
 * What a song is for comparing: two sequences of pitch classes, one for its harmony and one for its
 * lead voice, both twelve levels of 8 bits a frame, tuned to the song, C first.
 *
 * Harmony is what stands out of the spectrum, folded into one octave. Melody is the probability of
 * the lead voice's pitch classes (match/lead.h).
 *
 * Transposing a song by n semitones rotates its frames by n classes; nothing else changes.
 */
#ifndef REFRAIN_SEQUENCE_H
#define REFRAIN_SEQUENCE_H

#include "base/err.h"
#include "features/lanes.h"

enum {
    SEQUENCE_RATE_HZ = 22050,
    SEQUENCE_HOP = 3072, /* samples a frame: 139 ms, 7.2 frames a second */
    SEQUENCE_CLASSES = 12,
    SEQUENCE_FRAMES_MAX = 32768, /* 76 minutes */
    SEQUENCE_FRAMES_MIN = 35,    /* as many as 5 s have: less says nothing */
};

enum aspect { ASPECT_HARMONY, ASPECT_MELODY, ASPECTS };
const char *aspect_name(enum aspect aspect); /* "harmony" */

struct sequence {
    uint32_t n_frames;
    uint8_t *levels; /* (ASPECTS, n_frames, SEQUENCE_CLASSES); a frame without sound is zeros */
    float tuning;    /* what was taken off, in semitones, -0.5 to 0.5 */
};
void sequence_release(struct sequence *s); /* safe on {0}, may run twice */

static inline const uint8_t *sequence_aspect(const struct sequence *s, enum aspect aspect)
{
    return s->levels + (size_t)aspect * s->n_frames * SEQUENCE_CLASSES;
}

static inline uint64_t sequence_ms(size_t frames)
{
    return (uint64_t)frames * SEQUENCE_HOP * 1000 / SEQUENCE_RATE_HZ;
}

/* Changes with everything that changes a level. */
uint64_t sequence_spec_hash(void);

struct sequencer; /* one thread's plans and scratch */
MUST_CHECK bool sequencer_new(enum simd simd, struct sequencer **out, struct err *e);
void sequencer_free(struct sequencer *s);

/* samples: mono at SEQUENCE_RATE_HZ. The memory of *out is used again. Too short, too long, silent
 * or not finite is ERR_PERM. */
MUST_CHECK bool sequencer_run(struct sequencer *s, const float *samples, size_t n_samples,
                              struct sequence *out, struct err *e);

#endif
