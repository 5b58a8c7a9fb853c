#include "store/export.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/npy.h"
#include "store/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NPY_ROOM_BYTES = 4096, WRITE_BUFFER_BYTES = 1 << 20 };

/* A file being written beside where it will lie. */
struct draft {
    const char *path;
    char temp[PATH_BYTES];
    FILE *file;
};

static bool draft_open(struct draft *d, const char *path, struct err *e)
{
    *d = (struct draft){.path = path};
    int n = snprintf(d->temp, sizeof d->temp, "%s.XXXXXX", path);
    if (n < 0 || n >= (int)sizeof d->temp)
        return err_set(e, ERR_PERM, "the path %.80s... is longer than %d bytes", path, PATH_BYTES);
    int fd = mkstemp(d->temp);
    if (fd < 0)
        return err_set_errno(e, ERR_FATAL, errno, "cannot make a file beside %s", path);
    d->file = fdopen(fd, "w");
    assert(d->file);
    setvbuf(d->file, NULL, _IOFBF, WRITE_BUFFER_BYTES);
    return true;
}

static bool draft_keep(struct draft *d, struct err *e)
{
    bool ok = !ferror(d->file) && fflush(d->file) == 0 && fchmod(fileno(d->file), 0644) == 0 &&
              fdatasync(fileno(d->file)) == 0;
    ok = fclose(d->file) == 0 && ok;
    d->file = NULL;
    if (!ok || rename(d->temp, d->path) != 0)
        return err_set_errno(e, ERR_FATAL, errno, "cannot write %s", d->path);
    d->temp[0] = '\0';
    return true;
}

static void draft_drop(struct draft *d)
{
    if (d->file)
        fclose(d->file);
    if (d->temp[0])
        unlink(d->temp);
    *d = (struct draft){0};
}

struct exporter {
    struct store *store;
    const struct store_snapshot *snap;
    enum export_values values;
    struct draft npy, description;
    struct json json;
    struct record_decoder *decoder;
    void *clip;
    size_t n_values;
    uint64_t n_clips;
    float scale, offset;
    struct err err; /* of the callback */
    bool failed;
};

static bool describe(struct exporter *x, uint64_t key, const struct record_info *info)
{
    struct json *j = &x->json;
    struct store_track_info track;
    if (!store_get_track(x->store, store_key_row(key), &track, &x->err))
        return false;
    json_object(j, NULL);
    json_str(j, "track", track.track_id);
    json_u64(j, "row", store_key_row(key));
    json_u64(j, "clip", store_key_clip(key));
    json_u64(j, "view", store_key_view(key));
    json_u64(j, "start_ms", info->start_ms);
    json_f64(j, "ref_db", (double)info->ref_db);
    json_f64(j, "max_error_db", (double)info->max_err_db);
    json_hex64(j, "source", info->source_id);
    json_end(j);
    return true;
}

static bool export_record(struct exporter *x, uint64_t key, struct span record)
{
    struct record_info info;
    struct err *e = &x->err;
    size_t value_bytes = x->values == EXPORT_LEVELS ? 1 : sizeof(float);
    if (!record_verify(record, e) || !record_parse(record, &info, e))
        return false;
    bool ok = x->values == EXPORT_LEVELS
                  ? record_decode_levels(x->decoder, record, x->clip, x->n_values, e)
                  : record_decode(x->decoder, record, x->clip, x->n_values, e);
    if (!ok)
        return false;
    if (x->n_clips == 0) {
        x->scale = info.scale;
        x->offset = info.offset;
    }
    if (info.scale != x->scale || info.offset != x->offset)
        return err_set(e, ERR_PERM, "its grid is %g and %g, the first record's %g and %g",
                       (double)info.scale, (double)info.offset, (double)x->scale,
                       (double)x->offset);
    if (!describe(x, key, &info))
        return false;
    if (fwrite(x->clip, value_bytes, x->n_values, x->npy.file) != x->n_values)
        return err_set_errno(e, ERR_FATAL, errno, "cannot write %s", x->npy.path);
    x->n_clips++;
    return true;
}

static bool each(void *arg, uint64_t key, struct span record)
{
    struct exporter *x = arg;
    if (x->n_clips == x->snap->n_keys)
        return false; /* the store grew since */
    if (x->snap->keys[x->n_clips] != key)
        return true;
    x->failed = !export_record(x, key, record);
    if (x->failed)
        err_wrap(&x->err, "row %" PRIu64 ", clip %u, view %u", store_key_row(key),
                 store_key_clip(key), store_key_view(key));
    return !x->failed;
}

static void description_begin(struct exporter *x, const struct store_stat *st)
{
    struct json *j = &x->json;
    json_init(j, x->description.file);
    json_object(j, NULL);
    json_str(j, "dtype", x->values == EXPORT_LEVELS ? "u8" : "f32");
    json_array(j, "shape");
    json_u64(j, NULL, x->snap->n_keys);
    json_u64(j, NULL, x->snap->n_frames);
    json_u64(j, NULL, x->snap->n_mels);
    json_end(j);
    json_hex64(j, "spec", x->snap->spec_hash);
    json_hex64(j, "root", x->snap->root);
    json_str(j, "stored_as", record_dtype_name(st->dtype));
    json_str(j, "recipe", st->recipe);
    json_array(j, "clips");
}

static void description_end(struct exporter *x)
{
    bool levels = x->values == EXPORT_LEVELS;
    json_end(&x->json);
    /* dB = value * scale + offset */
    json_f64(&x->json, "scale", levels ? (double)x->scale : 1.0);
    json_f64(&x->json, "offset", levels ? (double)x->offset : 0.0);
    json_end(&x->json);
    json_finish(&x->json);
}

static void description_path(const char *path, char out[PATH_BYTES])
{
    size_t len = strlen(path);
    if (len > 4 && strcmp(path + len - 4, ".npy") == 0)
        len -= 4;
    snprintf(out, PATH_BYTES, "%.*s.json", (int)size_min(len, PATH_BYTES - 8), path);
}

static bool export_all(struct store *s, struct exporter *x, const struct store_stat *st,
                       struct err *e)
{
    char header[NPY_ROOM_BYTES];
    uint64_t shape[3] = {x->snap->n_keys, x->snap->n_frames, x->snap->n_mels};
    size_t n = npy_header(header, sizeof header, x->values == EXPORT_LEVELS ? "|u1" : "<f4", shape,
                          ARRAY_LEN(shape));
    if (fwrite(header, 1, n, x->npy.file) != n)
        return err_set_errno(e, ERR_FATAL, errno, "cannot write %s", x->npy.path);
    description_begin(x, st);
    if (!store_each(s, each, x, e))
        return false;
    if (x->failed) {
        *e = x->err;
        return false;
    }
    description_end(x);
    if (x->n_clips != x->snap->n_keys)
        return err_set(e, ERR_FATAL, "%s is damaged: %" PRIu64 " of %zu records were found",
                       s->env.dir, x->n_clips, x->snap->n_keys);
    return draft_keep(&x->npy, e) && draft_keep(&x->description, e);
}

bool store_export_npy(struct store *s, const char *path, enum export_values values,
                      struct export_report *out, struct err *e)
{
    struct store_snapshot snap;
    struct store_stat st;
    char json_path[PATH_BYTES];
    if (!store_stat(s, &st, e) || !store_snapshot_init(s, &snap, e))
        return false;
    struct exporter x = {.store = s,
                         .snap = &snap,
                         .values = values,
                         .decoder = record_decoder_new(),
                         .n_values = (size_t)snap.n_frames * snap.n_mels};
    x.clip = mem_alloc_aligned(x.n_values, sizeof(float));
    description_path(path, json_path);
    bool ok = draft_open(&x.npy, path, e) && draft_open(&x.description, json_path, e) &&
              export_all(s, &x, &st, e);
    if (ok)
        *out = (struct export_report){x.n_clips, x.n_clips * x.n_values *
                                                     (values == EXPORT_LEVELS ? 1 : sizeof(float))};
    draft_drop(&x.npy);
    draft_drop(&x.description);
    record_decoder_free(x.decoder);
    mem_free(x.clip);
    store_snapshot_release(&snap);
    return ok;
}
