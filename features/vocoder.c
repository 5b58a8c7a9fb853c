/*
 * Input columns are analysed eight at a time and kept as (magnitude, unit vector) by bin; the two
 * batches around the reading position are at hand. Each output column interpolates two magnitudes
 * and turns the bin's vector; eight output columns are transformed back together and overlap-added.
 * Everything is double until the last division by the sum of squared windows.
 */
#include "features/vocoder.h"

#include "base/mem.h"
#include "features/lane_math.h"
#include "features/stft.h"

#include <math.h>
#include <string.h>

enum {
    N_BINS = VOCODER_N_FFT / 2 + 1,
    N_PADDED = (N_BINS + LANES - 1) / LANES * LANES, /* bins, to whole vectors */
    OVERLAP = VOCODER_N_FFT / VOCODER_HOP,
};
static const double PI = 3.14159265358979323846;
static_assert(VOCODER_N_FFT / 2 % VOCODER_HOP == 0, "samples begin where a hop begins");

/* One column of the STFT in polar form; a zero bin has magnitude 0 and direction 1, as angle(0) is
 * 0 in NumPy. VOCODER_F32 keeps the angle, in radians, in re. */
struct column {
    double mag[N_PADDED], re[N_PADDED], im[N_PADDED];
};

struct vocoder {
    struct stft_plan plan;
    struct stft stft;
    struct lane_cpx bins[N_BINS];     /* eight columns of the input */
    struct lane_cpx out_bins[N_BINS]; /* and of the output */
    struct lane_f64 frames[VOCODER_N_FFT];
    struct column columns[2][LANES]; /* batch b of the input in columns[b % 2] */
    size_t batch_i[2];               /* which batch is there */
    struct column out[LANES];        /* mag unused */
    struct column turning;           /* directions of the output; mag unused */
    enum vocoder_mode mode;          /* of this call */
    double advance[N_PADDED];        /* radians a hop, of each bin's middle */
    double norm[VOCODER_HOP];        /* sum of squared windows away from the ends */
    double *sum;                     /* overlap-add of the output, from -n_fft / 2 on */
    size_t cap_sum;
};

struct vocoder *vocoder_new(enum simd simd)
{
    struct vocoder *v = mem_alloc_aligned(1, sizeof *v);
    memset(v, 0, sizeof *v);
    struct err e = {0};
    bool ok = stft_plan_init(&v->plan, VOCODER_N_FFT, VOCODER_HOP, simd, &e);
    assert(ok); /* the lengths are constants that the transform takes */
    stft_init(&v->stft, &v->plan);
    for (size_t t = 0; t < OVERLAP; t++)
        for (size_t i = 0; i < VOCODER_HOP; i++) {
            double w = v->plan.window[(OVERLAP - 1 - t) * VOCODER_HOP + i];
            v->norm[i] += w * w;
        }
    /* As numpy.fft.rfftfreq(2048, 1 / (2 pi)) and librosa order the operations. */
    double bin_radians = 1.0 / (VOCODER_N_FFT * (1.0 / (2 * PI)));
    for (size_t k = 0; k < N_BINS; k++)
        v->advance[k] = VOCODER_HOP * ((double)k * bin_radians);
    return v;
}

void vocoder_free(struct vocoder *v)
{
    if (!v)
        return;
    stft_release(&v->stft);
    stft_plan_release(&v->plan);
    mem_free(v->sum);
    mem_free(v);
}

size_t vocoder_n_out(size_t n_in, double rate)
{
    assert(rate > 0);
    return (size_t)rint((double)n_in / rate);
}

/* ---------------------------------------------------------------- analysis */

/* bins become (direction), mag the magnitudes. */
LANE_BODY void polar_body(struct lane_cpx *bins, struct lane_f64 *mag)
{
    for (size_t k = 0; k < N_BINS; k++) {
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++) {
            double re = bins[k].re[l], im = bins[k].im[l];
            double size = sqrt(re * re + im * im);
            double none = size > 0 ? 0.0 : 1.0;
            double scale = 1 / (size + none);
            mag[k].at[l] = size;
            bins[k].re[l] = re * scale + none;
            bins[k].im[l] = im * scale;
        }
    }
}
LANE_VERSIONS(polar, (struct lane_cpx * bins, struct lane_f64 *mag), (bins, mag))

/* The same as float32, the angle in bins.re. */
LANE_BODY void polar_f32_body(struct lane_cpx *bins, struct lane_f64 *mag)
{
    for (size_t k = 0; k < N_BINS; k++) {
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++) {
            double re = (double)(float)bins[k].re[l], im = (double)(float)bins[k].im[l];
            mag[k].at[l] = (double)(float)sqrt(re * re + im * im);
            bins[k].re[l] = (double)(float)lane_angle(im, re);
        }
    }
}
LANE_VERSIONS(polar_f32, (struct lane_cpx * bins, struct lane_f64 *mag), (bins, mag))

/* Eight bins at a time, so that the lines read stay in the first-level cache. */
static void columns_store(struct vocoder *v, const struct lane_f64 *mag, struct column *columns)
{
    for (size_t from = 0; from < N_BINS; from += LANES)
        for (size_t l = 0; l < LANES; l++) {
            struct column *c = &columns[l];
            size_t to = size_min(from + LANES, N_BINS);
            for (size_t k = from; k < to; k++) {
                c->mag[k] = mag[k].at[l];
                c->re[k] = v->bins[k].re[l];
                c->im[k] = v->bins[k].im[l];
            }
        }
}

static void batch_analyse(struct vocoder *v, const float *in, size_t n_in, size_t batch_i)
{
    struct column *columns = v->columns[batch_i % 2];
    size_t n_columns = stft_n_frames(&v->plan, n_in);
    v->batch_i[batch_i % 2] = batch_i;
    stft_bins(&v->stft, in, n_in, batch_i * LANES, v->bins);
    struct lane_f64 *mag = v->frames; /* free at this time */
    static_assert((int)VOCODER_N_FFT >= (int)N_BINS, "magnitudes fit");
    if (v->mode == VOCODER_F32)
        LANE_CALL(v->plan.simd, polar_f32, (v->bins, mag));
    else
        LANE_CALL(v->plan.simd, polar, (v->bins, mag));
    columns_store(v, mag, columns);
    /* librosa appends columns of zeros to those of the signal. */
    for (size_t l = 0; l < LANES; l++)
        if (batch_i * LANES + l >= n_columns)
            for (size_t k = 0; k < N_BINS; k++) {
                columns[l].mag[k] = columns[l].im[k] = 0;
                columns[l].re[k] = v->mode == VOCODER_F32 ? 0 : 1;
            }
}

static const struct column *column_get(struct vocoder *v, const float *in, size_t n_in, size_t i)
{
    size_t batch_i = i / LANES;
    if (v->batch_i[batch_i % 2] != batch_i)
        batch_analyse(v, in, n_in, batch_i);
    return &v->columns[batch_i % 2][i % LANES];
}

/* ---------------------------------------------------------------- synthesis */

/* out = turning * ((1 - alpha) |a| + alpha |b|); then turning *= direction(b) / direction(a). */
LANE_BODY void turn_body(struct column *turning, const struct column *a, const struct column *b,
                         double alpha, double *out_re, double *out_im)
{
    for (size_t from = 0; from < N_PADDED; from += LANES) {
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++) {
            size_t k = from + l;
            double mag = (1 - alpha) * a->mag[k] + alpha * b->mag[k];
            double re = turning->re[k], im = turning->im[k];
            double by_re = b->re[k] * a->re[k] + b->im[k] * a->im[k];
            double by_im = b->im[k] * a->re[k] - b->re[k] * a->im[k];
            out_re[k] = re * mag;
            out_im[k] = im * mag;
            turning->re[k] = re * by_re - im * by_im;
            turning->im[k] = re * by_im + im * by_re;
        }
    }
}
LANE_VERSIONS(turn,
              (struct column * turning, const struct column *a, const struct column *b,
               double alpha, double *out_re, double *out_im),
              (turning, a, b, alpha, out_re, out_im))

/* librosa.phase_vocoder's lines in its types: phase and complex values float32, the rest float64.
 */
LANE_BODY void turn_f32_body(struct column *turning, const struct column *a, const struct column *b,
                             const double *advance, double alpha, double *out_re, double *out_im)
{
    const double turn = 2 * PI;
    for (size_t from = 0; from < N_PADDED; from += LANES) {
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++) {
            size_t k = from + l;
            double mag = (1 - alpha) * a->mag[k] + alpha * b->mag[k], c, s;
            double phase = turning->re[k];
            lane_cos_sin(phase, &c, &s);
            out_re[k] = (double)(float)((double)(float)c * mag);
            out_im[k] = (double)(float)((double)(float)s * mag);
            double step = (double)(float)(b->re[k] - a->re[k]) - advance[k];
            step -= turn * lane_round(step / turn);
            turning->re[k] = (double)(float)(phase + (advance[k] + step));
        }
    }
}
LANE_VERSIONS(turn_f32,
              (struct column * turning, const struct column *a, const struct column *b,
               const double *advance, double alpha, double *out_re, double *out_im),
              (turning, a, b, advance, alpha, out_re, out_im))

/* The output columns at reading positions (from + l) * rate into v->out_bins, l < n. */
static void columns_make(struct vocoder *v, const float *in, size_t n_in, double rate, size_t from,
                         size_t n)
{
    for (size_t l = 0; l < n; l++) {
        double step = (double)(from + l) * rate;
        size_t i = (size_t)step;
        const struct column *a = column_get(v, in, n_in, i), *b = column_get(v, in, n_in, i + 1);
        struct column *out = &v->out[l];
        double alpha = step - (double)i;
        if (v->mode == VOCODER_F32)
            LANE_CALL(v->plan.simd, turn_f32,
                      (&v->turning, a, b, v->advance, alpha, out->re, out->im));
        else
            LANE_CALL(v->plan.simd, turn, (&v->turning, a, b, alpha, out->re, out->im));
    }
    for (size_t k0 = 0; k0 < N_BINS; k0 += LANES) /* lanes from n on keep what they have, unused */
        for (size_t l = 0; l < n; l++)
            for (size_t k = k0; k < size_min(k0 + LANES, N_BINS); k++) {
                v->out_bins[k].re[l] = v->out[l].re[k];
                v->out_bins[k].im[l] = v->out[l].im[k];
            }
}

static void frames_add(struct vocoder *v, size_t from, size_t n)
{
    for (size_t i0 = 0; i0 < VOCODER_N_FFT; i0 += LANES)
        for (size_t l = 0; l < n; l++) {
            double *sum = v->sum + (from + l) * VOCODER_HOP;
            for (size_t i = i0; i < i0 + LANES; i++)
                sum[i] += v->frames[i].at[l];
        }
}

/* Whether as many windows as can lie over this hop of padded samples. */
static bool norm_is_full(size_t block_i, size_t n_columns)
{
    return block_i + 1 >= OVERLAP && block_i < n_columns;
}

/* Sum of squared windows over padded sample block_i * hop + i of n_columns columns. */
static double norm_at(const struct vocoder *v, size_t block_i, size_t i, size_t n_columns)
{
    double norm = 0;
    size_t first = block_i + 1 >= OVERLAP ? block_i + 1 - OVERLAP : 0;
    for (size_t t = first; t <= block_i && t < n_columns; t++) {
        double w = v->plan.window[(block_i - t) * VOCODER_HOP + i];
        norm += w * w;
    }
    return norm;
}

/* librosa.istft divides where the sum of squared windows is above the smallest normal number. */
static void samples_finish(const struct vocoder *v, size_t n_columns, size_t n_out, float *out)
{
    const double tiny = 2.2250738585072014e-308;
    for (size_t from = 0; from < n_out; from += VOCODER_HOP) {
        size_t block_i = (from + VOCODER_N_FFT / 2) / VOCODER_HOP;
        size_t n = size_min(VOCODER_HOP, n_out - from);
        const double *sum = v->sum + block_i * VOCODER_HOP;
        if (norm_is_full(block_i, n_columns)) {
            for (size_t i = 0; i < n; i++)
                out[from + i] = (float)(sum[i] / v->norm[i]);
            continue;
        }
        for (size_t i = 0; i < n; i++) {
            double norm = norm_at(v, block_i, i, n_columns);
            out[from + i] = (float)(norm > tiny ? sum[i] / norm : sum[i]);
        }
    }
}

void vocoder_stretch(struct vocoder *v, enum vocoder_mode mode, const float *in, size_t n_in,
                     double rate, float *out)
{
    size_t n_out = vocoder_n_out(n_in, rate);
    size_t n_columns = (size_t)ceil((double)stft_n_frames(&v->plan, n_in) / rate);
    size_t n_needed = (n_out + VOCODER_N_FFT + VOCODER_HOP - 1) / VOCODER_HOP;
    n_columns = size_min(n_columns, n_needed);
    /* room for whole batches behind the last needed column */
    size_t n_sum = (n_needed + LANES) * VOCODER_HOP + VOCODER_N_FFT;
    if (n_sum > v->cap_sum) {
        v->sum = mem_resize(v->sum, n_sum, sizeof *v->sum);
        v->cap_sum = n_sum;
    }
    memset(v->sum, 0, n_sum * sizeof *v->sum);
    v->mode = mode;
    v->batch_i[0] = v->batch_i[1] = SIZE_MAX;
    v->turning = *column_get(v, in, n_in, 0);
    for (size_t from = 0; from < n_columns; from += LANES) {
        size_t n_here = size_min(LANES, n_columns - from);
        columns_make(v, in, n_in, rate, from, n_here);
        stft_inverse(&v->stft, v->out_bins, v->frames);
        frames_add(v, from, n_here);
    }
    samples_finish(v, n_columns, n_out, out);
}
