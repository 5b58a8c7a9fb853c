/*
 * Songs that are made of random numbers: melodies of notes as sequences, for tests of what works on
 * sequences.
 */
#ifndef REFRAIN_TEST_SONGS_H
#define REFRAIN_TEST_SONGS_H

#include "base/mem.h"
#include "base/rng.h"
#include "match/sequence.h"

#include <string.h>

enum { RNG_TEST_SONG = 0x746e7465 };

static inline void song_frame(struct sequence *s, enum aspect aspect, size_t t, uint32_t pitch,
                              uint8_t level)
{
    uint8_t *frame = s->levels + ((size_t)aspect * s->n_frames + t) * SEQUENCE_CLASSES;
    memset(frame, 0, SEQUENCE_CLASSES);
    frame[pitch % SEQUENCE_CLASSES] = level;
    if (aspect == ASPECT_HARMONY) { /* a chord */
        frame[(pitch + 4) % SEQUENCE_CLASSES] = level / 2;
        frame[(pitch + 7) % SEQUENCE_CLASSES] = level / 2;
    }
}

/* Notes of one to six frames at random pitches over chords of 14 frames. */
static inline struct sequence song_make(uint64_t seed, uint32_t n_frames)
{
    struct sequence s = {.n_frames = n_frames};
    struct rng r;
    rng_init(&r, seed, RNG_TEST_SONG, 0);
    s.levels = mem_zalloc((size_t)ASPECTS * n_frames, SEQUENCE_CLASSES);
    for (size_t t = 0; t < n_frames;) {
        uint32_t pitch = rng_u32(&r) % SEQUENCE_CLASSES;
        for (uint64_t end = t + 1 + rng_below(&r, 6); t < end && t < n_frames; t++)
            song_frame(&s, ASPECT_MELODY, t, pitch, 120);
    }
    for (size_t t = 0; t < n_frames;) {
        uint32_t pitch = rng_u32(&r) % SEQUENCE_CLASSES;
        for (size_t end = t + 14; t < end && t < n_frames; t++)
            song_frame(&s, ASPECT_HARMONY, t, pitch, 90);
    }
    return s;
}

/* Puts n frames of `from` into `to`, `shift` semitones higher, in steps of num / den frames. */
static inline void song_borrow(const struct sequence *from, size_t from_t, struct sequence *to,
                               size_t to_t, size_t n, uint32_t shift, uint32_t num, uint32_t den)
{
    for (size_t aspect = 0; aspect < ASPECTS; aspect++)
        for (size_t k = 0; k < n; k++) {
            const uint8_t *in = sequence_aspect(from, (enum aspect)aspect) +
                                (from_t + k * num / den) * SEQUENCE_CLASSES;
            uint8_t *out = to->levels + (aspect * to->n_frames + to_t + k) * SEQUENCE_CLASSES;
            for (size_t c = 0; c < SEQUENCE_CLASSES; c++)
                out[(c + shift) % SEQUENCE_CLASSES] = in[c];
        }
}

#endif
