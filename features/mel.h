/*
 * Mel filter bank as librosa.filters.mel(htk=False, norm="slaney"): Slaney's scale (linear to
 * 1000 Hz at 200/3 Hz a mel, then 27 steps to a factor of 6.4), triangles over bin frequencies,
 * each divided by half its width. Weights are computed in double, rounded to float before and after
 * the normalisation, as librosa does. Rows are kept as (first bin, weights): a row touches a few
 * neighbouring bins only.
 */
#ifndef REFRAIN_MEL_H
#define REFRAIN_MEL_H

#include "base/err.h"
#include "features/lanes.h"
#include "features/spec.h"

/* Slaney's scale. */
double mel_from_hz(double hz);
double mel_to_hz(double mel);

/* Any scale; HTK's is 2595 log10(1 + f / 700) = 1127 ln(1 + f / 700). */
double mel_scale_from_hz(enum feature_mel scale, double hz);
double mel_scale_to_hz(enum feature_mel scale, double mel);

struct mel_band {
    uint32_t first_bin, n_bins; /* n_bins 0: the band lies between two bins and stays silent */
    uint32_t weight_i;          /* of the first bin in weights */
};

struct mel_bank {
    uint32_t n_bands;
    struct mel_band *bands;
    double *weights; /* floats, as librosa's, kept wide for the sums */
    size_t n_weights;
};

/* 0 <= f_min_hz < f_max_hz <= rate_hz / 2, else ERR_USAGE. */
MUST_CHECK bool mel_bank_init(struct mel_bank *b, uint32_t rate_hz, uint32_t n_fft,
                              uint32_t n_bands, double f_min_hz, double f_max_hz, struct err *e);
/* The same for other scales and norms. Weights of FEATURE_NORM_NONE are rounded once. */
MUST_CHECK bool mel_bank_init_as(struct mel_bank *b, uint32_t rate_hz, uint32_t n_fft,
                                 uint32_t n_bands, double f_min_hz, double f_max_hz,
                                 enum feature_mel scale, enum feature_norm norm, struct err *e);
void mel_bank_release(struct mel_bank *b);

/* power: (n_bins) of eight frames; out: (n_bands). Sums in double in order of frequency, rounded
 * once. */
void mel_apply(const struct mel_bank *b, enum simd simd, const struct lane_f32 *power,
               struct lane_f32 *out);

#endif
