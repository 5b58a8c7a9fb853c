#include "ingest/row.h"

#include "base/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct text_field {
    size_t offset, cap;
};

#define TEXT(field)                                                                                \
    {                                                                                              \
        offsetof(struct catalog_row, field), sizeof((struct catalog_row){0}.field)                 \
    }
static const struct text_field text_fields[] = {
    TEXT(track_id), TEXT(name), TEXT(artist), TEXT(genre),
    TEXT(tags),     TEXT(url),  TEXT(cause),  TEXT(resolved_url),
};
#undef TEXT

enum { V1_FIXED_BYTES = 48, V1_TEXTS = 7 };

static_assert(ROW_FIXED_BYTES + 8 * 2 + TRACK_ID_MAX_BYTES + 3 * CATALOG_TEXT_BYTES +
                      CATALOG_TAGS_BYTES + 2 * CATALOG_URL_BYTES + CATALOG_CAUSE_BYTES <=
                  ROW_BYTES_MAX,
              "the longest row fits");

static void put(uint8_t *out, size_t at, uint64_t value, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++)
        out[at + i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get(const uint8_t *bytes, size_t at, size_t n_bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n_bytes; i++)
        value |= (uint64_t)bytes[at + i] << (8 * i);
    return value;
}

size_t row_encode(const struct catalog_row *row, uint8_t out[ROW_BYTES_MAX])
{
    out[4] = ROW_VERSION;
    out[5] = (uint8_t)row->state;
    put(out, 6, row->attempts > UINT16_MAX ? UINT16_MAX : row->attempts, 2);
    put(out, 8, row->year, 4);
    put(out, 12, row->duration_ms, 4);
    put(out, 16, (uint64_t)row->not_before_ms, 8);
    put(out, 24, row->preview_bytes, 8);
    put(out, 32, row->dup_of, 8);
    put(out, 40, row->csv_line, 8);
    put(out, 48, (uint64_t)row->expires_s, 8);
    put(out, 56, row->artist_key, 8);
    put(out, 64, row->source, 1);
    put(out, 65, row->sources_tried, 1);
    put(out, 66, row->match_permille, 2);
    put(out, 68, row->n_spares_tried, 4);
    size_t at = ROW_FIXED_BYTES;
    for (size_t i = 0; i < ARRAY_LEN(text_fields); i++) {
        const char *text = (const char *)row + text_fields[i].offset;
        size_t len = strnlen(text, text_fields[i].cap);
        assert(len < text_fields[i].cap);
        put(out, at, len, 2);
        memcpy(out + at + 2, text, len);
        at += 2 + len;
    }
    put(out, 0, hash64(out + 4, at - 4, 0) & UINT32_MAX, 4);
    return at;
}

bool row_decode(struct span bytes, uint64_t number, struct catalog_row *out, struct err *e)
{
    const uint8_t *in = bytes.ptr;
    if (bytes.len < V1_FIXED_BYTES || bytes.len > ROW_BYTES_MAX)
        return err_set(e, ERR_FATAL, "catalogue row %" PRIu64 " has %zu bytes, not %d to %d",
                       number, bytes.len, V1_FIXED_BYTES, ROW_BYTES_MAX);
    if (get(in, 0, 4) != (hash64(in + 4, bytes.len - 4, 0) & UINT32_MAX))
        return err_set(e, ERR_FATAL, "catalogue row %" PRIu64 " is damaged: wrong checksum",
                       number);
    bool is_v1 = in[4] == 1;
    size_t at = is_v1 ? V1_FIXED_BYTES : ROW_FIXED_BYTES;
    size_t n_texts = is_v1 ? V1_TEXTS : ARRAY_LEN(text_fields);
    if ((!is_v1 && in[4] != ROW_VERSION) || in[5] >= ROW_STATES || bytes.len < at)
        return err_set(e, ERR_FATAL,
                       "catalogue row %" PRIu64 " is of version %u in state %u and %zu bytes, this "
                       "refrain knows versions 1 to %d and %d states",
                       number, in[4], in[5], bytes.len, ROW_VERSION, ROW_STATES);
    *out = (struct catalog_row){
        .row = number,
        .state = in[5],
        .attempts = (uint32_t)get(in, 6, 2),
        .year = (uint32_t)get(in, 8, 4),
        .duration_ms = (uint32_t)get(in, 12, 4),
        .not_before_ms = (int64_t)get(in, 16, 8),
        .preview_bytes = get(in, 24, 8),
        .dup_of = get(in, 32, 8),
        .csv_line = get(in, 40, 8),
    };
    if (!is_v1) {
        out->expires_s = (int64_t)get(in, 48, 8);
        out->artist_key = get(in, 56, 8);
        out->source = (uint8_t)get(in, 64, 1);
        out->sources_tried = (uint8_t)get(in, 65, 1);
        out->match_permille = (uint16_t)get(in, 66, 2);
        out->n_spares_tried = (uint32_t)get(in, 68, 4);
    }
    out->not_before_s = out->not_before_ms / 1000 + (out->not_before_ms % 1000 > 0);
    for (size_t i = 0; i < n_texts; i++) {
        size_t left = bytes.len - at;
        size_t len = left < 2 ? SIZE_MAX : get(in, at, 2);
        if (left < 2 || len > left - 2 || len >= text_fields[i].cap ||
            memchr(in + at + 2, '\0', len) != NULL)
            return err_set(e, ERR_FATAL, "catalogue row %" PRIu64 ": text %zu does not fit", number,
                           i);
        memcpy((char *)out + text_fields[i].offset, in + at + 2, len);
        at += 2 + len;
    }
    if (at != bytes.len)
        return err_set(e, ERR_FATAL, "catalogue row %" PRIu64 " has %zu bytes behind its end",
                       number, bytes.len - at);
    return true;
}

void row_set_text(char *out, size_t cap, const char *text)
{
    size_t len = strlen(text);
    if (len >= cap) {
        len = cap - 1;
        while (len > 0 && ((unsigned char)text[len] & 0xC0) == 0x80)
            len--;
    }
    memcpy(out, text, len);
    out[len] = '\0';
}
