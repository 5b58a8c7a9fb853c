/*
 * 8-bit pictures as PNG (https://www.w3.org/TR/png-3/): palette or RGB, one deflate stream, no
 * ancillary chunks. The same pixels give the same bytes for the same zlib.
 */
#ifndef REFRAIN_PNG_H
#define REFRAIN_PNG_H

#include "base/buf.h"

enum { PNG_SIDE_MAX = 8192, PNG_PALETTE_BYTES = 256 * 3 };

/* Borrows everything until the call returns. Rows run from the top. */
struct png {
    uint32_t width, height;
    const uint8_t *pixels;  /* height * width palette indices, or as many RGB triples */
    const uint8_t *palette; /* PNG_PALETTE_BYTES: 256 RGB triples; NULL: pixels are RGB */
};

/* Appends the file to `out`. Sides outside 1..PNG_SIDE_MAX are ERR_PERM, as is a full buffer. */
MUST_CHECK bool png_encode(const struct png *picture, struct buf *out, struct err *e);

#endif
