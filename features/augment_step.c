/*
 * Each transform does what audiomentations' class of the same purpose does, in its order of float
 * operations where that decides a bit (its parameters are Python floats, which NumPy rounds to
 * float32 before they meet float32 samples).
 */
#include "features/augment_step.h"

#include "base/mem.h"
#include "features/elementary.h"
#include "features/filter.h"
#include "features/noise.h"
#include "features/resample.h"

#include <math.h>
#include <string.h>

void augment_scratch_init(struct augment_scratch *s, uint32_t rate_hz)
{
    *s = (struct augment_scratch){.rate_hz = rate_hz, .simd = simd_best()};
}

void augment_scratch_release(struct augment_scratch *s)
{
    vocoder_free(s->vocoder);
    convolve_free(s->convolve);
    mem_free(s->stretched);
    mem_free(s->other);
    *s = (struct augment_scratch){0};
}

static float *buffer_get(float **buffer, size_t *cap, size_t n)
{
    if (n > *cap) {
        mem_free(*buffer);
        *buffer = mem_alloc_aligned(n, sizeof **buffer);
        *cap = n;
    }
    return *buffer;
}

/* ---------------------------------------------------------------- noise and level */

static float *noise_get(struct augment_scratch *s, uint64_t key, size_t n)
{
    float *noise = buffer_get(&s->other, &s->cap_other, n);
    noise_fill(key, s->simd, noise, n);
    return noise;
}

static bool gaussian_noise_apply(struct augment_scratch *s, const struct augment_draw *draw,
                                 float *x, size_t n, struct err *e)
{
    (void)e;
    const float *noise = noise_get(s, draw->noise_key, n);
    float amplitude = (float)draw->values[0];
    for (size_t i = 0; i < n; i++)
        x[i] += amplitude * noise[i];
    return true;
}

/* In double over eight partial sums: fast, and the same order everywhere. */
static double rms_of(const float *x, size_t n)
{
    double part[LANES] = {0}, sum = 0;
    size_t n_blocks = n / LANES;
    for (size_t i = 0; i < n_blocks; i++)
        for (size_t l = 0; l < LANES; l++)
            part[l] += (double)x[i * LANES + l] * x[i * LANES + l];
    for (size_t i = n_blocks * LANES; i < n; i++)
        part[0] += (double)x[i] * x[i];
    for (size_t l = 0; l < LANES; l++)
        sum += part[l];
    return sqrt(sum / (double)n);
}

static bool gaussian_snr_apply(struct augment_scratch *s, const struct augment_draw *draw, float *x,
                               size_t n, struct err *e)
{
    (void)e;
    double deviation = rms_of(x, n) / elementary_exp10(draw->values[0] / 20);
    const float *noise = noise_get(s, draw->noise_key, n);
    for (size_t i = 0; i < n; i++)
        x[i] += (float)(deviation * noise[i]);
    return true;
}

static bool gain_apply(struct augment_scratch *s, const struct augment_draw *draw, float *x,
                       size_t n, struct err *e)
{
    (void)s;
    (void)e;
    float ratio = (float)elementary_exp10(draw->values[0] / 20);
    for (size_t i = 0; i < n; i++)
        x[i] *= ratio;
    return true;
}

static bool polarity_apply(struct augment_scratch *s, const struct augment_draw *draw, float *x,
                           size_t n, struct err *e)
{
    (void)s;
    (void)draw;
    (void)e;
    for (size_t i = 0; i < n; i++)
        x[i] = -x[i];
    return true;
}

/* ---------------------------------------------------------------- time and pitch */

/* The stretched signal, lent until the next call. */
static const float *stretch(struct augment_scratch *s, enum vocoder_mode mode, const float *x,
                            size_t n, double rate, size_t *out_n)
{
    if (!s->vocoder)
        s->vocoder = vocoder_new(s->simd);
    *out_n = vocoder_n_out(n, rate);
    float *out = buffer_get(&s->stretched, &s->cap_stretched, *out_n);
    vocoder_stretch(s->vocoder, mode, x, n, rate, out);
    return out;
}

/* x becomes y, cut or zero-padded at the end. */
static void fix_length(float *x, size_t n, const float *y, size_t n_y)
{
    size_t n_kept = size_min(n, n_y);
    memcpy(x, y, n_kept * sizeof *x);
    memset(x + n_kept, 0, (n - n_kept) * sizeof *x);
}

static bool time_stretch_apply(struct augment_scratch *s, const struct augment_draw *draw, float *x,
                               size_t n, struct err *e)
{
    (void)e;
    size_t n_y;
    const float *y = stretch(s, draw->mode, x, n, draw->values[0], &n_y);
    fix_length(x, n, y, n_y);
    return true;
}

static bool pitch_shift_apply(struct augment_scratch *s, const struct augment_draw *draw, float *x,
                              size_t n, struct err *e)
{
    double rate = elementary_exp2(-draw->values[0] / 12);
    size_t n_y;
    const float *y = stretch(s, draw->mode, x, n, rate, &n_y);
    double from_hz = s->rate_hz / rate, to_hz = s->rate_hz;
    size_t n_z = resample_n_out(n_y, from_hz, to_hz);
    float *z = buffer_get(&s->other, &s->cap_other, n_z);
    if (!resample(y, n_y, from_hz, to_hz, z, e))
        return false;
    fix_length(x, n, z, n_z);
    return true;
}

/* numpy.roll, then audiomentations' equal-energy cross-fade masks over int(rate * 0.005) samples:
 * in after the seam, out before it
 * (https://signalsmith-audio.co.uk/writing/2021/cheap-energy-crossfade/). */
static bool shift_apply(struct augment_scratch *s, const struct augment_draw *draw, float *x,
                        size_t n, struct err *e)
{
    (void)e;
    int64_t by = (int64_t)rint(draw->values[0] * (double)n);
    assert(by >= -(int64_t)n && by <= (int64_t)n);
    if (by == 0)
        return true;
    size_t seam = by > 0 ? (size_t)by : n - (size_t)-by;
    float *rolled = buffer_get(&s->other, &s->cap_other, n);
    memcpy(rolled + seam, x, (n - seam) * sizeof *x);
    memcpy(rolled, x + (n - seam), seam * sizeof *x);
    memcpy(x, rolled, n * sizeof *x);

    size_t n_fade = (size_t)(s->rate_hz * 0.005);
    double step = n_fade > 1 ? 1.0 / (double)(n_fade - 1) : 0;
    for (size_t i = 0; i < n_fade; i++) {
        float t = i > 0 && i + 1 == n_fade ? 1 : (float)((double)i * step), u = 1 - t;
        float a = t * u, b = a * (1 + 1.4186f * a);
        float in = (b + t) * (b + t), out = (b + u) * (b + u);
        if (seam + i < n)
            x[seam + i] *= in;
        if (seam + i >= n_fade) /* the mask's end lies at the seam */
            x[seam + i - n_fade] *= out;
    }
    return true;
}

/* ---------------------------------------------------------------- clipping */

/* Puts the k-th smallest at x[k], smaller ones before it (Hoare's selection, middle as pivot). */
static void select_kth(float *x, size_t n, size_t k)
{
    size_t from = 0, to = n - 1;
    while (from < to) {
        float pivot = x[from + (to - from) / 2];
        size_t i = from, j = to;
        for (;; i++, j--) {
            while (x[i] < pivot)
                i++;
            while (x[j] > pivot)
                j--;
            if (i >= j)
                break;
            float t = x[i];
            x[i] = x[j];
            x[j] = t;
        }
        if (k <= j)
            to = j;
        else
            from = j + 1;
    }
}

/* numpy.percentile, method "linear", on float32 with an integer percentage. Reorders x. */
static float percentile(float *x, size_t n, double percent)
{
    double at = percent / 100 * (double)(n - 1);
    size_t low = (size_t)at;
    double t = at - (double)low;
    select_kth(x, n, low);
    float a = x[low], b = a;
    if (low + 1 < n) {
        b = x[low + 1];
        for (size_t i = low + 2; i < n; i++)
            b = x[i] < b ? x[i] : b;
    }
    float difference = b - a;
    return (float)(t >= 0.5 ? b - difference * (1 - t) : a + difference * t);
}

static bool clipping_apply(struct augment_scratch *s, const struct augment_draw *draw, float *x,
                           size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i])) /* there is no order to select by */
            return err_set(e, ERR_PERM, "clipping: sample %zu of %zu is %g", i, n, (double)x[i]);
    float *sorted = buffer_get(&s->other, &s->cap_other, n);
    memcpy(sorted, x, n * sizeof *x);
    double percent = floor(draw->values[0] / 2);
    float low = percentile(sorted, n, percent), high = percentile(sorted, n, 100 - percent);
    for (size_t i = 0; i < n; i++)
        x[i] = fminf(fmaxf(x[i], low), high);
    return true;
}

/* ---------------------------------------------------------------- room */

/* The sound itself, then noise that decays by 60 dB in `seconds`, its energy `wet_db` from that of
 * the sound: the tail of a room's response, without the early reflections. */
static size_t room_response(struct augment_scratch *s, const struct augment_draw *draw,
                            float **out_response)
{
    double seconds = draw->values[0], wet_db = draw->values[1];
    size_t n = size_min(1 + (size_t)(seconds * s->rate_hz), CONVOLVE_RESPONSE_MAX);
    float *h = noise_get(s, draw->noise_key, n);
    double fade = elementary_exp10(-3 / (seconds * s->rate_hz)), level = 1, energy = 1e-30;
    for (size_t i = 1; i < n; i++) {
        level *= fade;
        h[i] = (float)(level * (double)h[i]);
        energy += (double)h[i] * (double)h[i];
    }
    double scale = sqrt(elementary_exp10(wet_db / 10) / energy);
    for (size_t i = 1; i < n; i++)
        h[i] = (float)(scale * (double)h[i]);
    h[0] = 1;
    *out_response = h;
    return n;
}

/* audiomentations' ApplyImpulseResponse: the whole of it, tail included, scaled to a peak of 0.5,
 * then cut. */
static bool reverb_apply(struct augment_scratch *s, const struct augment_draw *draw, float *x,
                         size_t n, struct err *e)
{
    (void)e;
    float *response;
    size_t n_response = room_response(s, draw, &response);
    if (!s->convolve)
        s->convolve = convolve_new(s->simd);
    const double *y = convolve_apply(s->convolve, x, n, response, n_response);
    double most = 0;
    for (size_t i = 0; i < n + n_response - 1; i++)
        most = fmax(most, fabs(y[i]));
    double scale = most > 0 ? 0.5 / most : 1;
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(y[i] * scale);
    return true;
}

static bool band_pass_apply(struct augment_scratch *s, const struct augment_draw *draw, float *x,
                            size_t n, struct err *e)
{
    struct filter f;
    double center_hz = draw->values[0], width_hz = draw->values[1] * center_hz;
    double low_hz = center_hz - width_hz / 2, high_hz = center_hz + width_hz / 2;
    double top_hz = s->rate_hz / 2.0;
    if (low_hz >= top_hz * 0.999)
        return err_set(e, ERR_PERM, "a band from %g Hz on lies above half of %u Hz", low_hz,
                       s->rate_hz);
    filter_band_pass(&f, (unsigned)draw->values[2], low_hz,
                     high_hz > top_hz ? top_hz * 0.9999 : high_hz, s->rate_hz);
    filter_apply(&f, x, n);
    return true;
}

/* ---------------------------------------------------------------- table */

#define ONE(name, min, max) {{name, min, max, false, false}}, 1

const struct augment_kind augment_kinds[] = {
    {"gaussian_noise", ONE("amplitude", 1e-9, 10), true, false, gaussian_noise_apply},
    {"gaussian_snr", ONE("db", -60, 120), true, false, gaussian_snr_apply},
    {"gain", ONE("db", -120, 120), false, false, gain_apply},
    {"time_stretch", ONE("rate", 0.1, 10), false, true, time_stretch_apply},
    {"pitch_shift", ONE("semitones", -24, 24), false, true, pitch_shift_apply},
    {"clipping", {{"percent", 0, 100, true, false}}, 1, false, false, clipping_apply},
    {"shift", ONE("fraction", -1, 1), false, false, shift_apply},
    {"polarity", {{0}}, 0, false, false, polarity_apply},
    {"band_pass",
     {{"center", 10, 20000, false, true},
      {"width", 0.01, 1.99, false, false},
      {"order", 1, FILTER_SECTIONS_MAX, true, false}},
     3,
     false,
     false,
     band_pass_apply},
    {"reverb",
     {{"seconds", 0.01, 5, false, false}, {"wet", -60, 40, false, false}},
     2,
     true,
     false,
     reverb_apply},
};
const size_t augment_n_kinds = ARRAY_LEN(augment_kinds);

const struct augment_kind *augment_kind_find(const char *name, size_t name_bytes)
{
    for (size_t i = 0; i < augment_n_kinds; i++) {
        const char *have = augment_kinds[i].name;
        if (strlen(have) == name_bytes && memcmp(have, name, name_bytes) == 0)
            return &augment_kinds[i];
    }
    return NULL;
}
