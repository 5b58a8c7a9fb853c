#include "features/stft.h"

#include "base/mem.h"
#include "features/elementary.h"

#include <string.h>

bool stft_plan_init(struct stft_plan *p, uint32_t n_fft, uint32_t hop, enum simd simd,
                    struct err *e)
{
    *p = (struct stft_plan){.n_fft = n_fft, .hop = hop, .n_bins = n_fft / 2 + 1};
    if (hop == 0 || hop > n_fft)
        return err_set(e, ERR_USAGE, "hop is %u samples, it must be from 1 to n_fft = %u", hop,
                       n_fft);
    if (!fft_plan_init(&p->fft, n_fft, simd, e))
        return false;
    /* scipy.signal.get_window("hann", n, fftbins=True), which samples from -pi on. */
    const double pi = 3.14159265358979323846;
    p->window = mem_alloc_aligned(n_fft, sizeof *p->window);
    for (uint32_t i = 0; i < n_fft; i++)
        p->window[i] = 0.5 + 0.5 * elementary_cos(i * (2 * pi / n_fft) - pi);
    return true;
}

void stft_plan_release(struct stft_plan *p)
{
    fft_plan_release(&p->fft);
    mem_free(p->window);
    *p = (struct stft_plan){0};
}

size_t stft_n_frames(const struct stft_plan *p, size_t n_samples)
{
    return 1 + n_samples / p->hop;
}

static size_t span_samples(const struct stft_plan *p)
{
    return (size_t)p->n_fft + (LANES - 1) * (size_t)p->hop;
}

void stft_init(struct stft *s, const struct stft_plan *plan)
{
    s->plan = plan;
    s->work = mem_alloc_aligned(plan->n_fft / 2, sizeof *s->work);
    s->span = mem_alloc_aligned(span_samples(plan), sizeof *s->span);
}

void stft_release(struct stft *s)
{
    mem_free(s->work);
    mem_free(s->span);
    *s = (struct stft){0};
}

/* Padded samples [frame_i hop, ...) of eight frames: lent from the signal where it has them all,
 * else copied with zeros around. */
static const float *span_of(struct stft *s, const float *samples, size_t n_samples, size_t frame_i)
{
    const struct stft_plan *p = s->plan;
    size_t need = span_samples(p), pad = p->n_fft / 2, from = frame_i * p->hop;
    if (from >= pad && from - pad + need <= n_samples)
        return samples + (from - pad);
    memset(s->span, 0, need * sizeof *s->span);
    size_t skip = from < pad ? size_min(pad - from, need) : 0;
    size_t first = from + skip - pad;
    if (first < n_samples)
        memcpy(s->span + skip, samples + first,
               size_min(need - skip, n_samples - first) * sizeof *s->span);
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

static void transform_frames(struct stft *s, const float *samples, size_t n_samples, size_t frame_i)
{
    const float *span = span_of(s, samples, n_samples, frame_i);
    LANE_CALL(s->plan->fft.simd, load, (s->plan, span, s->work));
    fft_forward(&s->plan->fft, s->work);
}

void stft_bins(struct stft *s, const float *samples, size_t n_samples, size_t frame_i,
               struct lane_cpx *bins)
{
    const struct stft_plan *p = s->plan;
    transform_frames(s, samples, n_samples, frame_i);
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
    transform_frames(s, samples, n_samples, frame_i);
    LANE_CALL(s->plan->fft.simd, unpack_power, (s->plan, s->work, power));
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
    fft_inverse(&s->plan->fft, bins, s->work, frames);
    LANE_CALL(s->plan->fft.simd, window, (s->plan, frames));
}
