/*
 * Growable bytes, born with a maximum. Hitting the maximum is an ERR_PERM with the limit in the
 * message, not an out-of-memory. `data` is valid until the next growing call.
 */
#ifndef REFRAIN_BUF_H
#define REFRAIN_BUF_H

#include "base/err.h"

struct buf {
    uint8_t *data;
    size_t len;
    size_t cap;
    size_t max_bytes;
};

void buf_init(struct buf *b, size_t max_bytes);
void buf_release(struct buf *b); /* safe on {0}, may run twice */
void buf_reset(struct buf *b);   /* empty, keeps the memory */

MUST_CHECK bool buf_reserve(struct buf *b, size_t extra_bytes, struct err *e);
MUST_CHECK bool buf_append(struct buf *b, const void *bytes, size_t n_bytes, struct err *e);
MUST_CHECK bool buf_printf(struct buf *b, struct err *e, const char *format, ...) PRINTF_LIKE(3, 4);

/* The contents as a C string: writes a NUL behind them that does not count in len. */
MUST_CHECK bool buf_terminate(struct buf *b, struct err *e);

static inline struct span buf_span(const struct buf *b)
{
    return (struct span){b->data, b->len};
}

#endif
