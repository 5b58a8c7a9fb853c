/*
 * One tensor as bytes: a 64-byte header and one zstd frame (docs/FORMAT.md). Knows zstd, not LMDB.
 * Encoding is a pure function of the values and parameters: same floats, same bytes.
 *
 *   dtype    of 431 x 128 composed log-mels   a clip        read by one core, against u8
 *   u8       8-bit levels, store/quad.h       36.7 KB       1
 *   raw      8-bit levels as they are         55.2 KB       2.7 times as fast: data that fits
 * memory archive  8-bit levels, two-dimensional    34.0 KB       a twentieth: data that lies u12
 * 12-bit levels                    65 KB         a half f32      the floats themselves 157 KB a
 * quarter
 *
 * "mels" are whatever the second axis holds (12 for chroma): a record is (n_frames, n_mels) values.
 */
#ifndef REFRAIN_RECORD_H
#define REFRAIN_RECORD_H

#include "base/buf.h"

enum {
    RECORD_HEADER_BYTES = 64,
    RECORD_MAX_BYTES = 64 << 20,
    RECORD_MELS_MAX = 1024,
    RECORD_FRAMES_MAX = 65535,
    RECORD_LEVEL_NONE = 0 /* as zstd level: store without compression */
};

/* Numbers are on disk: append only. 1 was 8-bit differences in a frame of zstd, 6 the same with
 * three bits as they are; nobody writes or reads them any more. */
enum record_dtype {
    RECORD_U12 = 2,
    RECORD_F32 = 3,
    RECORD_RAW = 4,
    RECORD_ARCHIVE = 5,
    RECORD_U8 = 7,
    RECORD_DTYPES
};
enum record_codec { RECORD_CODEC_NONE = 0, RECORD_CODEC_ZSTD = 1 };
enum record_filter {
    RECORD_FILTER_NONE = 0,
    RECORD_FILTER_DELTA12 = 2,
    RECORD_FILTER_SPLIT32 = 3,
    RECORD_FILTER_PLANE = 4, /* store/archive.h */
    RECORD_FILTER_QUAD = 6   /* store/quad.h; 1 and 5 as above */
};

/* Of a number found on disk; ERR_PERM with what to do about one that is no dtype, or none now. */
MUST_CHECK bool record_dtype_check(uint64_t number, struct err *e);
const char *record_dtype_name(enum record_dtype t); /* "u8" */
bool record_dtype_parse(const char *name, enum record_dtype *out);
bool record_dtype_has_levels(enum record_dtype t); /* 8-bit ones: all but u12, f32 */

/* The decoded header. */
struct record_info {
    enum record_dtype dtype;
    uint8_t codec, filter;
    uint32_t n_frames, n_mels;
    float scale, offset;          /* dB = q * scale + offset; 1 and 0 for dtype f32 */
    float ref_db;                 /* level subtracted by power_to_db(ref=max) */
    float max_err_db, rms_err_db; /* measured when written: the error certificate */
    uint32_t payload_bytes;
    uint32_t start_ms; /* of the clip in its preview */
    uint64_t spec_hash;
    uint64_t source_id; /* hash64 of the audio file's bytes */
    uint64_t checksum;  /* hash64 of the payload, seeded with hash64 of header[0, 56) */
};

struct record_encoder; /* one a thread: zstd context and scratch */
struct record_encoder *record_encoder_new(enum record_dtype dtype, int zstd_level);
void record_encoder_free(struct record_encoder *enc);

/* db: (n_frames, n_mels) row-major, time first. `meta` gives n_frames, n_mels, ref_db, start_ms,
 * spec_hash and source_id, and what the values had lost before (max_err_db and rms_err_db, 0 for
 * fresh ones); the rest of it is ignored. u8 and u12 cover [-top_db, 0]; values outside
 * (by more than 0.001 dB, which is clamped) are ERR_PERM, as are non-finite ones. The record
 * replaces what is in out. */
MUST_CHECK bool record_encode(struct record_encoder *enc, const float *db, double top_db,
                              const struct record_info *meta, struct buf *out, struct err *e);

/* The same for values that are no decibels: levels cover [lo, hi], lo < hi. */
MUST_CHECK bool record_encode_range(struct record_encoder *enc, const float *values, double lo,
                                    double hi, const struct record_info *meta, struct buf *out,
                                    struct err *e);

/* Reads and checks the header against the length, which must be exact; does not touch the payload.
 */
MUST_CHECK bool record_parse(struct span record, struct record_info *out, struct err *e);

/* A stored value without the zeros behind the record; what is no record comes back as it is. */
struct span record_unpad(struct span value);

/* Checks the checksum. */
MUST_CHECK bool record_verify(struct span record, struct err *e);

struct record_decoder; /* one a thread */
struct record_decoder *record_decoder_new(void);
void record_decoder_free(struct record_decoder *dec);

/* On: floats are written past the cache, for arrays that are too large to stay in it (more than
 * twice as fast there). Off at first; the values are the same. */
void record_decoder_stream(struct record_decoder *dec, bool on);

/* out: n_frames * n_mels floats, dB, time first. Never reads or writes outside its bounds, whatever
 * the bytes are; does not check the checksum. */
MUST_CHECK bool record_decode(struct record_decoder *dec, struct span record, float *out,
                              size_t out_floats, struct err *e);

/* The 8-bit levels themselves, of a record that has them. */
MUST_CHECK bool record_decode_levels(struct record_decoder *dec, struct span record, uint8_t *out,
                                     size_t out_bytes, struct err *e);

#endif
