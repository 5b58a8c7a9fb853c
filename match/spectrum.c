#include "match/spectrum.h"

#include "base/mem.h"
#include "features/elementary.h"
#include "features/stft.h"

#include <math.h>

enum {
    N_FFT = 8192,
    BINS = N_FFT / 2 + 1,
    PER_SEMITONE = 3,
    FINE = (SPECTRUM_SEMITONES + 2) * PER_SEMITONE, /* one semitone more at each end */
    TAPS_HALF = 4,                                  /* of the second Gaussian */
};

/* Standard deviations: of the bank in semitones and at least in bins, so that no filter falls
 * between two; of the second Gaussian in semitones. */
static const double FINE_SEMITONES = 0.2, FINE_BINS = 0.6, TUNED_SEMITONES = 0.4;
static const double REACH = 3; /* a Gaussian ends at this many deviations */
static const double PI = 3.14159265358979323846;

struct filter {
    size_t first_bin, n_bins;
    float *weights; /* add up to 1 */
};

struct spectrum_maker {
    struct stft_plan plan;
    struct stft stft;
    struct filter filters[FINE];
    enum simd simd;
    struct lane_f32 *power; /* (BINS) */
    float *fine;            /* (n_frames, FINE) */
    size_t cap_fine;
};

void spectrum_release(struct spectrum *s)
{
    mem_free(s->levels);
    *s = (struct spectrum){0};
}

static double fine_hz(size_t i)
{
    double midi = SPECTRUM_LOW - 1 + (double)i / PER_SEMITONE;
    return 440 * elementary_exp2((midi - 69) / 12);
}

/* A filter that reaches over half the rate is empty. */
static void filter_init(struct filter *f, size_t i)
{
    const double bin_hz = (double)SPECTRUM_RATE_HZ / N_FFT;
    double centre = fine_hz(i) / bin_hz, sum = 0;
    double width = fmax(FINE_BINS, centre * FINE_SEMITONES * 0.057762265); /* ln 2 / 12 */
    double from = ceil(centre - REACH * width), to = floor(centre + REACH * width);
    *f = (struct filter){0};
    if (to >= BINS)
        return;
    f->first_bin = (size_t)from;
    f->n_bins = (size_t)(to - from) + 1;
    f->weights = mem_alloc(f->n_bins, sizeof *f->weights);
    for (int pass = 0; pass < 2; pass++)
        for (size_t k = 0; k < f->n_bins; k++) {
            double d = ((double)(f->first_bin + k) - centre) / width;
            double w = elementary_exp(-0.5 * d * d);
            if (pass == 0)
                sum += w;
            else
                f->weights[k] = (float)(w / sum);
        }
}

bool spectrum_maker_new(enum simd simd, struct spectrum_maker **out, struct err *e)
{
    struct spectrum_maker *m = mem_zalloc(1, sizeof *m);
    m->simd = simd;
    if (!stft_plan_init(&m->plan, N_FFT, SPECTRUM_HOP, simd, e)) {
        mem_free(m);
        return false;
    }
    stft_init(&m->stft, &m->plan);
    m->power = mem_alloc_aligned(BINS, sizeof *m->power);
    for (size_t i = 0; i < FINE; i++)
        filter_init(&m->filters[i], i);
    *out = m;
    return true;
}

void spectrum_maker_free(struct spectrum_maker *m)
{
    if (!m)
        return;
    stft_release(&m->stft);
    stft_plan_release(&m->plan);
    for (size_t i = 0; i < FINE; i++)
        mem_free(m->filters[i].weights);
    mem_free(m->power);
    mem_free(m->fine);
    mem_free(m);
}

/* ---------------------------------------------------------------- bank */

LANE_BODY void bank_body(const struct filter *filters, struct lane_f32 *bins, struct lane_f32 *out)
{
    for (size_t k = 0; k < BINS; k++) {
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++)
            bins[k].at[l] = sqrtf(bins[k].at[l]);
    }
    for (size_t i = 0; i < FINE; i++) {
        const struct filter *f = &filters[i];
        struct lane_f32 sum = {{0}};
        for (size_t k = 0; k < f->n_bins; k++) {
            LANE_LOOP
            for (size_t l = 0; l < LANES; l++)
                sum.at[l] += f->weights[k] * bins[f->first_bin + k].at[l];
        }
        out[i] = sum;
    }
}
LANE_VERSIONS(bank, (const struct filter *filters, struct lane_f32 *bins, struct lane_f32 *out),
              (filters, bins, out))

static void fine_make(struct spectrum_maker *m, const float *samples, size_t n_samples,
                      size_t n_frames)
{
    struct lane_f32 rows[FINE];
    for (size_t t = 0; t < n_frames; t += LANES) {
        stft_power(&m->stft, samples, n_samples, t, m->power);
        LANE_CALL(m->simd, bank, (m->filters, m->power, rows));
        for (size_t l = 0; l < LANES && t + l < n_frames; l++)
            for (size_t i = 0; i < FINE; i++)
                m->fine[(t + l) * FINE + i] = rows[i].at[l];
    }
}

/* ---------------------------------------------------------------- tuning */

/* The first quarter of a period is what three samples a semitone allow; the mean spectrum is taken
 * from its local level, so that loud regions do not decide alone. */
static double tuning_of(const float *fine, size_t n_frames)
{
    double mean[FINE] = {0}, re = 0, im = 0;
    for (size_t t = 0; t < n_frames; t++)
        for (size_t i = 0; i < FINE; i++)
            mean[i] += fine[t * FINE + i];
    for (size_t i = 6 * PER_SEMITONE; i + 6 * PER_SEMITONE < FINE; i++) {
        double local = 0;
        for (size_t k = i - 2 * PER_SEMITONE; k <= i + 2 * PER_SEMITONE; k++)
            local += mean[k];
        if (local <= 0)
            continue;
        double angle = 2 * PI * (double)(i % PER_SEMITONE) / PER_SEMITONE;
        re += mean[i] / local * elementary_cos(angle > PI ? angle - 2 * PI : angle);
        im += mean[i] / local * elementary_sin(angle > PI ? angle - 2 * PI : angle);
    }
    return re == 0 && im == 0 ? 0 : atan2(im, re) / (2 * PI);
}

/* ---------------------------------------------------------------- semitones */

/* Weights of the fine bins around a semitone that is off by the tuning. */
static void taps_make(double tuning, float taps[2 * TAPS_HALF + 1])
{
    double sum = 0, w[2 * TAPS_HALF + 1];
    for (int k = -TAPS_HALF; k <= TAPS_HALF; k++) {
        double d = ((double)k / PER_SEMITONE - tuning) / TUNED_SEMITONES;
        sum += w[k + TAPS_HALF] = elementary_exp(-0.5 * d * d);
    }
    for (size_t k = 0; k <= 2 * TAPS_HALF; k++)
        taps[k] = (float)(w[k] / sum);
}

/* Fine bins beyond the ends are missing; what is there counts. */
static void semitones_make(const float *fine, size_t n_frames, const float *taps, float *out)
{
    for (size_t t = 0; t < n_frames; t++)
        for (size_t s = 0; s < SPECTRUM_SEMITONES; s++) {
            size_t centre = (s + 1) * PER_SEMITONE;
            float sum = 0;
            for (size_t k = 0; k <= 2 * TAPS_HALF; k++) {
                size_t at = centre + k - TAPS_HALF;
                if (centre + k >= TAPS_HALF && at < FINE)
                    sum += taps[k] * fine[t * FINE + at];
            }
            out[t * SPECTRUM_SEMITONES + s] = sum;
        }
}

static void compress(float *levels, size_t n)
{
    const double top = elementary_log(1001);
    float most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmaxf(most, levels[i]);
    for (size_t i = 0; i < n; i++)
        levels[i] = most > 0
                        ? (float)(elementary_log(1 + 1000 * (double)levels[i] / (double)most) / top)
                        : 0;
}

void spectrum_make(struct spectrum_maker *m, const float *samples, size_t n_samples,
                   struct spectrum *out)
{
    size_t n_frames = stft_n_frames(&m->plan, n_samples), n = n_frames * SPECTRUM_SEMITONES;
    float taps[2 * TAPS_HALF + 1];
    if (n_frames > m->cap_fine) {
        m->fine = mem_resize(m->fine, n_frames * FINE, sizeof *m->fine);
        m->cap_fine = n_frames;
    }
    if (n > out->cap_levels) {
        out->levels = mem_resize(out->levels, n, sizeof *out->levels);
        out->cap_levels = n;
    }
    fine_make(m, samples, n_samples, n_frames);
    double tuning = tuning_of(m->fine, n_frames);
    taps_make(tuning, taps);
    semitones_make(m->fine, n_frames, taps, out->levels);
    compress(out->levels, n);
    out->n_frames = n_frames;
    out->tuning = (float)tuning;
}
