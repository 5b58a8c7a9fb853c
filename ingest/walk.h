/*
 * An audio file walked structure by structure while it comes in: MPEG frames, MP4 boxes, Ogg pages,
 * FLAC blocks, WAV chunks. Nothing is decoded. In the end it is known how long the audio is, what
 * the file promises and does not hold, and how much of it belongs to no structure.
 *
 * However the file is cut into pieces, the outcome is the same.
 */
#ifndef REFRAIN_WALK_H
#define REFRAIN_WALK_H

#include "ingest/container.h"

struct walk {
    enum audio_container container;
    size_t at; /* where the next structure begins, maybe behind what is there */
    uint64_t junk_bytes;
    struct mpeg_walk mpeg;
    /* MP4 */
    bool has_moov, has_mdat, is_fragmented;
    uint64_t media_ms;  /* by its header */
    uint64_t media_end; /* no chunk of samples begins at or behind it; 0: not known */
    /* Ogg */
    uint32_t serial, rate_hz, n_skip;
    uint64_t n_granules;
    bool has_stream, has_last_page;
};

/* What a walk to the end has found. */
struct walk_end {
    uint64_t ms;     /* of audio; 0: not known */
    bool is_missing; /* the file promises more than it holds */
    bool is_open;    /* it ends within a frame, page or the like, or without the mark of its end */
    uint64_t junk_bytes;
};

/* `at`: how many bytes of tags lie before it (mpeg_id3_bytes). */
void walk_init(struct walk *w, enum audio_container container, size_t at);

/* `file` is all of it so far; it may have moved since the last call. */
void walk_more(struct walk *w, struct span file);

/* `file` is whole. */
struct walk_end walk_finish(struct walk *w, struct span file);

#endif
