/*
 * A log-mel clip as a picture file: time to the right, frequency upwards, level as colour.
 */
#ifndef REFRAIN_PICTURE_H
#define REFRAIN_PICTURE_H

#include "base/buf.h"
#include "features/spec.h"
#include "programs/png.h"

/* 256 RGB triples from near black over violet and orange to pale yellow. Lightness (OKLab) rises
 * evenly, so that equal steps in level look equal, also in grey and on paper. */
void picture_palette(uint8_t out[PNG_PALETTE_BYTES]);

/* values: (n_frames, n_mels) row-major, time first; low is darkest and high brightest, what lies
 * outside is cut to them. Clips of more than PICTURE_WIDTH_MAX frames are narrowed, each column the
 * loudest of its frames. Appends a PNG. */
enum { PICTURE_WIDTH_MAX = 1200 };

/* Darkest and brightest for such pictures: -top_db and 0, or what there is among n values. */
void picture_range(const struct feature_spec *spec, const float *values, size_t n, double *out_low,
                   double *out_high);
struct picture_levels {
    uint32_t width, height;
    uint8_t *pixels; /* indices into the palette, rows from the top */
};
MUST_CHECK bool picture_levels_init(struct picture_levels *p, const float *values,
                                    uint32_t n_frames, uint32_t n_mels, double low, double high,
                                    struct err *e);
void picture_levels_release(struct picture_levels *p);

MUST_CHECK bool picture_spectrogram(const float *values, uint32_t n_frames, uint32_t n_mels,
                                    double low, double high, struct buf *out, struct err *e);

#endif
