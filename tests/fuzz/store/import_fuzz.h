/*
 * What the fuzz targets of store/import_matrix.h share: a sink that looks at every value it is
 * given, and limits small enough for many executions.
 */
#ifndef REFRAIN_IMPORT_FUZZ_H
#define REFRAIN_IMPORT_FUZZ_H

#include "store/import_matrix.h"

#include <stdlib.h>
#include <string.h>

enum { FUZZ_VALUES_MAX = 1 << 16, FUZZ_MATRICES_MAX = 64 };

static inline void require(bool condition)
{
    if (!condition)
        abort();
}

/* Stops after so many arrays: a first axis may claim 2^64 of them only as far as there are bytes.
 */
static inline bool fuzz_put(void *arg, struct import_matrix *m, struct err *e)
{
    size_t *n = arg;
    double sum = 0;
    require(m->n_rows > 0 && m->n_columns > 0 && strlen(m->name) < IMPORT_NAME_BYTES);
    require((uint64_t)m->n_rows * m->n_columns <= FUZZ_VALUES_MAX);
    for (size_t i = 0; i < (size_t)m->n_rows * m->n_columns; i++) {
        sum += (double)m->values[i];
        m->values[i] = 0; /* ours for the call */
    }
    require(sum == sum || sum != sum);
    return ++*n < FUZZ_MATRICES_MAX || err_set(e, ERR_STOP, "enough");
}

static inline void fuzz_refuse(void *arg, const char *name, const struct err *why)
{
    (void)arg;
    require(name != NULL && why->kind == ERR_PERM && why->msg[0] != '\0');
}

static inline struct import_sink fuzz_sink(size_t *n)
{
    return (struct import_sink){
        .put = fuzz_put, .refuse = fuzz_refuse, .arg = n, .values_max = FUZZ_VALUES_MAX};
}

/* Hostile bytes give a sentence and a kind that sets the file aside. */
static inline void fuzz_judge(bool ok, const struct err *e)
{
    require(ok ? e->kind == ERR_NONE : e->kind == ERR_PERM || e->kind == ERR_STOP);
    require(ok || e->msg[0] != '\0');
}

typedef bool fuzz_stream_fn(struct import_stream *s, const struct import_sink *sink, struct err *e);

/* As they are, and as if they came out of gzip. */
static inline void fuzz_streams(const uint8_t *data, size_t size, fuzz_stream_fn *fn)
{
    static const enum import_coding codings[] = {IMPORT_PLAIN, IMPORT_GZIP};
    for (size_t i = 0; i < ARRAY_LEN(codings); i++) {
        struct import_input in;
        struct import_stream *s;
        struct err e = {0};
        size_t n = 0;
        const struct import_sink sink = fuzz_sink(&n);
        import_input_memory(&in, (struct span){data, size}, "fuzz");
        require(import_stream_open(&in, 0, size, codings[i], 1 << 24, &s, &e));
        fuzz_judge(fn(s, &sink, &e), &e);
        import_stream_close(s);
    }
}

#endif
