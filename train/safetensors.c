#include "train/safetensors.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PREFIX_BYTES = 8, HEADER_ALIGN_BYTES = 64 };

size_t safetensors_dtype_bytes(const char *dtype)
{
    static const struct {
        const char *name;
        size_t bytes;
    } types[] = {{"F64", 8}, {"F32", 4}, {"F16", 2},  {"BF16", 2},    {"I64", 8},
                 {"I32", 4}, {"I16", 2}, {"I8", 1},   {"U64", 8},     {"U32", 4},
                 {"U16", 2}, {"U8", 1},  {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}};
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (strcmp(types[i].name, dtype) == 0)
            return types[i].bytes;
    return 0;
}

void safetensors_init(struct safetensors *st)
{
    *st = (struct safetensors){
        .tensors = mem_zalloc(SAFETENSORS_TENSORS_MAX, sizeof *st->tensors),
        .notes = mem_zalloc(SAFETENSORS_NOTES_MAX, sizeof *st->notes),
    };
}

void safetensors_release(struct safetensors *st)
{
    for (size_t i = 0; i < st->n_notes; i++)
        mem_free(st->notes[i].value);
    mem_free(st->tensors);
    mem_free(st->notes);
    *st = (struct safetensors){0};
}

const struct safetensor *safetensors_find(const struct safetensors *st, const char *name)
{
    for (size_t i = 0; i < st->n_tensors; i++)
        if (strcmp(st->tensors[i].name, name) == 0)
            return &st->tensors[i];
    return NULL;
}

const char *safetensors_note(const struct safetensors *st, const char *key)
{
    for (size_t i = 0; i < st->n_notes; i++)
        if (strcmp(st->notes[i].key, key) == 0)
            return st->notes[i].value;
    return NULL;
}

/* ---------------------------------------------------------------- the header's JSON */

/* Only what the format allows: one object of objects; strings, non-negative whole numbers, flat
 * arrays of numbers. `offset` counts from the file's start for messages. */
struct cursor {
    const char *at, *end, *start;
    struct err *e;
};

static bool bad(struct cursor *c, const char *what)
{
    return err_set(c->e, ERR_PERM, "safetensors header: %s at byte %zu", what,
                   (size_t)(c->at - c->start) + PREFIX_BYTES);
}

static void skip_blanks(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\r' || *c->at == '\t'))
        c->at++;
}

static bool take(struct cursor *c, char wanted)
{
    skip_blanks(c);
    if (c->at == c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

static bool expect(struct cursor *c, char wanted)
{
    char what[] = "'?' expected";
    what[1] = wanted;
    return take(c, wanted) || bad(c, what);
}

static bool parse_hex4(struct cursor *c, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++, c->at++) {
        if (c->at == c->end)
            return bad(c, "string is cut off");
        char d = *c->at;
        uint32_t v = d >= '0' && d <= '9'   ? (uint32_t)(d - '0')
                     : d >= 'a' && d <= 'f' ? (uint32_t)(d - 'a') + 10
                     : d >= 'A' && d <= 'F' ? (uint32_t)(d - 'A') + 10
                                            : 16;
        if (v == 16)
            return bad(c, "bad \\u escape");
        *out = *out << 4 | v;
    }
    return true;
}

static size_t encode_utf8(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    out[0] = (char)(0xe0 | code >> 12);
    out[1] = (char)(0x80 | (code >> 6 & 0x3f));
    out[2] = (char)(0x80 | (code & 0x3f));
    return 3;
}

/* One escape, behind its backslash. Surrogate pairs do not occur in tensor names: refused. */
static bool parse_escape(struct cursor *c, char out[4], size_t *n)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (c->at == c->end)
        return bad(c, "string is cut off");
    char kind = *c->at++;
    const char *found = kind == '\0' ? NULL : strchr(from, kind);
    if (found != NULL) {
        out[0] = to[found - from];
        *n = 1;
        return true;
    }
    uint32_t code;
    if (kind != 'u')
        return bad(c, "bad escape");
    if (!parse_hex4(c, &code))
        return false;
    if (code == 0 || (code >= 0xd800 && code < 0xe000))
        return bad(c, "NUL or surrogate in a string");
    *n = encode_utf8(code, out);
    return true;
}

static bool parse_string(struct cursor *c, char *out, size_t cap)
{
    size_t len = 0;
    if (!expect(c, '"'))
        return false;
    for (;;) {
        char piece[4];
        size_t n = 1;
        if (c->at == c->end)
            return bad(c, "string is cut off");
        piece[0] = *c->at++;
        if (piece[0] == '"')
            break;
        if ((unsigned char)piece[0] < 0x20)
            return bad(c, "control character in a string");
        if (piece[0] == '\\' && !parse_escape(c, piece, &n))
            return false;
        if (len + n >= cap)
            return bad(c, "string is too long");
        memcpy(out + len, piece, n);
        len += n;
    }
    out[len] = '\0';
    return true;
}

static bool parse_u64(struct cursor *c, uint64_t *out)
{
    skip_blanks(c);
    const char *first = c->at;
    *out = 0;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
        uint64_t digit = (uint64_t)(*c->at - '0');
        if (*out > (UINT64_MAX - digit) / 10)
            return bad(c, "number is too large");
        *out = *out * 10 + digit;
    }
    if (c->at == first)
        return bad(c, "a whole number expected");
    if (*first == '0' && c->at - first > 1)
        return bad(c, "number with a leading zero");
    return true;
}

static bool parse_u64_array(struct cursor *c, uint64_t *out, uint32_t max, uint32_t *n)
{
    *n = 0;
    if (!expect(c, '['))
        return false;
    if (take(c, ']'))
        return true;
    do {
        if (*n == max)
            return bad(c, "too many numbers in an array");
        if (!parse_u64(c, &out[(*n)++]))
            return false;
    } while (take(c, ','));
    return expect(c, ']');
}

/* ---------------------------------------------------------------- entries */

/* shape product times value size, without overflow */
static bool shape_bytes(const struct safetensor *t, size_t value_bytes, uint64_t *out)
{
    uint64_t total = value_bytes;
    for (uint32_t i = 0; i < t->n_dims; i++)
        if (__builtin_mul_overflow(total, t->dims[i], &total))
            return false;
    *out = total;
    return true;
}

static bool parse_tensor_fields(struct cursor *c, struct safetensor *t, uint64_t offsets[2])
{
    bool has_dtype = false, has_shape = false, has_offsets = false;
    if (!expect(c, '{'))
        return false;
    do {
        char key[SAFETENSORS_NAME_BYTES];
        uint32_t n = 0;
        if (!parse_string(c, key, sizeof key) || !expect(c, ':'))
            return false;
        if (strcmp(key, "dtype") == 0 && !has_dtype) {
            has_dtype = true;
            if (!parse_string(c, t->dtype, sizeof t->dtype))
                return false;
        } else if (strcmp(key, "shape") == 0 && !has_shape) {
            has_shape = true;
            if (!parse_u64_array(c, t->dims, SAFETENSORS_DIMS_MAX, &t->n_dims))
                return false;
        } else if (strcmp(key, "data_offsets") == 0 && !has_offsets) {
            has_offsets = true;
            if (!parse_u64_array(c, offsets, 2, &n))
                return false;
            if (n != 2)
                return bad(c, "data_offsets needs two numbers");
        } else {
            return bad(c, "unknown or repeated field");
        }
    } while (take(c, ','));
    if (!expect(c, '}'))
        return false;
    return (has_dtype && has_shape && has_offsets) || bad(c, "a tensor lacks a field");
}

static bool parse_tensor(struct cursor *c, const char *name, struct span data,
                         struct safetensors *st)
{
    uint64_t offsets[2] = {0}, wanted = 0;
    if (st->n_tensors == SAFETENSORS_TENSORS_MAX)
        return bad(c, "too many tensors");
    struct safetensor *t = &st->tensors[st->n_tensors];
    *t = (struct safetensor){0};
    memcpy(t->name, name, strlen(name) + 1);
    if (!parse_tensor_fields(c, t, offsets))
        return err_wrap(c->e, "tensor \"%.80s\"", name);
    size_t value_bytes = safetensors_dtype_bytes(t->dtype);
    if (value_bytes == 0)
        return err_set(c->e, ERR_PERM, "safetensors: tensor \"%.80s\" has the unknown type \"%s\"",
                       name, t->dtype);
    if (offsets[0] > offsets[1] || offsets[1] > data.len)
        return err_set(c->e, ERR_PERM,
                       "safetensors: tensor \"%.80s\" lies at [%" PRIu64 ", %" PRIu64
                       ") and the data are %zu bytes",
                       name, offsets[0], offsets[1], data.len);
    if (!shape_bytes(t, value_bytes, &wanted) || wanted != offsets[1] - offsets[0])
        return err_set(c->e, ERR_PERM,
                       "safetensors: tensor \"%.80s\" has %" PRIu64
                       " bytes, which is not what its shape needs",
                       name, offsets[1] - offsets[0]);
    t->bytes = (const uint8_t *)data.ptr + offsets[0];
    t->n_bytes = (size_t)(offsets[1] - offsets[0]);
    st->n_tensors++;
    return true;
}

static bool parse_notes(struct cursor *c, struct safetensors *st)
{
    char *value = mem_alloc(SAFETENSORS_NOTE_BYTES, 1);
    bool ok = false;
    if (!expect(c, '{'))
        goto out;
    if (take(c, '}')) {
        ok = true;
        goto out;
    }
    do {
        if (st->n_notes == SAFETENSORS_NOTES_MAX) {
            bad(c, "too many entries in __metadata__");
            goto out;
        }
        char key[SAFETENSORS_NAME_BYTES];
        if (!parse_string(c, key, sizeof key) || !expect(c, ':') ||
            !parse_string(c, value, SAFETENSORS_NOTE_BYTES))
            goto out;
        if (safetensors_note(st, key) != NULL) {
            bad(c, "key given twice");
            goto out;
        }
        struct safetensors_note *note = &st->notes[st->n_notes++];
        memcpy(note->key, key, strlen(key) + 1);
        note->value = mem_strdup(value);
    } while (take(c, ','));
    ok = expect(c, '}');
out:
    mem_free(value);
    return ok;
}

static int compare_names(const void *x, const void *y)
{
    return strcmp((*(const struct safetensor *const *)x)->name,
                  (*(const struct safetensor *const *)y)->name);
}

static int compare_places(const void *x, const void *y)
{
    const struct safetensor *a = *(const struct safetensor *const *)x;
    const struct safetensor *b = *(const struct safetensor *const *)y;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? -1 : 1;
    return a->n_bytes < b->n_bytes ? -1 : a->n_bytes > b->n_bytes;
}

/* No name twice; the tensors cover the data without holes or overlaps. */
static bool check_whole(const struct safetensors *st, struct span data, struct err *e)
{
    const struct safetensor **order = mem_alloc(size_max(st->n_tensors, 1), sizeof *order);
    bool ok = true;
    for (size_t i = 0; i < st->n_tensors; i++)
        order[i] = &st->tensors[i];
    qsort(order, st->n_tensors, sizeof *order, compare_names);
    for (size_t i = 1; ok && i < st->n_tensors; i++)
        if (strcmp(order[i - 1]->name, order[i]->name) == 0)
            ok = err_set(e, ERR_PERM, "safetensors: tensor \"%.80s\" is there twice",
                         order[i]->name);
    qsort(order, st->n_tensors, sizeof *order, compare_places);
    const uint8_t *at = data.ptr;
    for (size_t i = 0; ok && i < st->n_tensors; i++) {
        if (order[i]->bytes != at)
            ok = err_set(e, ERR_PERM, "safetensors: a hole or an overlap before tensor \"%.80s\"",
                         order[i]->name);
        at += order[i]->n_bytes;
    }
    if (ok && at != (const uint8_t *)data.ptr + data.len)
        ok = err_set(e, ERR_PERM, "safetensors: %zu bytes behind the last tensor",
                     (size_t)((const uint8_t *)data.ptr + data.len - at));
    mem_free(order);
    return ok;
}

static bool parse_header(struct cursor *c, struct span data, struct safetensors *out)
{
    if (c->at == c->end || *c->at != '{')
        return bad(c, "'{' expected");
    c->at++;
    if (!take(c, '}')) {
        bool has_notes = false;
        do {
            char key[SAFETENSORS_NAME_BYTES];
            if (!parse_string(c, key, sizeof key) || !expect(c, ':'))
                return false;
            bool is_notes = strcmp(key, "__metadata__") == 0;
            if (is_notes && has_notes)
                return bad(c, "__metadata__ given twice");
            has_notes = has_notes || is_notes;
            if (!(is_notes ? parse_notes(c, out) : parse_tensor(c, key, data, out)))
                return false;
        } while (take(c, ','));
        if (!expect(c, '}'))
            return false;
    }
    skip_blanks(c);
    return c->at == c->end || bad(c, "something behind the closing brace");
}

bool safetensors_parse(struct span file, struct safetensors *out, struct err *e)
{
    uint64_t header_bytes;
    safetensors_init(out);
    if (file.len < PREFIX_BYTES)
        return err_set(e, ERR_PERM, "safetensors: %zu bytes are no file of this kind", file.len);
    memcpy(&header_bytes, file.ptr, PREFIX_BYTES);
    if (header_bytes > file.len - PREFIX_BYTES || header_bytes > SAFETENSORS_HEADER_MAX_BYTES)
        return err_set(e, ERR_PERM,
                       "safetensors: the header says %" PRIu64
                       " bytes; the file has %zu and the limit is %d",
                       header_bytes, file.len, SAFETENSORS_HEADER_MAX_BYTES);
    const char *start = (const char *)file.ptr + PREFIX_BYTES;
    struct cursor c = {start, start + header_bytes, start, e};
    struct span data = {start + header_bytes, file.len - PREFIX_BYTES - (size_t)header_bytes};
    return parse_header(&c, data, out) && check_whole(out, data, e);
}

/* ---------------------------------------------------------------- writing */

void safetensors_add(struct safetensors *st, const char *name, const char *dtype,
                     const uint64_t *dims, uint32_t n_dims, const void *bytes)
{
    assert(st->n_tensors < SAFETENSORS_TENSORS_MAX);
    assert(n_dims <= SAFETENSORS_DIMS_MAX);
    assert(strlen(name) < SAFETENSORS_NAME_BYTES);
    assert(safetensors_find(st, name) == NULL);
    struct safetensor *t = &st->tensors[st->n_tensors++];
    *t = (struct safetensor){.n_dims = n_dims, .bytes = bytes};
    snprintf(t->name, sizeof t->name, "%s", name);
    snprintf(t->dtype, sizeof t->dtype, "%s", dtype);
    uint64_t total = safetensors_dtype_bytes(dtype);
    assert(total > 0);
    for (uint32_t i = 0; i < n_dims; i++) {
        t->dims[i] = dims[i];
        total *= dims[i];
    }
    t->n_bytes = (size_t)total;
}

void safetensors_add_note(struct safetensors *st, const char *key, const char *format, ...)
{
    char value[SAFETENSORS_NOTE_BYTES];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(value, sizeof value, format, args);
    va_end(args);
    assert(len >= 0 && (size_t)len < sizeof value);
    assert(st->n_notes < SAFETENSORS_NOTES_MAX);
    assert(safetensors_note(st, key) == NULL);
    struct safetensors_note *note = &st->notes[st->n_notes++];
    snprintf(note->key, sizeof note->key, "%s", key);
    note->value = mem_strdup(value);
}

static void write_header(const struct safetensors *st, FILE *out)
{
    struct json j;
    json_init(&j, out);
    json_object(&j, NULL);
    if (st->n_notes > 0) {
        json_object(&j, "__metadata__");
        for (size_t i = 0; i < st->n_notes; i++)
            json_str(&j, st->notes[i].key, st->notes[i].value);
        json_end(&j);
    }
    uint64_t at = 0;
    for (size_t i = 0; i < st->n_tensors; i++) {
        const struct safetensor *t = &st->tensors[i];
        json_object(&j, t->name);
        json_str(&j, "dtype", t->dtype);
        json_array(&j, "shape");
        for (uint32_t k = 0; k < t->n_dims; k++)
            json_u64(&j, NULL, t->dims[k]);
        json_end(&j);
        json_array(&j, "data_offsets");
        json_u64(&j, NULL, at);
        json_u64(&j, NULL, at += t->n_bytes);
        json_end(&j);
        json_end(&j);
    }
    json_end(&j);
    json_finish(&j);
}

/* The tensors are written from where they lie: a copy of them all would be the largest thing in the
 * memory of a process that trains. */
static bool write_parts(const struct safetensors *st, const char *path, const char *header,
                        size_t header_len, struct err *e)
{
    static const char blanks[HEADER_ALIGN_BYTES] = "                                "
                                                   "                               ";
    size_t used = PREFIX_BYTES + header_len, n = 0;
    size_t pad = (HEADER_ALIGN_BYTES - used % HEADER_ALIGN_BYTES) % HEADER_ALIGN_BYTES;
    uint64_t header_bytes = header_len + pad;
    struct span *parts = mem_alloc(st->n_tensors + 3, sizeof *parts);
    parts[n++] = (struct span){&header_bytes, sizeof header_bytes};
    parts[n++] = (struct span){header, header_len};
    parts[n++] = (struct span){blanks, pad};
    for (size_t i = 0; i < st->n_tensors; i++)
        parts[n++] = (struct span){st->tensors[i].bytes, st->tensors[i].n_bytes};
    bool ok = file_write_atomic_parts(path, parts, n, e);
    mem_free(parts);
    return ok;
}

bool safetensors_write(const struct safetensors *st, const char *path, struct err *e)
{
    char *header = NULL;
    size_t header_len = 0;
    FILE *f = open_memstream(&header, &header_len);
    if (f == NULL)
        return err_set(e, ERR_FATAL, "%s: no memory for the header", path);
    write_header(st, f);
    fclose(f);
    while (header_len > 0 && header[header_len - 1] == '\n')
        header_len--; /* only blanks may follow the brace */
    bool ok = write_parts(st, path, header, header_len, e);
    free(header);
    return ok;
}
