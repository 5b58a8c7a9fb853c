#include "store/import_matrix.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Kaldi's tables in binary (kaldi/src/matrix/kaldi-matrix.cc and compressed-matrix.cc): a name and
 * a blank, "\0B", the type, then what the type says. FM and DM are float32 and float64 row by row;
 * CM is a byte a value by columns, each on three straight lines between four percentiles; CM2 and
 * CM3 are two bytes and one on one line, row by row. A vector or text is refused.
 *
 * A script's line is "NAME PATH:OFFSET". Commands ("... |") and ranges ("[0:9]") are refused: no
 * file makes this program run another.
 */
enum { SCP_MAX_BYTES = 1 << 30, COLUMN_BYTES = 8, LINE_BYTES = 4608 };

static int32_t i32_at(const uint8_t *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static float f32_at(const uint8_t *p)
{
    float v;
    memcpy(&v, p, sizeof v);
    return v;
}

static bool shape_take(int32_t n_rows, int32_t n_columns, uint64_t values_max,
                       struct import_matrix *m, struct err *e)
{
    if (n_rows < 1 || n_columns < 1 || (uint64_t)n_rows * (uint64_t)n_columns > values_max)
        return err_set(e, ERR_PERM,
                       "a matrix of %" PRId32 " by %" PRId32 " values; from 1 to %" PRIu64
                       " can be imported at once",
                       n_rows, n_columns, values_max);
    m->n_rows = (uint32_t)n_rows;
    m->n_columns = (uint32_t)n_columns;
    return true;
}

/* ---------------------------------------------------------------- matrices */

/* "\4", rows, "\4", columns, values. */
static bool take_full(struct import_stream *s, struct import_type type, struct import_matrix *m,
                      uint64_t values_max, struct err *e)
{
    uint8_t head[10];
    if (!import_stream_read(s, head, sizeof head, e))
        return false;
    if (head[0] != 4 || head[5] != 4)
        return err_set(e, ERR_PERM, "a matrix without its size");
    if (!shape_take(i32_at(head + 1), i32_at(head + 6), values_max, m, e))
        return false;
    size_t n = (size_t)m->n_rows * m->n_columns;
    uint8_t *raw = mem_alloc(n, type.n_bytes);
    m->values = mem_alloc_aligned(n, sizeof *m->values);
    bool ok = import_stream_read(s, raw, n * type.n_bytes, e);
    if (ok)
        import_convert(type, raw, n, m->values, m);
    mem_free(raw);
    return ok;
}

/* CompressedMatrix::CharToFloat. */
static float between(const float p[4], uint8_t v)
{
    if (v <= 64)
        return p[0] + (p[1] - p[0]) * (float)v * (1 / 64.0F);
    if (v <= 192)
        return p[1] + (p[2] - p[1]) * (float)(v - 64) * (1 / 128.0F);
    return p[2] + (p[3] - p[2]) * (float)(v - 192) * (1 / 63.0F);
}

static void restore_columns(const uint8_t *raw, float low, float range, struct import_matrix *m)
{
    const uint8_t *bytes = raw + (size_t)m->n_columns * COLUMN_BYTES;
    for (size_t c = 0; c < m->n_columns; c++) {
        float p[4];
        for (size_t i = 0; i < 4; i++) /* Uint16ToFloat: 1 / 65535 of the range a step */
            p[i] = low + range * 1.52590218966964e-05F *
                             (float)import_u16(raw + c * COLUMN_BYTES + 2 * i);
        for (size_t r = 0; r < m->n_rows; r++)
            m->values[r * m->n_columns + c] = between(p, bytes[c * m->n_rows + r]);
    }
}

static void restore_line(const uint8_t *raw, size_t value_bytes, float low, float range,
                         struct import_matrix *m)
{
    size_t n = (size_t)m->n_rows * m->n_columns;
    float step = (float)((double)range * (value_bytes == 2 ? 1 / 65535.0 : 1 / 255.0));
    for (size_t i = 0; i < n; i++)
        m->values[i] = low + step * (float)(value_bytes == 2 ? import_u16(raw + 2 * i) : raw[i]);
}

/* Least value, range, rows, columns, values. `kind` is "", "2" or "3". */
static bool take_compressed(struct import_stream *s, char kind, struct import_matrix *m,
                            uint64_t values_max, struct err *e)
{
    uint8_t head[16];
    if (!import_stream_read(s, head, sizeof head, e) ||
        !shape_take(i32_at(head + 8), i32_at(head + 12), values_max, m, e))
        return false;
    size_t n = (size_t)m->n_rows * m->n_columns, value_bytes = kind == '2' ? 2 : 1;
    size_t raw_bytes = n * value_bytes + (kind == ' ' ? (size_t)m->n_columns * COLUMN_BYTES : 0);
    uint8_t *raw = mem_alloc(raw_bytes, 1);
    m->values = mem_alloc_aligned(n, sizeof *m->values);
    bool ok = import_stream_read(s, raw, raw_bytes, e);
    if (ok && kind == ' ')
        restore_columns(raw, f32_at(head), f32_at(head + 4), m);
    else if (ok)
        restore_line(raw, value_bytes, f32_at(head), f32_at(head + 4), m);
    mem_free(raw);
    return ok;
}

/* What stands behind a name: there are no lengths, so what cannot be read ends the file. */
static bool take_object(struct import_stream *s, const char *name, const struct import_sink *sink,
                        struct err *e)
{
    static const struct import_type f32 = {'f', 4, false}, f64 = {'f', 8, false};
    struct import_matrix m = {.name = name};
    char head[5];
    bool ok;
    if (!import_stream_read(s, head, sizeof head, e))
        return false;
    if (head[0] != '\0' || head[1] != 'B')
        return err_set(e, ERR_PERM, "text: write it in binary (copy-feats ark:IN ark:OUT)");
    if (memcmp(head + 2, "FM ", 3) == 0 || memcmp(head + 2, "DM ", 3) == 0) {
        ok = take_full(s, head[2] == 'F' ? f32 : f64, &m, sink->values_max, e);
    } else if (memcmp(head + 2, "CM", 2) == 0) {
        char blank = ' ';
        ok = head[4] == ' ' || import_stream_read(s, &blank, 1, e);
        if (ok && ((head[4] != ' ' && head[4] != '2' && head[4] != '3') || blank != ' '))
            ok = err_set(e, ERR_PERM, "a compressed matrix of an unknown kind");
        ok = ok && take_compressed(s, head[4], &m, sink->values_max, e);
    } else {
        ok = err_set(e, ERR_PERM, "no matrix (FM, DM, CM, CM2, CM3)");
    }
    ok = ok && sink->put(sink->arg, &m, e);
    mem_free(m.values);
    return ok;
}

/* ---------------------------------------------------------------- archive */

/* Up to the blank. *end: there is nothing more. */
static bool take_name(struct import_stream *s, char out[IMPORT_NAME_BYTES], bool *end,
                      struct err *e)
{
    size_t n = 0, got;
    for (;; n++) {
        char c;
        if (!import_stream_some(s, &c, 1, &got, e))
            return false;
        *end = got == 0 && n == 0;
        if (*end)
            return true;
        if (got == 0 || c == '\0' || c == '\n' || n + 1 == IMPORT_NAME_BYTES)
            return err_set(e, ERR_PERM, "no name where a matrix should begin");
        if (c == ' ')
            break;
        out[n] = c;
    }
    out[n] = '\0';
    return true;
}

bool import_ark(struct import_stream *s, const struct import_sink *sink, struct err *e)
{
    char name[IMPORT_NAME_BYTES];
    for (bool end;;) {
        uint64_t at = import_stream_at(s);
        if (!take_name(s, name, &end, e))
            return err_wrap(e, "byte %" PRIu64, at);
        if (end)
            return true;
        if (!take_object(s, name, sink, e))
            return err_wrap(e, "%s at byte %" PRIu64, name, at);
    }
}

/* ---------------------------------------------------------------- script */

static bool scp_object(const char *name, const char *path, uint64_t at,
                       const struct import_sink *sink, struct err *e)
{
    struct import_input in;
    struct import_stream *s;
    if (!import_input_open(&in, path, e))
        return false;
    bool ok = import_stream_open(&in, at, in.n_bytes, IMPORT_PLAIN, UINT64_MAX, &s, e);
    if (ok) {
        ok = take_object(s, name, sink, e);
        import_stream_close(s);
    }
    import_input_close(&in);
    return ok;
}

/* "NAME PATH" or "NAME PATH:OFFSET", with a NUL for the line's end. */
static bool scp_line(char *line, const struct import_sink *sink, struct err *e)
{
    size_t n = strlen(line);
    while (n > 0 && strchr(" \t\r", line[n - 1]))
        line[--n] = '\0';
    size_t n_name = strcspn(line, " \t");
    if (n == 0)
        return true;
    if (n_name == n || n_name >= IMPORT_NAME_BYTES)
        return err_set(e, ERR_PERM, "\"%.80s\" is no NAME PATH:OFFSET", line);
    if (line[n - 1] == '|' || line[n - 1] == ']')
        return err_set(e, ERR_PERM, "\"%.80s\": commands and ranges are not followed", line);
    line[n_name] = '\0';
    char *path = line + n_name + 1, *colon = strrchr(path, ':');
    path += strspn(path, " \t");
    uint64_t at = 0;
    if (colon && colon[1] && strspn(colon + 1, "0123456789") == strlen(colon + 1)) {
        at = strtoull(colon + 1, NULL, 10);
        *colon = '\0';
    }
    return scp_object(line, path, at, sink, e) || err_wrap(e, "%s", line);
}

bool import_scp(const struct import_input *in, const struct import_sink *sink, struct err *e)
{
    char line[LINE_BYTES];
    struct import_stream *s;
    size_t n = 0, got = 1;
    if (!import_stream_open(in, 0, in->n_bytes, IMPORT_PLAIN, SCP_MAX_BYTES, &s, e))
        return false;
    bool ok = true;
    while (ok && got > 0) {
        char c = '\n';
        ok = import_stream_some(s, &c, 1, &got, e);
        if (ok && (c == '\0' || n + 1 == sizeof line))
            ok = err_set(e, ERR_PERM, "it is no script of lines of at most %d characters",
                         LINE_BYTES - 1);
        if (ok && (c == '\n' || got == 0)) {
            line[n] = '\0';
            n = 0;
            ok = scp_line(line, sink, e);
        } else if (ok) {
            line[n++] = c;
        }
    }
    import_stream_close(s);
    return ok;
}
