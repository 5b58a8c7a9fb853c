/*
 * safetensors (https://github.com/huggingface/safetensors#format): 8 bytes little-endian length N,
 * N bytes of JSON, then the tensors, row-major and little-endian, without holes. Our checkpoints
 * are such files, so that PyTorch and others can read them.
 *
 * The reader trusts nothing: the header's length and nesting, every offset, every product of a
 * shape, order and gaps are checked before a byte is used.
 */
#ifndef REFRAIN_SAFETENSORS_H
#define REFRAIN_SAFETENSORS_H

#include "base/buf.h"

enum {
    SAFETENSORS_HEADER_MAX_BYTES = 4 << 20,
    SAFETENSORS_TENSORS_MAX = 8192,
    SAFETENSORS_NOTES_MAX = 256,
    SAFETENSORS_DIMS_MAX = 8,
    SAFETENSORS_NAME_BYTES = 192,
    SAFETENSORS_NOTE_BYTES = 4096,
};
#define SAFETENSORS_FILE_MAX_BYTES ((size_t)8 << 30)

struct safetensor {
    char name[SAFETENSORS_NAME_BYTES];
    char dtype[8]; /* "F32", "BF16", "I64" ... */
    uint32_t n_dims;
    uint64_t dims[SAFETENSORS_DIMS_MAX];
    const void *bytes; /* lent: part of the file's bytes, or the writer's caller's; unaligned */
    size_t n_bytes;
};

/* An entry of __metadata__. */
struct safetensors_note {
    char key[SAFETENSORS_NAME_BYTES];
    char *value; /* owned */
};

struct safetensors {
    size_t n_tensors, n_notes;
    struct safetensor *tensors;
    struct safetensors_note *notes;
};

/* Bytes of one value, 0 for a type that the format does not have. */
size_t safetensors_dtype_bytes(const char *dtype);

void safetensors_init(struct safetensors *st);
void safetensors_release(struct safetensors *st); /* safe on {0}, may run twice */

/* Reads the structure of `file`, whose bytes stay lent by the caller while `out` is used. Anything
 * against the format is ERR_PERM. `out` must be released in any case. */
MUST_CHECK bool safetensors_parse(struct span file, struct safetensors *out, struct err *e);

/* NULL when there is none of this name. */
const struct safetensor *safetensors_find(const struct safetensors *st, const char *name);
const char *safetensors_note(const struct safetensors *st, const char *key);

/* Adds a tensor (borrowed until written) or a note (copied). Names must be new: asserts. */
void safetensors_add(struct safetensors *st, const char *name, const char *dtype,
                     const uint64_t *dims, uint32_t n_dims, const void *bytes);
void safetensors_add_note(struct safetensors *st, const char *key, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* Writes the file atomically. The whole file is assembled in memory first. */
MUST_CHECK bool safetensors_write(const struct safetensors *st, const char *path, struct err *e);

#endif
