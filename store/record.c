#include "store/record.h"

#include "base/hash.h"
#include "base/mem.h"
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

/* Runs the filter of info->filter forward into enc->planes; scale and offset go to *info. */
static bool planes_make(struct record_encoder *enc, const float *db, double top_db,
                        struct record_info *info, struct err *e)
{
    size_t n = plane_bytes(info), bad_i = 0;
    struct filter_grid grid = {1.0F, 0.0F, 0};
    bool fits = true;
    if (info->dtype != RECORD_F32)
        grid = filter_grid_make(top_db, dtypes[info->dtype].max_level);
    info->scale = grid.scale;
    info->offset = grid.offset;
    switch (info->dtype) {
    case RECORD_U8:
        fits = filter_quantise_u8(db, n, grid, enc->levels, &bad_i);
        if (fits)
            filter_delta_u8(enc->levels, info->n_frames, info->n_mels, enc->planes);
        break;
    case RECORD_U12:
        fits = filter_quantise_u12(db, n, grid, enc->levels, &bad_i);
        if (fits)
            filter_delta_u12(enc->levels, info->n_frames, info->n_mels, enc->planes);
        break;
    case RECORD_F32:
        for (size_t i = 0; i < n && fits; i++) {
            fits = isfinite(db[i]);
            bad_i = i;
        }
        if (fits)
            filter_delta_f32(db, info->n_frames, info->n_mels, enc->planes);
        break;
    case RECORD_DTYPES:
        break;
    }
    if (!fits)
        return err_set(e, ERR_PERM, "value %zu (frame %zu, mel %zu) is %g dB; %s holds %g to 0 dB",
                       bad_i, bad_i / info->n_mels, bad_i % info->n_mels, (double)db[bad_i],
                       dtypes[info->dtype].name,
                       info->dtype == RECORD_F32 ? -(double)INFINITY : -top_db);
    return true;
}

static void planes_restore(const uint8_t *planes, const struct record_info *info, float *out)
{
    switch (info->dtype) {
    case RECORD_U8:
        filter_restore_u8(planes, info->n_frames, info->n_mels, grid_of(info), out);
        break;
    case RECORD_U12:
        filter_restore_u12(planes, info->n_frames, info->n_mels, grid_of(info), out);
        break;
    case RECORD_F32:
        filter_restore_f32(planes, info->n_frames, info->n_mels, out);
        break;
    case RECORD_DTYPES:
        break;
    }
}

/* One frame; a block ends with each plane, so that each plane gets a Huffman table of its own. */
static bool planes_compress(struct record_encoder *enc, size_t n, size_t n_planes, uint8_t *out,
                            size_t cap, size_t *out_len, struct err *e)
{
    ZSTD_outBuffer to = {out, cap, 0};
    size_t rc = ZSTD_CCtx_reset(enc->zstd, ZSTD_reset_session_only);
    if (!ZSTD_isError(rc))
        rc = ZSTD_CCtx_setPledgedSrcSize(enc->zstd, n * n_planes);
    for (size_t i = 0; i < n_planes && !ZSTD_isError(rc); i++) {
        ZSTD_inBuffer from = {enc->planes + i * n, n, 0};
        do {
            rc = ZSTD_compressStream2(enc->zstd, &to, &from,
                                      i + 1 < n_planes ? ZSTD_e_flush : ZSTD_e_end);
        } while (!ZSTD_isError(rc) && rc != 0 && to.pos < to.size);
        if (!ZSTD_isError(rc) && rc != 0)
            return err_set(e, ERR_FATAL, "zstd needs more than %zu bytes for %zu", cap,
                           n * n_planes);
    }
    if (ZSTD_isError(rc))
        return err_set(e, ERR_FATAL, "zstd cannot compress %zu bytes: %s", n * n_planes,
                       ZSTD_getErrorName(rc));
    *out_len = to.pos;
    return true;
}

bool record_encode(struct record_encoder *enc, const float *db, double top_db,
                   const struct record_info *meta, struct buf *out, struct err *e)
{
    if (!shape_check(meta->n_frames, meta->n_mels, e))
        return false;
    struct record_info info = *meta;
    info.dtype = enc->dtype;
    info.filter = (uint8_t)dtypes[enc->dtype].filter;
    info.codec = enc->zstd_level == RECORD_LEVEL_NONE ? RECORD_CODEC_NONE : RECORD_CODEC_ZSTD;
    size_t n = plane_bytes(&info), n_planes = dtypes[enc->dtype].n_planes;
    encoder_reserve(enc, n);
    if (!planes_make(enc, db, top_db, &info, e))
        return false;

    double max_err, rms_err;
    planes_restore(enc->planes, &info, enc->restored);
    filter_error(db, enc->restored, n, &max_err, &rms_err);
    info.max_err_db = (float)max_err;
    info.rms_err_db = (float)rms_err;

    size_t cap = ZSTD_compressBound(n * n_planes) + 64 * PLANES_MAX, payload_bytes = n * n_planes;
    buf_reset(out);
    if (!buf_reserve(out, RECORD_HEADER_BYTES + cap, e))
        return false;
    uint8_t *payload = out->data + RECORD_HEADER_BYTES;
    if (info.codec == RECORD_CODEC_NONE)
        memcpy(payload, enc->planes, payload_bytes);
    else if (!planes_compress(enc, n, n_planes, payload, cap, &payload_bytes, e))
        return false;
    info.payload_bytes = (uint32_t)payload_bytes;
    if (!numbers_check(&info, e))
        return false;
    header_write(out->data, &info);
    uint64_t sum = checksum_of(out->data, payload_bytes);
    memcpy(out->data + AT_CHECKSUM, &sum, 8);
    out->len = RECORD_HEADER_BYTES + payload_bytes;
    return true;
}

/* ---------------------------------------------------------------- decode */

struct record_decoder {
    ZSTD_DCtx *zstd;
    uint8_t *planes;
    size_t planes_bytes;
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
    mem_free(dec->planes);
    mem_free(dec);
}

/* The filtered bytes, at *planes: in the record itself or in the decoder's scratch. */
static bool planes_unpack(struct record_decoder *dec, struct span record,
                          const struct record_info *info, const uint8_t **planes, struct err *e)
{
    const uint8_t *payload = (const uint8_t *)record.ptr + RECORD_HEADER_BYTES;
    size_t want = plane_bytes(info) * dtypes[info->dtype].n_planes, got = info->payload_bytes;
    if (info->codec == RECORD_CODEC_NONE) {
        *planes = payload;
    } else {
        if (dec->planes_bytes < want) {
            mem_free(dec->planes);
            dec->planes = mem_alloc_aligned(want, 1);
            dec->planes_bytes = want;
        }
        got = ZSTD_decompressDCtx(dec->zstd, dec->planes, want, payload, info->payload_bytes);
        if (ZSTD_isError(got))
            return err_set(e, ERR_PERM, "record is damaged: zstd says \"%s\"",
                           ZSTD_getErrorName(got));
        *planes = dec->planes;
    }
    if (got != want)
        return err_set(e, ERR_PERM, "record holds %zu bytes, %u frames of %u mels as %s need %zu",
                       got, info->n_frames, info->n_mels, dtypes[info->dtype].name, want);
    return true;
}

bool record_decode(struct record_decoder *dec, struct span record, float *out, size_t out_floats,
                   struct err *e)
{
    struct record_info info;
    const uint8_t *planes;
    if (!record_parse(record, &info, e))
        return false;
    if (plane_bytes(&info) != out_floats)
        return err_set(e, ERR_PERM, "record is %u frames of %u mels, there is room for %zu values",
                       info.n_frames, info.n_mels, out_floats);
    if (!planes_unpack(dec, record, &info, &planes, e))
        return false;
    planes_restore(planes, &info, out);
    return true;
}

bool record_decode_levels(struct record_decoder *dec, struct span record, uint8_t *out,
                          size_t out_bytes, struct err *e)
{
    struct record_info info;
    const uint8_t *planes;
    if (!record_parse(record, &info, e))
        return false;
    if (info.dtype != RECORD_U8)
        return err_set(e, ERR_PERM, "levels are kept by u8 records only, this one is %s",
                       dtypes[info.dtype].name);
    if (plane_bytes(&info) != out_bytes)
        return err_set(e, ERR_PERM, "record is %u frames of %u mels, there is room for %zu values",
                       info.n_frames, info.n_mels, out_bytes);
    if (!planes_unpack(dec, record, &info, &planes, e))
        return false;
    filter_restore_u8_levels(planes, info.n_frames, info.n_mels, out);
    return true;
}
