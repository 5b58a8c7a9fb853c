/*
 * The arithmetic between floats and the bytes that zstd sees: quantise, delta along time, split
 * into byte planes; and back in one fused pass. Arrays are (n_frames, n_mels), time first.
 *
 * Music changes little from one frame to the next (23 ms at the default hop), so a band's
 * difference to the frame before is small: the entropy of an 8-bit clip falls from 46.8 to 36.0 KB.
 * Differences wrap, so every filter is a bijection and needs no escape codes. Byte planes put what
 * is alike side by side.
 *
 * The ways back choose AVX2 at run time where the processor has it; the _plain ones
 * are the definition, and the tests hold the two against each other bit for bit.
 */
#ifndef REFRAIN_FILTER_H
#define REFRAIN_FILTER_H

#include "base/base.h"

/* How dB and levels relate: dB = level * scale + offset, level in [0, max_level]. */
struct filter_grid {
    float scale, offset;
    uint32_t max_level;
};

/* The grid that covers [lo, hi] with max_level steps; decibels are [-top_db, 0]. */
struct filter_grid filter_grid_make(double lo, double hi, uint32_t max_level);

/* db[n] to the nearest level. False when a value is not finite or further outside the grid than
 * FILTER_SLACK_DB (rounding at its ends is forgiven and clamped); *bad_i names the first such. */
#define FILTER_SLACK_DB 1e-3F
MUST_CHECK bool filter_quantise_u8(const float *db, size_t n, struct filter_grid grid, uint8_t *out,
                                   size_t *bad_i);
MUST_CHECK bool filter_quantise_u12(const float *db, size_t n, struct filter_grid grid,
                                    uint16_t *out, size_t *bad_i);

/* Differences mod 4096, folded so that small ones of either sign are small (0, -1, 1, -2 become 0,
 * 1, 2, 3), as two planes: out[0, n) low bytes, out[n, 2n) high nibbles. */
void filter_delta_u12(const uint16_t *level, size_t n_frames, size_t n_mels, uint8_t *out);

/* The four bytes of each float as four planes from the lowest to the highest, each plane less the
 * frame before mod 256: out[4n]. (Measured on 43 clips of recordings: 147.9 KB a clip; with
 * exclusive-or instead of differences 150.3, without either 155.8.) */
void filter_delta_f32(const float *db, size_t n_frames, size_t n_mels, uint8_t *out);

/* Some frames of 8-bit differences; the one of frame r and band m is delta[r * stride + m]. level
 * [n_mels] holds the levels of the frame before and then of the last of these. */
struct filter_rows {
    const uint8_t *delta;
    size_t stride, n_rows, n_mels;
    uint8_t *level;
};

/* The way back, straight to dB: out[n_rows][n_mels]. `stream` writes past the cache; other threads
 * see it after filter_stream_end. */
void filter_rows_to_db(const struct filter_rows *rows, struct filter_grid grid, bool stream,
                       float *out);
void filter_rows_to_db_plain(const struct filter_rows *rows, struct filter_grid grid, float *out);
void filter_stream_end(void);

/* Levels instead of dB. */
void filter_rows_to_levels(const struct filter_rows *rows, uint8_t *out);

/* Whole records. */
void filter_restore_u12(const uint8_t *planes, size_t n_frames, size_t n_mels,
                        struct filter_grid grid, float *out);
void filter_restore_f32(const uint8_t *planes, size_t n_frames, size_t n_mels, float *out);

void filter_restore_u12_plain(const uint8_t *planes, size_t n_frames, size_t n_mels,
                              struct filter_grid grid, float *out);
void filter_restore_f32_plain(const uint8_t *planes, size_t n_frames, size_t n_mels, float *out);

/* Levels that were stored as they are, n of them; filter_stream_end is called. */
void filter_levels_to_db(const uint8_t *level, size_t n, struct filter_grid grid, bool stream,
                         float *out);
void filter_levels_to_db_plain(const uint8_t *level, size_t n, struct filter_grid grid, float *out);

/* The largest and the root-mean-square difference between two arrays; the same bits on every
 * machine (the sums run in eight fixed lanes). */
void filter_error(const float *a, const float *b, size_t n, double *max_err, double *rms_err);

#endif
