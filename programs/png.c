#include "programs/png.h"

#include "base/mem.h"

#include <string.h>
#include <zlib.h>

enum { COLOUR_RGB = 2, COLOUR_PALETTE = 3, FILTER_NONE = 0, FILTER_UP = 2 };

static void put_be32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}

/* Length, type, data, CRC-32 over type and data. */
static bool put_chunk(struct buf *out, const char type[4], struct span data, struct err *e)
{
    assert(data.len <= INT32_MAX);
    uint8_t word[4];
    put_be32(word, (uint32_t)data.len);
    if (!buf_append(out, word, sizeof word, e) || !buf_append(out, type, 4, e))
        return false;
    uLong crc = crc32(0, (const Bytef *)type, 4);
    if (data.len > 0) { /* zlib takes a NULL pointer for "start anew" */
        if (!buf_append(out, data.ptr, data.len, e))
            return false;
        crc = crc32(crc, data.ptr, (uInt)data.len);
    }
    put_be32(word, (uint32_t)crc);
    return buf_append(out, word, sizeof word, e);
}

/* Each row gets its filter byte. A palette index says nothing about its neighbour's colour, so
 * palette rows go as they are; RGB rows as the difference to the row above, the cheapest filter
 * that pays on smooth pictures. */
static uint8_t *filter_rows(const struct png *picture, size_t row_bytes)
{
    uint8_t *rows = mem_alloc(picture->height, row_bytes + 1);
    for (size_t y = 0; y < picture->height; y++) {
        const uint8_t *from = picture->pixels + y * row_bytes;
        uint8_t *to = rows + y * (row_bytes + 1);
        bool up = picture->palette == NULL && y > 0;
        *to++ = up ? FILTER_UP : FILTER_NONE;
        if (!up) {
            memcpy(to, from, row_bytes);
            continue;
        }
        for (size_t i = 0; i < row_bytes; i++)
            to[i] = (uint8_t)(from[i] - from[i - row_bytes]);
    }
    return rows;
}

bool png_encode(const struct png *picture, struct buf *out, struct err *e)
{
    static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    if (picture->width < 1 || picture->width > PNG_SIDE_MAX || picture->height < 1 ||
        picture->height > PNG_SIDE_MAX)
        return err_set(e, ERR_PERM, "a picture of %u x %u; sides are 1 to %d", picture->width,
                       picture->height, PNG_SIDE_MAX);

    size_t row_bytes = (size_t)picture->width * (picture->palette != NULL ? 1 : 3);
    uint8_t *rows = filter_rows(picture, row_bytes);
    uLong rows_bytes = (uLong)(picture->height * (row_bytes + 1));
    uLongf packed_bytes = compressBound(rows_bytes);
    uint8_t *packed = mem_alloc(packed_bytes, 1);
    int rc = compress2(packed, &packed_bytes, rows, rows_bytes, Z_BEST_COMPRESSION);
    assert(rc ==
           Z_OK); /* the output has room for the worst case; zlib's memory is the only doubt */

    uint8_t header[13] = {0};
    put_be32(header, picture->width);
    put_be32(header + 4, picture->height);
    header[8] = 8; /* bits a sample */
    header[9] = picture->palette != NULL ? COLOUR_PALETTE : COLOUR_RGB;

    bool ok = buf_append(out, signature, sizeof signature, e) &&
              put_chunk(out, "IHDR", (struct span){header, sizeof header}, e) &&
              (picture->palette == NULL ||
               put_chunk(out, "PLTE", (struct span){picture->palette, PNG_PALETTE_BYTES}, e)) &&
              put_chunk(out, "IDAT", (struct span){packed, packed_bytes}, e) &&
              put_chunk(out, "IEND", (struct span){NULL, 0}, e);
    mem_free(rows);
    mem_free(packed);
    return ok;
}
