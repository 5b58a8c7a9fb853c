#include "programs/features_file.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/npy.h"
#include "features/resample.h"
#include "ingest/clip.h"
#include "programs/audio_file.h"
#include "programs/feature_picture.h"

#include <inttypes.h>
#include <string.h>

enum { SOURCE_MAX_BYTES = 1 << 30 };

/* Decodes no more than the window needs. */
static bool cut_window(const struct features_request *r, struct audio_file *audio, struct clip *out,
                       uint64_t *out_ms, struct err *e)
{
    const struct decode_info *info = &audio->info;
    const struct pcm *pcm;
    uint64_t len_ms = clip_length_ms(info->n_frames, info->rate_hz);
    if (r->start_ms >= len_ms || r->ms > len_ms - r->start_ms)
        return err_set(e, ERR_USAGE,
                       "%s is %" PRIu64 " ms long; --start-ms %" PRIu64 " --ms %" PRIu64
                       " reaches beyond",
                       r->audio_path, len_ms, r->start_ms, r->ms);
    *out_ms = r->ms == 0 ? len_ms - r->start_ms : r->ms;
    uint64_t from = u64_min(clip_frame_at(r->start_ms, info->rate_hz), info->n_frames - 1);
    uint64_t to = clip_frame_at(r->start_ms + *out_ms, info->rate_hz);
    to = u64_max(u64_min(to, info->n_frames), from + 1);
    return audio_file_read(audio, from, to, &pcm, e) &&
           clip_cut_at(pcm, (uint32_t)r->start_ms, (uint32_t)*out_ms, out, e);
}

/* As extract cuts clips. */
static bool cut_clip(const struct features_request *r, struct audio_file *audio, struct clip *out,
                     struct err *e)
{
    const struct clip_params params = {.ms = (uint32_t)r->ms, .pads_short = true};
    const struct decode_info *info = &audio->info;
    const struct pcm *pcm;
    enum clip_verdict verdict;
    uint64_t from, to, len_ms = clip_length_ms(info->n_frames, info->rate_hz);
    if (r->start_ms >= len_ms)
        return err_set(e, ERR_PERM, "%s is %" PRIu64 " ms long; the view begins at %" PRIu64 " ms",
                       r->audio_path, len_ms, r->start_ms);
    uint32_t start_ms = (uint32_t)r->start_ms;
    clip_frames(&params, start_ms, info->n_frames, info->rate_hz, &from, &to);
    return audio_file_read(audio, from, to, &pcm, e) &&
           clip_take(pcm, &params, start_ms, out, &verdict, e);
}

/* A record of other audio or of other conventions would make another view without a word. */
static bool check_view(const struct features_request *r, struct err *e)
{
    const struct view_record *v = r->view;
    uint64_t spec_hash = feature_spec_hash(&r->spec);
    if (v->has_spec && v->spec_hash != spec_hash)
        return err_set(e, ERR_USAGE,
                       "the view was made with feature spec %016" PRIx64 ", here it is %016" PRIx64
                       ": give --like DIR, the view's data set",
                       v->spec_hash, spec_hash);
    if (!v->has_source)
        return true;
    struct buf file;
    buf_init(&file, SOURCE_MAX_BYTES);
    bool ok = file_read_all(r->audio_path, &file, e);
    uint64_t source_id = ok ? hash64(file.data, file.len, 0) : 0;
    buf_release(&file);
    if (ok && source_id != v->source_id)
        return err_set(e, ERR_PERM,
                       "%s is not what the view was made of: its hash is %016" PRIx64
                       ", the record says %016" PRIx64,
                       r->audio_path, source_id, v->source_id);
    return ok;
}

/* (n_rows, n_columns) to (n_columns, n_rows) */
static void transpose(const float *in, size_t n_rows, size_t n_columns, float *out)
{
    for (size_t r = 0; r < n_rows; r++)
        for (size_t c = 0; c < n_columns; c++)
            out[c * n_rows + r] = in[r * n_columns + c];
}

static bool compute(const struct feature_spec *spec, const float *samples, size_t n_samples,
                    float *out, float *out_ref_db, struct err *e)
{
    struct feature_plan *plan = NULL;
    if (!feature_plan_new(spec, &plan, e))
        return false;
    struct feature *feature = feature_new(plan);
    bool ok = feature_compute(feature, samples, n_samples, out, out_ref_db, e);
    feature_free(feature);
    feature_plan_free(plan);
    return ok;
}

static bool write_npy(const char *path, const float *values, const struct features_result *shape,
                      struct err *e)
{
    const uint64_t dims[2] = {shape->n_rows, shape->n_frames};
    size_t n_values = shape->n_rows * shape->n_frames;
    float *by_row = mem_alloc_aligned(n_values, sizeof *by_row);
    transpose(values, shape->n_frames, shape->n_rows, by_row);
    bool ok = npy_write(path, "<f4", dims, 2, (struct span){by_row, n_values * sizeof *by_row}, e);
    mem_free(by_row);
    return ok;
}

static bool write_features(const struct features_request *r, const float *samples, size_t n_samples,
                           struct features_result *out, struct err *e)
{
    out->n_rows = r->spec.n_mels;
    out->n_frames = feature_n_frames(&r->spec, n_samples);
    float *values = mem_alloc_aligned(size_max(1, out->n_rows * out->n_frames), sizeof *values);
    bool ok = compute(&r->spec, samples, n_samples, values, &out->ref_db, e);
    if (ok && feature_picture_of(r->out_path) != FEATURE_PICTURE_NONE)
        ok = feature_picture_write(r->out_path, &r->spec, values, out->n_frames, e);
    else
        ok = ok && write_npy(r->out_path, values, out, e);
    mem_free(values);
    return ok;
}

static bool apply_view(const struct features_request *r, float *samples, size_t n_samples,
                       struct err *e)
{
    struct augment *augment = augment_new(NULL, r->spec.rate_hz);
    bool ok = augment_apply_record(augment, r->view->augment, samples, n_samples, e);
    augment_free(augment);
    return ok;
}

/* Takes the clip to samples at the rate of what is computed; a view's are as many as in its store.
 */
static bool resample_clip(const struct features_request *r, const struct clip *clip,
                          float **out_samples, size_t *out_n, struct err *e)
{
    double rate_hz = r->spec.rate_hz;
    size_t n = resample_n_out(clip->n_samples, clip->rate_hz, rate_hz);
    *out_n = r->view != NULL ? feature_n_samples(&r->spec, r->ms) : n;
    size_t cap = size_max(size_max(n, *out_n), 1);
    float *samples = mem_alloc_aligned(cap, sizeof *samples);
    memset(samples, 0, cap * sizeof *samples);
    *out_samples = samples;
    return resample(clip->samples, clip->n_samples, clip->rate_hz, rate_hz, samples, e);
}

bool features_write(const struct features_request *r, struct features_result *out, struct err *e)
{
    struct audio_file audio = {0};
    struct clip clip = {0};
    float *resampled = NULL;
    bool ok = false;
    *out = (struct features_result){.start_ms = r->start_ms};
    if (r->spec.kind != NULL && feature_picture_of(r->out_path) != FEATURE_PICTURE_NONE)
        return err_set(e, ERR_USAGE, "pictures are drawn of the log-mel; write %s to a .npy",
                       r->spec.kind->name);
    if ((r->view != NULL && !check_view(r, e)) || !audio_file_open(r->audio_path, &audio, e))
        goto out;
    out->ms = r->ms;
    if (!(r->view != NULL ? cut_clip(r, &audio, &clip, e)
                          : cut_window(r, &audio, &clip, &out->ms, e)))
        goto out;
    out->rate_hz = audio.info.rate_hz;
    out->n_channels = audio.info.n_channels;
    size_t n;
    if (!resample_clip(r, &clip, &resampled, &n, e) ||
        (r->view != NULL && !apply_view(r, resampled, n, e)))
        goto out;
    ok = write_features(r, resampled, n, out, e);
out:
    mem_free(resampled);
    clip_release(&clip);
    audio_file_close(&audio);
    return ok;
}
