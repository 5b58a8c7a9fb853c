/*
 * Butterworth band-pass filters as scipy.signal.butter(order, [low, high], "bandpass", fs=rate,
 * output="sos") makes them and sosfilt runs them: second-order sections in double, started as if
 * the first sample had been there for ever, which is sosfilt_zi's state.
 */
#ifndef REFRAIN_FILTER_H
#define REFRAIN_FILTER_H

#include "base/base.h"

enum { FILTER_SECTIONS_MAX = 8 };

struct filter {
    size_t n_sections;
    double gain;
    /* Each is (z^2 - 1) / (z^2 + a1 z + a2): a zero at 0 Hz and one at half the rate. */
    struct filter_section {
        double a1, a2;
    } sections[FILTER_SECTIONS_MAX];
};

/* 0 < low_hz < high_hz < rate_hz / 2; order from 1 to FILTER_SECTIONS_MAX, 6 dB an octave each on
 * both sides. */
void filter_band_pass(struct filter *f, unsigned order, double low_hz, double high_hz,
                      double rate_hz);

/* In place. */
void filter_apply(const struct filter *f, float *x, size_t n);

#endif
