#include "features/cqt.h"

#include "base/mem.h"
#include "features/elementary.h"
#include "features/logmel_plan.h"
#include "features/resample.h"
#include "features/stft.h"

#include <math.h>
#include <stdlib.h>

enum { PER_OCTAVE = 12, OCTAVES = CQT_ROWS / PER_OCTAVE, N_FFT = 256, BINS = N_FFT / 2 + 1 };

static const double PI = 3.14159265358979323846;
static const double SPARSITY = 0.01; /* the share of a filter's weight that is left out */

struct filter {
    size_t first_bin, n_bins;
    double re[BINS], im[BINS];
    double length; /* samples, not whole */
};

struct cqt_plan {
    struct stft_plan stft[OCTAVES]; /* from the top octave down: hops 512, 256, ... 8 */
    struct filter filters[PER_OCTAVE];
    enum simd simd;
};

struct cqt {
    const struct cqt_plan *plan;
    struct lane_cpx *bins;
    float *octave, *next; /* the signal at the present rate, and at half of it */
    size_t cap_samples;
};

/* ---------------------------------------------------------------- plan */

/* Bin of the top octave; the others are whole octaves below. C1 is 45 half tones below A4. */
static double bin_hz(size_t i)
{
    return 440 * elementary_exp2(((double)((OCTAVES - 1) * PER_OCTAVE + i) - 45) / PER_OCTAVE);
}

static double filter_length(size_t i)
{
    double r = elementary_exp2(2.0 / PER_OCTAVE);
    return (r + 1) / (r - 1) * CQT_RATE_HZ / bin_hz(i);
}

/* librosa.filters.wavelet: a periodic Hann window times a phasor, absolute values adding up to 1,
 * in the middle of N_FFT samples. Returns its spectrum at a bin. */
static void filter_spectrum(size_t i, double length, double re[BINS], double im[BINS])
{
    double from = floor(-length / 2), sum = 0;
    size_t n = (size_t)(floor(length / 2) - from), left = (N_FFT - n) / 2;
    assert(n <= N_FFT);
    double window[N_FFT];
    for (size_t k = 0; k < n; k++) {
        window[k] = 0.5 + 0.5 * elementary_cos((double)k * (2 * PI / (double)n) - PI);
        sum += window[k];
    }
    for (size_t bin = 0; bin < BINS; bin++) {
        re[bin] = im[bin] = 0;
        for (size_t k = 0; k < n; k++) {
            double turns = (from + (double)k) * bin_hz(i) / CQT_RATE_HZ -
                           (double)((left + k) * bin % N_FFT) / N_FFT;
            double a = (turns - rint(turns)) * 2 * PI;
            re[bin] += window[k] * elementary_cos(a);
            im[bin] += window[k] * elementary_sin(a);
        }
        re[bin] *= length / N_FFT / sum;
        im[bin] *= length / N_FFT / sum;
    }
}

static int double_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* librosa.util.sparsify_rows: what stays is as large as the first, in order of size, with which
 * SPARSITY of the sum is reached. */
static void filter_init(struct filter *f, size_t i)
{
    double re[BINS], im[BINS], size[BINS], sorted[BINS], sum = 0, share = 0;
    *f = (struct filter){.length = filter_length(i)};
    filter_spectrum(i, f->length, re, im);
    for (size_t k = 0; k < BINS; k++) {
        sorted[k] = size[k] = sqrt(re[k] * re[k] + im[k] * im[k]);
        sum += size[k];
    }
    qsort(sorted, BINS, sizeof *sorted, double_compare);
    size_t at = 0;
    for (; at + 1 < BINS && (share += sorted[at] / sum) < SPARSITY; at++)
        continue;
    for (size_t k = 0; k < BINS; k++) {
        if (size[k] < sorted[at])
            continue;
        if (f->n_bins == 0)
            f->first_bin = k;
        f->n_bins = k - f->first_bin + 1;
        f->re[k - f->first_bin] = re[k]; /* those between that do not stay are 0 */
        f->im[k - f->first_bin] = im[k];
    }
}

bool cqt_plan_new(enum simd simd, struct cqt_plan **out, struct err *e)
{
    struct cqt_plan *p = mem_zalloc(1, sizeof *p);
    p->simd = simd;
    for (uint32_t i = 0; i < OCTAVES; i++) {
        const struct stft_form form = {
            .n_fft = N_FFT, .hop = CQT_HOP >> i, .window = FEATURE_RECTANGULAR};
        if (!stft_plan_init_as(&p->stft[i], &form, simd, e)) {
            cqt_plan_free(p);
            return false;
        }
    }
    for (size_t i = 0; i < PER_OCTAVE; i++)
        filter_init(&p->filters[i], i);
    *out = p;
    return true;
}

void cqt_plan_free(struct cqt_plan *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < OCTAVES; i++)
        stft_plan_release(&p->stft[i]);
    mem_free(p);
}

struct cqt *cqt_new(const struct cqt_plan *plan)
{
    struct cqt *s = mem_zalloc(1, sizeof *s);
    s->plan = plan;
    s->bins = mem_alloc_aligned(BINS, sizeof *s->bins);
    return s;
}

void cqt_free(struct cqt *s)
{
    if (!s)
        return;
    mem_free(s->bins);
    mem_free(s->octave);
    mem_free(s->next);
    mem_free(s);
}

/* ---------------------------------------------------------------- transform */

LANE_BODY void filter_body(const struct filter *f, const struct lane_cpx *bins, double scale,
                           struct lane_f64 *out)
{
    struct lane_cpx sum = {{0}, {0}};
    for (size_t k = 0; k < f->n_bins; k++) {
        const struct lane_cpx *x = &bins[f->first_bin + k];
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++) {
            sum.re[l] += f->re[k] * x->re[l] - f->im[k] * x->im[l];
            sum.im[l] += f->re[k] * x->im[l] + f->im[k] * x->re[l];
        }
    }
    LANE_LOOP
    for (size_t l = 0; l < LANES; l++)
        out->at[l] = sqrt(sum.re[l] * sum.re[l] + sum.im[l] * sum.im[l]) * scale;
}
LANE_VERSIONS(filter,
              (const struct filter *f, const struct lane_cpx *bins, double scale,
               struct lane_f64 *out),
              (f, bins, scale, out))

/* Rows of one octave, the top one 0, from the signal at its rate. */
static void octave_compute(struct cqt *s, size_t octave_i, size_t n_samples, size_t n_frames,
                           float *out)
{
    const struct cqt_plan *p = s->plan;
    struct stft stft;
    stft_init(&stft, &p->stft[octave_i]);
    size_t first_row = (OCTAVES - 1 - octave_i) * PER_OCTAVE;
    /* sqrt(rate / rate here) on the filter, divided by the root of its length at the full rate,
     * which is longer by the same factor. */
    for (size_t t = 0; t < n_frames; t += LANES) {
        stft_bins(&stft, s->octave, n_samples, t, s->bins);
        for (size_t i = 0; i < PER_OCTAVE; i++) {
            struct lane_f64 row;
            LANE_CALL(p->simd, filter,
                      (&p->filters[i], s->bins, 1 / sqrt(p->filters[i].length), &row));
            for (size_t l = 0; l < LANES && t + l < n_frames; l++)
                out[(t + l) * CQT_ROWS + first_row + i] = (float)row.at[l];
        }
    }
    stft_release(&stft);
}

/* Half the rate, louder by the root of 2: librosa.resample(scale=True) keeps energies. */
static bool halve(struct cqt *s, size_t *n_samples, struct err *e)
{
    size_t n = resample_n_out(*n_samples, 2, 1);
    if (!resample(s->octave, *n_samples, 2, 1, s->next, e))
        return false;
    for (size_t i = 0; i < n; i++)
        s->octave[i] = s->next[i] / (float)sqrt(0.5);
    *n_samples = n;
    return true;
}

bool cqt_compute(struct cqt *s, const float *samples, size_t n_samples, float *out, struct err *e)
{
    size_t n_frames = 1 + n_samples / CQT_HOP, n = n_samples;
    if (!logmel_check_samples(s->plan->simd, samples, n_samples, e))
        return false;
    if (n_samples == 0)
        return err_set(e, ERR_PERM, "a signal of no samples has no constant-Q transform");
    if (n_samples > s->cap_samples) {
        s->octave = mem_resize(s->octave, n_samples, sizeof *s->octave);
        s->next = mem_resize(s->next, n_samples, sizeof *s->next);
        s->cap_samples = n_samples;
    }
    memcpy(s->octave, samples, n_samples * sizeof *samples);
    for (size_t i = 0; i < OCTAVES; i++) {
        octave_compute(s, i, n, n_frames, out);
        if (i + 1 < OCTAVES && !halve(s, &n, e))
            return false;
    }
    return true;
}
