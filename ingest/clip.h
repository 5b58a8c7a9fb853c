/*
 * Which window of a preview becomes the clip, and cutting it to mono float. Arithmetic is pydub's
 * (https://github.com/jiaaro/pydub, audio_segment.py: __len__, _parse_position, __getitem__):
 * lengths in whole milliseconds, round(1000 * (frames / rate)) with ties to even; frame =
 * trunc(ms * (rate / 1000.0)); what rounding leaves missing at the end, 2 ms at most, is
 * zero-filled. Mono is the mean over channels in float32 of samples / 32768, taken before any
 * resampling, as librosa.load does.
 */
#ifndef REFRAIN_CLIP_H
#define REFRAIN_CLIP_H

#include "ingest/decode.h"

enum clip_policy {
    CLIP_RANDOM,  /* one window, drawn */
    CLIP_START,   /* the first */
    CLIP_MIDDLE,  /* the one in the middle */
    CLIP_ALL,     /* every whole window from the start on, side by side */
    CLIP_WINDOWS, /* n_windows, one drawn from each of as many equal parts of all starts */
};
enum { CLIP_WINDOWS_MAX = 256 };

/* Names are the causes of spool/bad. */
enum clip_verdict { CLIP_OK, CLIP_TOO_SHORT, CLIP_SILENT };
const char *clip_verdict_name(enum clip_verdict v); /* "TOO_SHORT" */

/* A mono clip whose largest sample stays below this many steps of 16 bit (-72 dB of full scale) is
 * silent: a picture made of it would show dither or the codec's noise, scaled up to 0 dB. */
enum { CLIP_SILENT_STEPS = 8 };

struct clip_params {
    enum clip_policy policy;
    uint32_t ms;
    uint64_t seed;
    uint32_t n_windows; /* of CLIP_WINDOWS, 1 to CLIP_WINDOWS_MAX */
    bool pads_short;    /* a shorter track is one window with silence behind it, not TOO_SHORT */
};

struct clip {
    float *samples; /* mono at the file's rate; owned: clip_release; memory is reused */
    size_t n_samples;
    size_t cap_samples;
    uint32_t rate_hz;
    uint32_t start_ms;
};
void clip_release(struct clip *c); /* safe on {0}, may run twice */

/* pydub's len() in milliseconds. */
uint64_t clip_length_ms(size_t n_frames, uint32_t rate_hz);

/* pydub's frame at a position. */
size_t clip_frame_at(uint64_t ms, uint32_t rate_hz);

/* How many windows a track has: 1 or more. CLIP_ALL of a long one may have more than
 * CLIP_WINDOWS_MAX; CLIP_WINDOWS has no more than there are starts. */
uint64_t clip_count(const struct clip_params *params, uint64_t len_ms);

/* Where window clip_i < clip_count begins in a preview of len_ms >= params->ms. CLIP_RANDOM draws
 * from [0, len_ms - ms), as NumPy's randint(0, len - ms) does, by (seed, track_key, clip_i) alone;
 * exactly `ms` long gives 0. CLIP_WINDOWS with one window is CLIP_RANDOM. */
uint32_t clip_start_ms(const struct clip_params *params, uint64_t len_ms, uint64_t track_key,
                       uint32_t clip_i);

/* Cuts [start_ms, start_ms + ms) to mono, zero-filling at most 2 ms; more missing is ERR_PERM. pcm
 * may be a window that holds the clip. */
MUST_CHECK bool clip_cut_at(const struct pcm *pcm, uint32_t start_ms, uint32_t ms, struct clip *out,
                            struct err *e);

/* All of pcm as one clip from 0 ms on, whatever its length. */
void clip_whole(const struct pcm *pcm, struct clip *out);

/* The three steps of a clip. False only for a verdict other than OK: *verdict says which, e the
 * sentence. First, where it begins, from the length alone: TOO_SHORT. track_key is hash64 of the
 * track id; clip_i < clip_count. */
MUST_CHECK bool clip_choose(const struct clip_params *params, uint64_t n_frames, uint32_t rate_hz,
                            uint64_t track_key, uint32_t clip_i, uint32_t *start_ms,
                            enum clip_verdict *verdict, struct err *e);

/* Second, which frames of the file it needs: [*from, *to) is not empty unless params->ms is 0. */
void clip_frames(const struct clip_params *params, uint32_t start_ms, uint64_t n_frames,
                 uint32_t rate_hz, uint64_t *from, uint64_t *to);

/* Third, cutting it out of at least these frames: SILENT. */
MUST_CHECK bool clip_take(const struct pcm *pcm, const struct clip_params *params,
                          uint32_t start_ms, struct clip *out, enum clip_verdict *verdict,
                          struct err *e);

/* First and third, of a file decoded whole. */
MUST_CHECK bool clip_cut(const struct pcm *pcm, const struct clip_params *params,
                         uint64_t track_key, uint32_t clip_i, struct clip *out,
                         enum clip_verdict *verdict, struct err *e);

#endif
