#include "programs/match_song.h"

#include "base/mem.h"
#include "features/resample.h"
#include "ingest/clip.h"
#include "programs/audio_file.h"

#include <math.h>
#include <string.h>

/* The whole file as mono samples at the rate that everything here works at. */
static bool read_samples(const char *path, struct match_song *out, struct err *e)
{
    struct audio_file audio = {0};
    struct clip clip = {0};
    const struct pcm *pcm;
    bool ok = false;
    if (!audio_file_open(path, &audio, e))
        goto out;
    memcpy(out->sha256, audio.sha256, sizeof out->sha256);
    out->n_bytes = audio.n_bytes;
    out->format = audio_container_name(audio.container);
    out->rate_hz = audio.info.rate_hz;
    out->n_channels = audio.info.n_channels;
    out->len_ms = clip_length_ms(audio.info.n_frames, audio.info.rate_hz);
    if (out->len_ms == 0) {
        err_set(e, ERR_PERM, "%s holds no sound", path);
        goto out;
    }
    if (!audio_file_read(&audio, 0, audio.info.n_frames, &pcm, e) ||
        !clip_cut_at(pcm, 0, (uint32_t)out->len_ms, &clip, e))
        goto out;
    out->n_samples = resample_n_out(clip.n_samples, clip.rate_hz, SEQUENCE_RATE_HZ);
    out->samples = mem_alloc_aligned(size_max(out->n_samples, 1), sizeof *out->samples);
    ok = resample(clip.samples, clip.n_samples, clip.rate_hz, SEQUENCE_RATE_HZ, out->samples, e);
out:
    clip_release(&clip);
    audio_file_close(&audio);
    return ok;
}

static bool is_silent(const float *samples, size_t n)
{
    static const float least = 1.0f / 4096; /* -72 dB, three steps of 16 bits */
    for (size_t i = 0; i < n; i++)
        if (fabsf(samples[i]) >= least)
            return false;
    return true;
}

bool match_song_open(const char *path, struct match_song *out, struct err *e)
{
    struct match_song s = {.path = path};
    struct sequencer *sequencer = NULL;
    struct err why = {0};
    const char *slash = strrchr(path, '/');
    s.name = slash != NULL && slash[1] != '\0' ? slash + 1 : path;
    bool ok = read_samples(path, &s, e);
    if (ok && is_silent(s.samples, s.n_samples))
        ok = err_set(e, ERR_PERM, "%s is silent: no sample above -72 dB, nothing to compare", path);
    ok = ok && sequencer_new(simd_best(), &sequencer, e);
    if (ok && !sequencer_run(sequencer, s.samples, s.n_samples, &s.sequence, &why)) {
        memcpy(s.no_sequence, why.msg, sizeof s.no_sequence);
        s.sequence.n_frames = 0;
    }
    sequencer_free(sequencer);
    if (ok)
        *out = s;
    else
        match_song_close(&s);
    return ok;
}

void match_song_close(struct match_song *s)
{
    mem_free(s->samples);
    sequence_release(&s->sequence);
    *s = (struct match_song){0};
}
