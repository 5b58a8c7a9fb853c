/*
 * Which window of a preview becomes the clip, and cutting it to mono float. Arithmetic is pydub's
 * (reference: features section 0): lengths in whole milliseconds, frame = trunc(ms * (rate /
 * 1000.0)), up to 2 ms missing at the end are zero-filled. Mono is the mean over channels in
 * float32, samples / 32768.
 */
#ifndef REFRAIN_CLIP_H
#define REFRAIN_CLIP_H

#include "ingest/decode.h"

enum clip_policy { CLIP_RANDOM, CLIP_START, CLIP_MIDDLE };

enum clip_verdict { CLIP_OK, CLIP_TOO_SHORT, CLIP_SILENT };
const char *clip_verdict_name(enum clip_verdict v); /* "TOO_SHORT" */

struct clip_params {
    enum clip_policy policy;
    uint32_t ms;
    uint64_t seed;
};

struct clip {
    float *samples; /* mono at the file's rate; owned: clip_release; memory is reused */
    size_t n_samples;
    size_t cap_samples;
    uint32_t rate_hz;
    uint32_t start_ms;
};
void clip_release(struct clip *c);

/* Draws the start in [0, len - ms] from (seed, track_key, clip_i); exactly `ms` long gives 0. */
MUST_CHECK bool clip_cut(const struct pcm *pcm, const struct clip_params *params,
                         uint64_t track_key, uint32_t clip_i, struct clip *out,
                         enum clip_verdict *verdict, struct err *e);

#endif
