/*
 * Decoded samples to 16 bit, as libswresample converts them without dither: floats are
 * clip(rint(x * 32768)) with ties to even, wider integers are shifted down. The functions on floats
 * return false when a sample is NaN or infinite (the output is then in range but means nothing).
 * The results do not depend on the processor.
 */
#ifndef REFRAIN_SAMPLES_H
#define REFRAIN_SAMPLES_H

#include "base/base.h"

MUST_CHECK bool samples_from_float(const float *in, size_t n, int16_t *out);

/* Two planes of n samples to 2 n interleaved ones. */
MUST_CHECK bool samples_from_float_stereo(const float *left, const float *right, size_t n,
                                          int16_t *out);

/* One plane into every `stride`th place of out. */
MUST_CHECK bool samples_from_float_strided(const float *in, size_t n, int16_t *out, size_t stride);
MUST_CHECK bool samples_from_double(const double *in, size_t n, int16_t *out, size_t stride);
void samples_from_u8(const uint8_t *in, size_t n, int16_t *out, size_t stride);
void samples_from_s16(const int16_t *in, size_t n, int16_t *out, size_t stride);
void samples_from_s32(const int32_t *in, size_t n, int16_t *out, size_t stride);

/* For tests: the two above in the version for any processor. */
MUST_CHECK bool samples_from_float_plain(const float *in, size_t n, int16_t *out);
MUST_CHECK bool samples_from_float_stereo_plain(const float *left, const float *right, size_t n,
                                                int16_t *out);

#endif
