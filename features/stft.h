/*
 * Short-time Fourier transform as librosa.stft(center=True, window="hann", pad_mode="constant"):
 * n_fft / 2 zeros on each side, frame t covers padded samples [t hop, t hop + n_fft), periodic Hann
 * window in double, transform in double, not scaled. Eight frames at a time (features/lanes.h).
 *
 * A plan is read-only once made and may be shared by threads; struct stft is one thread's scratch.
 */
#ifndef REFRAIN_STFT_H
#define REFRAIN_STFT_H

#include "features/dft.h"
#include "features/fft.h"
#include "features/spec.h"

/* What frames are cut and made of. win 0 is n_fft; a shorter one stands at the frame's begin, zeros
 * behind, and needs FEATURE_PAD_NONE. */
struct stft_form {
    uint32_t n_fft, hop, win;
    enum feature_pad pad;
    enum feature_window window;
    enum feature_frame frame;
};

struct stft_plan {
    struct stft_form form;       /* win resolved */
    uint32_t n_fft, hop, n_bins; /* n_bins: n_fft / 2 + 1 */
    double *window;              /* n_fft */
    double *group_window;        /* if frames begin a quarter apart, the same by groups: stft.c */
    bool is_plain;               /* whole frames of a power of two, transformed by fft, else dft */
    struct fft_plan fft;
    struct dft_plan dft;
    enum simd simd;
};

/* n_fft is a power of two from 16 to 2^17; hop from 1 to n_fft; else ERR_USAGE. */
MUST_CHECK bool stft_plan_init(struct stft_plan *p, uint32_t n_fft, uint32_t hop, enum simd simd,
                               struct err *e);

/* Other forms. n_fft may then also be 2^a 3^b 5^c, even, and hop longer than a rectangular
 * window. */
MUST_CHECK bool stft_plan_init_as(struct stft_plan *p, const struct stft_form *form, enum simd simd,
                                  struct err *e);
void stft_plan_release(struct stft_plan *p);

/* 1 + floor(n_samples / hop): also an empty signal has one frame (of zeros). Without padding
 * 1 + floor((n_samples - win) / hop), or 0. */
size_t stft_n_frames(const struct stft_plan *p, size_t n_samples);

struct stft {
    const struct stft_plan *plan;
    struct lane_cpx *work; /* n_fft / 2 */
    struct lane_cpx *more; /* as much, and bins, when the form is not plain */
    struct lane_cpx *bins;
    float *span;   /* samples under eight frames, where they reach over an end */
    float *groups; /* and by groups, if frames begin a quarter apart: stft.c */
};
void stft_init(struct stft *s, const struct stft_plan *plan); /* borrows the plan for life */
void stft_release(struct stft *s);

/* With FEATURE_PAD_REFLECT there must be more than n_fft / 2 samples.
 *
 * Frames [frame_i, frame_i + 8) of the signal, one a lane; frames behind the last see what is there
 * of the signal and zeros. bins: n_bins spectra in double (rounded to float they are librosa's
 * complex64). power: n_bins squared magnitudes. */
void stft_bins(struct stft *s, const float *samples, size_t n_samples, size_t frame_i,
               struct lane_cpx *bins);
void stft_power(struct stft *s, const float *samples, size_t n_samples, size_t frame_i,
                struct lane_f32 *power);

/* Inverse transform of eight spectra, windowed, of plain forms: frames[i] holds sample i of each
 * lane's frame, i < n_fft. Overlap-add is the caller's. */
void stft_inverse(struct stft *s, const struct lane_cpx *bins, struct lane_f64 *frames);

#endif
