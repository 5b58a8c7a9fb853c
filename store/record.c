#include "store/record.h"

#include "base/hash.h"
#include "store/record_parts.h"

#include <math.h>
#include <string.h>

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
enum {
    RECORD_VERSION = 1,
    VALUES_MAX = RECORD_MAX_BYTES / 4,
    /* what u8 was */
    DTYPE_DELTA8 = 1,
    DTYPE_NIBBLE = 6
};

static const struct record_kind kinds[RECORD_DTYPES] = {
    [RECORD_U8] = {"u8", RECORD_FILTER_QUAD, 255, 0},
    [RECORD_U12] = {"u12", RECORD_FILTER_DELTA12, 4095, 2},
    [RECORD_F32] = {"f32", RECORD_FILTER_SPLIT32, 0, 4},
    [RECORD_RAW] = {"raw", RECORD_FILTER_NONE, 255, 1},
    [RECORD_ARCHIVE] = {"archive", RECORD_FILTER_PLANE, 255, 1},
};

static bool dtype_known(uint64_t number)
{
    return number < RECORD_DTYPES && kinds[number].name;
}

bool record_dtype_check(uint64_t number, struct err *e)
{
    if (number == DTYPE_DELTA8 || number == DTYPE_NIBBLE)
        return err_set(e, ERR_PERM,
                       "dtype %u is 8-bit levels as they were before this version's u8, which it "
                       "does not read: `refrain store retire` the store and make it anew",
                       (uint32_t)number);
    return dtype_known(number) ||
           err_set(e, ERR_PERM, "dtype %llu is unknown", (unsigned long long)number);
}

const char *record_dtype_name(enum record_dtype t)
{
    return dtype_known(t) ? kinds[t].name : "?";
}

bool record_dtype_parse(const char *name, enum record_dtype *out)
{
    for (int t = 1; t < RECORD_DTYPES; t++) {
        if (kinds[t].name && strcmp(name, kinds[t].name) == 0) {
            *out = (enum record_dtype)t;
            return true;
        }
    }
    return false;
}

const struct record_kind *record_kind(enum record_dtype t)
{
    assert(dtype_known(t));
    return &kinds[t];
}

bool record_dtype_has_levels(enum record_dtype t)
{
    return t == RECORD_U8 || t == RECORD_RAW || t == RECORD_ARCHIVE;
}

/* ---------------------------------------------------------------- header */

static void put_u16(uint8_t *p, uint32_t value)
{
    uint16_t v = (uint16_t)value;
    memcpy(p, &v, sizeof v);
}

void record_header_write(uint8_t h[RECORD_HEADER_BYTES], const struct record_info *info)
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

bool record_shape_check(uint32_t n_frames, uint32_t n_mels, struct err *e)
{
    if (n_mels < 1 || n_mels > RECORD_MELS_MAX || n_frames < 1 || n_frames > RECORD_FRAMES_MAX ||
        (size_t)n_frames * n_mels > VALUES_MAX)
        return err_set(e, ERR_PERM,
                       "a record of %u frames by %u mels; the limits are %d, %d and %d values",
                       n_frames, n_mels, RECORD_FRAMES_MAX, RECORD_MELS_MAX, VALUES_MAX);
    return true;
}

bool record_numbers_check(const struct record_info *info, struct err *e)
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
    if (!record_dtype_check(h[AT_DTYPE], e))
        return err_wrap(e, "record");
    struct record_info info;
    header_read(h, &info);
    if (info.codec > RECORD_CODEC_ZSTD)
        return err_set(e, ERR_PERM, "record with unknown codec %u", info.codec);
    if (info.filter != kinds[info.dtype].filter)
        return err_set(e, ERR_PERM, "record of dtype %s with filter %u, expected %d",
                       kinds[info.dtype].name, info.filter, (int)kinds[info.dtype].filter);
    if (info.dtype == RECORD_RAW && info.codec != RECORD_CODEC_NONE)
        return err_set(e, ERR_PERM, "record of dtype raw with codec %u", info.codec);
    if (!record_shape_check(info.n_frames, info.n_mels, e) || !record_numbers_check(&info, e))
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

void record_seal(uint8_t *record, size_t payload_bytes)
{
    uint64_t sum = checksum_of(record, payload_bytes);
    memcpy(record + AT_CHECKSUM, &sum, sizeof sum);
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
