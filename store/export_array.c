#include "base/npy.h"
#include "store/exporter.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/*
 * Formats that are one array: npy and safetensors.
 */
enum { NPY_ROOM_BYTES = 4096, SAFETENSORS_ALIGN_BYTES = 8 };

static bool put_values(struct exporter *x, const struct export_clip *clip, struct err *e)
{
    return exporter_write(x, clip->values, x->clip_bytes, e);
}

static bool keep_data(struct exporter *x, struct err *e)
{
    return draft_keep(&x->data, e);
}

/* ---------------------------------------------------------------- npy */

static bool npy_begin(struct exporter *x, struct err *e)
{
    char header[NPY_ROOM_BYTES];
    uint64_t shape[3] = {x->snap->n_keys, x->snap->n_frames, x->snap->n_mels};
    size_t n = npy_header(header, sizeof header, x->values == EXPORT_LEVELS ? "|u1" : "<f4", shape,
                          ARRAY_LEN(shape));
    return draft_open(&x->data, x->path, e) && exporter_write(x, header, n, e);
}

const struct export_sink export_sink_npy = {"npy", npy_begin, put_values, keep_data, NULL};

/* ---------------------------------------------------------------- safetensors */

/* https://github.com/huggingface/safetensors#format: u64 length of the header, the header, the
 * tensors without gaps. Keys come first, so that both tensors are aligned. */
static void tensor_entry(struct json *j, const char *name, const char *dtype, const uint64_t *shape,
                         size_t n_dims, uint64_t from, uint64_t to)
{
    json_object(j, name);
    json_str(j, "dtype", dtype);
    json_array(j, "shape");
    for (size_t i = 0; i < n_dims; i++)
        json_u64(j, NULL, shape[i]);
    json_end(j);
    json_array(j, "data_offsets");
    json_u64(j, NULL, from);
    json_u64(j, NULL, to);
    json_end(j);
    json_end(j);
}

/* Metadata values must be strings. */
static void metadata_f64(struct json *j, const char *key, double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.9g", value);
    json_str(j, key, text);
}

static void safetensors_header(const struct exporter *x, FILE *out)
{
    struct json j;
    uint64_t shape[3] = {x->snap->n_keys, x->snap->n_frames, x->snap->n_mels};
    uint64_t keys_bytes = x->snap->n_keys * sizeof *x->snap->keys;
    json_init(&j, out);
    json_object(&j, NULL);
    json_object(&j, "__metadata__");
    json_hex64(&j, "spec", x->snap->spec_hash);
    json_hex64(&j, "root", x->snap->root);
    json_str(&j, "stored_as", record_dtype_name(x->stat.dtype));
    metadata_f64(&j, "scale", (double)x->scale);
    metadata_f64(&j, "offset", (double)x->offset);
    json_str(&j, "recipe", x->stat.recipe);
    json_end(&j);
    tensor_entry(&j, "keys", "U64", shape, 1, 0, keys_bytes);
    tensor_entry(&j, "clips", x->values == EXPORT_LEVELS ? "U8" : "F32", shape, ARRAY_LEN(shape),
                 keys_bytes, keys_bytes + x->snap->n_keys * x->clip_bytes);
    json_end(&j);
}

static bool safetensors_begin(struct exporter *x, struct err *e)
{
    char *text = NULL;
    size_t n = 0;
    FILE *memory = open_memstream(&text, &n);
    if (!memory)
        return err_set(e, ERR_FATAL, "no memory for a header");
    safetensors_header(x, memory);
    fflush(memory);
    while (n % SAFETENSORS_ALIGN_BYTES != 0) {
        fputc(' ', memory);
        fflush(memory);
    }
    fclose(memory);
    uint64_t header_bytes = n;
    bool ok = draft_open(&x->data, x->path, e) &&
              exporter_write(x, &header_bytes, sizeof header_bytes, e) &&
              exporter_write(x, text, n, e) &&
              exporter_write(x, x->snap->keys, x->snap->n_keys * sizeof *x->snap->keys, e);
    free(text);
    return ok;
}

const struct export_sink export_sink_safetensors = {"safetensors", safetensors_begin, put_values,
                                                    keep_data, NULL};
