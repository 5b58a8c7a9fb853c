#include "base/mem.h"
#include "store/frame.h"
#include "store/record_parts.h"

#include <string.h>

struct record_decoder {
    struct frame_reader *frames;
    uint8_t *scratch; /* planes, and behind them the levels that archive streams are joined to */
    size_t scratch_bytes;
    bool stream;
};

struct record_decoder *record_decoder_new(void)
{
    struct record_decoder *dec = mem_zalloc(1, sizeof *dec);
    dec->frames = frame_reader_new();
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

/* The filtered bytes, at *planes: in the record itself or in the decoder's scratch, where as many
 * again have room behind them. */
static bool planes_unpack(struct record_decoder *dec, struct span record,
                          const struct record_info *info, const uint8_t **planes, struct err *e)
{
    size_t head = record_head_bytes(info->dtype),
           want = record_plane_bytes(info) * record_kind(info->dtype)->n_planes;
    if (info->payload_bytes < head)
        return err_set(e, ERR_PERM, "record is damaged: %u bytes behind its header",
                       info->payload_bytes);
    const uint8_t *packed = (const uint8_t *)record.ptr + RECORD_HEADER_BYTES + head;
    size_t got = info->payload_bytes - head;
    decoder_reserve(dec, 2 * want);
    *planes = packed;
    if (info->codec == RECORD_CODEC_ZSTD) {
        if (!frame_read(dec->frames, (struct span){packed, got}, dec->scratch, want, &got, e))
            return false;
        *planes = dec->scratch;
    }
    if (got != want)
        return err_set(e, ERR_PERM, "record holds %zu bytes, %u frames of %u mels as %s need %zu",
                       got, info->n_frames, info->n_mels, record_kind(info->dtype)->name, want);
    return true;
}

void record_planes_restore(const uint8_t *planes, const struct record_info *info, bool stream,
                           float *out)
{
    switch (info->dtype) {
    case RECORD_U8:
        filter_restore_u8(planes, info->n_frames, info->n_mels, record_grid(info), stream, out);
        break;
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
    case RECORD_DTYPES:
        break;
    }
}

/* The levels of an archive record. */
static bool archive_unpack(struct span record, const struct record_info *info,
                           const uint8_t *streams, uint8_t *levels, struct err *e)
{
    struct archive_head head;
    const uint8_t *payload = (const uint8_t *)record.ptr + RECORD_HEADER_BYTES;
    return (archive_head_read(payload, record_plane_bytes(info), &head) &&
            archive_join(streams, &head, info->n_frames, info->n_mels, levels)) ||
           err_set(e, ERR_PERM, "record is damaged: its streams do not hold %u frames of %u mels",
                   info->n_frames, info->n_mels);
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
    const uint8_t *planes;
    if (!record_parse(record, &info, e) || !room_check(&info, out_floats, e) ||
        !planes_unpack(dec, record, &info, &planes, e))
        return false;
    if (info.dtype == RECORD_ARCHIVE) {
        uint8_t *levels = dec->scratch + record_plane_bytes(&info);
        if (!archive_unpack(record, &info, planes, levels, e))
            return false;
        planes = levels;
    }
    record_planes_restore(planes, &info, dec->stream, out);
    return true;
}

bool record_decode_levels(struct record_decoder *dec, struct span record, uint8_t *out,
                          size_t out_bytes, struct err *e)
{
    struct record_info info;
    const uint8_t *planes;
    if (!record_parse(record, &info, e))
        return false;
    if (!record_dtype_has_levels(info.dtype))
        return err_set(e, ERR_PERM, "8-bit levels are in u8, raw and archive records, this is %s",
                       record_kind(info.dtype)->name);
    if (!room_check(&info, out_bytes, e) || !planes_unpack(dec, record, &info, &planes, e))
        return false;
    if (info.dtype == RECORD_ARCHIVE)
        return archive_unpack(record, &info, planes, out, e);
    if (info.dtype == RECORD_RAW)
        memcpy(out, planes, out_bytes);
    else
        filter_restore_u8_levels(planes, info.n_frames, info.n_mels, out);
    return true;
}
