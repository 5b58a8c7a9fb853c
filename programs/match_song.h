/*
 * One side of `refrain match A B`: an audio file as samples, sequences and a fingerprint.
 */
#ifndef REFRAIN_MATCH_SONG_H
#define REFRAIN_MATCH_SONG_H

#include "ingest/digest.h"
#include "match/copy.h"
#include "match/sequence.h"

struct match_song {
    const char *path;               /* borrowed */
    const char *name;               /* its last part */
    char sha256[DIGEST_TEXT_BYTES]; /* of the bytes that were decoded */
    uint64_t n_bytes;
    const char *format;           /* "MP3" */
    uint32_t rate_hz, n_channels; /* as decoded */
    uint64_t len_ms;
    float *samples; /* mono at SEQUENCE_RATE_HZ */
    size_t n_samples;
    struct sequence sequence;
    char no_sequence[ERR_MSG_BYTES]; /* why there is none: too short or too long; else empty */
};

/* Decoded in a sandbox. What is no audio, or silent, is an error with a plain sentence. */
MUST_CHECK bool match_song_open(const char *path, struct match_song *out, struct err *e);
void match_song_close(struct match_song *s); /* safe on {0}, may run twice */

#endif
