/*
 * One tensor as bytes: a 64-byte header and one zstd frame (docs/FORMAT.md). Knows zstd, not LMDB.
 * Encoding is a pure function of the values and parameters: same floats, same bytes.
 */
#ifndef REFRAIN_RECORD_H
#define REFRAIN_RECORD_H

#include "base/buf.h"

enum {
    RECORD_HEADER_BYTES = 64,
    RECORD_MAX_BYTES = 64 << 20,
    RECORD_MELS_MAX = 1024,
    RECORD_FRAMES_MAX = 65535
};

/* Numbers are on disk: append only. */
enum record_dtype { RECORD_U8 = 1, RECORD_U12 = 2, RECORD_F32 = 3, RECORD_DTYPES };
const char *record_dtype_name(enum record_dtype t); /* "u8" */
bool record_dtype_parse(const char *name, enum record_dtype *out);

/* The decoded header. */
struct record_info {
    enum record_dtype dtype;
    uint8_t codec, filter;
    uint32_t n_frames, n_mels;
    float scale, offset;          /* dB = q * scale + offset; dtype u8 and u12 */
    float ref_db;                 /* level subtracted by power_to_db(ref=max) */
    float max_err_db, rms_err_db; /* measured when written: the error certificate */
    uint32_t payload_bytes;
    uint32_t start_ms; /* of the clip in its preview */
    uint64_t spec_hash;
    uint64_t source_id; /* hash64 of the audio file's bytes */
    uint64_t checksum;  /* hash64 of header[0, 56) and payload */
};

struct record_encoder; /* one a thread: zstd context and scratch */
struct record_encoder *record_encoder_new(enum record_dtype dtype, int zstd_level);
void record_encoder_free(struct record_encoder *enc);

/* db: (n_frames, n_mels) row-major, time first. `meta` gives n_frames, n_mels, ref_db, start_ms,
 * spec_hash and source_id; the rest of it is ignored. u8 and u12 cover [-top_db, 0]; values outside
 * are ERR_PERM, as are non-finite ones. The record replaces what is in out. */
MUST_CHECK bool record_encode(struct record_encoder *enc, const float *db, double top_db,
                              const struct record_info *meta, struct buf *out, struct err *e);

/* Reads and checks the header against the length; does not touch the payload. */
MUST_CHECK bool record_parse(struct span record, struct record_info *out, struct err *e);

/* Checks the checksum. */
MUST_CHECK bool record_verify(struct span record, struct err *e);

struct record_decoder; /* one a thread */
struct record_decoder *record_decoder_new(void);
void record_decoder_free(struct record_decoder *dec);

/* out: n_frames * n_mels floats, dB, time first. Never reads or writes outside its bounds, whatever
 * the bytes are. */
MUST_CHECK bool record_decode(struct record_decoder *dec, struct span record, float *out,
                              size_t out_floats, struct err *e);

#endif
