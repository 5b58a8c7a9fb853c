#include "features/chroma.h"

#include "base/mem.h"
#include "features/elementary.h"
#include "features/logmel_plan.h"
#include "features/stft.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

enum { N_FFT = 2048, BINS = N_FFT / 2 + 1 };

/* librosa.piptrack's defaults: peaks between these, above a share of their frame's largest. */
static const double PEAK_MIN_HZ = 150, PEAK_MAX_HZ = 4000;
static const float PEAK_SHARE = 0.1F;

struct chroma_plan {
    struct stft_plan stft;
    enum simd simd;
};

struct peak {
    float hz, level;
};

struct chroma {
    const struct chroma_plan *plan;
    struct stft stft;
    struct lane_f32 *power; /* (BINS) */
    float *weights;         /* (CHROMA_ROWS, BINS), of the present clip's tuning */
    struct peak *peaks;
    float *levels; /* of the peaks, to be sorted */
    size_t n_peaks, cap_peaks;
};

bool chroma_plan_new(enum simd simd, struct chroma_plan **out, struct err *e)
{
    struct chroma_plan *p = mem_zalloc(1, sizeof *p);
    p->simd = simd;
    if (!stft_plan_init(&p->stft, N_FFT, CHROMA_HOP, simd, e)) {
        chroma_plan_free(p);
        return false;
    }
    *out = p;
    return true;
}

void chroma_plan_free(struct chroma_plan *p)
{
    if (!p)
        return;
    stft_plan_release(&p->stft);
    mem_free(p);
}

struct chroma *chroma_new(const struct chroma_plan *plan)
{
    struct chroma *s = mem_zalloc(1, sizeof *s);
    s->plan = plan;
    stft_init(&s->stft, &plan->stft);
    s->power = mem_alloc_aligned(BINS, sizeof *s->power);
    s->weights = mem_alloc_aligned((size_t)CHROMA_ROWS * BINS, sizeof *s->weights);
    return s;
}

void chroma_free(struct chroma *s)
{
    if (!s)
        return;
    stft_release(&s->stft);
    mem_free(s->power);
    mem_free(s->weights);
    mem_free(s->peaks);
    mem_free(s->levels);
    mem_free(s);
}

/* ---------------------------------------------------------------- tuning */

static double log2_of(double x)
{
    return elementary_log(x) / 0.69314718055994530942;
}

static void peak_add(struct chroma *s, float hz, float level)
{
    if (s->n_peaks == s->cap_peaks) {
        s->cap_peaks = size_max(1024, 2 * s->cap_peaks);
        s->peaks = mem_resize(s->peaks, s->cap_peaks, sizeof *s->peaks);
        s->levels = mem_resize(s->levels, s->cap_peaks, sizeof *s->levels);
    }
    s->levels[s->n_peaks] = level;
    s->peaks[s->n_peaks++] = (struct peak){hz, level};
}

/* librosa.piptrack on powers, in float as there. */
static void peaks_find(struct chroma *s, size_t lane)
{
    const double bin_hz = (double)CHROMA_RATE_HZ / N_FFT;
    float most = 0;
    for (size_t k = 0; k < BINS; k++)
        most = fmaxf(most, s->power[k].at[lane]);
    const float least = PEAK_SHARE * most;
    for (size_t k = 1; k + 1 < BINS; k++) {
        double hz = (double)k * bin_hz;
        float left = s->power[k - 1].at[lane], x = s->power[k].at[lane];
        float right = s->power[k + 1].at[lane];
        bool is_peak =
            x > least && x > (left > least ? left : 0) && x >= (right > least ? right : 0);
        if (hz < PEAK_MIN_HZ || hz >= PEAK_MAX_HZ || !is_peak)
            continue;
        float curve = right + left - 2 * x, slope = (right - left) / 2;
        float shift = fabsf(slope) >= fabsf(curve) ? 0 : -slope / curve;
        peak_add(s, (float)(((double)k + (double)shift) * bin_hz), x + 0.5F * slope * shift);
    }
}

static int float_compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* librosa.pitch_tuning at a resolution of 0.01: in twelfths of an octave, -0.5 to 0.5. */
static double tuning_of(struct chroma *s)
{
    enum { STEPS = 100 };
    size_t counts[STEPS] = {0}, n = s->n_peaks, best = 0;
    if (n == 0)
        return 0;
    qsort(s->levels, n, sizeof *s->levels, float_compare);
    float median = n % 2 == 1 ? s->levels[n / 2] : (s->levels[n / 2 - 1] + s->levels[n / 2]) / 2;
    for (size_t i = 0; i < n; i++) {
        if (s->peaks[i].level < median)
            continue;
        float octaves = (float)log2_of((double)(s->peaks[i].hz / 27.5F)); /* above A0 */
        float steps = 12 * octaves, residual = steps - floorf(steps);
        if (residual >= 0.5F)
            residual -= 1;
        size_t at = size_min((size_t)(((double)residual + 0.5) * STEPS), STEPS - 1);
        while (at > 0 && (double)residual < -0.5 + 0.01 * (double)at)
            at--;
        while (at + 1 < STEPS && (double)residual >= -0.5 + 0.01 * (double)(at + 1))
            at++;
        counts[at]++;
    }
    for (size_t i = 1; i < STEPS; i++)
        if (counts[i] > counts[best])
            best = i;
    return -0.5 + 0.01 * (double)best;
}

/* ---------------------------------------------------------------- filter bank */

/* Twelfths of an octave above A0; bin 0 stands one and a half octaves below bin 1. */
static double place_of(size_t bin, double tuning)
{
    double a0_hz = 440.0 * elementary_exp2(tuning / 12) / 16;
    double hz = (double)size_max(bin, 1) * ((double)CHROMA_RATE_HZ / N_FFT);
    return 12 * log2_of(hz / a0_hz) - (bin == 0 ? 1.5 * 12 : 0);
}

/* librosa.filters.chroma: bumps a pitch class wide or as wide as the bin, columns of length 1,
 * weighted by a bump two octaves wide around the fifth octave; row 0 is C. */
static void weights_make(struct chroma *s, double tuning)
{
    for (size_t k = 0; k < BINS; k++) {
        double place = place_of(k, tuning), width = fmax(place_of(k + 1, tuning) - place, 1);
        double column[CHROMA_ROWS], squares = 0;
        for (size_t c = 0; c < CHROMA_ROWS; c++) {
            double d = place - (double)c + 6 + 120;
            d = d - 12 * floor(d / 12) - 6;
            column[c] = elementary_exp(-0.5 * (2 * d / width) * (2 * d / width));
            squares += column[c] * column[c];
        }
        double octaves = (place / 12 - 5) / 2;
        double weight = elementary_exp(-0.5 * octaves * octaves) / sqrt(squares);
        for (size_t c = 0; c < CHROMA_ROWS; c++) /* class 3 above A is C */
            s->weights[(c + CHROMA_ROWS - 3) % CHROMA_ROWS * BINS + k] =
                (float)(column[c] * weight);
    }
}

LANE_BODY void apply_body(const float *weights, const struct lane_f32 *power, struct lane_f64 *out)
{
    for (size_t c = 0; c < CHROMA_ROWS; c++) {
        struct lane_f64 sum = {{0}};
        for (size_t k = 0; k < BINS; k++) {
            LANE_LOOP
            for (size_t l = 0; l < LANES; l++)
                sum.at[l] += (double)power[k].at[l] * weights[c * BINS + k];
        }
        out[c] = sum;
    }
}
LANE_VERSIONS(apply, (const float *weights, const struct lane_f32 *power, struct lane_f64 *out),
              (weights, power, out))

bool chroma_compute(struct chroma *s, const float *samples, size_t n_samples, float *out,
                    struct err *e)
{
    size_t n_frames = 1 + n_samples / CHROMA_HOP;
    if (!logmel_check_samples(s->plan->simd, samples, n_samples, e))
        return false;
    s->n_peaks = 0;
    for (size_t t = 0; t < n_frames; t += LANES) {
        stft_power(&s->stft, samples, n_samples, t, s->power);
        for (size_t l = 0; l < LANES && t + l < n_frames; l++)
            peaks_find(s, l);
    }
    weights_make(s, tuning_of(s));
    for (size_t t = 0; t < n_frames; t += LANES) {
        struct lane_f64 rows[CHROMA_ROWS];
        stft_power(&s->stft, samples, n_samples, t, s->power);
        LANE_CALL(s->plan->simd, apply, (s->weights, s->power, rows));
        for (size_t l = 0; l < LANES && t + l < n_frames; l++) {
            double most = 0;
            for (size_t c = 0; c < CHROMA_ROWS; c++)
                most = fmax(most, rows[c].at[l]);
            if (most < (double)FLT_MIN) /* librosa.util.normalize leaves it as it is */
                most = 1;
            for (size_t c = 0; c < CHROMA_ROWS; c++)
                out[(t + l) * CHROMA_ROWS + c] = (float)(rows[c].at[l] / most);
        }
    }
    return true;
}
