/*
 * The pictures of the evidence page: two songs held against each other, and each by itself.
 */
#ifndef REFRAIN_MATCH_PICTURE_H
#define REFRAIN_MATCH_PICTURE_H

#include "base/buf.h"
#include "features/spec.h"
#include "programs/match_song.h"

/* How alike the songs are at each pair of moments, B moved by `shift` semitones onto A: time in A
 * to the right, in B downwards, alike is bright. Appends a PNG. Both need a sequence. */
MUST_CHECK bool match_picture_similarity(const struct match_song *a, const struct match_song *b,
                                         int32_t shift_semitones, struct buf *out, struct err *e);

/* The log-mel spectrogram by *spec. */
MUST_CHECK bool match_picture_spectrogram(const struct match_song *s,
                                          const struct feature_spec *spec, struct buf *out,
                                          struct err *e);

#endif
