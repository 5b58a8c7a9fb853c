/*
 * The bytes of a file to be imported, by position, and streams over a stretch of them that inflate
 * on the way. Memory does as well, for tests. The only file of the room that knows zlib.
 */
#ifndef REFRAIN_STORE_IMPORT_INPUT_H
#define REFRAIN_STORE_IMPORT_INPUT_H

#include "base/err.h"

struct import_input {
    const char *name; /* for messages; borrowed */
    int fd;           /* or -1: memory */
    struct span memory;
    uint64_t n_bytes;
};

/* A regular file; else ERR_PERM. The name is borrowed until import_input_close. */
MUST_CHECK bool import_input_open(struct import_input *in, const char *path, struct err *e);
void import_input_memory(struct import_input *in, struct span bytes, const char *name);
void import_input_close(struct import_input *in); /* safe on {.fd = -1} */

/* All n_bytes from `at` on, or ERR_PERM. */
MUST_CHECK bool import_input_read(const struct import_input *in, uint64_t at, void *out,
                                  size_t n_bytes, struct err *e);

enum import_coding {
    IMPORT_PLAIN,
    IMPORT_GZIP,   /* .gz: members one after the other */
    IMPORT_DEFLATE /* raw, as in a zip */
};

struct import_stream;

/* [from, to) of the input, which is borrowed. max_bytes is what may come out of it at most. */
MUST_CHECK bool import_stream_open(const struct import_input *in, uint64_t from, uint64_t to,
                                   enum import_coding coding, uint64_t max_bytes,
                                   struct import_stream **out, struct err *e);
void import_stream_close(struct import_stream *s);

/* All n_bytes, or ERR_PERM. */
MUST_CHECK bool import_stream_read(struct import_stream *s, void *out, size_t n_bytes,
                                   struct err *e);
/* At most n_bytes, none at the end. */
MUST_CHECK bool import_stream_some(struct import_stream *s, void *out, size_t n_bytes,
                                   size_t *out_n, struct err *e);
MUST_CHECK bool import_stream_skip(struct import_stream *s, uint64_t n_bytes, struct err *e);
/* Ends the stream n_bytes from here, until another limit is set; UINT64_MAX: none. */
void import_stream_limit(struct import_stream *s, uint64_t n_bytes);
/* Reads what is left; the CRC-32 of it. */
MUST_CHECK bool import_stream_crc32(struct import_stream *s, uint32_t *out, struct err *e);
/* How many bytes came out so far. */
uint64_t import_stream_at(const struct import_stream *s);

#endif
