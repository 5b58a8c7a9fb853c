/*
 * A catalogue row as bytes. All numbers little-endian:
 *
 *     0  u32  checksum: low half of XXH64 over the rest
 *     4  u8   version, ROW_VERSION
 *     5  u8   state, enum row_state
 *     6  u16  attempts
 *     8  u32  year
 *    12  u32  duration_ms
 *    16  i64  not_before_ms
 *    24  u64  preview_bytes
 *    32  u64  dup_of
 *    40  u64  csv_line
 *    48  i64  expires_s          from here to 72 since version 2; a row of version 1 has zeroes
 *    56  u64  artist_key
 *    64  u8   source
 *    65  u8   sources_tried
 *    66  u16  match_permille
 *    68  u32  n_spares_tried     0 in rows that were written before there were spares
 *    72  8 texts (version 1: at 48, without the last), each u16 length and bytes without NUL:
 *        track_id, name, artist, genre, tags, url, cause, resolved_url
 */
#ifndef REFRAIN_ROW_H
#define REFRAIN_ROW_H

#include "ingest/catalog.h"

enum { ROW_VERSION = 2, ROW_FIXED_BYTES = 72, ROW_BYTES_MAX = 8192 };

/* Returns the length. Texts are at most their arrays, so that it always fits. */
size_t row_encode(const struct catalog_row *row, uint8_t out[ROW_BYTES_MAX]);

/* Trusts nothing. ERR_FATAL with what is wrong; `number` becomes out->row. */
MUST_CHECK bool row_decode(struct span bytes, uint64_t number, struct catalog_row *out,
                           struct err *e);

/* Copies text cut at `cap` - 1 bytes on a character border. */
void row_set_text(char *out, size_t cap, const char *text);

#endif
