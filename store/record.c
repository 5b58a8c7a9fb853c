#include "store/record.h"

#include "base/hash.h"
#include "base/mem.h"
#include "store/archive.h"
#include "store/filter.h"

#include <math.h>
#include <string.h>
#include <zstd.h>

/*
 * The bytes are laid out in docs/FORMAT.md. Scale and offset stand in the header although top_db
 * decides them, so that a stored record can be read without its configuration; the clip's start
 * took the place of a word of flags that nothing used.
 */
enum {
    AT_MAGIC = 0,
    AT_VERSION = 4,
    AT_CODEC = 5,
    AT_FILTER = 6,
    AT_DTYPE = 7,
    AT_MELS = 8,
    AT_FRAMES = 10,
    AT_PAYLOAD = 12,
    AT_SCALE = 16,
    AT_OFFSET = 20,
    AT_REF = 24,
    AT_MAX_ERR = 28,
    AT_RMS_ERR = 32,
    AT_START = 36,
    AT_SPEC = 40,
    AT_SOURCE = 48,
    AT_CHECKSUM = 56
};
static_assert(AT_CHECKSUM + 8 == RECORD_HEADER_BYTES, "the checksum ends the header");

static const char magic[4] = {'R', 'F', 'R', '1'};
enum { RECORD_VERSION = 1, VALUES_MAX = RECORD_MAX_BYTES / 4, PLANES_MAX = 4 };

/* One row per dtype: all that differs between them. */
static const struct {
    const char *name;
    enum record_filter filter;
    uint32_t max_level; /* 0: not quantised */
    uint32_t n_planes;  /* of one byte a value */
} dtypes[RECORD_DTYPES] = {
    [RECORD_U8] = {"u8", RECORD_FILTER_DELTA8, 255, 1},
    [RECORD_U12] = {"u12", RECORD_FILTER_DELTA12, 4095, 2},
    [RECORD_F32] = {"f32", RECORD_FILTER_SPLIT32, 0, 4},
    [RECORD_RAW] = {"raw", RECORD_FILTER_NONE, 255, 1},
    [RECORD_ARCHIVE] = {"archive", RECORD_FILTER_PLANE, 255, 1},
};

const char *record_dtype_name(enum record_dtype t)
{
    return t > 0 && t < RECORD_DTYPES ? dtypes[t].name : "?";
}

bool record_dtype_parse(const char *name, enum record_dtype *out)
{
    for (int t = 1; t < RECORD_DTYPES; t++) {
        if (strcmp(name, dtypes[t].name) == 0) {
            *out = (enum record_dtype)t;
            return true;
        }
    }
    return false;
}

bool record_dtype_has_levels(enum record_dtype t)
{
    return t == RECORD_U8 || t == RECORD_RAW || t == RECORD_ARCHIVE;
}

/* What stands between the header and the planes. */
static size_t head_bytes(enum record_dtype t)
{
    return t == RECORD_ARCHIVE ? ARCHIVE_HEAD_BYTES : 0;
}

/* ---------------------------------------------------------------- header */

static void put_u16(uint8_t *p, uint32_t value)
{
    uint16_t v = (uint16_t)value;
    memcpy(p, &v, sizeof v);
}

static void header_write(uint8_t h[RECORD_HEADER_BYTES], const struct record_info *info)
{
    memset(h, 0, RECORD_HEADER_BYTES);
    memcpy(h + AT_MAGIC, magic, sizeof magic);
    h[AT_VERSION] = RECORD_VERSION;
    h[AT_CODEC] = info->codec;
    h[AT_FILTER] = info->filter;
    h[AT_DTYPE] = (uint8_t)info->dtype;
    put_u16(h + AT_MELS, info->n_mels);
    put_u16(h + AT_FRAMES, info->n_frames);
    memcpy(h + AT_PAYLOAD, &info->payload_bytes, 4);
    memcpy(h + AT_SCALE, &info->scale, 4);
    memcpy(h + AT_OFFSET, &info->offset, 4);
    memcpy(h + AT_REF, &info->ref_db, 4);
    memcpy(h + AT_MAX_ERR, &info->max_err_db, 4);
    memcpy(h + AT_RMS_ERR, &info->rms_err_db, 4);
    memcpy(h + AT_START, &info->start_ms, 4);
    memcpy(h + AT_SPEC, &info->spec_hash, 8);
    memcpy(h + AT_SOURCE, &info->source_id, 8);
}

static void header_read(const uint8_t *h, struct record_info *out)
{
    uint16_t n_mels, n_frames;
    memcpy(&n_mels, h + AT_MELS, 2);
    memcpy(&n_frames, h + AT_FRAMES, 2);
    *out = (struct record_info){.dtype = (enum record_dtype)h[AT_DTYPE],
                                .codec = h[AT_CODEC],
                                .filter = h[AT_FILTER],
                                .n_frames = n_frames,
                                .n_mels = n_mels};
    memcpy(&out->payload_bytes, h + AT_PAYLOAD, 4);
    memcpy(&out->scale, h + AT_SCALE, 4);
    memcpy(&out->offset, h + AT_OFFSET, 4);
    memcpy(&out->ref_db, h + AT_REF, 4);
    memcpy(&out->max_err_db, h + AT_MAX_ERR, 4);
    memcpy(&out->rms_err_db, h + AT_RMS_ERR, 4);
    memcpy(&out->start_ms, h + AT_START, 4);
    memcpy(&out->spec_hash, h + AT_SPEC, 8);
    memcpy(&out->source_id, h + AT_SOURCE, 8);
    memcpy(&out->checksum, h + AT_CHECKSUM, 8);
}

/* The header's hash seeds the payload's, so one number covers both. */
static uint64_t checksum_of(const uint8_t *record, size_t payload_bytes)
{
    uint64_t seed = hash64(record, AT_CHECKSUM, 0);
    return hash64(record + RECORD_HEADER_BYTES, payload_bytes, seed);
}

static size_t plane_bytes(const struct record_info *info)
{
    return (size_t)info->n_frames * info->n_mels;
}

static struct filter_grid grid_of(const struct record_info *info)
{
    return (struct filter_grid){info->scale, info->offset, dtypes[info->dtype].max_level};
}

static bool shape_check(uint32_t n_frames, uint32_t n_mels, struct err *e)
{
    if (n_mels < 1 || n_mels > RECORD_MELS_MAX || n_frames < 1 || n_frames > RECORD_FRAMES_MAX ||
        (size_t)n_frames * n_mels > VALUES_MAX)
        return err_set(e, ERR_PERM,
                       "a record of %u frames by %u mels; the limits are %d, %d and %d values",
                       n_frames, n_mels, RECORD_FRAMES_MAX, RECORD_MELS_MAX, VALUES_MAX);
    return true;
}

static bool numbers_check(const struct record_info *info, struct err *e)
{
    if (!isfinite(info->scale) || !isfinite(info->offset) || !isfinite(info->ref_db) ||
        !(info->max_err_db >= 0) || !(info->rms_err_db >= 0) || isinf(info->max_err_db) ||
        isinf(info->rms_err_db))
        return err_set(e, ERR_PERM,
                       "record header: scale %g, offset %g, reference %g, errors %g and %g dB are "
                       "not all finite and in range",
                       (double)info->scale, (double)info->offset, (double)info->ref_db,
                       (double)info->max_err_db, (double)info->rms_err_db);
    return true;
}

bool record_parse(struct span record, struct record_info *out, struct err *e)
{
    const uint8_t *h = record.ptr;
    if (record.len < RECORD_HEADER_BYTES)
        return err_set(e, ERR_PERM, "record is %zu bytes, its header alone needs %d", record.len,
                       RECORD_HEADER_BYTES);
    if (memcmp(h, magic, sizeof magic) != 0)
        return err_set(e, ERR_PERM, "not a record: it begins with %02x %02x %02x %02x", h[0], h[1],
                       h[2], h[3]);
    if (h[AT_VERSION] != RECORD_VERSION)
        return err_set(e, ERR_PERM, "record of version %u, this program reads version %d",
                       h[AT_VERSION], RECORD_VERSION);
    if (h[AT_DTYPE] < 1 || h[AT_DTYPE] >= RECORD_DTYPES)
        return err_set(e, ERR_PERM, "record of unknown dtype %u", h[AT_DTYPE]);
    struct record_info info;
    header_read(h, &info);
    if (info.codec > RECORD_CODEC_ZSTD)
        return err_set(e, ERR_PERM, "record with unknown codec %u", info.codec);
    if (info.filter != dtypes[info.dtype].filter)
        return err_set(e, ERR_PERM, "record of dtype %s with filter %u, expected %d",
                       dtypes[info.dtype].name, info.filter, (int)dtypes[info.dtype].filter);
    if (info.dtype == RECORD_RAW && info.codec != RECORD_CODEC_NONE)
        return err_set(e, ERR_PERM, "record of dtype raw with codec %u", info.codec);
    if (!shape_check(info.n_frames, info.n_mels, e) || !numbers_check(&info, e))
        return false;
    if (info.payload_bytes > RECORD_MAX_BYTES ||
        record.len != RECORD_HEADER_BYTES + (size_t)info.payload_bytes)
        return err_set(e, ERR_PERM, "record is %zu bytes, its header says %d + %u", record.len,
                       RECORD_HEADER_BYTES, info.payload_bytes);
    *out = info;
    return true;
}

struct span record_unpad(struct span value)
{
    uint32_t payload_bytes;
    if (value.len < RECORD_HEADER_BYTES)
        return value;
    memcpy(&payload_bytes, (const uint8_t *)value.ptr + AT_PAYLOAD, 4);
    size_t len = RECORD_HEADER_BYTES + (size_t)payload_bytes;
    return (struct span){value.ptr, size_min(len, value.len)};
}

bool record_verify(struct span record, struct err *e)
{
    struct record_info info;
    if (!record_parse(record, &info, e))
        return false;
    uint64_t sum = checksum_of(record.ptr, info.payload_bytes);
    if (sum != info.checksum)
        return err_set(e, ERR_PERM, "record is damaged: checksum %016llx, its bytes give %016llx",
                       (unsigned long long)info.checksum, (unsigned long long)sum);
    return true;
}

/* ---------------------------------------------------------------- encode */

struct record_encoder {
    enum record_dtype dtype;
    int zstd_level;
    ZSTD_CCtx *zstd;
    size_t n_values; /* what the scratch below has room for */
    void *levels;    /* u8 or u16 */
    uint8_t *planes;
    float *restored;
    struct archive_head archive; /* of what lies in planes */
};

static void zstd_set(ZSTD_CCtx *zstd, ZSTD_cParameter parameter, int value)
{
    size_t rc = ZSTD_CCtx_setParameter(zstd, parameter, value);
    assert(!ZSTD_isError(rc));
}

struct record_encoder *record_encoder_new(enum record_dtype dtype, int zstd_level)
{
    assert(dtype > 0 && dtype < RECORD_DTYPES);
    struct record_encoder *enc = mem_zalloc(1, sizeof *enc);
    enc->dtype = dtype;
    enc->zstd_level = zstd_level;
    enc->zstd = ZSTD_createCCtx();
    assert(enc->zstd);
    zstd_set(enc->zstd, ZSTD_c_compressionLevel, zstd_level);
    zstd_set(enc->zstd, ZSTD_c_contentSizeFlag, 1);
    zstd_set(enc->zstd, ZSTD_c_checksumFlag, 0); /* the header has one */
    zstd_set(enc->zstd, ZSTD_c_dictIDFlag, 0);
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
    ZSTD_freeCCtx(enc->zstd);
    mem_free(enc);
}

static void encoder_reserve(struct record_encoder *enc, size_t n_values)
{
    if (n_values <= enc->n_values)
        return;
    encoder_release_scratch(enc);
    enc->levels = mem_alloc_aligned(n_values, sizeof(uint16_t));
    enc->planes = mem_alloc_aligned(n_values, PLANES_MAX);
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

/* The filter forward, from enc->levels (or the floats) into enc->planes. */
static void planes_make(struct record_encoder *enc, const float *values,
                        const struct record_info *info)
{
    size_t n_frames = info->n_frames, n_mels = info->n_mels;
    switch (info->dtype) {
    case RECORD_U8:
        filter_delta_u8(enc->levels, n_frames, n_mels, enc->planes);
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

static void planes_restore(const uint8_t *planes, const struct record_info *info, bool stream,
                           float *out)
{
    switch (info->dtype) {
    case RECORD_U8:
        filter_restore_u8(planes, info->n_frames, info->n_mels, grid_of(info), stream, out);
        break;
    case RECORD_U12:
        filter_restore_u12(planes, info->n_frames, info->n_mels, grid_of(info), out);
        break;
    case RECORD_F32:
        filter_restore_f32(planes, info->n_frames, info->n_mels, out);
        break;
    case RECORD_RAW:
    case RECORD_ARCHIVE: /* joined already */
        filter_levels_to_db(planes, plane_bytes(info), grid_of(info), stream, out);
        break;
    case RECORD_DTYPES:
        break;
    }
}

/* What a reader will get, into enc->restored; the decoder's own way, but for what the filter does
 * to levels, which is lossless. */
static void certify(struct record_encoder *enc, const float *values, struct record_info *info)
{
    size_t n = plane_bytes(info);
    double max_err, rms_err;
    if (record_dtype_has_levels(info->dtype))
        filter_levels_to_db(enc->levels, n, grid_of(info), false, enc->restored);
    else
        planes_restore(enc->planes, info, false, enc->restored);
    filter_error(values, enc->restored, n, &max_err, &rms_err);
    /* Errors add up at most: to what the values had lost before they came here. */
    info->max_err_db = (float)(max_err + (double)info->max_err_db);
    info->rms_err_db = (float)(rms_err + (double)info->rms_err_db);
}

/* Where the bytes of enc->planes change in kind; a block of zstd ends there, so that each part gets
 * a Huffman table of its own. Returns how many parts there are. */
static size_t parts_of(const struct record_encoder *enc, size_t n, size_t parts[PLANES_MAX])
{
    size_t n_parts = dtypes[enc->dtype].n_planes;
    static_assert((int)ARCHIVE_STREAMS <= (int)PLANES_MAX, "parts have room");
    for (size_t i = 0; i < n_parts; i++)
        parts[i] = n;
    if (enc->dtype != RECORD_ARCHIVE)
        return n_parts;
    for (size_t i = 0; i < ARCHIVE_STREAMS; i++)
        parts[i] = enc->archive.n[i];
    return ARCHIVE_STREAMS;
}

/* One frame. */
static bool planes_compress(struct record_encoder *enc, size_t n, size_t n_bytes, uint8_t *out,
                            size_t cap, size_t *out_len, struct err *e)
{
    size_t parts[PLANES_MAX], n_parts = parts_of(enc, n, parts);
    const uint8_t *part = enc->planes;
    ZSTD_outBuffer to = {out, cap, 0};
    size_t rc = ZSTD_CCtx_reset(enc->zstd, ZSTD_reset_session_only);
    if (!ZSTD_isError(rc))
        rc = ZSTD_CCtx_setPledgedSrcSize(enc->zstd, n_bytes);
    for (size_t i = 0; i < n_parts && !ZSTD_isError(rc); part += parts[i++]) {
        ZSTD_inBuffer from = {part, parts[i], 0};
        do {
            rc = ZSTD_compressStream2(enc->zstd, &to, &from,
                                      i + 1 < n_parts ? ZSTD_e_flush : ZSTD_e_end);
        } while (!ZSTD_isError(rc) && rc != 0 && to.pos < to.size);
        if (!ZSTD_isError(rc) && rc != 0)
            return err_set(e, ERR_FATAL, "zstd needs more than %zu bytes for %zu", cap, n_bytes);
    }
    if (ZSTD_isError(rc))
        return err_set(e, ERR_FATAL, "zstd cannot compress %zu bytes: %s", n_bytes,
                       ZSTD_getErrorName(rc));
    *out_len = to.pos;
    return true;
}

/* enc->planes and what stands before them as the payload of *info, behind the header's room. */
static bool payload_write(struct record_encoder *enc, struct record_info *info, struct buf *out,
                          struct err *e)
{
    size_t n = plane_bytes(info), n_bytes = n * dtypes[enc->dtype].n_planes;
    size_t head = head_bytes(enc->dtype), cap = ZSTD_compressBound(n_bytes) + 64 * PLANES_MAX;
    buf_reset(out);
    if (!buf_reserve(out, RECORD_HEADER_BYTES + head + cap, e))
        return false;
    uint8_t *payload = out->data + RECORD_HEADER_BYTES;
    if (enc->dtype == RECORD_ARCHIVE)
        archive_head_write(&enc->archive, payload);
    if (info->codec == RECORD_CODEC_NONE)
        memcpy(payload + head, enc->planes, n_bytes);
    else if (!planes_compress(enc, n, n_bytes, payload + head, cap, &n_bytes, e))
        return false;
    info->payload_bytes = (uint32_t)(head + n_bytes);
    return true;
}

bool record_encode_range(struct record_encoder *enc, const float *values, double lo, double hi,
                         const struct record_info *meta, struct buf *out, struct err *e)
{
    if (!shape_check(meta->n_frames, meta->n_mels, e))
        return false;
    struct record_info info = *meta;
    bool packed = enc->dtype != RECORD_RAW && enc->zstd_level != RECORD_LEVEL_NONE;
    info.dtype = enc->dtype;
    info.filter = (uint8_t)dtypes[enc->dtype].filter;
    info.codec = packed ? RECORD_CODEC_ZSTD : RECORD_CODEC_NONE;
    size_t n = plane_bytes(&info), bad_i = 0;
    struct filter_grid grid = {1.0F, 0.0F, 0};
    if (dtypes[enc->dtype].max_level > 0)
        grid = filter_grid_make(lo, hi, dtypes[enc->dtype].max_level);
    else
        lo = -(double)INFINITY, hi = (double)INFINITY;
    info.scale = grid.scale;
    info.offset = grid.offset;
    encoder_reserve(enc, n);
    if (!quantise(enc, values, n, grid, &bad_i))
        return err_set(e, ERR_PERM, "value %zu (frame %zu, mel %zu) is %g; %s holds %g to %g",
                       bad_i, bad_i / info.n_mels, bad_i % info.n_mels, (double)values[bad_i],
                       dtypes[info.dtype].name, lo, hi);
    planes_make(enc, values, &info);
    certify(enc, values, &info);
    if (!payload_write(enc, &info, out, e) || !numbers_check(&info, e))
        return false;
    header_write(out->data, &info);
    uint64_t sum = checksum_of(out->data, info.payload_bytes);
    memcpy(out->data + AT_CHECKSUM, &sum, 8);
    out->len = RECORD_HEADER_BYTES + info.payload_bytes;
    return true;
}

bool record_encode(struct record_encoder *enc, const float *db, double top_db,
                   const struct record_info *meta, struct buf *out, struct err *e)
{
    return record_encode_range(enc, db, -top_db, 0, meta, out, e);
}

/* ---------------------------------------------------------------- decode */

struct record_decoder {
    ZSTD_DCtx *zstd;
    uint8_t *scratch; /* planes, and behind them the levels that archive streams are joined to */
    size_t scratch_bytes;
    bool stream;
};

struct record_decoder *record_decoder_new(void)
{
    struct record_decoder *dec = mem_zalloc(1, sizeof *dec);
    dec->zstd = ZSTD_createDCtx();
    assert(dec->zstd);
    return dec;
}

void record_decoder_free(struct record_decoder *dec)
{
    if (!dec)
        return;
    ZSTD_freeDCtx(dec->zstd);
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
    size_t head = head_bytes(info->dtype), want = plane_bytes(info) * dtypes[info->dtype].n_planes;
    if (info->payload_bytes < head)
        return err_set(e, ERR_PERM, "record is damaged: %u bytes behind its header",
                       info->payload_bytes);
    const uint8_t *packed = (const uint8_t *)record.ptr + RECORD_HEADER_BYTES + head;
    size_t got = info->payload_bytes - head;
    decoder_reserve(dec, 2 * want);
    *planes = packed;
    if (info->codec == RECORD_CODEC_ZSTD) {
        got = ZSTD_decompressDCtx(dec->zstd, dec->scratch, want, packed, got);
        if (ZSTD_isError(got))
            return err_set(e, ERR_PERM, "record is damaged: zstd says \"%s\"",
                           ZSTD_getErrorName(got));
        *planes = dec->scratch;
    }
    if (got != want)
        return err_set(e, ERR_PERM, "record holds %zu bytes, %u frames of %u mels as %s need %zu",
                       got, info->n_frames, info->n_mels, dtypes[info->dtype].name, want);
    return true;
}

/* The levels of an archive record. */
static bool archive_unpack(struct span record, const struct record_info *info,
                           const uint8_t *streams, uint8_t *levels, struct err *e)
{
    struct archive_head head;
    const uint8_t *payload = (const uint8_t *)record.ptr + RECORD_HEADER_BYTES;
    return (archive_head_read(payload, plane_bytes(info), &head) &&
            archive_join(streams, &head, info->n_frames, info->n_mels, levels)) ||
           err_set(e, ERR_PERM, "record is damaged: its streams do not hold %u frames of %u mels",
                   info->n_frames, info->n_mels);
}

static bool room_check(const struct record_info *info, size_t n_values, struct err *e)
{
    return plane_bytes(info) == n_values ||
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
        uint8_t *levels = dec->scratch + plane_bytes(&info);
        if (!archive_unpack(record, &info, planes, levels, e))
            return false;
        planes = levels;
    }
    planes_restore(planes, &info, dec->stream, out);
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
                       dtypes[info.dtype].name);
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
