/*
 * What the parsers of store/import_*.c have in common: each walks through a file of others and
 * gives its two-dimensional arrays, one after the other, as float32. Any bytes may come in; what a
 * parser allocates is bounded by its limits, whatever a header says.
 */
#ifndef REFRAIN_STORE_IMPORT_MATRIX_H
#define REFRAIN_STORE_IMPORT_MATRIX_H

#include "store/import_input.h"

enum { IMPORT_NAME_BYTES = 512 };

struct import_matrix {
    const char *name; /* what the file calls it; "" when it has one array without a name */
    uint64_t index;   /* in the first axis of an array of three, else 0 */
    bool stacked;     /* there is such an axis */
    bool bytes;       /* the file has unsigned bytes: levels, not dB */
    uint32_t n_rows, n_columns;
    float *values; /* (n_rows, n_columns) row-major; lent for the call, which may change them */
    /* What rounding to float32 took: largest and sum of squares, in the file's unit. */
    double max_lost, square_lost;
};

/* How a parser talks to its caller. The array's own faults go to refuse, which goes on or not;
 * what is wrong with the file ends the walk. */
struct import_sink {
    bool (*put)(void *arg, struct import_matrix *m, struct err *e);
    void (*refuse)(void *arg, const char *name, const struct err *why);
    void *arg;
    uint64_t values_max; /* of one array */
    const char *member;  /* the ending of the tar members to take; NULL: npy */
};

/* An array that cannot be taken (ERR_PERM) is refused and the walk goes on: true. Anything else
 * ends it: false, *why to *e. */
MUST_CHECK bool import_go_on(const struct import_sink *sink, const char *name,
                             const struct err *why, struct err *e);

/* Numpy: one array of two axes, or of three of which the first is taken apart. The stream stands at
 * its beginning. */
MUST_CHECK bool import_npy(struct import_stream *s, const char *name,
                           const struct import_sink *sink, struct err *e);
/* A zip of .npy members, in the order of its directory. */
MUST_CHECK bool import_npz(const struct import_input *in, const struct import_sink *sink,
                           struct err *e);
/* A tar as WebDataset reads it: of each sample the member that ends in .npy. */
MUST_CHECK bool import_tar(struct import_stream *s, const struct import_sink *sink, struct err *e);
/* Kaldi: a binary archive; a script, whose paths are opened as they are. */
MUST_CHECK bool import_ark(struct import_stream *s, const struct import_sink *sink, struct err *e);
MUST_CHECK bool import_scp(const struct import_input *in, const struct import_sink *sink,
                           struct err *e);

/* The number types of files: size, sign, order of bytes. */
struct import_type {
    char kind; /* 'f' IEEE, 'i' or 'u' whole numbers */
    uint8_t n_bytes;
    bool big_endian;
};
/* False when there is no way to read it. */
bool import_type_parse(const char *descr, struct import_type *out);

static inline uint32_t import_u16(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

/* raw[n] to out[n]; what rounding takes is added to m. */
void import_convert(struct import_type type, const uint8_t *raw, size_t n, float *out,
                    struct import_matrix *m);

#endif
