/*
 * Time stretching with a phase vocoder, as librosa.effects.time_stretch (STFT 2048/512), in two
 * ways.
 *
 * VOCODER_EXACT is librosa run in float64. librosa accumulates phases: phase += angle(next) -
 * angle(this), wrapped. A sum of angles is a product of unit vectors, so no angle, sine or cosine
 * is needed here: each bin keeps a unit vector and turns it by next * conj(this) / |next * this|.
 * That is the same mathematics with less rounding: more than 120 dB from it.
 *
 * VOCODER_F32 is librosa on float32 audio, which keeps its phases in float32 while they grow to 7e5
 * radians, and is 40 dB from its own float64 result. For data sets that shall look as those made
 * with it: the same roundings in the same places, with angle, sine and cosine rounded to the
 * nearest float, which NumPy's are but for the last bit.
 */
#ifndef REFRAIN_VOCODER_H
#define REFRAIN_VOCODER_H

#include "base/err.h"
#include "features/lanes.h"

enum { VOCODER_N_FFT = 2048, VOCODER_HOP = 512 };

struct vocoder; /* one thread's plan and scratch */
struct vocoder *vocoder_new(enum simd simd);
void vocoder_free(struct vocoder *v);

/* round(n_in / rate), halves to even */
size_t vocoder_n_out(size_t n_in, double rate);

enum vocoder_mode { VOCODER_EXACT, VOCODER_F32 };

/* rate above 1 is faster. out holds vocoder_n_out samples and must not overlap in. */
void vocoder_stretch(struct vocoder *v, enum vocoder_mode mode, const float *in, size_t n_in,
                     double rate, float *out);

#endif
