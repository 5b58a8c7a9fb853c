#include "store/import_matrix.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/*
 * https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html: magic, version, length of
 * the header, the header as a Python dictionary, the values. A first axis of clips is read clip by
 * clip, so that memory does not grow with the file.
 */
enum { HEADER_MAX_BYTES = 64 << 10, DIMS_MAX = 3, DESCR_BYTES = 16 };

static const uint8_t magic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};

struct header {
    struct import_type type;
    bool fortran_order;
    size_t n_dims;
    uint64_t shape[DIMS_MAX];
};

/* ---------------------------------------------------------------- header */

static const char *skip_blanks(const char *p)
{
    return p + strspn(p, " \t\n");
}

/* 'text' or "text"; NULL when it is none or does not fit. */
static const char *take_text(const char *p, char *out, size_t out_bytes)
{
    p = skip_blanks(p);
    if (*p != '\'' && *p != '"')
        return NULL;
    const char *end = strchr(p + 1, *p);
    if (!end || (size_t)(end - p) > out_bytes)
        return NULL;
    memcpy(out, p + 1, (size_t)(end - p) - 1);
    out[end - p - 1] = '\0';
    return end + 1;
}

static const char *take_char(const char *p, char wanted)
{
    p = skip_blanks(p);
    return *p == wanted ? p + 1 : NULL;
}

static const char *take_shape(const char *p, struct header *h)
{
    p = take_char(p, '(');
    while (p && !take_char(p, ')')) {
        char *end;
        p = skip_blanks(p);
        if (*p < '0' || *p > '9' || h->n_dims == DIMS_MAX)
            return NULL;
        h->shape[h->n_dims++] = strtoull(p, &end, 10);
        p = end + (*end == 'L'); /* Python 2 */
        const char *comma = take_char(p, ',');
        if (!comma && !take_char(p, ')'))
            return NULL;
        p = comma ? comma : p;
    }
    return p ? take_char(p, ')') : NULL;
}

static const char *take_entry(const char *p, struct header *h, unsigned *seen)
{
    char key[32], descr[DESCR_BYTES];
    p = take_text(p, key, sizeof key);
    p = p ? take_char(p, ':') : NULL;
    if (!p)
        return NULL;
    p = skip_blanks(p);
    if (strcmp(key, "descr") == 0) {
        *seen |= 1;
        p = take_text(p, descr, sizeof descr);
        return p && import_type_parse(descr, &h->type) ? p : NULL;
    }
    if (strcmp(key, "fortran_order") == 0) {
        *seen |= 2;
        h->fortran_order = *p == 'T';
        return strncmp(p, "True", 4) == 0 ? p + 4 : strncmp(p, "False", 5) == 0 ? p + 5 : NULL;
    }
    *seen |= 4;
    return strcmp(key, "shape") == 0 ? take_shape(p, h) : NULL;
}

static bool header_parse(const char *text, struct header *h, struct err *e)
{
    unsigned seen = 0;
    const char *p = take_char(text, '{');
    while (p && !take_char(p, '}')) {
        p = take_entry(p, h, &seen);
        const char *comma = p ? take_char(p, ',') : NULL;
        if (p && !comma && !take_char(p, '}'))
            p = NULL;
        p = comma ? comma : p;
    }
    if (p && seen == 7 && (h->n_dims == 2 || h->n_dims == 3))
        return true;
    return err_set(e, ERR_PERM,
                   "the .npy header %.120s is not of an array of two or three axes of numbers of 1 "
                   "to 4 bytes or float64",
                   text);
}

static bool header_read(struct import_stream *s, struct header *h, struct err *e)
{
    uint8_t prefix[8], size[4] = {0};
    if (!import_stream_read(s, prefix, sizeof prefix, e))
        return false;
    if (memcmp(prefix, magic, sizeof magic) != 0 || prefix[6] < 1 || prefix[6] > 3)
        return err_set(e, ERR_PERM, "it is no .npy of version 1 to 3");
    if (!import_stream_read(s, size, prefix[6] == 1 ? 2 : 4, e))
        return false;
    size_t n =
        (size_t)size[0] | (size_t)size[1] << 8 | (size_t)size[2] << 16 | (size_t)size[3] << 24;
    if (n > HEADER_MAX_BYTES)
        return err_set(e, ERR_PERM, "its .npy header has %zu bytes, the limit is %d", n,
                       HEADER_MAX_BYTES);
    char *text = mem_zalloc(n + 1, 1);
    bool ok = import_stream_read(s, text, n, e) && header_parse(text, h, e);
    mem_free(text);
    return ok;
}

/* ---------------------------------------------------------------- values */

static void transpose(const float *from, size_t n_rows, size_t n_columns, float *to)
{
    for (size_t c = 0; c < n_columns; c++)
        for (size_t r = 0; r < n_rows; r++)
            to[r * n_columns + c] = from[c * n_rows + r];
}

static bool shape_check(const struct header *h, uint64_t values_max, struct err *e)
{
    const uint64_t *shape = h->shape + (h->n_dims - 2);
    if (h->n_dims == 3 && h->fortran_order)
        return err_set(e, ERR_PERM,
                       "its three axes are in Fortran's order: save it again with "
                       "numpy.ascontiguousarray");
    if (shape[0] == 0 || shape[1] == 0 || shape[0] > values_max || shape[1] > values_max ||
        shape[0] * shape[1] > values_max)
        return err_set(e, ERR_PERM,
                       "an array of %" PRIu64 " by %" PRIu64 " values; from 1 to %" PRIu64
                       " can be imported at once",
                       shape[0], shape[1], values_max);
    return true;
}

bool import_npy(struct import_stream *s, const char *name, const struct import_sink *sink,
                struct err *e)
{
    struct header h = {0};
    if (!header_read(s, &h, e) || !shape_check(&h, sink->values_max, e))
        return false;
    const uint64_t *shape = h.shape + (h.n_dims - 2);
    size_t n = (size_t)(shape[0] * shape[1]);
    uint64_t n_matrices = h.n_dims == 3 ? h.shape[0] : 1;
    uint8_t *raw = mem_alloc(n, h.type.n_bytes);
    float *values = mem_alloc_aligned(n, sizeof *values);
    float *turned = h.fortran_order ? mem_alloc_aligned(n, sizeof *turned) : NULL;
    bool ok = true;
    for (uint64_t i = 0; i < n_matrices && ok; i++) {
        struct import_matrix m = {.name = name,
                                  .index = i,
                                  .stacked = h.n_dims == 3,
                                  .bytes = h.type.kind == 'u' && h.type.n_bytes == 1,
                                  .n_rows = (uint32_t)shape[0],
                                  .n_columns = (uint32_t)shape[1],
                                  .values = turned ? turned : values};
        ok = import_stream_read(s, raw, n * h.type.n_bytes, e);
        if (!ok)
            break;
        import_convert(h.type, raw, n, values, &m);
        if (turned)
            transpose(values, shape[0], shape[1], turned);
        ok = sink->put(sink->arg, &m, e);
    }
    mem_free(raw);
    mem_free(values);
    mem_free(turned);
    return ok;
}
