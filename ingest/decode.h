/*
 * Bytes nobody trusts to samples: MP3, AAC in MP4, Ogg Vorbis/Opus, FLAC, WAV in memory to
 * interleaved 16-bit samples at the file's own rate and channels, exactly as `ffmpeg -acodec
 * pcm_s16le` gives them. The only file that knows FFmpeg.
 */
#ifndef REFRAIN_DECODE_H
#define REFRAIN_DECODE_H

#include "base/err.h"

/* What became of one item. Names are the causes of spool/bad. */
enum decode_verdict {
    DECODE_OK,
    DECODE_NOT_AUDIO, /* no allowed container or codec, or no audio stream */
    DECODE_EMPTY,     /* 0 bytes */
    DECODE_CORRUPT,   /* more than 1 % of the packets failed, or time is missing */
    DECODE_TOO_LONG,  /* over the limit */
    DECODE_NONFINITE,
    DECODE_VERDICTS,
};
const char *decode_verdict_name(enum decode_verdict v); /* "NOT_AUDIO" */

struct pcm {
    int16_t *samples; /* interleaved, owned: pcm_release; reused by the next decode into it */
    size_t n_frames;  /* samples per channel */
    size_t cap_samples;
    uint32_t rate_hz;
    uint32_t n_channels;
};
void pcm_release(struct pcm *p);

struct decode_limits {
    uint64_t max_bytes; /* of the file */
    uint64_t max_ms;    /* of audio */
};

/* Decodes all of it. False only for a verdict other than OK: *verdict says which, e the sentence.
 */
MUST_CHECK bool decode_audio(struct span file, const struct decode_limits *limits, struct pcm *out,
                             enum decode_verdict *verdict, struct err *e);

#endif
