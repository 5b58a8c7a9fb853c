#include "ingest/clip.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { RNG_CLIP_START = 0x434c4950 /* "CLIP": this use of the seed */, FILL_MAX_MS = 2 };

const char *clip_verdict_name(enum clip_verdict v)
{
    static const char *const names[] = {"OK", "TOO_SHORT", "SILENT"};
    assert(v < ARRAY_LEN(names));
    return names[v];
}

void clip_release(struct clip *c)
{
    mem_free(c->samples);
    *c = (struct clip){0};
}

uint64_t clip_length_ms(size_t n_frames, uint32_t rate_hz)
{
    return (uint64_t)rint(1000.0 * ((double)n_frames / rate_hz));
}

size_t clip_frame_at(uint64_t ms, uint32_t rate_hz)
{
    return (size_t)((double)ms * (rate_hz / 1000.0));
}

uint64_t clip_count(const struct clip_params *params, uint64_t len_ms)
{
    if (len_ms <= params->ms)
        return 1;
    switch (params->policy) {
    case CLIP_ALL:
        return len_ms / params->ms;
    case CLIP_WINDOWS:
        return u64_min(params->n_windows, len_ms - params->ms);
    case CLIP_RANDOM:
    case CLIP_START:
    case CLIP_MIDDLE:
        break;
    }
    return 1;
}

/* From [from, to), or `from` when that is empty. */
static uint32_t draw_start_ms(const struct clip_params *params, uint64_t track_key, uint32_t clip_i,
                              uint64_t from_ms, uint64_t to_ms)
{
    struct rng r;
    if (from_ms == to_ms)
        return (uint32_t)from_ms;
    rng_init(&r, params->seed, RNG_CLIP_START, track_key ^ hash_mix64(clip_i));
    return (uint32_t)(from_ms + rng_below(&r, to_ms - from_ms));
}

uint32_t clip_start_ms(const struct clip_params *params, uint64_t len_ms, uint64_t track_key,
                       uint32_t clip_i)
{
    assert(len_ms >= params->ms);
    assert(len_ms <= UINT32_MAX);
    uint64_t span_ms = len_ms - params->ms;
    uint64_t n = clip_count(params, len_ms);
    assert(clip_i < n || params->policy == CLIP_RANDOM);
    switch (params->policy) {
    case CLIP_RANDOM:
        return draw_start_ms(params, track_key, clip_i, 0, span_ms);
    case CLIP_START:
        return 0;
    case CLIP_MIDDLE:
        return (uint32_t)(span_ms / 2);
    case CLIP_ALL:
        return clip_i * params->ms;
    case CLIP_WINDOWS:
        break;
    }
    return draw_start_ms(params, track_key, clip_i, span_ms * clip_i / n,
                         span_ms * (clip_i + 1) / n);
}

/* Stereo in blocks of constant length, which gcc turns into vector code at -O2. A frame is read as
 * one 32-bit number, left in its low half (little-endian). */
static void mix_stereo(const int16_t *in, size_t n_frames, float *restrict out)
{
    enum { BLOCK_FRAMES = 64 };
    size_t i = 0;
    for (; i + BLOCK_FRAMES <= n_frames; i += BLOCK_FRAMES) {
        int32_t pairs[BLOCK_FRAMES];
        memcpy(pairs, in + 2 * i, sizeof pairs);
        for (size_t j = 0; j < BLOCK_FRAMES; j++) {
            int32_t left = (int32_t)((uint32_t)pairs[j] << 16) >> 16;
            out[i + j] = (float)(left + (pairs[j] >> 16)) * (1.0f / 65536.0f);
        }
    }
    for (; i < n_frames; i++)
        out[i] = (float)(in[2 * i] + in[2 * i + 1]) * (1.0f / 65536.0f);
}

/* The sum of up to DECODE_CHANNELS_MAX 16-bit samples and its 32768th are exact in a float, so the
 * mean is rounded once, as NumPy's is, in whatever order it adds. */
static void mix_mono(const int16_t *in, size_t n_frames, uint32_t n_channels, float *restrict out)
{
    if (n_channels == 2) {
        mix_stereo(in, n_frames, out);
        return;
    }
    for (size_t i = 0; i < n_frames; i++) {
        int32_t sum = 0;
        for (uint32_t c = 0; c < n_channels; c++)
            sum += in[i * n_channels + c];
        out[i] = (float)sum / 32768.0f / (float)n_channels;
    }
}

static void clip_reserve(struct clip *c, size_t n_samples)
{
    if (n_samples > c->cap_samples) {
        c->samples = mem_resize(c->samples, n_samples, sizeof *c->samples);
        c->cap_samples = n_samples;
    }
}

void clip_whole(const struct pcm *pcm, struct clip *out)
{
    clip_reserve(out, pcm->n_frames);
    mix_mono(pcm->samples, pcm->n_frames, pcm->n_channels, out->samples);
    out->n_samples = pcm->n_frames;
    out->rate_hz = pcm->rate_hz;
    out->start_ms = 0;
}

/* clip_cut_at with silence for at most n_fill_max missing frames. */
static bool cut_filled(const struct pcm *pcm, uint32_t start_ms, uint32_t ms, size_t n_fill_max,
                       struct clip *out, struct err *e)
{
    size_t from = clip_frame_at(start_ms, pcm->rate_hz);
    size_t to = clip_frame_at((uint64_t)start_ms + ms, pcm->rate_hz);
    assert(from >= pcm->first_frame);
    size_t skip = from - (size_t)pcm->first_frame;
    size_t n_have = skip < pcm->n_frames ? size_min(to - from, pcm->n_frames - skip) : 0;
    size_t n_samples = to - from;
    if (n_samples - n_have > n_fill_max)
        return err_set(e, ERR_PERM, "%zu of the %zu frames from %" PRIu32 " ms on are there",
                       n_have, n_samples, start_ms);
    clip_reserve(out, n_samples);
    mix_mono(pcm->samples + skip * pcm->n_channels, n_have, pcm->n_channels, out->samples);
    memset(out->samples + n_have, 0, (n_samples - n_have) * sizeof *out->samples);
    out->n_samples = n_samples;
    out->rate_hz = pcm->rate_hz;
    out->start_ms = start_ms;
    return true;
}

bool clip_cut_at(const struct pcm *pcm, uint32_t start_ms, uint32_t ms, struct clip *out,
                 struct err *e)
{
    return cut_filled(pcm, start_ms, ms, clip_frame_at(FILL_MAX_MS, pcm->rate_hz), out, e);
}

/* Magnitudes of floats are ordered as their bits are. */
static float peak_of(const float *samples, size_t n)
{
    enum { BLOCK_SAMPLES = 64 };
    int32_t peak_bits = 0;
    for (size_t i = 0; i < n; i += BLOCK_SAMPLES) {
        int32_t bits[BLOCK_SAMPLES] = {0};
        memcpy(bits, samples + i, size_min(n - i, BLOCK_SAMPLES) * sizeof *samples);
        for (size_t j = 0; j < BLOCK_SAMPLES; j++) {
            int32_t magnitude = bits[j] & 0x7fffffff;
            peak_bits = magnitude > peak_bits ? magnitude : peak_bits;
        }
    }
    float peak;
    memcpy(&peak, &peak_bits, sizeof peak);
    return peak;
}

bool clip_choose(const struct clip_params *params, uint64_t n_frames, uint32_t rate_hz,
                 uint64_t track_key, uint32_t clip_i, uint32_t *start_ms,
                 enum clip_verdict *verdict, struct err *e)
{
    uint64_t len_ms = clip_length_ms(n_frames, rate_hz);
    *verdict = CLIP_TOO_SHORT;
    if (len_ms < params->ms && (!params->pads_short || n_frames == 0))
        return err_set(e, ERR_PERM, "%" PRIu64 " ms of audio, a clip needs %" PRIu32, len_ms,
                       params->ms);
    *start_ms = len_ms < params->ms ? 0 : clip_start_ms(params, len_ms, track_key, clip_i);
    *verdict = CLIP_OK;
    return true;
}

void clip_frames(const struct clip_params *params, uint32_t start_ms, uint64_t n_frames,
                 uint32_t rate_hz, uint64_t *from, uint64_t *to)
{
    *from = u64_min(clip_frame_at(start_ms, rate_hz), n_frames);
    *to = u64_min(clip_frame_at((uint64_t)start_ms + params->ms, rate_hz), n_frames);
}

bool clip_take(const struct pcm *pcm, const struct clip_params *params, uint32_t start_ms,
               struct clip *out, enum clip_verdict *verdict, struct err *e)
{
    uint32_t fill_max_ms = params->pads_short ? params->ms : FILL_MAX_MS;
    *verdict = CLIP_TOO_SHORT;
    if (!cut_filled(pcm, start_ms, params->ms, clip_frame_at(fill_max_ms, pcm->rate_hz), out, e))
        return false;
    float steps = peak_of(out->samples, out->n_samples) * 32768.0f;
    *verdict = CLIP_SILENT;
    if (steps == 0.0f)
        return err_set(e, ERR_PERM, "all samples from %" PRIu32 " ms to %" PRIu32 " ms are zero",
                       start_ms, start_ms + params->ms);
    if (steps < CLIP_SILENT_STEPS)
        return err_set(e, ERR_PERM,
                       "from %" PRIu32 " ms to %" PRIu32
                       " ms the peak is %.1f dB of full scale, at least %.1f is needed",
                       start_ms, start_ms + params->ms, 20.0 * log10(steps / 32768.0),
                       20.0 * log10(CLIP_SILENT_STEPS / 32768.0));
    *verdict = CLIP_OK;
    return true;
}

bool clip_cut(const struct pcm *pcm, const struct clip_params *params, uint64_t track_key,
              uint32_t clip_i, struct clip *out, enum clip_verdict *verdict, struct err *e)
{
    uint32_t start_ms;
    return clip_choose(params, pcm->n_frames, pcm->rate_hz, track_key, clip_i, &start_ms, verdict,
                       e) &&
           clip_take(pcm, params, start_ms, out, verdict, e);
}
