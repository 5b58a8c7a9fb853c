/*
 * One audio stream of a file in memory: its packets, and the frames they decode to. The only
 * file that knows FFmpeg is behind this header; what it means for an item is decided in
 * ingest/decode.c.
 */
#ifndef REFRAIN_MEDIA_H
#define REFRAIN_MEDIA_H

#include "ingest/container.h"
#include "ingest/mpeg_index.h"
#include "ingest/verdict.h"

struct media;

/* Borrows file until close. `mp3` is the first frame of an AUDIO_MP3. */
MUST_CHECK bool media_open(struct span file, enum audio_container container,
                           const struct mpeg_header *mp3, struct media **out,
                           enum decode_verdict *verdict, struct err *e);
void media_close(struct media *m); /* NULL is fine */

enum { MEDIA_TEXT_BYTES = 64 };
struct media_state {
    double declared_ms; /* what the header promises; negative: nothing */
    uint64_t n_packets, n_failed;
    char read_error[MEDIA_TEXT_BYTES]; /* why reading stopped before the end of the file, or "" */
};
const struct media_state *media_state(const struct media *m);

/* A decoded frame: of n_samples per channel, none or more. */
struct media_frame {
    int rate_hz, n_channels, n_samples;
    int format;    /* FFmpeg's number */
    bool is_known; /* format is one that media_convert takes */
};

/* Decodes up to the next frame. False at the end, also when damage ends it early. */
bool media_next_frame(struct media *m, uint64_t n_packets_max, struct media_frame *out);

/* Reads the next packet and decodes nothing. */
struct media_packet {
    size_t at, n_bytes; /* in the file */
    bool has_trim;
    struct mpeg_trim trim;
};
enum media_read {
    MEDIA_PACKET,
    MEDIA_ODD, /* something else than a piece of the file to be decoded */
    MEDIA_END,
};
enum media_read media_next_packet(struct media *m, struct media_packet *out);

/* Makes the decoder forget what it decoded. */
void media_flush(struct media *m);

/* file[at, at + n_bytes) through the decoder. False unless exactly one frame comes out. */
bool media_decode(struct media *m, size_t at, size_t n_bytes, struct media_frame *out);

/* The samples [from, to) of the last frame, interleaved. True: all were finite. */
bool media_convert(const struct media *m, size_t from, size_t to, int16_t *out);

/* A tag as the file has it: "title", "artist", "genre", "date" (whatever its format calls them);
 * NULL for none. Mostly UTF-8; lent until close. */
const char *media_tag(const struct media *m, const char *name);

uint32_t media_rate_hz(const struct media *m); /* as the header says it */
unsigned media_codec_version(void);            /* libavcodec's: major << 16 | minor << 8 | micro */

#endif
