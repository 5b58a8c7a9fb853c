#include "base/mem.h"
#include "store/exporter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Mosaic Streaming's shards, as streaming/base/format/mds/writer.py lays them out: u32 number of
 * samples, u32 offsets from the file's beginning (one more than samples), the configuration as
 * JSON, the samples. A sample is the u32 sizes of its columns of variable size, then its columns in
 * the order of their names: clip (an array of known shape), key (uint64), track (text).
 *
 * A shard is put together in memory, since its offsets come first. index.json is written last: a
 * folder without it is not a data set.
 */
enum {
    SHARD_BYTES = 64 << 20, /* size_limit, the writer's default: 1 << 26 */
    SHARD_ROOM_BYTES = SHARD_BYTES + RECORD_MAX_BYTES,
    SAMPLES_MAX = 1 << 20,
    SHARDS_MAX = 100000, /* five digits in a name */
    MDS_VERSION = 2
};

struct mds {
    struct buf samples;
    uint32_t *ends; /* of each sample in samples */
    size_t n;       /* samples in this shard */
    size_t shard_i;
    char encoding[64]; /* of column clip */
    struct json index;
};

static void mds_columns(struct json *j, const struct exporter *x, const struct mds *m)
{
    json_array(j, "column_encodings");
    json_str(j, NULL, m->encoding);
    json_str(j, NULL, "uint64");
    json_str(j, NULL, "str");
    json_end(j);
    json_array(j, "column_names");
    json_str(j, NULL, "clip");
    json_str(j, NULL, "key");
    json_str(j, NULL, "track");
    json_end(j);
    json_array(j, "column_sizes");
    json_u64(j, NULL, x->clip_bytes);
    json_u64(j, NULL, sizeof(uint64_t));
    json_null(j, NULL);
    json_end(j);
    json_null(j, "compression");
    json_str(j, "format", "mds");
    json_array(j, "hashes");
    json_end(j);
    json_u64(j, "size_limit", SHARD_BYTES);
    json_u64(j, "version", MDS_VERSION);
}

static bool mds_path(const struct exporter *x, const char *name, char out[PATH_BYTES],
                     struct err *e)
{
    return path_join(out, x->path, name, e);
}

static bool mds_begin(struct exporter *x, struct err *e)
{
    char path[PATH_BYTES];
    struct mds *m = mem_zalloc(1, sizeof *m);
    x->state = m;
    buf_init(&m->samples, SHARD_ROOM_BYTES);
    m->ends = mem_alloc(SAMPLES_MAX, sizeof *m->ends);
    snprintf(m->encoding, sizeof m->encoding, "ndarray:%s:%u,%u",
             x->values == EXPORT_LEVELS ? "uint8" : "float32", x->snap->n_frames, x->snap->n_mels);
    if (!file_make_dir(x->path, e) || !mds_path(x, "index.json", path, e))
        return false;
    unlink(path); /* of an export before: its shards are about to be replaced */
    if (!draft_open(&x->index, path, e))
        return false;
    json_init(&m->index, x->index.file);
    json_object(&m->index, NULL);
    json_array(&m->index, "shards");
    return true;
}

/* The shard's own configuration text; the caller frees it. */
static char *mds_configuration(const struct exporter *x, const struct mds *m, size_t *out_n)
{
    struct json j;
    char *text = NULL;
    FILE *memory = open_memstream(&text, out_n);
    if (!memory)
        return NULL;
    json_init(&j, memory);
    json_object(&j, NULL);
    mds_columns(&j, x, m);
    json_end(&j);
    fclose(memory);
    return text;
}

static void mds_list_shard(const struct exporter *x, struct mds *m, const char *name)
{
    struct json *j = &m->index;
    json_object(j, NULL);
    mds_columns(j, x, m);
    json_object(j, "raw_data");
    json_str(j, "basename", name);
    json_u64(j, "bytes", x->n_bytes);
    json_object(j, "hashes");
    json_end(j);
    json_end(j);
    json_u64(j, "samples", m->n);
    json_null(j, "zip_data");
    json_end(j);
}

static bool mds_write_shard(struct exporter *x, const char *path, struct span config, struct err *e)
{
    struct mds *m = x->state;
    uint32_t n = (uint32_t)m->n;
    uint32_t start = (uint32_t)(sizeof n * (m->n + 2) + config.len);
    x->n_bytes = 0;
    bool ok = draft_open(&x->data, path, e) && exporter_write(x, &n, sizeof n, e) &&
              exporter_write(x, &start, sizeof start, e);
    for (size_t i = 0; i < m->n && ok; i++) {
        uint32_t end = start + m->ends[i];
        ok = exporter_write(x, &end, sizeof end, e);
    }
    return ok && exporter_write(x, config.ptr, config.len, e) &&
           exporter_write(x, m->samples.data, m->samples.len, e) && draft_keep(&x->data, e);
}

static bool mds_flush(struct exporter *x, struct err *e)
{
    struct mds *m = x->state;
    char name[32], path[PATH_BYTES];
    size_t n_config = 0;
    if (m->n == 0)
        return true;
    if (m->shard_i == SHARDS_MAX)
        return err_set(e, ERR_PERM, "more than %d shards", SHARDS_MAX);
    snprintf(name, sizeof name, "shard.%05zu.mds", m->shard_i);
    char *config = mds_configuration(x, m, &n_config);
    if (!config)
        return err_set(e, ERR_FATAL, "no memory for a configuration");
    bool ok =
        mds_path(x, name, path, e) && mds_write_shard(x, path, (struct span){config, n_config}, e);
    free(config);
    if (!ok)
        return false;
    mds_list_shard(x, m, name);
    m->shard_i++;
    m->n = 0;
    buf_reset(&m->samples);
    return true;
}

static bool mds_put(struct exporter *x, const struct export_clip *clip, struct err *e)
{
    struct mds *m = x->state;
    uint32_t n_track = (uint32_t)strlen(clip->track->track_id);
    size_t n_sample = sizeof n_track + x->clip_bytes + sizeof clip->key + n_track;
    if ((m->n == SAMPLES_MAX || m->samples.len + n_sample > SHARD_BYTES) && !mds_flush(x, e))
        return false;
    bool ok = buf_append(&m->samples, &n_track, sizeof n_track, e) &&
              buf_append(&m->samples, clip->values, x->clip_bytes, e) &&
              buf_append(&m->samples, &clip->key, sizeof clip->key, e) &&
              buf_append(&m->samples, clip->track->track_id, n_track, e);
    m->ends[m->n++] = (uint32_t)m->samples.len;
    return ok;
}

static bool mds_end(struct exporter *x, struct err *e)
{
    struct mds *m = x->state;
    if (!mds_flush(x, e))
        return false;
    json_end(&m->index);
    json_u64(&m->index, "version", MDS_VERSION);
    json_end(&m->index);
    json_finish(&m->index);
    return draft_keep(&x->index, e);
}

static void mds_drop(struct exporter *x)
{
    struct mds *m = x->state;
    if (!m)
        return;
    buf_release(&m->samples);
    mem_free(m->ends);
    mem_free(m);
    x->state = NULL;
}

const struct export_sink export_sink_mds = {"mds", mds_begin, mds_put, mds_end, mds_drop};
