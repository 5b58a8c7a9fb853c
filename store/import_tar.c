#include "store/import_matrix.h"
#include "store/tar.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/*
 * A tar as WebDataset reads it: a sample's name is its path up to the first dot of the last
 * component, what follows names the member. POSIX ustar and pax, GNU's long names and base-256
 * sizes; what is no file is passed over.
 */
enum { PAX_MAX_BYTES = 1 << 20 };

/* What extended headers say of the next file. */
struct extended {
    char name[IMPORT_NAME_BYTES];
    bool has_size;
    uint64_t size;
};

/* ---------------------------------------------------------------- headers */

/* Octal digits between blanks, or base 256 when the first bit is set. */
static bool number(const char *field, size_t n, uint64_t *out)
{
    const uint8_t *p = (const uint8_t *)field;
    size_t i = 0;
    *out = 0;
    if (p[0] & 0x80) {
        for (i = 1; i < n; i++) {
            if (*out >> 55)
                return false;
            *out = *out << 8 | p[i];
        }
        return p[0] == 0x80;
    }
    while (i < n && p[i] == ' ')
        i++;
    for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
        *out = *out << 3 | (uint64_t)(p[i] - '0');
    return i == n || p[i] == ' ' || p[i] == '\0';
}

static bool header_check(const struct tar_header *h, uint64_t *size, struct err *e)
{
    uint64_t sum;
    if (!number(h->checksum, sizeof h->checksum, &sum) || sum != tar_checksum(h))
        return err_set(e, ERR_PERM, "the tar is damaged: the checksum of a header is wrong");
    if (!number(h->size, sizeof h->size, size) || *size > INT64_MAX - TAR_BLOCK_BYTES)
        return err_set(e, ERR_PERM, "the tar is damaged: a member without a size");
    return true;
}

/* false when it does not fit. */
static bool plain_name(const struct tar_header *h, char out[IMPORT_NAME_BYTES])
{
    int n_prefix = (int)strnlen(h->prefix, sizeof h->prefix);
    bool ustar = memcmp(h->magic, "ustar", 5) == 0 && h->magic[5] == '\0' && n_prefix > 0;
    snprintf(out, IMPORT_NAME_BYTES, "%.*s%s%.*s", ustar ? n_prefix : 0, h->prefix,
             ustar ? "/" : "", (int)strnlen(h->name, sizeof h->name), h->name);
    return out[0] != '\0';
}

/* Records "LENGTH KEY=VALUE\n"; path and size are what matters here. */
static void take_pax(const char *text, size_t n, struct extended *x)
{
    for (size_t at = 0; at < n;) {
        size_t len = 0, i = at;
        for (; i < n && text[i] >= '0' && text[i] <= '9' && len <= n; i++)
            len = len * 10 + (size_t)(text[i] - '0');
        if (i == n || text[i] != ' ' || len <= i + 1 - at || len > n - at)
            return;
        const char *key = text + i + 1, *end = text + at + len - 1;
        size_t n_value = (size_t)(end - key);
        if (n_value > 5 && memcmp(key, "path=", 5) == 0 && n_value - 5 < sizeof x->name)
            snprintf(x->name, sizeof x->name, "%.*s", (int)(n_value - 5), key + 5);
        if (n_value > 5 && memcmp(key, "size=", 5) == 0) {
            x->has_size = true;
            x->size = 0;
            for (const char *p = key + 5; p < end && *p >= '0' && *p <= '9' && !(x->size >> 58);
                 p++)
                x->size = x->size * 10 + (uint64_t)(*p - '0');
        }
        at += len;
    }
}

static bool take_extended(struct import_stream *s, char type, uint64_t size, struct extended *x,
                          struct err *e)
{
    if (size > PAX_MAX_BYTES)
        return err_set(e, ERR_PERM, "a tar header of %" PRIu64 " bytes, the limit is %d", size,
                       PAX_MAX_BYTES);
    char *text = mem_zalloc((size_t)size + 1, 1);
    bool ok = import_stream_read(s, text, (size_t)size, e);
    if (ok && type == 'L')
        snprintf(x->name, sizeof x->name, "%s", text);
    else if (ok)
        take_pax(text, (size_t)size, x);
    mem_free(text);
    return ok;
}

/* ---------------------------------------------------------------- members */

/* Splits "a/b.left.npy" into "a/b" and "left.npy"; NULL when the last component has no dot. */
static char *split(char *path)
{
    char *slash = strrchr(path, '/'), *dot = strchr(slash ? slash + 1 : path, '.');
    if (!dot || dot == path || dot[-1] == '/')
        return NULL;
    *dot = '\0';
    return dot + 1;
}

static bool wanted(const struct import_sink *sink, const char *ending)
{
    size_t n = strlen(ending);
    if (sink->member)
        return strcmp(ending, sink->member) == 0;
    return strcmp(ending, "npy") == 0 || (n > 4 && strcmp(ending + n - 4, ".npy") == 0);
}

/* Reads the member's array if it is wanted. */
static bool member_import(struct import_stream *s, char *name, uint64_t size,
                          const struct import_sink *sink, struct err *e)
{
    char *ending = split(name);
    struct err why = {0};
    if (!ending || !wanted(sink, ending))
        return true;
    import_stream_limit(s, size);
    bool ok = import_npy(s, name, sink, &why);
    import_stream_limit(s, UINT64_MAX);
    return ok || import_go_on(sink, name, &why, e);
}

/* One header and what it announces. *end: the tar's end was reached. */
static bool take_member(struct import_stream *s, const struct import_sink *sink, struct extended *x,
                        bool *end, struct err *e)
{
    struct tar_header h;
    static const struct tar_header zeros;
    char name[IMPORT_NAME_BYTES];
    uint64_t size;
    size_t got;
    if (!import_stream_some(s, &h, 1, &got, e))
        return false;
    *end = got == 0; /* without the two empty blocks: cut off behind a member, or written so */
    if (*end)
        return true;
    if (!import_stream_read(s, (uint8_t *)&h + 1, sizeof h - 1, e))
        return false;
    *end = memcmp(&h, &zeros, sizeof h) == 0;
    if (*end)
        return true;
    if (!header_check(&h, &size, e))
        return false;
    uint64_t from = import_stream_at(s);
    bool ok = true;
    if (h.type == 'x' || h.type == 'L') {
        ok = take_extended(s, h.type, size, x, e);
    } else {
        size = x->has_size && x->size <= INT64_MAX - TAR_BLOCK_BYTES ? x->size : size;
        if (x->name[0])
            memcpy(name, x->name, sizeof name);
        bool named = x->name[0] || plain_name(&h, name);
        if (named && (h.type == '0' || h.type == '\0' || h.type == '7'))
            ok = member_import(s, name, size, sink, e);
        *x = (struct extended){0};
    }
    uint64_t padded = (size + TAR_BLOCK_BYTES - 1) / TAR_BLOCK_BYTES * TAR_BLOCK_BYTES;
    uint64_t used = import_stream_at(s) - from;
    return ok && import_stream_skip(s, padded - u64_min(padded, used), e);
}

bool import_tar(struct import_stream *s, const struct import_sink *sink, struct err *e)
{
    struct extended x = {0};
    bool end = false;
    while (!end) {
        if (!take_member(s, sink, &x, &end, e))
            return false;
    }
    return true;
}
