#include "features/stft.h"

#include "base/mem.h"
#include "features/elementary.h"

#include <string.h>

bool stft_plan_init(struct stft_plan *p, uint32_t n_fft, uint32_t hop, enum simd simd,
                    struct err *e)
{
    const struct stft_form form = {.n_fft = n_fft, .hop = hop};
    *p = (struct stft_plan){0};
    if (n_fft == 0 || (n_fft & (n_fft - 1)) != 0)
        return err_set(e, ERR_USAGE, "FFT length %u is not a power of two from %d to %d", n_fft,
                       FFT_N_MIN, FFT_N_MAX);
    return stft_plan_init_as(p, &form, simd, e);
}

static double window_at(enum feature_window window, uint32_t i, uint32_t win)
{
    /* scipy.signal.get_window("hann", n, fftbins=True), which samples from -pi on. */
    const double pi = 3.14159265358979323846;
    uint32_t n_steps = window == FEATURE_HANN_SYMMETRIC ? win - 1 : win;
    return window == FEATURE_RECTANGULAR ? 1
                                         : 0.5 + 0.5 * elementary_cos(i * (2 * pi / n_steps) - pi);
}

bool stft_plan_init_as(struct stft_plan *p, const struct stft_form *form, enum simd simd,
                       struct err *e)
{
    uint32_t n_fft = form->n_fft, win = form->win > 0 ? form->win : n_fft;
    *p = (struct stft_plan){
        .form = *form, .n_fft = n_fft, .hop = form->hop, .n_bins = n_fft / 2 + 1, .simd = simd};
    p->form.win = win;
    bool may_skip = form->window == FEATURE_RECTANGULAR; /* librosa.cqt's top octave does */
    if (form->hop == 0 || (form->hop > n_fft && !may_skip))
        return err_set(e, ERR_USAGE, "hop is %u samples, it must be from 1 to n_fft = %u",
                       form->hop, n_fft);
    if (win > n_fft || win < 2 || (win < n_fft && form->pad != FEATURE_PAD_NONE))
        return err_set(e, ERR_USAGE, "a window of %u samples does not fit n_fft = %u", win, n_fft);
    bool is_power = (n_fft & (n_fft - 1)) == 0;
    p->is_plain = is_power && win == n_fft && form->frame == FEATURE_FRAME_PLAIN;
    if (p->is_plain ? !fft_plan_init(&p->fft, n_fft, simd, e)
                    : !dft_plan_init(&p->dft, n_fft, simd, e))
        return false;
    p->window = mem_alloc_aligned(n_fft, sizeof *p->window);
    for (uint32_t i = 0; i < n_fft; i++)
        p->window[i] = i < win ? window_at(form->window, i, win) : 0;
    return true;
}

void stft_plan_release(struct stft_plan *p)
{
    fft_plan_release(&p->fft);
    dft_plan_release(&p->dft);
    mem_free(p->window);
    *p = (struct stft_plan){0};
}

size_t stft_n_frames(const struct stft_plan *p, size_t n_samples)
{
    if (p->form.pad != FEATURE_PAD_NONE)
        return 1 + n_samples / p->hop;
    return n_samples < p->form.win ? 0 : 1 + (n_samples - p->form.win) / p->hop;
}

static size_t span_samples(const struct stft_plan *p)
{
    return (size_t)p->n_fft + (LANES - 1) * (size_t)p->hop;
}

void stft_init(struct stft *s, const struct stft_plan *plan)
{
    s->plan = plan;
    s->work = mem_alloc_aligned(plan->n_fft / 2, sizeof *s->work);
    s->more = plan->is_plain ? NULL : mem_alloc_aligned(plan->n_fft / 2, sizeof *s->more);
    s->bins = plan->is_plain ? NULL : mem_alloc_aligned(plan->n_bins, sizeof *s->bins);
    s->span = mem_alloc_aligned(span_samples(plan), sizeof *s->span);
}

void stft_release(struct stft *s)
{
    mem_free(s->work);
    mem_free(s->more);
    mem_free(s->bins);
    mem_free(s->span);
    *s = (struct stft){0};
}

/* Mirrors what lies over an end, as far as the padding goes; what is further out stays zero. */
static void reflect(const struct stft_plan *p, const float *samples, size_t n_samples, size_t from,
                    float *span)
{
    size_t need = span_samples(p), pad = p->n_fft / 2;
    assert(n_samples > pad);
    for (size_t i = 0; i < need; i++) {
        size_t at = from + i; /* padded: sample 0 is at pad */
        if (at < pad)
            span[i] = samples[pad - at];
        else if (at - pad >= n_samples && at - pad < n_samples + pad)
            span[i] = samples[2 * (n_samples - 1) - (at - pad)];
    }
}

/* Padded samples [frame_i hop, ...) of eight frames: lent from the signal where it has them all,
 * else copied with what stands around it. */
static const float *span_of(struct stft *s, const float *samples, size_t n_samples, size_t frame_i)
{
    const struct stft_plan *p = s->plan;
    size_t need = span_samples(p), from = frame_i * p->hop;
    size_t pad = p->form.pad == FEATURE_PAD_NONE ? 0 : p->n_fft / 2;
    if (from >= pad && from - pad + need <= n_samples)
        return samples + (from - pad);
    memset(s->span, 0, need * sizeof *s->span);
    size_t skip = from < pad ? size_min(pad - from, need) : 0;
    size_t first = from + skip - pad;
    if (first < n_samples)
        memcpy(s->span + skip, samples + first,
               size_min(need - skip, n_samples - first) * sizeof *s->span);
    if (p->form.pad == FEATURE_PAD_REFLECT)
        reflect(p, samples, n_samples, from, s->span);
    return s->span;
}

/* Vectors for the transposition alone; every x86-64 and arm64 has the first. */
typedef float float4 __attribute__((vector_size(16)));
typedef float float8 __attribute__((vector_size(32)));

LANE_BODY void load4(float4 *out, const float *in)
{
    memcpy(out, in, sizeof *out);
}

LANE_BODY void load8(float8 *out, const float *low, const float *high)
{
    float4 a, b;
    load4(&a, low);
    load4(&b, high);
    *out = __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7);
}

/* out[j * LANES + l] = in[l * stride + j], 4 by 4. Written out: gcc keeps an array in memory. */
LANE_BODY void transpose4(const float *in, size_t stride, float *out)
{
    float4 r0, r1, r2, r3;
    load4(&r0, in);
    load4(&r1, in + stride);
    load4(&r2, in + 2 * stride);
    load4(&r3, in + 3 * stride);
    float4 a = __builtin_shufflevector(r0, r1, 0, 4, 1, 5);
    float4 b = __builtin_shufflevector(r0, r1, 2, 6, 3, 7);
    float4 c = __builtin_shufflevector(r2, r3, 0, 4, 1, 5);
    float4 d = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
    r0 = __builtin_shufflevector(a, c, 0, 1, 4, 5);
    r1 = __builtin_shufflevector(a, c, 2, 3, 6, 7);
    r2 = __builtin_shufflevector(b, d, 0, 1, 4, 5);
    r3 = __builtin_shufflevector(b, d, 2, 3, 6, 7);
    memcpy(out, &r0, sizeof r0);
    memcpy(out + LANES, &r1, sizeof r1);
    memcpy(out + 2 * LANES, &r2, sizeof r2);
    memcpy(out + 3 * LANES, &r3, sizeof r3);
}

/* The same for rows l and l + 4 at once. */
LANE_BODY void transpose8(const float *in, size_t stride, float *out)
{
    float8 r0, r1, r2, r3;
    load8(&r0, in, in + 4 * stride);
    load8(&r1, in + stride, in + 5 * stride);
    load8(&r2, in + 2 * stride, in + 6 * stride);
    load8(&r3, in + 3 * stride, in + 7 * stride);
    float8 a = __builtin_shufflevector(r0, r1, 0, 8, 1, 9, 4, 12, 5, 13);
    float8 b = __builtin_shufflevector(r0, r1, 2, 10, 3, 11, 6, 14, 7, 15);
    float8 c = __builtin_shufflevector(r2, r3, 0, 8, 1, 9, 4, 12, 5, 13);
    float8 d = __builtin_shufflevector(r2, r3, 2, 10, 3, 11, 6, 14, 7, 15);
    r0 = __builtin_shufflevector(a, c, 0, 1, 8, 9, 4, 5, 12, 13);
    r1 = __builtin_shufflevector(a, c, 2, 3, 10, 11, 6, 7, 14, 15);
    r2 = __builtin_shufflevector(b, d, 0, 1, 8, 9, 4, 5, 12, 13);
    r3 = __builtin_shufflevector(b, d, 2, 3, 10, 11, 6, 7, 14, 15);
    memcpy(out, &r0, sizeof r0);
    memcpy(out + LANES, &r1, sizeof r1);
    memcpy(out + 2 * LANES, &r2, sizeof r2);
    memcpy(out + 3 * LANES, &r3, sizeof r3);
}

enum { CHUNK = 16 };

/* columns[i][l] = sample from + i of frame l, i < n. */
LANE_BODY void columns_load(const float *span, size_t hop, size_t from, size_t n, bool is_wide,
                            float columns[][LANES])
{
    for (size_t i = 0; i < n; i += 4) {
        const float *in = span + from + i;
        if (is_wide) {
            transpose8(in, hop, columns[i]);
        } else {
            transpose4(in, hop, columns[i]);
            transpose4(in + 4 * hop, hop, columns[i] + 4);
        }
    }
}

/* Windows the samples and runs the first pass of the transform, on samples a quarter of the frame
 * apart. The transposed samples rest in `columns` for a while because a load must not closely
 * follow narrower stores to the same place. */
LANE_BODY void load_body(const struct stft_plan *p, const float *span, struct lane_cpx *work,
                         bool is_wide)
{
    static_assert(FFT_N_MIN / 4 % 4 == 0 && CHUNK % 4 == 0, "whole transpositions");
    _Alignas(64) float columns[4][CHUNK][LANES];
    size_t q = p->n_fft / 4, n = size_min(CHUNK, q);
    for (size_t from = 0; from < q; from += n) {
        for (size_t part = 0; part < 4; part++)
            columns_load(span, p->hop, part * q + from, n, is_wide, columns[part]);
        for (size_t i = 0; i < n; i++) {
            const double *w = p->window + from + i;
            double w0 = w[0], w1 = w[q], w2 = w[2 * q], w3 = w[3 * q];
            struct lane_cpx *slots = work + p->fft.leaf_slot[from + i];
            LANE_LOOP
            for (size_t l = 0; l < LANES; l++)
                fft_leaf(slots, l, columns[0][i][l] * w0, columns[1][i][l] * w1,
                         columns[2][i][l] * w2, columns[3][i][l] * w3);
        }
    }
}

/* By hand, because the copies are not all alike: 32-byte shuffles are slow without AVX2. */
static void load_plain(const struct stft_plan *p, const float *span, struct lane_cpx *work)
{
    load_body(p, span, work, false);
}
LANE_TARGET_AVX2 static void load_avx2(const struct stft_plan *p, const float *span,
                                       struct lane_cpx *work)
{
    load_body(p, span, work, true);
}
LANE_TARGET_AVX512 static void load_avx512(const struct stft_plan *p, const float *span,
                                           struct lane_cpx *work)
{
    load_body(p, span, work, true);
}

/* librosa rounds the bin to complex64, takes its magnitude and squares that, in float; this rounds
 * as often. */
LANE_BODY float power_of(double re, double im)
{
    float r = (float)re, i = (float)im;
    return r * r + i * i;
}

LANE_BODY void unpack_power_body(const struct stft_plan *p, const struct lane_cpx *work,
                                 struct lane_f32 *power)
{
    LANE_LOOP
    for (size_t l = 0; l < LANES; l++) {
        power[0].at[l] = power_of(work[0].re[l], 0);
        power[p->n_bins - 1].at[l] = power_of(work[0].im[l], 0);
    }
    for (size_t s = 1; s + 1 < p->n_bins; s++) { /* in order of the larger array */
        struct lane_f32 *out = &power[p->fft.slot_bin[s]];
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++)
            out->at[l] = power_of(work[s].re[l], work[s].im[l]);
    }
}
LANE_VERSIONS(unpack_power,
              (const struct stft_plan *p, const struct lane_cpx *work, struct lane_f32 *power),
              (p, work, power))

/* ---------------------------------------------------------------- other forms */

/* Kaldi's feature-window.cc: the mean goes, then pre-emphasis from the end on. */
static void kaldi_frame(double *x, size_t n)
{
    const double pre_emphasis = 0.97;
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    for (size_t i = 0; i < n; i++)
        x[i] -= sum / (double)n;
    for (size_t i = n - 1; i > 0; i--)
        x[i] -= pre_emphasis * x[i - 1];
    x[0] -= pre_emphasis * x[0];
}

/* Frames one after the other into their lanes, windowed, as dft_forward wants them. */
static void load_any(struct stft *s, const float *span)
{
    const struct stft_plan *p = s->plan;
    double *frame = (double *)s->bins; /* not in use yet, and longer */
    for (size_t l = 0; l < LANES; l++) {
        for (size_t i = 0; i < p->n_fft; i++)
            frame[i] = (double)span[l * p->hop + i];
        if (p->form.frame == FEATURE_FRAME_KALDI)
            kaldi_frame(frame, p->form.win);
        for (size_t i = 0; i < p->n_fft / 2; i++) {
            s->work[i].re[l] = frame[2 * i] * p->window[2 * i];
            s->work[i].im[l] = frame[2 * i + 1] * p->window[2 * i + 1];
        }
    }
}

LANE_BODY void power_any_body(const struct stft_plan *p, const struct lane_cpx *bins,
                              struct lane_f32 *power)
{
    for (size_t k = 0; k < p->n_bins; k++) {
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++)
            power[k].at[l] = power_of(bins[k].re[l], bins[k].im[l]);
    }
}
LANE_VERSIONS(power_any,
              (const struct stft_plan *p, const struct lane_cpx *bins, struct lane_f32 *power),
              (p, bins, power))

static void transform_any(struct stft *s, const float *span, struct lane_cpx *bins)
{
    load_any(s, span);
    dft_forward(&s->plan->dft, s->work, s->more, bins);
}

/* ---------------------------------------------------------------- eight frames */

static void transform_plain(struct stft *s, const float *span)
{
    LANE_CALL(s->plan->simd, load, (s->plan, span, s->work));
    fft_forward(&s->plan->fft, s->work);
}

void stft_bins(struct stft *s, const float *samples, size_t n_samples, size_t frame_i,
               struct lane_cpx *bins)
{
    const struct stft_plan *p = s->plan;
    const float *span = span_of(s, samples, n_samples, frame_i);
    if (!p->is_plain) {
        transform_any(s, span, bins);
        return;
    }
    transform_plain(s, span);
    for (size_t l = 0; l < LANES; l++) {
        bins[0].re[l] = s->work[0].re[l];
        bins[p->n_bins - 1].re[l] = s->work[0].im[l];
        bins[0].im[l] = bins[p->n_bins - 1].im[l] = 0;
    }
    for (size_t k = 1; k + 1 < p->n_bins; k++)
        bins[k] = s->work[p->fft.bin_slot[k]];
}

void stft_power(struct stft *s, const float *samples, size_t n_samples, size_t frame_i,
                struct lane_f32 *power)
{
    const struct stft_plan *p = s->plan;
    const float *span = span_of(s, samples, n_samples, frame_i);
    if (p->is_plain) {
        transform_plain(s, span);
        LANE_CALL(p->simd, unpack_power, (p, s->work, power));
    } else {
        transform_any(s, span, s->bins);
        LANE_CALL(p->simd, power_any, (p, s->bins, power));
    }
}

LANE_BODY void window_body(const struct stft_plan *p, struct lane_f64 *frames)
{
    for (size_t i = 0; i < p->n_fft; i++) {
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++)
            frames[i].at[l] *= p->window[i];
    }
}
LANE_VERSIONS(window, (const struct stft_plan *p, struct lane_f64 *frames), (p, frames))

void stft_inverse(struct stft *s, const struct lane_cpx *bins, struct lane_f64 *frames)
{
    assert(s->plan->is_plain);
    fft_inverse(&s->plan->fft, bins, s->work, frames);
    LANE_CALL(s->plan->simd, window, (s->plan, frames));
}
