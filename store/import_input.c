#include "store/import_input.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { BUFFER_BYTES = 256 << 10, GZIP_WINDOW = 15 + 16, RAW_WINDOW = -15 };

/* ---------------------------------------------------------------- input */

bool import_input_open(struct import_input *in, const char *path, struct err *e)
{
    struct stat st;
    *in = (struct import_input){.name = path, .fd = open(path, O_RDONLY | O_CLOEXEC)};
    if (in->fd < 0)
        return err_set_errno(e, ERR_PERM, errno, "cannot open %s", path);
    if (fstat(in->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        import_input_close(in);
        return err_set(e, ERR_PERM, "%s is not a file", path);
    }
    in->n_bytes = (uint64_t)st.st_size;
    posix_fadvise(in->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return true;
}

void import_input_memory(struct import_input *in, struct span bytes, const char *name)
{
    *in = (struct import_input){.name = name, .fd = -1, .memory = bytes, .n_bytes = bytes.len};
}

void import_input_close(struct import_input *in)
{
    if (in->fd >= 0)
        close(in->fd);
    in->fd = -1;
}

bool import_input_read(const struct import_input *in, uint64_t at, void *out, size_t n_bytes,
                       struct err *e)
{
    if (at > in->n_bytes || n_bytes > in->n_bytes - at)
        return err_set(e, ERR_PERM,
                       "it ends at byte %" PRIu64 ", %zu bytes from %" PRIu64 " on are missing",
                       in->n_bytes, n_bytes, at);
    if (in->fd < 0) {
        if (n_bytes > 0)
            memcpy(out, (const uint8_t *)in->memory.ptr + at, n_bytes);
        return true;
    }
    for (size_t done = 0; done < n_bytes;) {
        ssize_t n = pread(in->fd, (uint8_t *)out + done, n_bytes - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_errno(e, ERR_FATAL, errno, "cannot read at byte %" PRIu64, at + done);
        if (n == 0)
            return err_set(e, ERR_PERM, "it became shorter while it was read");
        done += (size_t)n;
    }
    return true;
}

/* ---------------------------------------------------------------- stream */

struct import_stream {
    const struct import_input *in;
    uint64_t from, to;
    enum import_coding coding;
    z_stream z;
    bool ended;                       /* of a coded stream: its own end was seen */
    uint64_t n_out, max_bytes, limit; /* the most that may come out, and for now */
    uint8_t *buffer;
    size_t buffered, used;
};

bool import_stream_open(const struct import_input *in, uint64_t from, uint64_t to,
                        enum import_coding coding, uint64_t max_bytes, struct import_stream **out,
                        struct err *e)
{
    if (from > to || to > in->n_bytes)
        return err_set(e, ERR_PERM,
                       "it has %" PRIu64 " bytes, %" PRIu64 " to %" PRIu64 " are outside",
                       in->n_bytes, from, to);
    struct import_stream *s = mem_zalloc(1, sizeof *s);
    *s = (struct import_stream){.in = in,
                                .from = from,
                                .to = to,
                                .coding = coding,
                                .max_bytes = max_bytes,
                                .limit = UINT64_MAX};
    s->buffer = mem_alloc(BUFFER_BYTES, 1);
    if (coding != IMPORT_PLAIN &&
        inflateInit2(&s->z, coding == IMPORT_GZIP ? GZIP_WINDOW : RAW_WINDOW) != Z_OK) {
        mem_free(s->buffer);
        mem_free(s);
        return err_set(e, ERR_FATAL, "zlib has no memory");
    }
    *out = s;
    return true;
}

void import_stream_close(struct import_stream *s)
{
    if (!s)
        return;
    if (s->coding != IMPORT_PLAIN)
        inflateEnd(&s->z);
    mem_free(s->buffer);
    mem_free(s);
}

static bool fill(struct import_stream *s, struct err *e)
{
    size_t n = (size_t)u64_min(BUFFER_BYTES, s->to - s->from);
    if (s->used < s->buffered || n == 0)
        return true;
    if (!import_input_read(s->in, s->from, s->buffer, n, e))
        return false;
    s->from += n;
    s->buffered = n;
    s->used = 0;
    return true;
}

static bool plain_some(struct import_stream *s, void *out, size_t n_bytes, size_t *out_n,
                       struct err *e)
{
    if (!fill(s, e))
        return false;
    *out_n = size_min(n_bytes, s->buffered - s->used);
    if (*out_n > 0)
        memcpy(out, s->buffer + s->used, *out_n);
    s->used += *out_n;
    return true;
}

static bool inflate_failed(const struct import_stream *s, int rc, struct err *e)
{
    return err_set(e, ERR_PERM, "its compressed bytes are damaged: %s",
                   s->z.msg            ? s->z.msg
                   : rc == Z_BUF_ERROR ? "they end too early"
                                       : "bad stream");
}

/* Another gzip member may follow; zeros behind the last are padding (tapes have it). */
static bool next_member(struct import_stream *s, struct err *e)
{
    if (s->coding != IMPORT_GZIP)
        return true;
    if (!fill(s, e))
        return false;
    if (s->used == s->buffered || s->buffer[s->used] == 0)
        return true;
    s->ended = false;
    return inflateReset(&s->z) == Z_OK || inflate_failed(s, Z_STREAM_ERROR, e);
}

static bool inflate_some(struct import_stream *s, void *out, size_t n_bytes, size_t *out_n,
                         struct err *e)
{
    size_t room = size_min(n_bytes, 1u << 30);
    *out_n = 0;
    while (*out_n == 0 && !s->ended) {
        if (!fill(s, e))
            return false;
        s->z.next_in = s->buffer + s->used;
        s->z.avail_in = (uInt)(s->buffered - s->used);
        s->z.next_out = out;
        s->z.avail_out = (uInt)room;
        int rc = inflate(&s->z, Z_NO_FLUSH);
        s->used = s->buffered - s->z.avail_in;
        *out_n = room - s->z.avail_out;
        if (rc == Z_STREAM_END) {
            s->ended = true;
            if (!next_member(s, e))
                return false;
        } else if (rc != Z_OK) {
            return inflate_failed(s, rc, e);
        }
    }
    return true;
}

bool import_stream_some(struct import_stream *s, void *out, size_t n_bytes, size_t *out_n,
                        struct err *e)
{
    *out_n = 0;
    n_bytes = (size_t)u64_min(n_bytes, s->limit - s->n_out);
    if (n_bytes == 0)
        return true;
    if (!(s->coding == IMPORT_PLAIN ? plain_some(s, out, n_bytes, out_n, e)
                                    : inflate_some(s, out, n_bytes, out_n, e)))
        return false;
    s->n_out += *out_n;
    return s->n_out <= s->max_bytes ||
           err_set(e, ERR_PERM, "more than %" PRIu64 " bytes come out of it", s->max_bytes);
}

bool import_stream_read(struct import_stream *s, void *out, size_t n_bytes, struct err *e)
{
    for (size_t done = 0, n; done < n_bytes; done += n) {
        if (!import_stream_some(s, (uint8_t *)out + done, n_bytes - done, &n, e))
            return false;
        if (n == 0)
            return err_set(e, ERR_PERM, "it ends %zu bytes too early", n_bytes - done);
    }
    return true;
}

bool import_stream_skip(struct import_stream *s, uint64_t n_bytes, struct err *e)
{
    uint8_t scratch[4096];
    if (s->coding == IMPORT_PLAIN) { /* over what is not in the buffer yet */
        uint64_t ahead = s->buffered - s->used;
        if (n_bytes > ahead && n_bytes - ahead <= s->to - s->from &&
            n_bytes <= s->limit - s->n_out) {
            s->used = s->buffered;
            s->from += n_bytes - ahead;
            s->n_out += n_bytes;
            return true;
        }
    }
    for (size_t n; n_bytes > 0; n_bytes -= n) {
        n = (size_t)u64_min(n_bytes, sizeof scratch);
        if (!import_stream_read(s, scratch, n, e))
            return false;
    }
    return true;
}

bool import_stream_crc32(struct import_stream *s, uint32_t *out, struct err *e)
{
    uint8_t scratch[16 << 10];
    size_t n;
    *out = 0;
    do {
        if (!import_stream_some(s, scratch, sizeof scratch, &n, e))
            return false;
        *out = (uint32_t)crc32(*out, scratch, (uInt)n);
    } while (n > 0);
    return true;
}

void import_stream_limit(struct import_stream *s, uint64_t n_bytes)
{
    s->limit = n_bytes > UINT64_MAX - s->n_out ? UINT64_MAX : s->n_out + n_bytes;
}

uint64_t import_stream_at(const struct import_stream *s)
{
    return s->n_out;
}
