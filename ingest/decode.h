/*
 * Bytes nobody trusts to samples: MP3, AAC in MP4, Ogg Vorbis/Opus, FLAC, WAV in memory to
 * interleaved 16-bit samples at the file's own rate and channels, exactly as `ffmpeg -acodec
 * pcm_s16le` gives them (float to 16 bit is clip(rint(x * 32768)), wider integers are shifted
 * down, nothing is dithered). The only file that knows FFmpeg.
 *
 * Gapless trimming is libavcodec's: an MP3 with a LAME/Info header loses its encoder delay and
 * padding, one without keeps the 1105 samples of junk nobody can know about.
 *
 * Any number of threads may decode at the same time. All limits count bytes, packets and samples,
 * never seconds of the clock, so that the same bytes give the same verdict on every machine.
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
    DECODE_TOO_LONG,  /* over a limit of bytes, time or memory */
    DECODE_NONFINITE, /* NaN or infinity among float samples */
    DECODE_VERDICTS,
};
const char *decode_verdict_name(enum decode_verdict v); /* "NOT_AUDIO" */

enum {
    DECODE_CHANNELS_MAX = 8,
    DECODE_RATE_MIN_HZ = 4000,
    DECODE_RATE_MAX_HZ = 192000,
};

struct pcm {
    int16_t *samples; /* interleaved, owned: pcm_release; reused by the next decode into it */
    size_t n_frames;  /* samples per channel */
    size_t cap_samples;
    uint32_t rate_hz;
    uint32_t n_channels;
};
void pcm_release(struct pcm *p); /* safe on {0}, may run twice */

struct decode_limits {
    uint64_t max_bytes;     /* of the file */
    uint64_t max_ms;        /* of audio */
    uint64_t max_pcm_bytes; /* of decoded samples, whatever the rate and channels */
};

/* Decodes all of it. False only for a verdict other than OK: *verdict says which, e the sentence
 * (always ERR_PERM). The contents of *out are then undefined, its memory is still reused. */
MUST_CHECK bool decode_audio(struct span file, const struct decode_limits *limits, struct pcm *out,
                             enum decode_verdict *verdict, struct err *e);

/* What decides the samples besides the bytes, for the store's recipe: "libavcodec-59.37". */
enum { DECODE_ID_BYTES = 32 };
void decode_id(char out[DECODE_ID_BYTES]);

#endif
