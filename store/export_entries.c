#include "base/npy.h"
#include "store/exporter.h"
#include "store/tar.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/*
 * Formats that are an entry for each clip: WebDataset's tar and Kaldi's archive. The name of a clip
 * is its key in hexadecimal: sorted like the keys, without dots or spaces, whatever a track is
 * called.
 */
enum { NAME_BYTES = 32, NPY_ROOM_BYTES = 512 };

static void clip_name(uint64_t key, char out[NAME_BYTES])
{
    snprintf(out, NAME_BYTES, "%016" PRIx64, key);
}

static bool index_open(struct exporter *x, const char *ending, struct err *e)
{
    char path[PATH_BYTES];
    int n = snprintf(path, sizeof path, "%s%s", x->path, ending);
    if (n < 0 || n >= (int)sizeof path)
        return err_set(e, ERR_PERM, "the path %.80s... is longer than %d bytes", x->path,
                       PATH_BYTES);
    return draft_open(&x->index, path, e);
}

static bool keep_both(struct exporter *x, struct err *e)
{
    return draft_keep(&x->data, e) && draft_keep(&x->index, e);
}

/* ---------------------------------------------------------------- tar */

static void tar_header_make(struct tar_header *h, const char *name, const char *ending, size_t size)
{
    *h = (struct tar_header){.mode = "0000644",
                             .uid = "0000000",
                             .gid = "0000000",
                             .mtime = "00000000000", /* the same clips, the same bytes */
                             .type = '0',
                             .version = {'0', '0'}};
    memcpy(h->magic, "ustar", sizeof h->magic);
    snprintf(h->name, sizeof h->name, "%s.%s", name, ending);
    snprintf(h->size, sizeof h->size, "%011zo", size);
    unsigned sum = tar_checksum(h);
    memset(h->checksum, ' ', sizeof h->checksum);
    snprintf(h->checksum, sizeof h->checksum, "%06o", sum);
}

/* A member of two parts; its line in the index. */
static bool tar_member(struct exporter *x, const char *name, const char *ending, struct span head,
                       struct span body, struct err *e)
{
    static const char zeros[TAR_BLOCK_BYTES];
    struct tar_header h;
    size_t size = head.len + body.len, over = size % TAR_BLOCK_BYTES;
    tar_header_make(&h, name, ending, size);
    if (!exporter_write(x, &h, sizeof h, e))
        return false;
    fprintf(x->index.file, " %s %" PRIu64 " %zu %s.%s", ending, x->n_bytes, size, name, ending);
    return exporter_write(x, head.ptr, head.len, e) && exporter_write(x, body.ptr, body.len, e) &&
           (over == 0 || exporter_write(x, zeros, TAR_BLOCK_BYTES - over, e));
}

/* The index is DALI's (wds2idx): "v1.2 N", then for each sample "ending offset size name" of its
 * members in one line. */
static bool wds_begin(struct exporter *x, struct err *e)
{
    if (!draft_open(&x->data, x->path, e) || !index_open(x, ".idx", e))
        return false;
    fprintf(x->index.file, "v1.2 %zu\n", x->snap->n_keys);
    return true;
}

static bool wds_put_json(struct exporter *x, const struct export_clip *clip, const char *name,
                         struct err *e)
{
    struct json j;
    char *text = NULL;
    size_t n = 0;
    FILE *memory = open_memstream(&text, &n);
    if (!memory)
        return err_set(e, ERR_FATAL, "no memory for a description");
    json_init(&j, memory);
    json_object(&j, NULL);
    export_describe(&j, clip);
    json_f64(&j, "scale", (double)x->scale);
    json_f64(&j, "offset", (double)x->offset);
    json_hex64(&j, "spec", x->snap->spec_hash);
    json_end(&j);
    json_finish(&j);
    fclose(memory);
    bool ok = tar_member(x, name, "json", (struct span){text, n}, (struct span){0}, e);
    free(text);
    return ok;
}

static bool wds_put(struct exporter *x, const struct export_clip *clip, struct err *e)
{
    char name[NAME_BYTES], header[NPY_ROOM_BYTES];
    uint64_t shape[2] = {x->snap->n_frames, x->snap->n_mels};
    size_t n = npy_header(header, sizeof header, x->values == EXPORT_LEVELS ? "|u1" : "<f4", shape,
                          ARRAY_LEN(shape));
    clip_name(clip->key, name);
    if (!wds_put_json(x, clip, name, e) ||
        !tar_member(x, name, "npy", (struct span){header, n},
                    (struct span){clip->values, x->clip_bytes}, e))
        return false;
    fputc('\n', x->index.file);
    return true;
}

static bool wds_end(struct exporter *x, struct err *e)
{
    static const char end[2 * TAR_BLOCK_BYTES];
    return exporter_write(x, end, sizeof end, e) && keep_both(x, e);
}

const struct export_sink export_sink_wds = {"wds", wds_begin, wds_put, wds_end, NULL};

/* ---------------------------------------------------------------- Kaldi */

/* A binary float matrix, "FM " (kaldi/src/matrix/kaldi-matrix.cc, Write): the name and a space,
 * "\0B", the type, then rows and columns, each behind a byte that says its width. The script file
 * points behind the name. */
static bool kaldi_begin(struct exporter *x, struct err *e)
{
    if (x->values != EXPORT_DB)
        return err_set(e, ERR_USAGE, "kaldi takes dB as float32: --dtype f32");
    return draft_open(&x->data, x->path, e) && index_open(x, ".scp", e);
}

static bool kaldi_put(struct exporter *x, const struct export_clip *clip, struct err *e)
{
    char name[NAME_BYTES];
    uint8_t head[15] = {0, 'B', 'F', 'M', ' ', 4, [10] = 4};
    int32_t rows = (int32_t)x->snap->n_frames, columns = (int32_t)x->snap->n_mels;
    memcpy(head + 6, &rows, sizeof rows);
    memcpy(head + 11, &columns, sizeof columns);
    clip_name(clip->key, name);
    if (!exporter_write(x, name, strlen(name), e) || !exporter_write(x, " ", 1, e))
        return false;
    fprintf(x->index.file, "%s %s:%" PRIu64 "\n", name, x->path, x->n_bytes);
    return exporter_write(x, head, sizeof head, e) &&
           exporter_write(x, clip->values, x->clip_bytes, e);
}

const struct export_sink export_sink_kaldi = {"kaldi", kaldi_begin, kaldi_put, keep_both, NULL};
