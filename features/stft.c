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

enum { PARTS = 16, CHUNK = 8 }; /* samples that the first two passes join; groups at a time */

/*
 * Where frames begin a quarter apart, as librosa's do, sample i of a frame is sample i + n / 4 of
 * the one before, so that of the 16 * 8 samples that the first two passes join in eight frames 44
 * are different: a group. It is kept as four rows of 11 (and one that is not used), so that lane l
 * of a column begins at l in its row, and groups are in the order of the slots that come of them.
 */
enum {
    QUARTERS = 4,
    ROW_READ = LANES + QUARTERS - 1,
    ROW = 12,
    GROUP_SLOTS = PARTS / 2,
    GROUP_FLOATS = QUARTERS * ROW
};

static bool groups_are_used(const struct stft_plan *p)
{
    return p->is_plain && p->hop == p->n_fft / QUARTERS && p->n_fft / PARTS >= CHUNK;
}

/* (n_fft / 16, 16): the window on the 16 samples of a lane of each group. */
static double *group_window_new(const struct stft_plan *p)
{
    double *out = mem_alloc_aligned(p->n_fft, sizeof *out);
    size_t step = p->n_fft / PARTS;
    for (size_t i = 0; i < step; i++)
        for (size_t part = 0; part < PARTS; part++)
            out[p->fft.first_slot[i] / GROUP_SLOTS * PARTS + part] = p->window[i + part * step];
    return out;
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
    p->group_window = groups_are_used(p) ? group_window_new(p) : NULL;
    return true;
}

void stft_plan_release(struct stft_plan *p)
{
    fft_plan_release(&p->fft);
    dft_plan_release(&p->dft);
    mem_free(p->window);
    mem_free(p->group_window);
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
    s->groups = plan->group_window == NULL
                    ? NULL
                    : mem_alloc_aligned(plan->n_fft / PARTS * GROUP_FLOATS, sizeof *s->groups);
}

void stft_release(struct stft *s)
{
    mem_free(s->work);
    mem_free(s->more);
    mem_free(s->bins);
    mem_free(s->span);
    mem_free(s->groups);
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

/* For the transposition alone; every x86-64 and arm64 has it. */
typedef float float4 __attribute__((vector_size(16)));

LANE_BODY void load4(float4 *out, const float *in)
{
    memcpy(out, in, sizeof *out);
}

/* out_j[l] = in_l[j], 4 by 4. Written out: gcc keeps an array in memory. */
LANE_BODY void transpose4(const float *in_0, const float *in_1, const float *in_2,
                          const float *in_3, float *out_0, float *out_1, float *out_2, float *out_3)
{
    float4 r0, r1, r2, r3;
    load4(&r0, in_0);
    load4(&r1, in_1);
    load4(&r2, in_2);
    load4(&r3, in_3);
    float4 a = __builtin_shufflevector(r0, r1, 0, 4, 1, 5);
    float4 b = __builtin_shufflevector(r0, r1, 2, 6, 3, 7);
    float4 c = __builtin_shufflevector(r2, r3, 0, 4, 1, 5);
    float4 d = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
    r0 = __builtin_shufflevector(a, c, 0, 1, 4, 5);
    r1 = __builtin_shufflevector(a, c, 2, 3, 6, 7);
    r2 = __builtin_shufflevector(b, d, 0, 1, 4, 5);
    r3 = __builtin_shufflevector(b, d, 2, 3, 6, 7);
    memcpy(out_0, &r0, sizeof r0);
    memcpy(out_1, &r1, sizeof r1);
    memcpy(out_2, &r2, sizeof r2);
    memcpy(out_3, &r3, sizeof r3);
}

/* columns[i][l] = sample i of frame l, i < n. */
LANE_BODY void columns_load(const float *span, size_t hop, size_t n, float columns[][LANES])
{
    if (n % 4 != 0) { /* frames of 16 or 32 samples */
        for (size_t i = 0; i < n; i++)
            for (size_t l = 0; l < LANES; l++)
                columns[i][l] = span[l * hop + i];
        return;
    }
    for (size_t i = 0; i < n; i += 4)
        for (size_t l = 0; l < LANES; l += 4) {
            const float *in = span + i + l * hop;
            transpose4(in, in + hop, in + 2 * hop, in + 3 * hop, columns[i] + l, columns[i + 1] + l,
                       columns[i + 2] + l, columns[i + 3] + l);
        }
}

LANE_BODY void first_passes(const struct lane_f64 x[PARTS], struct lane_cpx *slots,
                            const double *twiddles)
{
    LANE_LOOP
    for (size_t l = 0; l < LANES; l++) {
        struct fft_two a = fft_leaf(x[0].at[l], x[4].at[l], x[8].at[l], x[12].at[l]);
        struct fft_two b = fft_leaf(x[1].at[l], x[5].at[l], x[9].at[l], x[13].at[l]);
        struct fft_two c = fft_leaf(x[2].at[l], x[6].at[l], x[10].at[l], x[14].at[l]);
        struct fft_two d = fft_leaf(x[3].at[l], x[7].at[l], x[11].at[l], x[15].at[l]);
        fft_first(slots, l, a, b, c, d, twiddles);
    }
}

/* Windows the samples and runs the first two passes of the transform, on samples a sixteenth of the
 * frame apart. The transposed samples rest in `columns` for a while because a load must not closely
 * follow narrower stores to the same place. */
LANE_BODY void load_any_body(const struct stft_plan *p, const float *span, struct lane_cpx *work)
{
    _Alignas(64) float columns[PARTS][CHUNK][LANES];
    struct lane_f64 x[CHUNK][PARTS];
    const double *twiddles = p->fft.levels[0].twiddles;
    size_t step = p->n_fft / PARTS, n = size_min(CHUNK, step);
    for (size_t from = 0; from < step; from += n) {
        for (size_t part = 0; part < PARTS; part++)
            columns_load(span + part * step + from, p->hop, n, columns[part]);
        for (size_t i = 0; i < n; i++)
            for (size_t part = 0; part < PARTS; part++) {
                double w = p->window[part * step + from + i];
                LANE_LOOP
                for (size_t l = 0; l < LANES; l++)
                    x[i][part].at[l] = columns[part][i][l] * w;
            }
        for (size_t i = 0; i < n; i++)
            first_passes(x[i], work + p->fft.first_slot[from + i], twiddles);
    }
}

LANE_VERSIONS(load_any, (const struct stft_plan *p, const float *span, struct lane_cpx *work),
              (p, span, work))

/* The samples under eight frames as groups. */
LANE_BODY void groups_order_body(const struct stft_plan *p, const float *span, float *groups)
{
    size_t step = p->n_fft / PARTS;
    for (size_t i = 0; i < step; i += 4) {
        const uint32_t *slot = p->fft.first_slot + i;
        for (size_t c = 0; c < QUARTERS; c++)
            for (size_t u = 0; u < ROW; u += 4) {
                size_t last = u + 3 < ROW_READ ? 3 : 2; /* twelve are not there */
                const float *at = span + i + (c + QUARTERS * u) * step;
                float *out = groups + c * ROW + u;
                transpose4(at, at + 4 * step, at + 8 * step, at + QUARTERS * last * step,
                           out + slot[0] / GROUP_SLOTS * GROUP_FLOATS,
                           out + slot[1] / GROUP_SLOTS * GROUP_FLOATS,
                           out + slot[2] / GROUP_SLOTS * GROUP_FLOATS,
                           out + slot[3] / GROUP_SLOTS * GROUP_FLOATS);
            }
    }
}
LANE_VERSIONS(groups_order, (const struct stft_plan *p, const float *span, float *groups),
              (p, span, groups))

/* Windows groups from `from` to `to` and runs the first two passes on them. The widened samples of
 * a chunk rest for a while because a load must not closely follow narrower stores to its place. */
LANE_BODY void groups_load_body(const struct stft_plan *p, const float *groups, size_t from,
                                size_t to, struct lane_cpx *work)
{
    double rows[CHUNK][QUARTERS][ROW];
    const double *twiddles = p->fft.levels[0].twiddles;
    assert((to - from) % CHUNK == 0);
    for (; from < to; from += CHUNK) {
        const float *narrow = groups + from * GROUP_FLOATS;
        double *wide = rows[0][0];
        LANE_LOOP
        for (size_t i = 0; i < CHUNK * GROUP_FLOATS; i++)
            wide[i] = (double)narrow[i];
        for (size_t i = 0; i < CHUNK; i++) {
            const double *w = p->group_window + (from + i) * PARTS;
            const double *r0 = rows[i][0], *r1 = rows[i][1], *r2 = rows[i][2], *r3 = rows[i][3];
            struct lane_cpx *slots = work + (from + i) * GROUP_SLOTS;
            LANE_LOOP
            for (size_t l = 0; l < LANES; l++) {
                struct fft_two a =
                    fft_leaf(r0[l] * w[0], r0[l + 1] * w[4], r0[l + 2] * w[8], r0[l + 3] * w[12]);
                struct fft_two b =
                    fft_leaf(r1[l] * w[1], r1[l + 1] * w[5], r1[l + 2] * w[9], r1[l + 3] * w[13]);
                struct fft_two c =
                    fft_leaf(r2[l] * w[2], r2[l + 1] * w[6], r2[l + 2] * w[10], r2[l + 3] * w[14]);
                struct fft_two d =
                    fft_leaf(r3[l] * w[3], r3[l + 1] * w[7], r3[l + 2] * w[11], r3[l + 3] * w[15]);
                fft_first(slots, l, a, b, c, d, twiddles);
            }
        }
    }
}
LANE_VERSIONS(groups_load,
              (const struct stft_plan *p, const float *groups, size_t from, size_t to,
               struct lane_cpx *work),
              (p, groups, from, to, work))

static void load(struct stft *s, const float *span)
{
    const struct stft_plan *p = s->plan;
    if (s->groups == NULL) {
        LANE_CALL(p->simd, load_any, (p, span, s->work));
        return;
    }
    LANE_CALL(p->simd, groups_order, (p, span, s->groups));
    LANE_CALL(p->simd, groups_load, (p, s->groups, 0, p->n_fft / PARTS, s->work));
}

/* Each block of the transform is finished as soon as it is loaded, where that can be. */
static void power_plain(struct stft *s, const float *span, struct lane_f32 *power)
{
    const struct stft_plan *p = s->plan;
    size_t n_slots = p->fft.n_block_slots, n = n_slots / GROUP_SLOTS;
    if (s->groups == NULL || n < CHUNK) {
        load(s, span);
        fft_power(&p->fft, s->work, power);
        return;
    }
    LANE_CALL(p->simd, groups_order, (p, span, s->groups));
    for (size_t b = 0; b < 8; b++) {
        LANE_CALL(p->simd, groups_load, (p, s->groups, b * n, (b + 1) * n, s->work));
        fft_block(&p->fft, s->work + b * n_slots);
    }
    fft_power_of_blocks(&p->fft, s->work, power);
}

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
static void load_frames(struct stft *s, const float *span)
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
            power[k].at[l] = fft_power_of(bins[k].re[l], bins[k].im[l]);
    }
}
LANE_VERSIONS(power_any,
              (const struct stft_plan *p, const struct lane_cpx *bins, struct lane_f32 *power),
              (p, bins, power))

static void transform_any(struct stft *s, const float *span, struct lane_cpx *bins)
{
    load_frames(s, span);
    dft_forward(&s->plan->dft, s->work, s->more, bins);
}

/* ---------------------------------------------------------------- eight frames */

void stft_bins(struct stft *s, const float *samples, size_t n_samples, size_t frame_i,
               struct lane_cpx *bins)
{
    const struct stft_plan *p = s->plan;
    const float *span = span_of(s, samples, n_samples, frame_i);
    if (!p->is_plain) {
        transform_any(s, span, bins);
        return;
    }
    load(s, span);
    fft_forward(&p->fft, s->work);
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
        power_plain(s, span, power);
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
