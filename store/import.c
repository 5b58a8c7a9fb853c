#include "store/importer.h"

#include "base/mem.h"
#include "store/export.h"
#include "store/tar.h"

#include <stdio.h>
#include <string.h>

/*
 * Which file is what is seen in its first bytes, never in its name, but for Kaldi's scripts, which
 * are plain text.
 */
enum { VALUES_MAX = 1 << 26, HEAD_BYTES = TAR_BLOCK_BYTES };

enum kind { KIND_NONE, KIND_NPY, KIND_NPZ, KIND_TAR, KIND_ARK, KIND_SCP };

/* ---------------------------------------------------------------- what is there */

struct collect {
    struct import_existing *there;
    struct err err;
};

static bool collect_track(void *arg, uint64_t row, const struct store_track_info *info)
{
    struct collect *c = arg;
    c->there->next_row = row + 1;
    return import_ids_add(&c->there->ids, info->track_id, info->source_id, &c->err);
}

static bool look_at_store(struct store *s, struct import_existing *there, struct err *e)
{
    struct store_stat st;
    struct store_snapshot snap;
    struct collect c = {.there = there};
    if (!store_stat(s, &st, e))
        return false;
    there->recipe = (struct store_recipe){.spec_hash = st.spec_hash, .dtype = st.dtype};
    memcpy(there->recipe.text, st.recipe, sizeof there->recipe.text);
    if (st.clips == 0)
        return true;
    if (!store_snapshot_init(s, &snap, e))
        return false;
    there->n_frames = snap.n_frames;
    there->n_mels = snap.n_mels;
    store_snapshot_release(&snap);
    if (!store_each_track(s, collect_track, &c, e))
        return false;
    if (c.err.kind == ERR_NONE)
        return true;
    *e = c.err;
    return false;
}

bool store_import_open(const char *dataset_dir, const struct store_import_params *params,
                       const struct store_import_listener *listener, struct store_import **out,
                       struct err *e)
{
    struct store *s;
    struct store_import *im = mem_zalloc(1, sizeof *im);
    im->params = params;
    im->listener = listener;
    im->track = mem_zalloc(1, sizeof *im->track);
    for (size_t i = 0; i < STORE_VIEWS_MAX; i++)
        buf_init(&im->track->records[i], RECORD_MAX_BYTES);
    bool ok = strlen(dataset_dir) < sizeof im->dataset_dir ||
              err_set(e, ERR_USAGE, "a path of %zu bytes", strlen(dataset_dir));
    if (ok)
        snprintf(im->dataset_dir, sizeof im->dataset_dir, "%s", dataset_dir);
    if (ok && store_exists(dataset_dir)) {
        ok = store_open(dataset_dir, &s, e);
        if (ok) {
            ok = look_at_store(s, &im->there, e);
            store_close(s);
        }
    }
    if (!ok) {
        store_import_close(im);
        return false;
    }
    *out = im;
    return true;
}

void store_import_close(struct store_import *im)
{
    if (!im)
        return;
    store_writer_close(im->writer);
    record_encoder_free(im->encoder);
    import_description_close(&im->description);
    import_ids_release(&im->there.ids);
    for (size_t i = 0; i < STORE_VIEWS_MAX; i++)
        buf_release(&im->track->records[i]);
    mem_free(im->track);
    mem_free(im);
}

/* ---------------------------------------------------------------- a file */

static bool sink_put(void *arg, struct import_matrix *m, struct err *e)
{
    return import_put(arg, m, e);
}

static void sink_refuse(void *arg, const char *name, const struct err *why)
{
    import_refuse(arg, name, why);
}

static bool ends_with(const char *text, const char *ending)
{
    size_t n = strlen(text), m = strlen(ending);
    return n >= m && strcmp(text + n - m, ending) == 0;
}

static enum kind kind_of(const char *path, const uint8_t *head, size_t n)
{
    struct tar_header tar = {0};
    const uint8_t *blank = memchr(head, ' ', n);
    if (n >= 6 && memcmp(head, "\x93NUMPY", 6) == 0)
        return KIND_NPY;
    if (n >= 4 && (memcmp(head, "PK\3\4", 4) == 0 || memcmp(head, "PK\5\6", 4) == 0))
        return KIND_NPZ;
    if (n == sizeof tar) {
        char want[sizeof tar.checksum];
        memcpy(&tar, head, sizeof tar);
        snprintf(want, sizeof want, "%06o", tar_checksum(&tar));
        if (memmem(tar.checksum, sizeof tar.checksum, want, strlen(want)))
            return KIND_TAR;
    }
    if (blank && n - (size_t)(blank - head) > 2 && blank[1] == '\0' && blank[2] == 'B')
        return KIND_ARK;
    return ends_with(path, ".scp") ? KIND_SCP : KIND_NONE;
}

static bool head_read(const struct import_input *in, enum import_coding coding,
                      uint8_t head[HEAD_BYTES], size_t *n, struct err *e)
{
    struct import_stream *s;
    size_t got = 1;
    *n = 0;
    if (!import_stream_open(in, 0, in->n_bytes, coding, UINT64_MAX, &s, e))
        return false;
    bool ok = true;
    while (ok && got > 0 && *n < HEAD_BYTES) {
        ok = import_stream_some(s, head + *n, HEAD_BYTES - *n, &got, e);
        *n += got;
    }
    import_stream_close(s);
    return ok;
}

static bool stream_import(const struct import_input *in, enum import_coding coding, enum kind kind,
                          const struct import_sink *sink, struct err *e)
{
    struct import_stream *s;
    if (!import_stream_open(in, 0, in->n_bytes, coding, UINT64_MAX, &s, e))
        return false;
    bool ok = kind == KIND_NPY   ? import_npy(s, "", sink, e)
              : kind == KIND_TAR ? import_tar(s, sink, e)
                                 : import_ark(s, sink, e);
    import_stream_close(s);
    return ok;
}

static bool input_import(struct store_import *im, const struct import_input *in, struct err *e)
{
    const struct import_sink sink = {.put = sink_put,
                                     .refuse = sink_refuse,
                                     .arg = im,
                                     .values_max = VALUES_MAX,
                                     .member = im->params->member};
    uint8_t head[HEAD_BYTES];
    enum import_coding coding = IMPORT_PLAIN;
    size_t n;
    if (!head_read(in, coding, head, &n, e))
        return false;
    if (n >= 2 && head[0] == 0x1f && head[1] == 0x8b) {
        coding = IMPORT_GZIP;
        if (!head_read(in, coding, head, &n, e))
            return false;
    }
    enum kind kind = kind_of(im->path, head, n);
    if (kind == KIND_NONE || ((kind == KIND_NPZ || kind == KIND_SCP) && coding != IMPORT_PLAIN))
        return err_set(e, ERR_PERM, "it is no .npy or .npz, binary Kaldi archive or .scp, or tar");
    if (kind == KIND_NPZ)
        return import_npz(in, &sink, e);
    if (kind == KIND_SCP)
        return import_scp(in, &sink, e);
    return stream_import(in, coding, kind, &sink, e);
}

bool store_import_file(struct store_import *im, const char *path, struct err *e)
{
    char json_path[PATH_BYTES];
    struct import_input in = {.fd = -1};
    struct err why = {0};
    im->path = path;
    import_description_close(&im->description);
    im->description = (struct import_description){0};
    export_description_path(path, json_path);
    bool ok = import_input_open(&in, path, &why) &&
              import_description_open(&im->description, json_path, &im->is_described, &why) &&
              input_import(im, &in, &why) && import_put_end(im, &why);
    import_input_close(&in);
    if (ok) {
        im->report.files++;
    } else if (why.kind == ERR_PERM) {
        im->track->n_views = 0; /* half of it may be missing */
        import_refuse(im, path, &why);
    } else {
        *e = why;
        return err_wrap(e, "%s", path);
    }
    return true;
}

/* ---------------------------------------------------------------- the end */

bool store_import_finish(struct store_import *im, struct store_import_report *out, struct err *e)
{
    struct store *s;
    struct store_stat st;
    if (im->writer && !store_commit(im->writer, e))
        return false;
    store_writer_close(im->writer);
    im->writer = NULL;
    if (store_exists(im->dataset_dir)) {
        if (!store_open(im->dataset_dir, &s, e))
            return false;
        bool ok = store_stat(s, &st, e);
        store_close(s);
        if (!ok)
            return false;
        im->report.root = st.root;
        im->report.max_err_db = st.max_err_db;
    }
    *out = im->report;
    return true;
}
