#include "base/buf.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { BUF_FIRST_BYTES = 256 };

void buf_init(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){.max_bytes = max_bytes};
}

void buf_release(struct buf *b)
{
    mem_free(b->data);
    *b = (struct buf){.max_bytes = b->max_bytes};
}

void buf_reset(struct buf *b)
{
    b->len = 0;
}

bool buf_reserve(struct buf *b, size_t extra_bytes, struct err *e)
{
    assert(b->len <= b->cap);
    if (extra_bytes > b->max_bytes || b->len > b->max_bytes - extra_bytes)
        return err_set(e, ERR_PERM, "%zu bytes and %zu more are over the limit of %zu", b->len,
                       extra_bytes, b->max_bytes);
    size_t needed = b->len + extra_bytes;
    if (needed <= b->cap)
        return true;
    size_t cap = size_max(size_max(needed, BUF_FIRST_BYTES), b->cap + b->cap / 2);
    b->cap = size_max(needed, size_min(cap, b->max_bytes));
    b->data = mem_resize(b->data, b->cap, 1);
    return true;
}

bool buf_append(struct buf *b, const void *bytes, size_t n_bytes, struct err *e)
{
    if (!buf_reserve(b, n_bytes, e))
        return false;
    if (n_bytes > 0)
        memcpy(b->data + b->len, bytes, n_bytes);
    b->len += n_bytes;
    return true;
}

bool buf_printf(struct buf *b, struct err *e, const char *format, ...)
{
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    assert(n >= 0);
    char *text = mem_alloc((size_t)n + 1, 1);
    vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    bool ok = buf_append(b, text, (size_t)n, e);
    mem_free(text);
    return ok;
}

bool buf_terminate(struct buf *b, struct err *e)
{
    if (!buf_append(b, "", 1, e))
        return false;
    b->len--;
    return true;
}
