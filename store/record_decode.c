#include "base/mem.h"
#include "store/frame.h"
#include "store/record_parts.h"

#include <string.h>

struct record_decoder {
    struct frame_reader *frames;
    uint8_t *scratch; /* what a frame held, and room for what is made of it */
    size_t scratch_bytes;
    enum simd simd;
    bool stream;
};

struct record_decoder *record_decoder_new(void)
{
    struct record_decoder *dec = mem_zalloc(1, sizeof *dec);
    dec->frames = frame_reader_new();
    dec->simd = simd_best();
    return dec;
}

void record_decoder_free(struct record_decoder *dec)
{
    if (!dec)
        return;
    frame_reader_free(dec->frames);
    mem_free(dec->scratch);
    mem_free(dec);
}

void record_decoder_stream(struct record_decoder *dec, bool on)
{
    dec->stream = on;
}

static void decoder_reserve(struct record_decoder *dec, size_t n_bytes)
{
    if (n_bytes <= dec->scratch_bytes)
        return;
    mem_free(dec->scratch);
    dec->scratch = mem_alloc_aligned(n_bytes, 1);
    dec->scratch_bytes = n_bytes;
}

/* What is in the record's payload from `at` on: in the record itself or, out of its frame, in the
 * decoder's scratch, at most n_max bytes, with room for n_more behind them. */
static bool payload_unpack(struct record_decoder *dec, struct span record,
                           const struct record_info *info, size_t at, size_t n_max, size_t n_more,
                           struct span *out, struct err *e)
{
    assert(at <= info->payload_bytes);
    *out = (struct span){(const uint8_t *)record.ptr + RECORD_HEADER_BYTES + at,
                         info->payload_bytes - at};
    decoder_reserve(dec, n_max + n_more);
    if (info->codec == RECORD_CODEC_NONE)
        return true;
    struct span frame = *out;
    out->ptr = dec->scratch;
    return frame_read(dec->frames, frame, dec->scratch, n_max, &out->len, e);
}

static bool damaged(const struct record_info *info, struct err *e)
{
    return err_set(e, ERR_PERM, "record is damaged: its bytes do not hold %u frames of %u mels",
                   info->n_frames, info->n_mels);
}

/* ---------------------------------------------------------------- u8 */

struct quads {
    struct quad_shape shape;
    struct quad_reader reader;
    uint8_t *delta; /* room for all blocks */
};

static bool quads_unpack(struct record_decoder *dec, struct span record,
                         const struct record_info *info, struct quads *q, struct err *e)
{
    const uint8_t *payload = (const uint8_t *)record.ptr + RECORD_HEADER_BYTES;
    uint32_t low_bytes;
    struct span bytes;
    q->shape = quad_shape_of(info->n_frames, info->n_mels);
    size_t low_at = RECORD_LENGTH_BYTES + q->shape.bits_bytes;
    size_t high_bytes = q->shape.n_blocks * QUAD_HIGH_BYTES;
    size_t values = q->shape.n_blocks * QUAD_VALUES; /* and so many escapes, at most */
    if (info->payload_bytes < low_at)
        return damaged(info, e);
    memcpy(&low_bytes, payload, RECORD_LENGTH_BYTES);
    if (low_bytes > info->payload_bytes - low_at)
        return damaged(info, e);
    if (!payload_unpack(dec, record, info, low_at + low_bytes, high_bytes + values, values, &bytes,
                        e))
        return false;
    if (bytes.len < high_bytes)
        return damaged(info, e);
    q->delta = dec->scratch + high_bytes + values;
    q->reader = (struct quad_reader){.bits = payload + RECORD_LENGTH_BYTES,
                                     .low = payload + low_at,
                                     .low_end = payload + low_at + low_bytes,
                                     .high = bytes.ptr,
                                     .escapes = (const uint8_t *)bytes.ptr + high_bytes,
                                     .escapes_end = (const uint8_t *)bytes.ptr + bytes.len,
                                     .simd = dec->simd};
    return true;
}

/* To one of the two: floats or levels. A group of frames at a time, so that joining one goes on
 * while the floats of another are on their way to memory. */
static bool quads_restore(struct quads *q, const struct record_info *info, bool stream, float *db,
                          uint8_t *levels)
{
    const struct quad_shape *shape = &q->shape;
    uint8_t level[RECORD_MELS_MAX] = {0};
    size_t n_read = 0;
    for (size_t g = 0; g < shape->n_groups; g++) {
        size_t n = ((g + 1) * shape->n_mels + QUAD_COLUMNS - 1) / QUAD_COLUMNS - n_read;
        size_t t = g * QUAD_FRAMES, at = t * shape->n_mels;
        quad_read(&q->reader, n, q->delta + n_read * QUAD_COLUMNS, shape->stride);
        n_read += n;
        if (q->reader.damaged)
            break;
        struct filter_rows rows = {q->delta + g * shape->n_mels, shape->stride,
                                   size_min(QUAD_FRAMES, shape->n_frames - t), shape->n_mels,
                                   level};
        if (db)
            filter_rows_to_db(&rows, record_grid(info), stream, db + at);
        else
            filter_rows_to_levels(&rows, levels + at);
    }
    if (stream)
        filter_stream_end();
    return quad_reader_whole(&q->reader);
}

/* ---------------------------------------------------------------- the others */

void record_planes_restore(const uint8_t *planes, const struct record_info *info, bool stream,
                           float *out)
{
    switch (info->dtype) {
    case RECORD_U12:
        filter_restore_u12(planes, info->n_frames, info->n_mels, record_grid(info), out);
        break;
    case RECORD_F32:
        filter_restore_f32(planes, info->n_frames, info->n_mels, out);
        break;
    case RECORD_RAW:
    case RECORD_ARCHIVE: /* joined already */
        filter_levels_to_db(planes, record_plane_bytes(info), record_grid(info), stream, out);
        break;
    case RECORD_U8:
    case RECORD_DTYPES:
        break;
    }
}

/* The planes of a record, an archive record's levels. */
static bool planes_unpack(struct record_decoder *dec, struct span record,
                          const struct record_info *info, const uint8_t **out, struct err *e)
{
    bool archive = info->dtype == RECORD_ARCHIVE;
    size_t n = record_plane_bytes(info), most = n * record_kind(info->dtype)->n_planes;
    size_t head_bytes = archive ? ARCHIVE_HEAD_BYTES : 0;
    struct archive_head head;
    struct span bytes;
    if (info->payload_bytes < head_bytes)
        return damaged(info, e);
    if (!payload_unpack(dec, record, info, head_bytes, most, archive ? n : 0, &bytes, e))
        return false;
    if (bytes.len != most)
        return err_set(e, ERR_PERM, "record holds %zu bytes, %u frames of %u mels as %s need %zu",
                       bytes.len, info->n_frames, info->n_mels, record_kind(info->dtype)->name,
                       most);
    *out = bytes.ptr;
    if (!archive)
        return true;
    uint8_t *levels = dec->scratch + most;
    *out = levels;
    return (archive_head_read((const uint8_t *)record.ptr + RECORD_HEADER_BYTES, n, &head) &&
            archive_join(bytes.ptr, &head, info->n_frames, info->n_mels, levels)) ||
           damaged(info, e);
}

static bool room_check(const struct record_info *info, size_t n_values, struct err *e)
{
    return record_plane_bytes(info) == n_values ||
           err_set(e, ERR_PERM, "record is %u frames of %u mels, there is room for %zu values",
                   info->n_frames, info->n_mels, n_values);
}

bool record_decode(struct record_decoder *dec, struct span record, float *out, size_t out_floats,
                   struct err *e)
{
    struct record_info info;
    struct quads quads;
    const uint8_t *planes;
    if (!record_parse(record, &info, e) || !room_check(&info, out_floats, e))
        return false;
    if (info.dtype == RECORD_U8)
        return quads_unpack(dec, record, &info, &quads, e) &&
               (quads_restore(&quads, &info, dec->stream, out, NULL) || damaged(&info, e));
    if (!planes_unpack(dec, record, &info, &planes, e))
        return false;
    record_planes_restore(planes, &info, dec->stream, out);
    return true;
}

bool record_decode_levels(struct record_decoder *dec, struct span record, uint8_t *out,
                          size_t out_bytes, struct err *e)
{
    struct record_info info;
    struct quads quads;
    const uint8_t *levels;
    if (!record_parse(record, &info, e))
        return false;
    if (!record_dtype_has_levels(info.dtype))
        return err_set(e, ERR_PERM, "8-bit levels are in u8, raw and archive records, this is %s",
                       record_kind(info.dtype)->name);
    if (!room_check(&info, out_bytes, e))
        return false;
    if (info.dtype == RECORD_U8)
        return quads_unpack(dec, record, &info, &quads, e) &&
               (quads_restore(&quads, &info, false, NULL, out) || damaged(&info, e));
    if (!planes_unpack(dec, record, &info, &levels, e))
        return false;
    memcpy(out, levels, out_bytes);
    return true;
}
