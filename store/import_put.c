#include "store/importer.h"

#include "base/hash.h"
#include "base/mem.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { TRACK_MAX_BYTES = 1 << 30, CLIPS_MAX = 256, NAME_KEPT_BYTES = 47 };

void import_refuse(struct store_import *im, const char *name, const struct err *why)
{
    im->report.refused++;
    im->listener->refused(im->listener->arg, name, why->msg);
}

/* ---------------------------------------------------------------- recipe, writer */

static bool writer_ready(struct store_import *im, const struct store_recipe *recipe, double lowest,
                         double highest, struct err *e)
{
    if (im->writer)
        return (recipe->dtype == im->recipe.dtype && recipe->spec_hash == im->recipe.spec_hash &&
                strcmp(recipe->text, im->recipe.text) == 0) ||
               err_set(e, ERR_USAGE,
                       "its features are others than those of the files before: "
                       "import it into a data set of its own");
    if (!file_make_dir(im->dataset_dir, e) ||
        !store_writer_open(im->dataset_dir, recipe, &im->params->writer, &im->writer, e))
        return false;
    im->recipe = *recipe;
    im->lowest = lowest;
    im->highest = highest;
    im->encoder = record_encoder_new(recipe->dtype, im->params->zstd_level);
    return true;
}

/* The features as they were declared, now or when the store was begun. */
static void spec_lines(const struct store_import *im, char out[STORE_RECIPE_BYTES])
{
    size_t n = 0;
    const char *from = im->params->spec, *old = strstr(im->there.recipe.text, "spec: ");
    bool said = from[0] != '\0';
    if (!said && old && strncmp(im->there.recipe.text, "import: ", 8) == 0) {
        const char *end = strstr(old, "record: ");
        snprintf(out, STORE_RECIPE_BYTES, "%.*s", end ? (int)(end - old) : 0, old);
        return;
    }
    snprintf(out, STORE_RECIPE_BYTES, said ? "" : "spec: not declared\n");
    while (said && *from) {
        int len = (int)strcspn(from, "\n");
        n += (size_t)snprintf(out + n, STORE_RECIPE_BYTES - n, "spec: %.*s\n", len, from);
        assert(n < STORE_RECIPE_BYTES); /* IMPORT_SPEC_BYTES of lines */
        from += len + (from[len] == '\n');
    }
}

static bool foreign_recipe(const struct store_import *im, uint32_t n_mels, struct store_recipe *out,
                           struct err *e)
{
    const struct store_import_params *p = im->params;
    char spec[STORE_RECIPE_BYTES];
    spec_lines(im, spec);
    *out = (struct store_recipe){.dtype = p->dtype                 ? p->dtype
                                          : im->there.recipe.dtype ? im->there.recipe.dtype
                                                                   : RECORD_U8};
    int n = snprintf(out->text, sizeof out->text, "import: mels=%u lowest=%.9g highest=%.9g%s\n%s",
                     n_mels, p->lowest, p->highest, p->relative ? " relative" : "", spec);
    if (n < (int)sizeof out->text) {
        out->spec_hash = hash64(out->text, (size_t)n, 0);
        n += snprintf(out->text + n, sizeof out->text - (size_t)n,
                      "record: dtype=%s zstd_level=%d\n", record_dtype_name(out->dtype),
                      p->zstd_level);
    }
    return n < (int)sizeof out->text ||
           err_set(e, ERR_USAGE, "the features' description is %d bytes long, the limit is %zu", n,
                   sizeof out->text - 1);
}

/* ---------------------------------------------------------------- track */

static void track_begin(struct store_import *im, uint64_t row, const char *track_id,
                        uint64_t source_id)
{
    struct import_track *t = im->track;
    t->row = row;
    t->source_id = source_id;
    t->n_views = t->n_bytes = 0;
    snprintf(t->track_id, sizeof t->track_id, "%s", track_id);
}

/* One record more. A fault of the values is ERR_PERM. */
static bool track_add(struct store_import *im, uint64_t key, const char *augment,
                      const struct record_info *info, const float *values, struct err *e)
{
    struct import_track *t = im->track;
    if (t->n_views == STORE_VIEWS_MAX || t->n_bytes > TRACK_MAX_BYTES)
        return err_set(e, ERR_PERM, "more than %d records or %d bytes of one track",
                       STORE_VIEWS_MAX, TRACK_MAX_BYTES);
    if (t->n_views > 0 && key <= t->views[t->n_views - 1].key)
        return err_set(e, ERR_PERM, "its records are not in the order of their keys");
    struct buf *record = &t->records[t->n_views];
    if (!record_encode_range(im->encoder, values, im->lowest, im->highest, info, record, e))
        return false;
    snprintf(t->augment[t->n_views], STORE_AUGMENT_BYTES, "%s", augment);
    t->views[t->n_views] = (struct store_view){key, buf_span(record), t->augment[t->n_views]};
    t->n_bytes += record->len;
    t->n_views++;
    return true;
}

/* A row that is taken must be taken by the same track. */
static bool track_there(struct store_import *im, struct err *e)
{
    uint64_t source_id;
    im->report.there++;
    return import_ids_find(&im->there.ids, im->track->track_id, &source_id) ||
           err_set(e, ERR_FATAL,
                   "row %" PRIu64 " is another track than %s: import it into a data "
                   "set of its own",
                   im->track->row, im->track->track_id);
}

/* False: stop. */
static bool track_put(struct store_import *im, struct err *e)
{
    struct import_track *t = im->track;
    struct store_track track = {t->row, t->track_id, t->source_id, t->views, t->n_views};
    struct err why = {0};
    bool added;
    size_t n_views = t->n_views;
    t->n_views = 0;
    if (n_views == 0)
        return true;
    if (!store_put_track(im->writer, &track, 0, &added, &why)) {
        if (why.kind == ERR_PERM) {
            import_refuse(im, t->track_id, &why);
            return true;
        }
        *e = why;
        return false;
    }
    if (!added)
        return track_there(im, e);
    im->report.tracks++;
    im->report.clips += n_views;
    if (!import_ids_add(&im->there.ids, t->track_id, t->source_id, e))
        return false;
    im->listener->progress(im->listener->arg, im->report.clips);
    return !store_commit_due(im->writer, 0) || store_commit(im->writer, e);
}

/* ---------------------------------------------------------------- what we exported */

static bool described_grid(struct store_import *im, struct err *e)
{
    const struct import_description *d = &im->description;
    enum record_dtype dtype = d->recipe.dtype;
    double n_steps = record_dtype_has_levels(dtype) ? 255 : 4095, lowest = (double)d->grid_offset;
    if (im->params->dtype && im->params->dtype != dtype)
        return err_set(e, ERR_USAGE,
                       "it was exported from a store of %s and becomes one again; "
                       "move its .json away to import it as foreign numbers",
                       record_dtype_name(dtype));
    im->report.exported_root = d->root;
    return writer_ready(im, &d->recipe, lowest, lowest + n_steps * (double)d->grid_scale, e);
}

/* The name, where the format has one, is the key. */
static bool described_fits(const struct import_matrix *m, const struct import_described *clip,
                           struct err *e)
{
    char want[17];
    snprintf(want, sizeof want, "%016" PRIx64, clip->key);
    return m->name[0] == '\0' || strcmp(m->name, want) == 0 ||
           err_set(e, ERR_PERM, "\"%.60s\" stands where the description has %s", m->name, want);
}

static bool put_described(struct store_import *im, struct import_matrix *m, struct err *e)
{
    const struct import_description *d = &im->description;
    struct import_described clip;
    bool more;
    if (!import_description_next(&im->description, &clip, &more, e))
        return false;
    if (!more)
        return err_set(e, ERR_PERM, "it has more clips than its description");
    if (!described_fits(m, &clip, e) || !described_grid(im, e))
        return false;
    uint64_t row = store_key_row(clip.key);
    if (im->track->n_views > 0 && im->track->row != row && !track_put(im, e))
        return false;
    if (im->track->n_views == 0)
        track_begin(im, row, clip.track_id, clip.info.source_id);
    for (size_t i = 0; d->levels && i < (size_t)m->n_rows * m->n_columns; i++)
        m->values[i] = m->values[i] * d->scale + d->offset;
    clip.info.n_frames = m->n_rows;
    clip.info.n_mels = m->n_columns;
    clip.info.spec_hash = d->recipe.spec_hash;
    return track_add(im, clip.key, clip.augment, &clip.info, m->values, e);
}

/* ---------------------------------------------------------------- what others wrote */

/* A name within the store's limit and without blanks: a longer one keeps its beginning and gets its
 * hash. */
static void foreign_id(const struct store_import *im, const struct import_matrix *m,
                       char out[STORE_TRACK_ID_BYTES])
{
    char name[IMPORT_NAME_BYTES + 64], base[IMPORT_NAME_BYTES];
    const char *slash = strrchr(im->path, '/');
    snprintf(base, sizeof base, "%s", slash ? slash + 1 : im->path);
    char *dot = strstr(base, ".npy");
    if (dot && dot > base)
        *dot = '\0';
    const char *called = m->name[0] ? m->name : base;
    int n = m->stacked ? snprintf(name, sizeof name, "%.32s%s.%" PRIu64, im->params->prefix, called,
                                  m->index)
                       : snprintf(name, sizeof name, "%.32s%s", im->params->prefix, called);
    assert(n > 0 && n < (int)sizeof name);
    for (char *p = name; *p; p++)
        *p = (unsigned char)*p <= ' ' || *p == 0x7f ? '_' : *p;
    if (n < STORE_TRACK_ID_BYTES)
        memcpy(out, name, (size_t)n + 1);
    else
        snprintf(out, STORE_TRACK_ID_BYTES, "%.*s-%016" PRIx64, NAME_KEPT_BYTES, name,
                 hash64(name, (size_t)n, 0));
}

static bool foreign_shape(const struct store_import *im, const struct import_matrix *m,
                          uint32_t *n_frames, size_t *n_clips, struct err *e)
{
    const struct import_existing *there = &im->there;
    uint64_t cut = im->params->cut_frames;
    *n_frames = cut ? (uint32_t)cut : m->n_rows;
    *n_clips = cut ? m->n_rows / cut : 1;
    if (m->n_columns > RECORD_MELS_MAX)
        return err_set(e, ERR_PERM,
                       "%u values a frame, at most %d: are its axes the other way "
                       "round (--mels-first)?",
                       m->n_columns, RECORD_MELS_MAX);
    if (*n_clips == 0 || *n_clips > CLIPS_MAX)
        return err_set(e, ERR_PERM,
                       "%u frames give %zu clips of %" PRIu64 "; from 1 to %d are kept "
                       "of a track",
                       m->n_rows, *n_clips, cut, CLIPS_MAX);
    if (there->n_frames && (*n_frames != there->n_frames || m->n_columns != there->n_mels))
        return err_set(e, ERR_PERM, "%u frames of %u values; the store has clips of %u of %u%s",
                       *n_frames, m->n_columns, there->n_frames, there->n_mels,
                       cut ? "" : " (--frames N cuts)");
    return true;
}

/* Into the store's terms: (frames, mels), scaled, below the clip's maximum. */
static void foreign_scale(const struct store_import *im, struct import_matrix *m)
{
    const struct store_import_params *p = im->params;
    size_t n = (size_t)m->n_rows * m->n_columns;
    if (p->scale != 1 || p->offset != 0) {
        for (size_t i = 0; i < n; i++)
            m->values[i] = (float)((double)m->values[i] * p->scale + p->offset);
    }
    m->max_lost *= fabs(p->scale);
    m->square_lost *= p->scale * p->scale;
}

static void turn(struct import_matrix *m)
{
    size_t n_frames = m->n_columns, n_mels = m->n_rows;
    float *turned = mem_alloc_aligned(n_frames * n_mels, sizeof *turned);
    for (size_t t = 0; t < n_frames; t++)
        for (size_t b = 0; b < n_mels; b++)
            turned[t * n_mels + b] = m->values[b * n_frames + t];
    memcpy(m->values, turned, n_frames * n_mels * sizeof *turned);
    m->n_rows = (uint32_t)n_frames;
    m->n_columns = (uint32_t)n_mels;
    mem_free(turned);
}

/* librosa.power_to_db(ref=max, top_db): what is floored is not counted as an error there either. */
static float relative_to_max(float *values, size_t n, double lowest)
{
    float top = values[0];
    for (size_t i = 1; i < n; i++)
        top = values[i] > top ? values[i] : top;
    for (size_t i = 0; i < n && isfinite(top); i++) {
        float below = values[i] - top;
        values[i] = below < (float)lowest ? (float)lowest : below;
    }
    return top;
}

static bool foreign_clips(struct store_import *im, const struct import_matrix *m, uint32_t n_frames,
                          size_t n_clips, struct err *e)
{
    const struct store_import_params *p = im->params;
    size_t n = (size_t)n_frames * m->n_columns;
    double rms = sqrt(m->square_lost / ((double)m->n_rows * m->n_columns));
    for (size_t i = 0; i < n_clips; i++) {
        float *values = m->values + i * n;
        float ref_db = p->relative ? relative_to_max(values, n, p->lowest) : 0;
        double start_ms = fmin((double)i * n_frames * p->frame_ms, UINT32_MAX);
        struct record_info info = {.n_frames = n_frames,
                                   .n_mels = m->n_columns,
                                   .ref_db = ref_db,
                                   .max_err_db = (float)m->max_lost,
                                   .rms_err_db = (float)rms,
                                   .start_ms = (uint32_t)(start_ms + 0.5),
                                   .spec_hash = im->recipe.spec_hash,
                                   .source_id = im->track->source_id};
        if (!track_add(im, store_key(im->track->row, (uint32_t)i, 0), "", &info, values, e))
            return err_wrap(e, "clip %zu", i);
    }
    return true;
}

static bool put_foreign(struct store_import *im, struct import_matrix *m, struct err *e)
{
    struct store_recipe recipe;
    char track_id[STORE_TRACK_ID_BYTES];
    uint32_t n_frames;
    size_t n_clips;
    uint64_t known;
    if (m->bytes && !im->params->has_scale)
        return err_set(e, ERR_USAGE,
                       "bytes are no decibels: say --scale and --offset "
                       "(dB = value * scale + offset)");
    if (im->params->mels_first)
        turn(m);
    if (!foreign_shape(im, m, &n_frames, &n_clips, e))
        return false;
    foreign_id(im, m, track_id);
    foreign_scale(im, m);
    uint64_t source_id = hash64(m->values, (size_t)m->n_rows * m->n_columns * sizeof *m->values, 0);
    if (import_ids_find(&im->there.ids, track_id, &known)) {
        im->report.there += known == source_id;
        return known == source_id ||
               err_set(e, ERR_PERM,
                       "another track of the name %s is there: --prefix tells them "
                       "apart",
                       track_id);
    }
    if (!foreign_recipe(im, m->n_columns, &recipe, e) ||
        !writer_ready(im, &recipe, im->params->lowest, im->params->highest, e))
        return false;
    track_begin(im, im->there.next_row, track_id, source_id);
    if (!foreign_clips(im, m, n_frames, n_clips, e)) {
        im->track->n_views = 0;
        return false;
    }
    im->there.n_frames = n_frames;
    im->there.n_mels = m->n_columns;
    im->there.next_row++;
    return track_put(im, e);
}

/* ---------------------------------------------------------------- both */

bool import_put(struct store_import *im, struct import_matrix *m, struct err *e)
{
    struct err why = {0};
    if (im->listener->stop && im->listener->stop(im->listener->arg))
        return err_set(e, ERR_STOP, "asked to stop");
    if (im->is_described ? put_described(im, m, &why) : put_foreign(im, m, &why))
        return true;
    /* An export and its description fit as a whole or not at all. */
    if (why.kind != ERR_PERM || im->is_described) {
        *e = why;
        if (why.kind == ERR_PERM)
            e->kind = ERR_FATAL;
        return false;
    }
    import_refuse(im, m->name[0] ? m->name : im->path, &why);
    return true;
}

bool import_put_end(struct store_import *im, struct err *e)
{
    struct import_described clip;
    bool more = false;
    if (!track_put(im, e))
        return false;
    if (!im->is_described)
        return true;
    return import_description_next(&im->description, &clip, &more, e) &&
           (!more || err_set(e, ERR_FATAL, "it has fewer clips than its description"));
}
