#include "programs/features_file.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/npy.h"
#include "features/resample.h"
#include "ingest/clip.h"

#include <inttypes.h>

enum { FILE_MAX_BYTES = 1 << 30, PCM_MAX_BYTES = 2000 << 20, AUDIO_MAX_MS = 4 * 3600 * 1000 };

static bool decode_file(const char *path, struct pcm *out, struct err *e)
{
    static const struct decode_limits limits = {FILE_MAX_BYTES, AUDIO_MAX_MS, PCM_MAX_BYTES};
    enum decode_verdict verdict;
    struct buf file;
    buf_init(&file, FILE_MAX_BYTES);
    bool ok = file_read_all(path, &file, e);
    if (ok && !decode_audio(buf_span(&file), &limits, out, &verdict, e))
        ok = err_wrap(e, "%s: %s", path, decode_verdict_name(verdict));
    buf_release(&file);
    return ok;
}

static bool cut_window(const struct features_request *r, const struct pcm *pcm, struct clip *out,
                       uint64_t *out_ms, struct err *e)
{
    uint64_t len_ms = clip_length_ms(pcm->n_frames, pcm->rate_hz);
    if (r->start_ms >= len_ms || r->ms > len_ms - r->start_ms)
        return err_set(e, ERR_USAGE,
                       "%s is %" PRIu64 " ms long; --start-ms %" PRIu64 " --ms %" PRIu64
                       " reaches beyond",
                       r->audio_path, len_ms, r->start_ms, r->ms);
    *out_ms = r->ms == 0 ? len_ms - r->start_ms : r->ms;
    return clip_cut_at(pcm, (uint32_t)r->start_ms, (uint32_t)*out_ms, out, e);
}

/* (n_frames, n_mels) to (n_mels, n_frames) */
static void transpose(const float *in, size_t n_rows, size_t n_columns, float *out)
{
    for (size_t r = 0; r < n_rows; r++)
        for (size_t c = 0; c < n_columns; c++)
            out[c * n_rows + r] = in[r * n_columns + c];
}

static bool write_logmel(const struct features_request *r, const float *samples, size_t n_samples,
                         struct features_result *out, struct err *e)
{
    struct logmel_plan *plan = NULL;
    if (!logmel_plan_new(&r->spec, &plan, e))
        return false;
    struct logmel *logmel = logmel_new(plan);
    out->n_mels = r->spec.n_mels;
    out->n_frames = feature_n_frames(&r->spec, n_samples);
    size_t n_values = out->n_mels * out->n_frames;
    float *db = mem_alloc_aligned(n_values, sizeof *db);
    float *by_mel = mem_alloc_aligned(n_values, sizeof *by_mel);
    bool ok = logmel_compute(logmel, samples, n_samples, db, &out->ref_db, e);
    if (ok) {
        const uint64_t shape[2] = {out->n_mels, out->n_frames};
        transpose(db, out->n_frames, out->n_mels, by_mel);
        ok = npy_write(r->out_path, "<f4", shape, 2,
                       (struct span){by_mel, n_values * sizeof *by_mel}, e);
    }
    mem_free(by_mel);
    mem_free(db);
    logmel_free(logmel);
    logmel_plan_free(plan);
    return ok;
}

bool features_write(const struct features_request *r, struct features_result *out, struct err *e)
{
    struct pcm pcm = {0};
    struct clip clip = {0};
    float *resampled = NULL;
    bool ok = false;
    *out = (struct features_result){.start_ms = r->start_ms};
    if (!decode_file(r->audio_path, &pcm, e) || !cut_window(r, &pcm, &clip, &out->ms, e))
        goto out;
    out->rate_hz = pcm.rate_hz;
    out->n_channels = pcm.n_channels;
    size_t n = resample_n_out(clip.n_samples, clip.rate_hz, r->spec.rate_hz);
    resampled = mem_alloc_aligned(size_max(n, 1), sizeof *resampled);
    if (!resample(clip.samples, clip.n_samples, clip.rate_hz, r->spec.rate_hz, resampled, e))
        goto out;
    ok = write_logmel(r, resampled, n, out, e);
out:
    mem_free(resampled);
    clip_release(&clip);
    pcm_release(&pcm);
    return ok;
}
