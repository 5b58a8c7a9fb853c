/*
 * What encoder and decoder of records share; nobody else includes this.
 */
#ifndef REFRAIN_RECORD_PARTS_H
#define REFRAIN_RECORD_PARTS_H

#include "store/archive.h"
#include "store/filter.h"
#include "store/quad.h"
#include "store/record.h"

enum { RECORD_PLANES_MAX = 4 };

/* All that differs between dtypes. */
struct record_kind {
    const char *name;
    enum record_filter filter;
    uint32_t max_level; /* 0: not quantised */
    uint32_t n_planes;  /* of one byte a value; 0: parts of other lengths */
};
const struct record_kind *record_kind(enum record_dtype t);

static inline size_t record_plane_bytes(const struct record_info *info)
{
    return (size_t)info->n_frames * info->n_mels;
}

enum { RECORD_LENGTH_BYTES = 4 }; /* of a u8 record's low bits, in front of them */

static inline struct filter_grid record_grid(const struct record_info *info)
{
    return (struct filter_grid){info->scale, info->offset, record_kind(info->dtype)->max_level};
}

MUST_CHECK bool record_shape_check(uint32_t n_frames, uint32_t n_mels, struct err *e);
MUST_CHECK bool record_numbers_check(const struct record_info *info, struct err *e);

/* The header without its checksum, which comes last: record_seal. */
void record_header_write(uint8_t h[RECORD_HEADER_BYTES], const struct record_info *info);
void record_seal(uint8_t *record, size_t payload_bytes);

/* Planes (of an archive record its levels) to values, n_frames * n_mels of them; not of u8. */
void record_planes_restore(const uint8_t *planes, const struct record_info *info, bool stream,
                           float *out);

#endif
