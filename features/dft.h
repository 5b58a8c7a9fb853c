/*
 * Real Fourier transforms whose length has the factors 2, 3 and 5, eight frames at once, in double:
 * Whisper's and torchaudio's frames have 400 samples. Powers of two go through features/fft.h,
 * which is faster and meets SciPy bit for bit; this one is within 1e-15 of the largest bin. The
 * same bits on every machine as all of this room.
 */
#ifndef REFRAIN_DFT_H
#define REFRAIN_DFT_H

#include "base/err.h"
#include "features/lanes.h"

enum { DFT_FACTORS_MAX = 20, DFT_N_MIN = 16, DFT_N_MAX = 1 << 17 };

struct dft_plan {
    size_t n;         /* real samples in a frame: even */
    size_t n_factors; /* of n / 2 */
    unsigned factors[DFT_FACTORS_MAX];
    double *circle; /* [n] pairs cos, sin of 2 pi i / n */
    enum simd simd;
};

/* n is even, from DFT_N_MIN to DFT_N_MAX, with no factor but 2, 3 and 5, else ERR_USAGE. */
MUST_CHECK bool dft_plan_init(struct dft_plan *p, size_t n, enum simd simd, struct err *e);
void dft_plan_release(struct dft_plan *p);

/* Forward, e^{-i...}, not scaled. samples: n / 2 items, sample 2 i in re and 2 i + 1 in im of item
 * i; lost afterwards. work: n / 2 items of scratch. bins: n / 2 + 1. None may overlap. */
void dft_forward(const struct dft_plan *p, struct lane_cpx *samples, struct lane_cpx *work,
                 struct lane_cpx *bins);

#endif
