#include "store/export.h"

#include "base/mem.h"
#include "store/exporter.h"
#include "store/reader.h"

#include <inttypes.h>
#include <string.h>

static const struct export_sink *const SINKS[EXPORT_FORMATS] = {
    [EXPORT_NPY] = &export_sink_npy, [EXPORT_SAFETENSORS] = &export_sink_safetensors,
    [EXPORT_WDS] = &export_sink_wds, [EXPORT_KALDI] = &export_sink_kaldi,
    [EXPORT_MDS] = &export_sink_mds,
};

const char *export_format_name(enum export_format f)
{
    assert(f < EXPORT_FORMATS);
    return SINKS[f]->name;
}

bool export_format_parse(const char *name, enum export_format *out)
{
    for (size_t f = 0; f < EXPORT_FORMATS; f++) {
        if (strcmp(name, SINKS[f]->name) == 0) {
            *out = (enum export_format)f;
            return true;
        }
    }
    return false;
}

bool exporter_write(struct exporter *x, const void *bytes, size_t n_bytes, struct err *e)
{
    x->n_bytes += n_bytes;
    return draft_write(&x->data, bytes, n_bytes, e);
}

/* ---------------------------------------------------------------- description */

void export_describe(struct json *j, const struct export_clip *clip)
{
    json_str(j, "track", clip->track->track_id);
    json_u64(j, "row", store_key_row(clip->key));
    json_u64(j, "clip", store_key_clip(clip->key));
    json_u64(j, "view", store_key_view(clip->key));
    json_u64(j, "start_ms", clip->info->start_ms);
    json_f64(j, "ref_db", (double)clip->info->ref_db);
    json_f64(j, "max_error_db", (double)clip->info->max_err_db);
    json_f64(j, "rms_error_db", (double)clip->info->rms_err_db);
    json_hex64(j, "source", clip->info->source_id);
    if (clip->augment[0])
        json_str(j, "augment", clip->augment);
}

static void description_begin(struct json *j, const struct exporter *x)
{
    json_object(j, NULL);
    json_str(j, "dtype", x->values == EXPORT_LEVELS ? "u8" : "f32");
    json_array(j, "shape");
    json_u64(j, NULL, x->snap->n_keys);
    json_u64(j, NULL, x->snap->n_frames);
    json_u64(j, NULL, x->snap->n_mels);
    json_end(j);
    json_f64(j, "scale", (double)x->scale); /* dB = value * scale + offset */
    json_f64(j, "offset", (double)x->offset);
    json_f64(j, "grid_scale", (double)x->grid_scale); /* of the records themselves */
    json_f64(j, "grid_offset", (double)x->grid_offset);
    json_hex64(j, "spec", x->snap->spec_hash);
    json_hex64(j, "root", x->snap->root);
    json_str(j, "stored_as", record_dtype_name(x->stat.dtype));
    json_str(j, "recipe", x->stat.recipe);
    json_array(j, "clips");
}

/* "x.npy", "x.tar", "x" become "x.json"; a folder's name has no ending to lose. */
void export_description_path(const char *path, char out[PATH_BYTES])
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path,
               *dot = strrchr(name, '.');
    size_t len = dot && dot > name ? (size_t)(dot - path) : strlen(path);
    snprintf(out, PATH_BYTES, "%.*s.json", (int)size_min(len, PATH_BYTES - 8), path);
}

/* ---------------------------------------------------------------- walk */

struct walk {
    struct exporter x;
    const struct export_sink *sink;
    struct draft description;
    struct json json;
    struct record_decoder *decoder;
    void *values;
    uint64_t n_clips;
    struct err err; /* of the callback */
};

static bool decode(struct walk *w, struct span record, struct record_info *info, struct err *e)
{
    struct exporter *x = &w->x;
    if (!record_verify(record, e) || !record_parse(record, info, e))
        return false;
    if (x->values == EXPORT_DB)
        return record_decode(w->decoder, record, w->values, x->n_values, e);
    if (info->scale != x->scale || info->offset != x->offset)
        return err_set(e, ERR_PERM, "its grid is %g and %g, the first record's %g and %g",
                       (double)info->scale, (double)info->offset, (double)x->scale,
                       (double)x->offset);
    return record_decode_levels(w->decoder, record, w->values, x->n_values, e);
}

static bool walk_record(struct walk *w, uint64_t key, struct span record, struct err *e)
{
    struct record_info info;
    struct store_track_info track;
    char augment[STORE_AUGMENT_BYTES];
    struct export_clip clip = {key, &info, &track, augment, w->values};
    if (!decode(w, record, &info, e) ||
        !store_get_track(w->x.store, store_key_row(key), &track, e) ||
        !store_get_info(w->x.store, key, &info, augment, e) || !w->sink->put(&w->x, &clip, e))
        return false;
    json_object(&w->json, NULL);
    export_describe(&w->json, &clip);
    json_end(&w->json);
    w->n_clips++;
    return true;
}

static bool walk_each(void *arg, uint64_t key, struct span record)
{
    struct walk *w = arg;
    const struct store_snapshot *snap = w->x.snap;
    if (w->n_clips == snap->n_keys)
        return false; /* the store grew since */
    if (snap->keys[w->n_clips] != key)
        return true;
    return walk_record(w, key, record, &w->err) ||
           err_wrap(&w->err, "row %" PRIu64 ", clip %u, view %u", store_key_row(key),
                    store_key_clip(key), store_key_view(key));
}

static bool walk_all(struct walk *w, struct err *e)
{
    struct exporter *x = &w->x;
    json_init(&w->json, w->description.file);
    description_begin(&w->json, x);
    if (!w->sink->begin(x, e))
        return false;
    if (!store_each(x->store, walk_each, w, e))
        return false;
    if (w->err.kind != ERR_NONE) {
        *e = w->err;
        return false;
    }
    json_end(&w->json);
    json_end(&w->json);
    json_finish(&w->json);
    if (w->n_clips != x->snap->n_keys)
        return err_set(e, ERR_FATAL, "%s is damaged: %" PRIu64 " of %zu records were found",
                       x->store->env.dir, w->n_clips, x->snap->n_keys);
    return w->sink->end(x, e) && draft_keep(&w->description, e);
}

/* How values relate to dB, which the first record says for all. */
static bool find_grid(struct exporter *x, struct err *e)
{
    struct record_info info;
    char augment[STORE_AUGMENT_BYTES];
    if (!store_get_info(x->store, x->snap->keys[0], &info, augment, e))
        return false;
    x->grid_scale = info.scale;
    x->grid_offset = info.offset;
    if (x->values == EXPORT_DB)
        return true;
    x->scale = info.scale;
    x->offset = info.offset;
    return record_dtype_has_levels(info.dtype) ||
           err_set(e, ERR_USAGE, "the store is %s: levels of 8 bits are in a u8 store only",
                   record_dtype_name(info.dtype));
}

bool store_export(struct store *s, const char *path, enum export_format format,
                  enum export_values values, struct export_report *out, struct err *e)
{
    struct store_snapshot snap;
    char json_path[PATH_BYTES];
    if (!store_snapshot_init(s, &snap, e))
        return false;
    struct walk w = {.x = {.store = s,
                           .snap = &snap,
                           .path = path,
                           .values = values,
                           .scale = 1,
                           .n_values = (size_t)snap.n_frames * snap.n_mels},
                     .sink = SINKS[format],
                     .decoder = record_decoder_new()};
    w.x.clip_bytes = w.x.n_values * (values == EXPORT_LEVELS ? 1 : sizeof(float));
    w.values = mem_alloc_aligned(w.x.n_values, sizeof(float));
    export_description_path(path, json_path);
    bool ok = store_stat(s, &w.x.stat, e) && find_grid(&w.x, e) &&
              draft_open(&w.description, json_path, e) && walk_all(&w, e);
    if (ok)
        *out = (struct export_report){w.n_clips, w.n_clips * w.x.clip_bytes};
    if (w.sink->drop)
        w.sink->drop(&w.x);
    draft_drop(&w.x.data);
    draft_drop(&w.x.index);
    draft_drop(&w.description);
    record_decoder_free(w.decoder);
    mem_free(w.values);
    store_snapshot_release(&snap);
    return ok;
}
