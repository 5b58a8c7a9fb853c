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
    uint32_t *first_slot; /* [n / 16]: samples i + j n / 16, j < 16, go here and to the next 7 */
    uint32_t *slot_bin;   /* [n / 2]: the bin that comes out in a slot behind slot 0 */
    uint32_t *bin_slot;   /* [n / 2]: where bin k > 0 comes out; slot 0 holds bins 0 and n / 2 */
    size_t n_block_slots; /* n / 16 where the last levels are 4 and 2: see fft_block; else 0 */
    enum simd simd;
};

/* n is a power of two from FFT_N_MIN to FFT_N_MAX, else ERR_USAGE. */
MUST_CHECK bool fft_plan_init(struct fft_plan *p, size_t n, enum simd simd, struct err *e);
void fft_plan_release(struct fft_plan *p);

/* ---------------------------------------------------------------- the first two passes
 *
 * A caller runs them while it has the samples in hand, for i < n / 16: the 16 samples i + j n / 16
 * of a lane make four leaves, leaf c of j = c, c + 4, c + 8, c + 12, and these eight slots.
 */

struct fft_cpx {
    double re, im;
};
struct fft_two {
    struct fft_cpx a, b;
};
struct fft_four {
    struct fft_cpx a, b, c, d;
};

/* Ends are slots 0, which hold two real bins; a first bin is in .re, the middle one in .im. */
LANE_BODY struct fft_four fft_join4_ends(struct fft_four x)
{
    const double sqrt_half = 0.70710678118654752440;
    double odd = x.d.re + x.b.re, even = x.a.re + x.c.re;
    double m_im = x.d.re - x.b.re, m_re = x.a.re - x.c.re;
    double t_im = -sqrt_half * (x.b.im + x.d.im), t_re = sqrt_half * (x.b.im - x.d.im);
    return (struct fft_four){{even + odd, even - odd},
                             {x.a.im + t_re, t_im - x.c.im},
                             {m_re, m_im},
                             {x.a.im - t_re, t_im + x.c.im}};
}

LANE_BODY struct fft_cpx fft_turn(struct fft_cpx x, const double *w)
{
    return (struct fft_cpx){w[0] * x.re + w[1] * x.im, w[0] * x.im - w[1] * x.re};
}

LANE_BODY struct fft_four fft_join4(struct fft_four x, const double *w)
{
    struct fft_cpx a = x.a, b = fft_turn(x.b, w), c = fft_turn(x.c, w + 2),
                   d = fft_turn(x.d, w + 4);
    double odd_re = d.re + b.re, turn_im = d.re - b.re;
    double odd_im = b.im + d.im, turn_re = b.im - d.im;
    double even_re = a.re + c.re, dif_re = a.re - c.re;
    double even_im = a.im + c.im, dif_im = a.im - c.im;
    return (struct fft_four){{even_re + odd_re, odd_im + even_im},
                             {dif_re - turn_re, turn_im - dif_im},
                             {dif_re + turn_re, turn_im + dif_im},
                             {even_re - odd_re, odd_im - even_im}};
}

/* Slot 0 holds bins 0 and 2, slot 1 bin 1. */
LANE_BODY struct fft_two fft_leaf(double s0, double s1, double s2, double s3)
{
    double odd = s3 + s1, even = s0 + s2;
    return (struct fft_two){{even + odd, even - odd}, {s0 - s2, s3 - s1}};
}

LANE_BODY void fft_slot_put(struct lane_cpx *slot, size_t l, struct fft_cpx x)
{
    slot->re[l] = x.re;
    slot->im[l] = x.im;
}

/* Of leaves 0 to 3. slots: work + first_slot[i]; w: the plan's levels[0].twiddles. */
LANE_BODY void fft_first(struct lane_cpx slots[8], size_t l, struct fft_two a, struct fft_two b,
                         struct fft_two c, struct fft_two d, const double *w)
{
    struct fft_four ends = fft_join4_ends((struct fft_four){a.a, b.a, c.a, d.a});
    struct fft_four rest = fft_join4((struct fft_four){a.b, b.b, c.b, d.b}, w);
    fft_slot_put(slots, l, ends.a);
    fft_slot_put(slots + 1, l, rest.a);
    fft_slot_put(slots + 2, l, ends.b);
    fft_slot_put(slots + 3, l, rest.b);
    fft_slot_put(slots + 4, l, ends.c);
    fft_slot_put(slots + 5, l, rest.c);
    fft_slot_put(slots + 6, l, ends.d);
    fft_slot_put(slots + 7, l, rest.d);
}

/* work: n / 2 slots behind the first two passes. Forward, e^{-i...}, not scaled. Afterwards bin k,
 * 0 < k < n / 2, is in work[bin_slot[k]], bin 0 in work[0].re and bin n / 2 in work[0].im. */
void fft_forward(const struct fft_plan *p, struct lane_cpx *work);

/* librosa rounds the bin to complex64, takes its magnitude and squares that, in float; this rounds
 * as often. */
LANE_BODY float fft_power_of(double re, double im)
{
    float r = (float)re, i = (float)im;
    return r * r + i * i;
}

/* The power of n / 2 + 1 bins, in order, of the same transform. What is left in work is undefined.
 */
void fft_power(const struct fft_plan *p, struct lane_cpx *work, struct lane_f32 *power);

/* The same in parts, where n_block_slots is not 0, for who can make the first two passes of one
 * eighth of the slots, those from b * n_block_slots on, at a time: it is still in the first-level
 * cache then. Each block by itself, in any order, then the power of all. */
void fft_block(const struct fft_plan *p, struct lane_cpx *block);
void fft_power_of_blocks(const struct fft_plan *p, const struct lane_cpx *work,
                         struct lane_f32 *power);

/* The inverse transform, scaled by 1 / n, by way of the forward one. bins: n / 2 + 1; the imaginary
 * parts of the first and last are ignored. work: n / 2 slots of scratch. frames[i] holds sample i.
 */
void fft_inverse(const struct fft_plan *p, const struct lane_cpx *bins, struct lane_cpx *work,
                 struct lane_f64 *frames);

#endif
