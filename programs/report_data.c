#include "programs/report_data.h"

#include "base/mem.h"
#include "programs/feature_settings.h"
#include "programs/picture.h"
#include "programs/rows.h"

#include <string.h>

enum {
    GENRES_MAX = 4096,
    TAGS_MAX = 65536,
    PNG_BYTES_MAX = 4 << 20,
    CURVES_BYTES_MAX = 2 << 20,
    METRICS_BYTES_MAX = 16 << 20,
};

/* ---------------------------------------------------------------- the catalogue's rows */

void report_add_tags(struct tally *tags, const char *text, bool stored)
{
    while (*text != '\0') {
        text += strspn(text, ", \t");
        size_t len = strcspn(text, ",");
        size_t end = len;
        while (end > 0 && (text[end - 1] == ' ' || text[end - 1] == '\t'))
            end--;
        if (end > 0)
            tally_add(tags, (struct span){text, end}, stored);
        text += len;
    }
}

static bool add_row(void *arg, const struct joined_row *joined)
{
    struct report_data *r = arg;
    const struct catalog_row *row = joined->row;
    bool stored = joined->n_views > 0;
    if (joined->state == ROW_BAD_ROW || joined->state == ROW_DUP)
        return true; /* not a song, or counted already */
    if (row->genre[0] != '\0') {
        r->n_with_genre++;
        tally_add_str(r->genres, row->genre, stored);
    }
    if (row->tags[0] != '\0') {
        r->n_with_tags++;
        report_add_tags(r->tags, row->tags, stored);
    }
    if (row->year >= YEAR_FIRST && row->year < YEAR_FIRST + YEARS_MAX) {
        r->n_with_year++;
        r->years[row->year - YEAR_FIRST].n++;
        r->years[row->year - YEAR_FIRST].n_stored += stored;
    }
    return true;
}

/* ---------------------------------------------------------------- a few clips */

/* The first view of clips at even distances in the store: the same ones each time. */
struct clip_pick {
    uint64_t n_plain; /* first pass: how many there are */
    uint64_t seen;    /* second pass */
    size_t n, n_wanted;
    uint64_t keys[REPORT_CLIPS_MAX];
};

static bool count_plain(void *arg, uint64_t key, struct span record)
{
    (void)record;
    struct clip_pick *pick = arg;
    pick->n_plain += store_key_view(key) == 0;
    return true;
}

static bool pick_plain(void *arg, uint64_t key, struct span record)
{
    (void)record;
    struct clip_pick *pick = arg;
    if (store_key_view(key) != 0)
        return true;
    if (pick->n < pick->n_wanted && pick->seen == pick->n_plain * pick->n / pick->n_wanted)
        pick->keys[pick->n++] = key;
    pick->seen++;
    return pick->n < pick->n_wanted;
}

static bool read_picture(struct store *store, uint64_t key, const struct record_info *info,
                         const struct feature_spec *spec, struct buf *png, struct err *e)
{
    size_t n = (size_t)info->n_frames * info->n_mels;
    double low, high;
    float *values = mem_zalloc(n, sizeof *values);
    bool ok = store_read_batch(store, &key, 1, info->n_frames, info->n_mels, values, e);
    picture_range(spec, values, n, &low, &high);
    ok = ok && picture_spectrogram(values, info->n_frames, info->n_mels, low, high, png, e);
    mem_free(values);
    return ok;
}

static bool read_clip(struct store *store, struct catalog *catalog, uint64_t key,
                      const struct feature_spec *spec, struct report_clip *out, struct err *e)
{
    struct record_info info, positive;
    struct err ignored = {0};
    char nothing_drawn[STORE_AUGMENT_BYTES];
    uint64_t positive_key = key + 1;
    buf_init(&out->png, PNG_BYTES_MAX);
    buf_init(&out->positive_png, PNG_BYTES_MAX);
    if (!store_get_info(store, key, &info, nothing_drawn, e) ||
        !read_picture(store, key, &info, spec, &out->png, e))
        return false;
    out->n_frames = info.n_frames;
    out->n_mels = info.n_mels;
    out->start_ms = info.start_ms;
    /* Without positives configured there is no such record. */
    out->has_positive = store_get_info(store, positive_key, &positive, out->augment, &ignored);
    if (out->has_positive &&
        !read_picture(store, positive_key, &positive, spec, &out->positive_png, e))
        return false;
    if (catalog == NULL || !catalog_get(catalog, store_key_row(key), &out->row, &ignored))
        out->row = (struct catalog_row){.row = store_key_row(key)};
    return true;
}

static bool read_clips(const struct dataset *d, struct store *store, struct catalog *catalog,
                       struct report_data *r, struct err *e)
{
    struct clip_pick pick = {0};
    if (!store_each(store, count_plain, &pick, e))
        return false;
    pick.n_wanted = size_min(REPORT_CLIPS_MAX, pick.n_plain);
    if (pick.n_wanted > 0 && !store_each(store, pick_plain, &pick, e))
        return false;
    const struct feature_spec spec = feature_spec_from_settings(&d->settings);
    for (size_t i = 0; i < pick.n; i++)
        if (!read_clip(store, catalog, pick.keys[i], &spec, &r->clips[r->n_clips++], e))
            return false;
    return true;
}

/* ---------------------------------------------------------------- models */

/* A file that is not there, or is too large to be what it should be, is left out. */
static void read_optional(const char *model_dir, const char *name, struct buf *out)
{
    char path[PATH_BYTES];
    struct err ignored = {0};
    if (!path_join(path, model_dir, name, &ignored) || !file_exists(path) ||
        !file_read_all(path, out, &ignored))
        buf_reset(out);
}

static bool read_model(const struct dataset *d, const char *name, struct report_model *out,
                       struct err *e)
{
    char models[PATH_BYTES], dir[PATH_BYTES];
    struct buf metrics;
    snprintf(out->name, sizeof out->name, "%s", name);
    buf_init(&out->curves_svg, CURVES_BYTES_MAX);
    buf_init(&out->distances_svg, CURVES_BYTES_MAX);
    if (!path_join(models, d->dir, "models", e) || !path_join(dir, models, name, e))
        return false;
    read_optional(dir, "curves.svg", &out->curves_svg);
    read_optional(dir, "distances.svg", &out->distances_svg);
    buf_init(&metrics, METRICS_BYTES_MAX);
    read_optional(dir, "metrics.csv", &metrics);
    metrics_parse(buf_span(&metrics), &out->metrics);
    buf_release(&metrics);
    return true;
}

/* ---------------------------------------------------------------- public */

bool report_data_new(const struct dataset *d, struct report_data **out, struct err *e)
{
    struct report_data *r = mem_zalloc(1, sizeof *r);
    *out = r;
    r->genres = tally_new(GENRES_MAX);
    r->tags = tally_new(TAGS_MAX);
    struct catalog *catalog = NULL;
    struct store *store = NULL;
    struct spool *spool = NULL;
    struct bad_list bad = {0};
    bool ok = status_read(d, &r->status, e) && catalog_open_maybe(d->dir, &catalog, e) &&
              store_open_maybe(d->dir, &store, e) && spool_open_maybe(d->dir, &spool, e) &&
              (spool == NULL || bad_list_read(spool, &bad, e)) &&
              (catalog == NULL || rows_each(catalog, &bad, store, add_row, r, e)) &&
              (store == NULL || read_clips(d, store, catalog, r, e));
    for (size_t i = 0; ok && i < r->status.n_models; i++)
        ok = read_model(d, r->status.models[i], &r->models[r->n_models++], e);
    bad_list_release(&bad);
    spool_close(spool);
    store_close(store);
    catalog_close(catalog);
    return ok;
}

void report_data_free(struct report_data *r)
{
    if (r == NULL)
        return;
    status_release(&r->status);
    tally_free(r->genres);
    tally_free(r->tags);
    for (size_t i = 0; i < REPORT_CLIPS_MAX; i++) {
        buf_release(&r->clips[i].png);
        buf_release(&r->clips[i].positive_png);
    }
    for (size_t i = 0; i < STATUS_MODELS_MAX; i++) {
        buf_release(&r->models[i].curves_svg);
        buf_release(&r->models[i].distances_svg);
    }
    mem_free(r);
}
