/*
 * Rate conversion as librosa's soxr_hq: libsoxr, SOXR_HQ, float in and out, one channel; the output
 * is cut or zero-padded at the end to ceil(n * (out / in)) samples, where soxr itself gives
 * round(n * out / in). Only resample.c knows libsoxr.
 *
 * Rates are doubles because pitch shifting asks for irrational ratios. The result is the same for
 * any chunking. libsoxr reads SOXR_* environment variables: a program that wants equal bits
 * everywhere must not have them set.
 */
#ifndef REFRAIN_RESAMPLE_H
#define REFRAIN_RESAMPLE_H

#include "base/err.h"

/* ceil(n_in * (rate_out_hz / rate_in_hz)), in double, as librosa.resample computes it. */
size_t resample_n_out(size_t n_in, double rate_in_hz, double rate_out_hz);

/* out holds resample_n_out samples and must not overlap in. Equal rates copy. A rate that is not
 * positive and finite is ERR_PERM. Samples are not checked: NaN gives NaN. */
MUST_CHECK bool resample(const float *in, size_t n_in, double rate_in_hz, double rate_out_hz,
                         float *out, struct err *e);

#endif
