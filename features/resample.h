/*
 * Rate conversion as librosa's soxr_hq: libsoxr, SOXR_HQ, float in and out, one channel; the output
 * is cut or zero-padded at the end to ceil(n * out / in) samples. The only file that knows libsoxr.
 */
#ifndef REFRAIN_RESAMPLE_H
#define REFRAIN_RESAMPLE_H

#include "base/err.h"

size_t resample_n_out(size_t n_in, double rate_in_hz, double rate_out_hz);

/* out holds resample_n_out samples. Equal rates copy. */
MUST_CHECK bool resample(const float *in, size_t n_in, double rate_in_hz, double rate_out_hz,
                         float *out, struct err *e);

#endif
