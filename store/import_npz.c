#include "store/import_matrix.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/*
 * The zip of numpy.savez (PKWARE's APPNOTE.TXT 6.3.10): the directory at the end says what there
 * is, in 32 bits or, in the zip64 fields, in 64. Stored and deflated members, nothing else. A
 * member is read twice, because its checksum is known at its end only: nothing of a damaged one is
 * taken.
 */
enum {
    END_BYTES = 22,
    END_SEARCH_BYTES = END_BYTES + 65535, /* a comment may follow */
    LOCATOR_BYTES = 20,
    END64_BYTES = 56,
    ENTRY_BYTES = 46,
    LOCAL_BYTES = 30,
    ENTRIES_MAX = 1 << 20,
    DIRECTORY_MAX_BYTES = 256 << 20,
    ENCRYPTED = 1,
    METHOD_STORED = 0,
    METHOD_DEFLATED = 8
};

static uint32_t u32_at(const uint8_t *p)
{
    return import_u16(p) | import_u16(p + 2) << 16;
}

static uint64_t u64_at(const uint8_t *p)
{
    return u32_at(p) | (uint64_t)u32_at(p + 4) << 32;
}

struct directory {
    uint64_t at, n_bytes, n_entries;
};

struct member {
    char name[IMPORT_NAME_BYTES];
    uint32_t flags, method, crc;
    uint64_t packed_bytes, n_bytes, local_at;
};

/* ---------------------------------------------------------------- directory */

static bool find_end64(const struct import_input *in, uint64_t end_at, struct directory *d,
                       struct err *e)
{
    uint8_t locator[LOCATOR_BYTES], end[END64_BYTES];
    if (end_at < LOCATOR_BYTES ||
        !import_input_read(in, end_at - LOCATOR_BYTES, locator, sizeof locator, e))
        return err_set(e, ERR_PERM, "the zip's 64-bit directory is missing");
    if (memcmp(locator, "PK\6\7", 4) != 0 ||
        !import_input_read(in, u64_at(locator + 8), end, sizeof end, e) ||
        memcmp(end, "PK\6\6", 4) != 0)
        return err_set(e, ERR_PERM, "the zip's 64-bit directory is missing");
    *d = (struct directory){
        .n_entries = u64_at(end + 32), .n_bytes = u64_at(end + 40), .at = u64_at(end + 48)};
    return true;
}

static bool find_directory(const struct import_input *in, struct directory *d, struct err *e)
{
    size_t n = (size_t)u64_min(in->n_bytes, END_SEARCH_BYTES), i;
    uint8_t *tail = mem_alloc(n + 1, 1);
    bool ok = import_input_read(in, in->n_bytes - n, tail, n, e);
    for (i = n >= END_BYTES ? n - END_BYTES + 1 : 0; ok && i-- > 0;) {
        if (memcmp(tail + i, "PK\5\6", 4) == 0)
            break;
    }
    if (ok && i >= n)
        ok = err_set(e, ERR_PERM, "the zip has no directory at its end: it is cut off");
    if (ok) {
        const uint8_t *end = tail + i;
        *d = (struct directory){
            .n_entries = import_u16(end + 10), .n_bytes = u32_at(end + 12), .at = u32_at(end + 16)};
        if (d->n_entries == UINT16_MAX || d->n_bytes == UINT32_MAX || d->at == UINT32_MAX)
            ok = find_end64(in, in->n_bytes - n + i, d, e);
    }
    mem_free(tail);
    if (ok && (d->n_entries > ENTRIES_MAX || d->n_bytes > DIRECTORY_MAX_BYTES))
        return err_set(e, ERR_PERM,
                       "the zip's directory has %" PRIu64 " entries in %" PRIu64
                       " bytes, the limits are %d and %d",
                       d->n_entries, d->n_bytes, ENTRIES_MAX, DIRECTORY_MAX_BYTES);
    return ok;
}

/* The 64-bit sizes stand in an extra field, only those that do not fit in 32, in this order. */
static bool take_zip64(struct span extra, struct member *m)
{
    const uint8_t *p = extra.ptr, *end = p + extra.len;
    uint64_t *wanted[3] = {&m->n_bytes, &m->packed_bytes, &m->local_at};
    while (end - p >= 4) {
        size_t n = import_u16(p + 2);
        const uint8_t *field = p + 4;
        if ((size_t)(end - field) < n)
            return false;
        if (import_u16(p) == 1) {
            for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
                if (*wanted[i] != UINT32_MAX)
                    continue;
                if (n < 8)
                    return false;
                *wanted[i] = u64_at(field);
                field += 8;
                n -= 8;
            }
            return true;
        }
        p = field + n;
    }
    return m->n_bytes != UINT32_MAX && m->packed_bytes != UINT32_MAX && m->local_at != UINT32_MAX;
}

/* Reads the entry at *at and moves behind it. */
static bool take_entry(struct span directory, size_t *at, struct member *m, struct err *e)
{
    const uint8_t *p = (const uint8_t *)directory.ptr + *at;
    size_t left = directory.len - *at;
    if (left < ENTRY_BYTES || memcmp(p, "PK\1\2", 4) != 0)
        return err_set(e, ERR_PERM, "the zip's directory is damaged at its byte %zu", *at);
    size_t n_name = import_u16(p + 28), n_extra = import_u16(p + 30),
           n_comment = import_u16(p + 32);
    if (left - ENTRY_BYTES < n_name + n_extra + n_comment)
        return err_set(e, ERR_PERM, "the zip's directory is cut off at its byte %zu", *at);
    *m = (struct member){.flags = import_u16(p + 8),
                         .method = import_u16(p + 10),
                         .crc = u32_at(p + 16),
                         .packed_bytes = u32_at(p + 20),
                         .n_bytes = u32_at(p + 24),
                         .local_at = u32_at(p + 42)};
    if (n_name >= sizeof m->name || memchr(p + ENTRY_BYTES, '\0', n_name))
        return err_set(e, ERR_PERM, "a name of %zu bytes in the zip, the limit is %zu", n_name,
                       sizeof m->name - 1);
    memcpy(m->name, p + ENTRY_BYTES, n_name);
    if (!take_zip64((struct span){p + ENTRY_BYTES + n_name, n_extra}, m))
        return err_set(e, ERR_PERM, "%s: its 64-bit sizes are missing in the zip", m->name);
    *at += ENTRY_BYTES + n_name + n_extra + n_comment;
    return true;
}

/* ---------------------------------------------------------------- members */

static bool member_open(const struct import_input *in, const struct member *m,
                        struct import_stream **out, struct err *e)
{
    uint8_t local[LOCAL_BYTES];
    if (m->flags & ENCRYPTED || (m->method != METHOD_STORED && m->method != METHOD_DEFLATED))
        return err_set(e, ERR_PERM, "it is %s; stored and deflated members can be read",
                       m->flags & ENCRYPTED ? "encrypted" : "packed by another method");
    if (m->method == METHOD_STORED && m->packed_bytes != m->n_bytes)
        return err_set(e, ERR_PERM, "stored, but of two sizes");
    if (!import_input_read(in, m->local_at, local, sizeof local, e))
        return false;
    if (memcmp(local, "PK\3\4", 4) != 0)
        return err_set(e, ERR_PERM, "the zip has no member at byte %" PRIu64, m->local_at);
    uint64_t from = m->local_at + LOCAL_BYTES + import_u16(local + 26) + import_u16(local + 28);
    if (m->packed_bytes > UINT64_MAX - from)
        return err_set(e, ERR_PERM, "a member of %" PRIu64 " bytes", m->packed_bytes);
    return import_stream_open(in, from, from + m->packed_bytes,
                              m->method == METHOD_STORED ? IMPORT_PLAIN : IMPORT_DEFLATE,
                              m->n_bytes, out, e);
}

static bool member_check(const struct import_input *in, const struct member *m, struct err *e)
{
    struct import_stream *s;
    uint32_t crc;
    if (!member_open(in, m, &s, e))
        return false;
    bool ok = import_stream_crc32(s, &crc, e);
    if (ok && (import_stream_at(s) != m->n_bytes || crc != m->crc))
        ok = err_set(e, ERR_PERM,
                     "it is damaged: %" PRIu64 " bytes of checksum %08" PRIx32 ", not %" PRIu64
                     " of %08" PRIx32,
                     import_stream_at(s), crc, m->n_bytes, m->crc);
    import_stream_close(s);
    return ok;
}

static bool member_import(const struct import_input *in, struct member *m,
                          const struct import_sink *sink, struct err *e)
{
    struct import_stream *s;
    struct err why = {0};
    size_t len = strlen(m->name);
    if (len < 4 || strcmp(m->name + len - 4, ".npy") != 0)
        return true;
    m->name[len - 4] = '\0';
    if (!member_check(in, m, &why) || !member_open(in, m, &s, &why))
        return import_go_on(sink, m->name, &why, e);
    bool ok = import_npy(s, m->name, sink, &why);
    import_stream_close(s);
    return ok || import_go_on(sink, m->name, &why, e);
}

bool import_npz(const struct import_input *in, const struct import_sink *sink, struct err *e)
{
    struct directory d;
    struct member m;
    size_t at = 0;
    if (!find_directory(in, &d, e))
        return false;
    if (d.at > in->n_bytes || d.n_bytes > in->n_bytes - d.at)
        return err_set(e, ERR_PERM, "the zip's directory lies outside of it");
    uint8_t *bytes = mem_alloc((size_t)d.n_bytes + 1, 1);
    struct span directory = {bytes, (size_t)d.n_bytes};
    bool ok = import_input_read(in, d.at, bytes, directory.len, e);
    for (uint64_t i = 0; i < d.n_entries && ok; i++)
        ok = take_entry(directory, &at, &m, e) && member_import(in, &m, sink, e);
    mem_free(bytes);
    return ok;
}
