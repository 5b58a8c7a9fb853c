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
    /* scipy.signal.get_window("hann", n, fftbins=True) */
    p->window = mem_alloc_aligned(n_fft, sizeof *p->window);
    for (uint32_t i = 0; i < n_fft; i++) {
        double s, c;
        elementary_sincos(i, n_fft, &s, &c);
        p->window[i] = 0.5 - 0.5 * c;
    }
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

/* Four floats: the one vector type that every target has, for the transposition alone. */
typedef float float4 __attribute__((vector_size(16)));

/* out[j * LANES + l] = in[l * stride + j], 4 by 4. */
LANE_BODY void transpose4(const float *in, size_t stride, float *out)
{
    float4 r[4];
    for (size_t l = 0; l < 4; l++)
        memcpy(&r[l], in + l * stride, sizeof r[l]);
    float4 a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
    float4 b = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
    float4 c = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
    float4 d = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
    r[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5);
    r[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
    r[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5);
    r[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
    for (size_t j = 0; j < 4; j++)
        memcpy(out + j * LANES, &r[j], sizeof r[j]);
}

/* Windowed samples of eight frames, the even ones to re and the odd ones to im. The transposed
 * samples rest in `columns` for a while because a load must not follow narrower stores closely. */
LANE_BODY void load_body(const struct stft_plan *p, const float *span, struct lane_cpx *work)
{
    enum { CHUNK = 64 };
    _Alignas(64) float columns[CHUNK][LANES];
    for (size_t from = 0; from < p->n_fft; from += CHUNK) {
        size_t n = size_min(CHUNK, p->n_fft - from);
        for (size_t i = 0; i < n; i += 4)
            for (size_t l = 0; l < LANES; l += 4)
                transpose4(span + l * p->hop + from + i, p->hop, &columns[i][l]);
        for (size_t i = 0; i < n; i += 2) {
            struct lane_cpx *z = &work[(from + i) / 2];
            double even = p->window[from + i], odd = p->window[from + i + 1];
            LANE_LOOP
            for (size_t l = 0; l < LANES; l++) {
                z->re[l] = columns[i][l] * even;
                z->im[l] = columns[i + 1][l] * odd;
            }
        }
    }
}
LANE_VERSIONS(load, (const struct stft_plan *p, const float *span, struct lane_cpx *work),
              (p, span, work))

void stft_bins(struct stft *s, const float *samples, size_t n_samples, size_t frame_i,
               struct lane_cpx *bins)
{
    const float *span = span_of(s, samples, n_samples, frame_i);
    LANE_CALL(s->plan->fft.simd, load, (s->plan, span, s->work));
    fft_forward(&s->plan->fft, s->work, bins);
}

void stft_power(struct stft *s, const float *samples, size_t n_samples, size_t frame_i,
                struct lane_f32 *power)
{
    const float *span = span_of(s, samples, n_samples, frame_i);
    LANE_CALL(s->plan->fft.simd, load, (s->plan, span, s->work));
    fft_forward_power(&s->plan->fft, s->work, power);
}

void stft_inverse(struct stft *s, const struct lane_cpx *bins, struct lane_f64 *frames)
{
    const struct stft_plan *p = s->plan;
    fft_inverse(&p->fft, bins, s->work);
    for (size_t j = 0; j < p->n_fft / 2; j++) {
        const struct lane_cpx *z = &s->work[p->fft.order[j]];
        for (size_t l = 0; l < LANES; l++) {
            frames[2 * j].at[l] = z->re[l] * p->window[2 * j];
            frames[2 * j + 1].at[l] = -z->im[l] * p->window[2 * j + 1];
        }
    }
}
