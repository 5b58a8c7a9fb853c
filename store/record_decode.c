#include "base/mem.h"
#include "store/frame.h"
#include "store/record_parts.h"

#include <string.h>

struct record_decoder {
    struct frame_reader *frames;
    uint8_t *scratch; /* struct unpacked */
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

/* How many filtered bytes a record has; of a fast one, how many at most. */
static size_t unpacked_bytes_max(const struct record_info *info)
{
    size_t n = record_plane_bytes(info);
    if (info->dtype == RECORD_FAST)
        return nibble_blocks(n) * NIBBLE_HIGH_BYTES + n;
    return n * record_kind(info->dtype)->n_planes;
}

/* What the decoder got out of a record. */
struct unpacked {
    const uint8_t *bytes; /* in the record itself or in the decoder's scratch */
    size_t n_bytes;
    const uint8_t *head; /* in the record */
    uint8_t *joined;     /* room for whole blocks of what is made of them, in the scratch */
};

static bool planes_unpack(struct record_decoder *dec, struct span record,
                          const struct record_info *info, struct unpacked *u, struct err *e)
{
    size_t head = record_head_bytes(info), most = unpacked_bytes_max(info);
    if (info->payload_bytes < head)
        return err_set(e, ERR_PERM, "record is damaged: %u bytes behind its header",
                       info->payload_bytes);
    decoder_reserve(dec, most + nibble_blocks(record_plane_bytes(info)) * NIBBLE_BLOCK);
    u->head = (const uint8_t *)record.ptr + RECORD_HEADER_BYTES;
    u->bytes = u->head + head;
    u->n_bytes = info->payload_bytes - head;
    u->joined = dec->scratch + most;
    if (info->codec == RECORD_CODEC_ZSTD) {
        if (!frame_read(dec->frames, (struct span){u->bytes, u->n_bytes}, dec->scratch, most,
                        &u->n_bytes, e))
            return false;
        u->bytes = dec->scratch;
    }
    if (u->n_bytes != most && info->dtype != RECORD_FAST)
        return err_set(e, ERR_PERM, "record holds %zu bytes, %u frames of %u mels as %s need %zu",
                       u->n_bytes, info->n_frames, info->n_mels, record_kind(info->dtype)->name,
                       most);
    return true;
}

void record_planes_restore(const uint8_t *planes, const struct record_info *info, bool stream,
                           float *out)
{
    switch (info->dtype) {
    case RECORD_U8:
    case RECORD_FAST: /* joined already */
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
static bool archive_unpack(const struct unpacked *u, const struct record_info *info,
                           uint8_t *levels, struct err *e)
{
    struct archive_head head;
    return (archive_head_read(u->head, record_plane_bytes(info), &head) &&
            archive_join(u->bytes, &head, info->n_frames, info->n_mels, levels)) ||
           err_set(e, ERR_PERM, "record is damaged: its streams do not hold %u frames of %u mels",
                   info->n_frames, info->n_mels);
}

/* The differences of a fast record. */
static bool fast_unpack(const struct unpacked *u, const struct record_info *info, struct err *e)
{
    size_t n = record_plane_bytes(info), high_bytes = nibble_blocks(n) * NIBBLE_HIGH_BYTES;
    return (u->n_bytes >= high_bytes && nibble_join(u->head, u->bytes, u->bytes + high_bytes,
                                                    u->n_bytes - high_bytes, n, u->joined)) ||
           err_set(e, ERR_PERM, "record is damaged: its nibbles do not hold %u frames of %u mels",
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
    struct unpacked u;
    if (!record_parse(record, &info, e) || !room_check(&info, out_floats, e) ||
        !planes_unpack(dec, record, &info, &u, e))
        return false;
    if (info.dtype == RECORD_ARCHIVE || info.dtype == RECORD_FAST) {
        if (!(info.dtype == RECORD_ARCHIVE ? archive_unpack(&u, &info, u.joined, e)
                                           : fast_unpack(&u, &info, e)))
            return false;
        u.bytes = u.joined;
    }
    record_planes_restore(u.bytes, &info, dec->stream, out);
    return true;
}

bool record_decode_levels(struct record_decoder *dec, struct span record, uint8_t *out,
                          size_t out_bytes, struct err *e)
{
    struct record_info info;
    struct unpacked u;
    if (!record_parse(record, &info, e))
        return false;
    if (!record_dtype_has_levels(info.dtype))
        return err_set(e, ERR_PERM,
                       "8-bit levels are in u8, fast, raw and archive records, this is %s",
                       record_kind(info.dtype)->name);
    if (!room_check(&info, out_bytes, e) || !planes_unpack(dec, record, &info, &u, e))
        return false;
    if (info.dtype == RECORD_ARCHIVE)
        return archive_unpack(&u, &info, out, e);
    if (info.dtype == RECORD_FAST && !fast_unpack(&u, &info, e))
        return false;
    if (info.dtype == RECORD_RAW)
        memcpy(out, u.bytes, out_bytes);
    else
        filter_restore_u8_levels(info.dtype == RECORD_FAST ? u.joined : u.bytes, info.n_frames,
                                 info.n_mels, out);
    return true;
}
