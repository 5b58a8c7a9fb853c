/*
 * Real Fourier transforms of eight frames at once, in double, any length that is a multiple of 8
 * with prime factors 2, 3 and 5. Why our own and not FFTW: the same bits on every processor (FFTW
 * chooses its kernels by instruction set), no planner lock, no GPL, and it is faster here because
 * eight frames fill a vector register without shuffles; see docs/FEATURES.md for the measurement.
 *
 * The lanes of a vector are eight frames. A plan is read-only after fft_plan_init and may be shared
 * by threads; the work array is the caller's.
 */
#ifndef REFRAIN_FFT_H
#define REFRAIN_FFT_H

#include "base/err.h"
#include "features/lanes.h"

enum { FFT_LEVELS_MAX = 20, FFT_N_MIN = 8, FFT_N_MAX = 1 << 17 };

struct fft_plan {
    size_t n;      /* real samples in a frame */
    size_t n_half; /* complex points transformed: n / 2 */
    size_t n_levels;
    uint8_t radix[FFT_LEVELS_MAX];
    double *twiddles[FFT_LEVELS_MAX]; /* into one block: [m][radix - 1] pairs cos, -sin */
    double *block;
    double *unpack;  /* [n_half / 2 + 1] pairs cos, sin of 2 pi k / n */
    uint32_t *order; /* frequency k of the half-length transform lies at work[order[k]] */
    enum simd simd;
};

/* A length that cannot be transformed is ERR_USAGE. */
MUST_CHECK bool fft_plan_init(struct fft_plan *p, size_t n, enum simd simd, struct err *e);
void fft_plan_release(struct fft_plan *p);

/* Forward, e^{-i...}, not scaled. work[j] holds samples 2j (re) and 2j + 1 (im) and is destroyed.
 * out: n / 2 + 1 bins. */
void fft_forward(const struct fft_plan *p, struct lane_cpx *work, struct lane_cpx *out);

/* As fft_forward, with the squared magnitude of each bin as out: bins are rounded to float first,
 * the square once more. */
void fft_forward_power(const struct fft_plan *p, struct lane_cpx *work, struct lane_f32 *out);

/* Inverse, scaled by 1 / n: samples 2j and 2j + 1 of the real frames are in work[order[j]]'s re and
 * minus im. bins: n / 2 + 1, the imaginary parts of the first and last are taken as zero. */
void fft_inverse(const struct fft_plan *p, const struct lane_cpx *bins, struct lane_cpx *work);

#endif
