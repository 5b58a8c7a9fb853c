#include "store/import_description.h"

#include "base/file.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { DESCRIPTION_MAX_BYTES = 1 << 30 };

bool import_description_open(struct import_description *d, const char *path, bool *found,
                             struct err *e)
{
    *found = false;
    if (!file_exists(path))
        return true;
    buf_init(&d->text, DESCRIPTION_MAX_BYTES);
    return (file_read_all(path, &d->text, e) && import_description_parse(d, found, e)) ||
           err_wrap(e, "%s", path);
}

void import_description_close(struct import_description *d)
{
    buf_release(&d->text);
}

/* ---------------------------------------------------------------- head */

static bool take_f32(struct json_scan *j, float *out, struct err *e)
{
    double value;
    if (!json_scan_number(j, &value, e))
        return false;
    *out = (float)value;
    return isfinite(*out) || err_set(e, ERR_PERM, "%g is no float32", value);
}

static bool take_dtype(struct import_description *d, struct err *e)
{
    char name[8];
    if (!json_scan_string(&d->json, name, sizeof name, e))
        return false;
    d->levels = strcmp(name, "u8") == 0;
    return d->levels || strcmp(name, "f32") == 0 ||
           err_set(e, ERR_PERM, "values are u8 or f32, not \"%s\"", name);
}

static bool take_stored_as(struct import_description *d, struct err *e)
{
    char name[16];
    return json_scan_string(&d->json, name, sizeof name, e) &&
           (record_dtype_parse(name, &d->recipe.dtype) ||
            err_set(e, ERR_PERM, "stored as \"%s\", which this program does not know", name));
}

static bool head_member(struct import_description *d, const char *name, struct err *e)
{
    struct json_scan *j = &d->json;
    if (strcmp(name, "dtype") == 0)
        return take_dtype(d, e);
    if (strcmp(name, "stored_as") == 0)
        return take_stored_as(d, e);
    if (strcmp(name, "scale") == 0)
        return take_f32(j, &d->scale, e);
    if (strcmp(name, "offset") == 0)
        return take_f32(j, &d->offset, e);
    if (strcmp(name, "grid_scale") == 0)
        return take_f32(j, &d->grid_scale, e);
    if (strcmp(name, "grid_offset") == 0)
        return take_f32(j, &d->grid_offset, e);
    if (strcmp(name, "spec") == 0)
        return json_scan_hex64(j, &d->recipe.spec_hash, e);
    if (strcmp(name, "root") == 0)
        return json_scan_hex64(j, &d->root, e);
    if (strcmp(name, "recipe") == 0)
        return json_scan_string(j, d->recipe.text, sizeof d->recipe.text, e);
    return json_scan_skip(j, e);
}

/* An export's description has its recipe before its clips; what has not is somebody else's. */
bool import_description_parse(struct import_description *d, bool *found, struct err *e)
{
    char name[JSON_SCAN_KEY_BYTES];
    struct err not_ours = {0};
    bool more = true;
    *found = false;
    d->scale = 1;
    json_scan_init(&d->json, buf_span(&d->text));
    if (!json_scan_begin(&d->json, '{', &not_ours))
        return true;
    while (json_scan_member(&d->json, name, &more, &not_ours) && more) {
        if (strcmp(name, "clips") != 0) {
            if (head_member(d, name, &not_ours))
                continue;
            return d->recipe.text[0] == '\0' ||
                   err_set(e, ERR_PERM, "%s: %.300s", name, not_ours.msg);
        }
        if (d->recipe.text[0] == '\0' || d->recipe.dtype == 0)
            return true;
        *found = true;
        if (!(d->grid_scale > 0))
            return err_set(e, ERR_PERM, "a grid of steps of %g: the export is of an older refrain",
                           (double)d->grid_scale);
        return json_scan_begin(&d->json, '[', e);
    }
    return true;
}

/* ---------------------------------------------------------------- clips */

static bool clip_member(struct json_scan *j, const char *name, struct import_described *out,
                        uint64_t place[3], struct err *e)
{
    static const char *const places[3] = {"row", "clip", "view"};
    uint64_t start_ms;
    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        if (strcmp(name, places[i]) == 0)
            return json_scan_u64(j, &place[i], e);
    if (strcmp(name, "track") == 0)
        return json_scan_string(j, out->track_id, sizeof out->track_id, e);
    if (strcmp(name, "augment") == 0)
        return json_scan_string(j, out->augment, sizeof out->augment, e);
    if (strcmp(name, "ref_db") == 0)
        return take_f32(j, &out->info.ref_db, e);
    if (strcmp(name, "max_error_db") == 0)
        return take_f32(j, &out->info.max_err_db, e);
    if (strcmp(name, "rms_error_db") == 0)
        return take_f32(j, &out->info.rms_err_db, e);
    if (strcmp(name, "source") == 0)
        return json_scan_hex64(j, &out->info.source_id, e);
    if (strcmp(name, "start_ms") != 0)
        return json_scan_skip(j, e);
    if (!json_scan_u64(j, &start_ms, e))
        return false;
    out->info.start_ms = (uint32_t)start_ms;
    return start_ms <= UINT32_MAX || err_set(e, ERR_PERM, "start_ms %" PRIu64, start_ms);
}

bool import_description_next(struct import_description *d, struct import_described *out, bool *more,
                             struct err *e)
{
    char name[JSON_SCAN_KEY_BYTES];
    uint64_t place[3] = {0};
    *out = (struct import_described){0};
    if (!json_scan_item(&d->json, more, e))
        return false;
    if (!*more)
        return true;
    if (!json_scan_begin(&d->json, '{', e))
        return false;
    bool go_on = true;
    for (;;) {
        if (!json_scan_member(&d->json, name, &go_on, e))
            return false;
        if (!go_on)
            break;
        if (!clip_member(&d->json, name, out, place, e))
            return err_wrap(e, "%s", name);
    }
    if (place[0] >> 48 || place[1] > 255 || place[2] > 255 || out->track_id[0] == '\0')
        return err_set(e, ERR_PERM,
                       "a clip of row %" PRIu64 ", clip %" PRIu64 ", view %" PRIu64
                       " and track \"%s\" cannot be",
                       place[0], place[1], place[2], out->track_id);
    if (!(out->info.max_err_db >= 0) || !(out->info.rms_err_db >= 0))
        return err_set(e, ERR_PERM, "an error below 0 dB");
    out->key = store_key(place[0], (uint32_t)place[1], (uint32_t)place[2]);
    return true;
}
