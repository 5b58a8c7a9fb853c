/*
 * Real Fourier transforms of eight frames at once, in double: the same additions and
 * multiplications in the same order as SciPy's (pocketfft, itself FFTPACK's real radix-4 and
 * radix-2 passes), so that librosa's spectra come out bit for bit, down to bins that hold nothing
 * but rounding noise. Only the schedule is ours: see fft.c. Why not FFTW: its results depend on the
 * processor, its planner needs a lock, it is under the GPL, and it is slower here
 * (docs/FEATURES.md has the measurement).
 *
 * Frames are the lanes of a vector. A plan is read-only once made and may be shared by threads; the
 * work array is the caller's.
 */
#ifndef REFRAIN_FFT_H
#define REFRAIN_FFT_H

#include "base/err.h"
#include "features/lanes.h"

enum { FFT_LEVELS_MAX = 10, FFT_N_MIN = 16, FFT_N_MAX = 1 << 17 };

struct fft_plan {
    size_t n;        /* real samples in a frame: a power of two */
    size_t n_levels; /* combining levels behind the leaves */
    struct fft_level {
        unsigned radix;   /* 4; the last level may be 2 */
        size_t n_slots;   /* complex slots of one input block: half of its real samples */
        double *twiddles; /* [n_slots - 1][radix - 1] pairs cos, -sin, in slot order */
    } levels[FFT_LEVELS_MAX];
    double *twiddle_block;
    uint32_t
        *leaf_slot; /* [n / 4]: samples i, i + n/4, i + n/2, i + 3n/4 go to this slot and next */
    uint32_t *slot_bin; /* [n / 2]: the bin that comes out in a slot behind slot 0 */
    uint32_t *bin_slot; /* [n / 2]: where bin k > 0 comes out; slot 0 holds bins 0 and n / 2 */
    enum simd simd;
};

/* n is a power of two from FFT_N_MIN to FFT_N_MAX, else ERR_USAGE. */
MUST_CHECK bool fft_plan_init(struct fft_plan *p, size_t n, enum simd simd, struct err *e);
void fft_plan_release(struct fft_plan *p);

/* The first pass, of four samples a quarter of the frame apart, into two slots of one lane. The
 * caller runs it for all i < n / 4 while it has the samples in hand, then calls fft_forward. */
LANE_BODY void fft_leaf(struct lane_cpx slots[2], size_t l, double s0, double s1, double s2,
                        double s3)
{
    double odd = s3 + s1, even = s0 + s2;
    slots[0].re[l] = even + odd; /* bin 0 */
    slots[0].im[l] = even - odd; /* bin 2 */
    slots[1].re[l] = s0 - s2;    /* bin 1 */
    slots[1].im[l] = s3 - s1;
}

/* work: n / 2 slots with all leaves in place. Forward, e^{-i...}, not scaled. Afterwards bin k, 0 <
 * k < n / 2, is in work[bin_slot[k]], bin 0 in work[0].re and bin n / 2 in work[0].im. */
void fft_forward(const struct fft_plan *p, struct lane_cpx *work);

/* The inverse transform, scaled by 1 / n, by way of the forward one. bins: n / 2 + 1; the imaginary
 * parts of the first and last are ignored. work: n / 2 slots of scratch. frames[i] holds sample i.
 */
void fft_inverse(const struct fft_plan *p, const struct lane_cpx *bins, struct lane_cpx *work,
                 struct lane_f64 *frames);

#endif
