/*
 * Any length, rate, policy and samples: the clips of a track are in order, lie within it, and hold
 * finite samples of the expected number, or there is a verdict with its sentence.
 */
#include "base/mem.h"
#include "ingest/clip.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    uint8_t policy, n_channels, pads_short, n_windows;
    uint16_t ms;
    uint16_t rate_steps; /* of 3 Hz above the lowest */
    uint64_t seed, track_key;
};

static bool take(const struct clip_params *params, const struct pcm *pcm, uint64_t track_key,
                 uint32_t clip_i, struct clip *out, uint32_t *start_ms, struct err *e)
{
    enum clip_verdict verdict;
    uint64_t from, to;
    *e = (struct err){0};
    if (!clip_choose(params, pcm->n_frames, pcm->rate_hz, track_key, clip_i, start_ms, &verdict,
                     e)) {
        assert(verdict == CLIP_TOO_SHORT);
        return false;
    }
    clip_frames(params, *start_ms, pcm->n_frames, pcm->rate_hz, &from, &to);
    assert(from < to);
    assert(to <= pcm->n_frames);
    struct pcm window = *pcm; /* no more than the clip says it needs */
    window.samples += from * pcm->n_channels;
    window.first_frame = from;
    window.n_frames = to - from;
    bool ok = clip_take(&window, params, *start_ms, out, &verdict, e);
    assert(ok == (verdict == CLIP_OK));
    assert(ok || verdict == CLIP_SILENT);
    return ok;
}

static void check_clip(const struct clip_params *params, const struct clip *clip)
{
    size_t n = clip_frame_at((uint64_t)clip->start_ms + params->ms, clip->rate_hz) -
               clip_frame_at(clip->start_ms, clip->rate_hz);
    assert(clip->n_samples == n);
    for (size_t i = 0; i < n; i++)
        assert(clip->samples[i] >= -1.0f && clip->samples[i] <= 1.0f);
}

static void check_track(const struct clip_params *params, const struct pcm *pcm, uint64_t track_key)
{
    struct clip clip = {0};
    struct err e;
    uint32_t start_ms = 0, last_ms = 0;
    uint64_t len_ms = clip_length_ms(pcm->n_frames, pcm->rate_hz);
    uint64_t n = clip_count(params, len_ms);
    assert(n >= 1);
    assert(params->policy != CLIP_WINDOWS || n <= params->n_windows);
    for (uint32_t i = 0; i < u64_min(n, CLIP_WINDOWS_MAX); i++) {
        bool ok = take(params, pcm, track_key, i, &clip, &start_ms, &e);
        assert(ok || (e.kind == ERR_PERM && e.msg[0] != '\0'));
        assert(i == 0 || start_ms > last_ms);
        assert(len_ms < params->ms || start_ms + params->ms <= len_ms);
        if (ok)
            check_clip(params, &clip);
        last_ms = start_ms;
    }
    clip_release(&clip);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { CHANNELS = 8 };
    struct input in;
    if (size < sizeof in)
        return 0;
    memcpy(&in, data, sizeof in);
    const struct clip_params params = {.policy = (enum clip_policy)(in.policy % (CLIP_WINDOWS + 1)),
                                       .ms = 1 + in.ms % 2000u,
                                       .seed = in.seed,
                                       .n_windows = 1u + in.n_windows,
                                       .pads_short = in.pads_short & 1};
    struct pcm pcm = {.rate_hz = DECODE_RATE_MIN_HZ + 3u * in.rate_steps % 188000u,
                      .n_channels = 1 + in.n_channels % CHANNELS};
    pcm.n_frames = (size - sizeof in) / sizeof(int16_t) / pcm.n_channels;
    size_t n_samples = pcm.n_frames * pcm.n_channels;
    pcm.samples = mem_alloc(n_samples, sizeof *pcm.samples);
    if (n_samples > 0)
        memcpy(pcm.samples, data + sizeof in, n_samples * sizeof *pcm.samples);
    check_track(&params, &pcm, in.track_key);
    mem_free(pcm.samples);
    return 0;
}
