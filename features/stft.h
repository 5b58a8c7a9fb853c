/*
 * Short-time Fourier transform as librosa.stft(center=True, window="hann", pad_mode="constant"):
 * n_fft / 2 zeros on each side, frame t covers padded samples [t hop, t hop + n_fft), periodic Hann
 * window in double, transform in double, not scaled. Eight frames at a time (features/lanes.h).
 *
 * A plan is read-only once made and may be shared by threads; struct stft is one thread's scratch.
 */
#ifndef REFRAIN_STFT_H
#define REFRAIN_STFT_H

#include "features/fft.h"

struct stft_plan {
    struct fft_plan fft;
    uint32_t n_fft, hop, n_bins; /* n_bins: n_fft / 2 + 1 */
    double *window;              /* n_fft */
};

/* n_fft is a power of two from 16 to 2^17; hop from 1 to n_fft; else ERR_USAGE. */
MUST_CHECK bool stft_plan_init(struct stft_plan *p, uint32_t n_fft, uint32_t hop, enum simd simd,
                               struct err *e);
void stft_plan_release(struct stft_plan *p);

/* 1 + floor(n_samples / hop): also an empty signal has one frame (of zeros). */
size_t stft_n_frames(const struct stft_plan *p, size_t n_samples);

struct stft {
    const struct stft_plan *plan;
    struct lane_cpx *work; /* n_fft / 2 */
    float *span;           /* samples under eight frames, where they reach over an end */
};
void stft_init(struct stft *s, const struct stft_plan *plan); /* borrows the plan for life */
void stft_release(struct stft *s);

/* Frames [frame_i, frame_i + 8) of the signal, one a lane; frames behind the last see what is there
 * of the signal and zeros. bins: n_bins spectra in double (rounded to float they are librosa's
 * complex64). power: n_bins squared magnitudes. */
void stft_bins(struct stft *s, const float *samples, size_t n_samples, size_t frame_i,
               struct lane_cpx *bins);
void stft_power(struct stft *s, const float *samples, size_t n_samples, size_t frame_i,
                struct lane_f32 *power);

/* Inverse transform of eight spectra, windowed: frames[i] holds sample i of each lane's frame, i <
 * n_fft. Overlap-add is the caller's. */
void stft_inverse(struct stft *s, const struct lane_cpx *bins, struct lane_f64 *frames);

#endif
