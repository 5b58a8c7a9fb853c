#include "base/mem.h"
#include "store/frame.h"
#include "store/record_parts.h"

#include <math.h>
#include <string.h>

struct record_encoder {
    enum record_dtype dtype;
    int zstd_level;
    struct frame_writer *frames;
    size_t n_values; /* what the scratch below has room for */
    void *levels;    /* u8 or u16 */
    uint8_t *planes;
    float *restored;
    struct archive_head archive; /* of what lies in planes */
    struct quad_shape shape;     /* of a u8 record */
    struct quad_parts quads;     /* the same, in planes */
};

struct record_encoder *record_encoder_new(enum record_dtype dtype, int zstd_level)
{
    assert(dtype > 0 && dtype < RECORD_DTYPES);
    struct record_encoder *enc = mem_zalloc(1, sizeof *enc);
    enc->dtype = dtype;
    enc->zstd_level = zstd_level;
    enc->frames = frame_writer_new(zstd_level, dtype == RECORD_U8);
    return enc;
}

static void encoder_release_scratch(struct record_encoder *enc)
{
    mem_free(enc->levels);
    mem_free(enc->planes);
    mem_free(enc->restored);
    enc->levels = enc->planes = NULL;
    enc->restored = NULL;
    enc->n_values = 0;
}

void record_encoder_free(struct record_encoder *enc)
{
    if (!enc)
        return;
    encoder_release_scratch(enc);
    frame_writer_free(enc->frames);
    mem_free(enc);
}

static void encoder_reserve(struct record_encoder *enc, size_t n_values)
{
    if (n_values <= enc->n_values)
        return;
    encoder_release_scratch(enc);
    enc->levels = mem_alloc_aligned(n_values, sizeof(uint16_t));
    enc->planes = mem_alloc_aligned(n_values, RECORD_PLANES_MAX);
    enc->restored = mem_alloc_aligned(n_values, sizeof(float));
    enc->n_values = n_values;
}

/* The levels of the dtype, into enc->levels; false when value *bad_i does not fit. */
static bool quantise(struct record_encoder *enc, const float *values, size_t n,
                     struct filter_grid grid, size_t *bad_i)
{
    switch (grid.max_level) {
    case UINT8_MAX:
        return filter_quantise_u8(values, n, grid, enc->levels, bad_i);
    case 0: /* floats stay what they are */
        for (size_t i = 0; i < n; i++) {
            if (!isfinite(values[i])) {
                *bad_i = i;
                return false;
            }
        }
        return true;
    default:
        return filter_quantise_u12(values, n, grid, enc->levels, bad_i);
    }
}

/* Into enc->planes: first what a frame holds, quads and escapes. */
static void quads_make(struct record_encoder *enc)
{
    const struct quad_shape *shape = &enc->shape;
    struct quad_parts *quads = &enc->quads;
    quads->high = enc->planes;
    quads->escapes = quads->high + shape->n_blocks * QUAD_HIGH_BYTES;
    quads->bits = quads->escapes + shape->n_blocks * QUAD_VALUES;
    quads->low = quads->bits + shape->bits_bytes;
    quads->delta = (uint8_t *)enc->restored; /* not in use yet */
    quad_split(enc->levels, shape, quads);
}

/* The filter forward, from enc->levels (or the floats) into enc->planes. */
static void planes_make(struct record_encoder *enc, const float *values,
                        const struct record_info *info)
{
    size_t n_frames = info->n_frames, n_mels = info->n_mels;
    switch (info->dtype) {
    case RECORD_U8:
        quads_make(enc);
        break;
    case RECORD_U12:
        filter_delta_u12(enc->levels, n_frames, n_mels, enc->planes);
        break;
    case RECORD_F32:
        filter_delta_f32(values, n_frames, n_mels, enc->planes);
        break;
    case RECORD_RAW:
        memcpy(enc->planes, enc->levels, n_frames * n_mels);
        break;
    case RECORD_ARCHIVE:
        archive_split(enc->levels, n_frames, n_mels, &enc->archive, enc->planes);
        break;
    case RECORD_DTYPES:
        break;
    }
}

/* What a reader will get, into enc->restored; the decoder's own way, but for what the filter does
 * to levels, which is lossless. */
static void certify(struct record_encoder *enc, const float *values, struct record_info *info)
{
    size_t n = record_plane_bytes(info);
    double max_err, rms_err;
    if (record_dtype_has_levels(info->dtype))
        filter_levels_to_db(enc->levels, n, record_grid(info), false, enc->restored);
    else
        record_planes_restore(enc->planes, info, false, enc->restored);
    filter_error(values, enc->restored, n, &max_err, &rms_err);
    /* Errors add up at most: to what the values had lost before they came here. */
    info->max_err_db = (float)(max_err + (double)info->max_err_db);
    info->rms_err_db = (float)(rms_err + (double)info->rms_err_db);
}

/* Where the bytes of enc->planes change in kind; a block of zstd ends there (frame.h).
 * Returns how many parts there are. */
static size_t parts_of(const struct record_encoder *enc, size_t n, size_t parts[RECORD_PLANES_MAX])
{
    size_t n_parts = record_kind(enc->dtype)->n_planes;
    if (enc->dtype == RECORD_U8) {
        parts[0] = enc->shape.n_blocks * QUAD_HIGH_BYTES + enc->quads.n_escapes;
        return 1;
    }
    static_assert((int)ARCHIVE_STREAMS <= (int)RECORD_PLANES_MAX, "parts have room");
    for (size_t i = 0; i < n_parts; i++)
        parts[i] = n;
    if (enc->dtype != RECORD_ARCHIVE)
        return n_parts;
    for (size_t i = 0; i < ARCHIVE_STREAMS; i++)
        parts[i] = enc->archive.n[i];
    return ARCHIVE_STREAMS;
}

/* What stands in front of planes or frame. */
static size_t head_bytes(const struct record_encoder *enc)
{
    if (enc->dtype == RECORD_U8)
        return RECORD_LENGTH_BYTES + enc->shape.bits_bytes + enc->quads.low_bytes;
    return enc->dtype == RECORD_ARCHIVE ? ARCHIVE_HEAD_BYTES : 0;
}

static void head_write(const struct record_encoder *enc, uint8_t *head)
{
    uint32_t low_bytes = (uint32_t)enc->quads.low_bytes;
    if (enc->dtype == RECORD_ARCHIVE)
        archive_head_write(&enc->archive, head);
    if (enc->dtype != RECORD_U8)
        return;
    memcpy(head, &low_bytes, RECORD_LENGTH_BYTES);
    head += RECORD_LENGTH_BYTES;
    memcpy(head, enc->quads.bits, enc->shape.bits_bytes);
    memcpy(head + enc->shape.bits_bytes, enc->quads.low, low_bytes);
}

/* enc->planes and what stands before them as the payload of *info, behind the header's room. */
static bool payload_write(struct record_encoder *enc, struct record_info *info, struct buf *out,
                          struct err *e)
{
    size_t parts[RECORD_PLANES_MAX], n_bytes = 0;
    size_t n_parts = parts_of(enc, record_plane_bytes(info), parts);
    for (size_t i = 0; i < n_parts; i++)
        n_bytes += parts[i];
    size_t head = head_bytes(enc), cap = frame_bytes_max(n_bytes, n_parts);
    buf_reset(out);
    if (!buf_reserve(out, RECORD_HEADER_BYTES + head + cap, e))
        return false;
    uint8_t *payload = out->data + RECORD_HEADER_BYTES;
    head_write(enc, payload);
    if (info->codec == RECORD_CODEC_NONE)
        memcpy(payload + head, enc->planes, n_bytes);
    else if (!frame_write(enc->frames, enc->planes, parts, n_parts, payload + head, cap, &n_bytes,
                          e))
        return false;
    info->payload_bytes = (uint32_t)(head + n_bytes);
    return true;
}

bool record_encode_range(struct record_encoder *enc, const float *values, double lo, double hi,
                         const struct record_info *meta, struct buf *out, struct err *e)
{
    if (!record_shape_check(meta->n_frames, meta->n_mels, e))
        return false;
    struct record_info info = *meta;
    bool packed = enc->dtype != RECORD_RAW && enc->zstd_level != RECORD_LEVEL_NONE;
    info.dtype = enc->dtype;
    info.filter = (uint8_t)record_kind(enc->dtype)->filter;
    info.codec = packed ? RECORD_CODEC_ZSTD : RECORD_CODEC_NONE;
    size_t n = record_plane_bytes(&info), bad_i = 0;
    struct filter_grid grid = {1.0F, 0.0F, 0};
    if (record_kind(enc->dtype)->max_level > 0)
        grid = filter_grid_make(lo, hi, record_kind(enc->dtype)->max_level);
    else
        lo = -(double)INFINITY, hi = (double)INFINITY;
    info.scale = grid.scale;
    info.offset = grid.offset;
    enc->shape = quad_shape_of(info.n_frames, info.n_mels);
    encoder_reserve(enc, size_max(n, enc->shape.n_blocks * QUAD_VALUES));
    if (!quantise(enc, values, n, grid, &bad_i))
        return err_set(e, ERR_PERM, "value %zu (frame %zu, mel %zu) is %g; %s holds %g to %g",
                       bad_i, bad_i / info.n_mels, bad_i % info.n_mels, (double)values[bad_i],
                       record_kind(info.dtype)->name, lo, hi);
    planes_make(enc, values, &info);
    certify(enc, values, &info);
    if (!payload_write(enc, &info, out, e) || !record_numbers_check(&info, e))
        return false;
    record_header_write(out->data, &info);
    record_seal(out->data, info.payload_bytes);
    out->len = RECORD_HEADER_BYTES + info.payload_bytes;
    return true;
}

bool record_encode(struct record_encoder *enc, const float *db, double top_db,
                   const struct record_info *meta, struct buf *out, struct err *e)
{
    return record_encode_range(enc, db, -top_db, 0, meta, out, e);
}
