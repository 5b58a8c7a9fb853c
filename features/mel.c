#include "features/mel.h"

#include "base/mem.h"
#include "features/elementary.h"

#include <math.h>

/* Slaney, "Auditory Toolbox" (1998), as in librosa.core.convert.hz_to_mel. */
static const double HZ_PER_MEL = 200.0 / 3;
static const double LOG_FROM_HZ = 1000.0;

static double log_from_mel(void)
{
    return LOG_FROM_HZ / HZ_PER_MEL;
}

static double log_step(void)
{
    return elementary_log(6.4) / 27.0;
}

double mel_from_hz(double hz)
{
    if (hz < LOG_FROM_HZ)
        return hz / HZ_PER_MEL;
    return log_from_mel() + elementary_log(hz / LOG_FROM_HZ) / log_step();
}

double mel_to_hz(double mel)
{
    if (mel < log_from_mel())
        return HZ_PER_MEL * mel;
    return LOG_FROM_HZ * elementary_exp(log_step() * (mel - log_from_mel()));
}

/* O'Shaughnessy, as in HTK; librosa.core.convert.hz_to_mel(htk=True). */
static const double HTK_MEL_PER_LN = 2595 / 2.30258509299404568402;

double mel_scale_from_hz(enum feature_mel scale, double hz)
{
    return scale == FEATURE_MEL_SLANEY ? mel_from_hz(hz)
                                       : HTK_MEL_PER_LN * elementary_log(1 + hz / 700);
}

double mel_scale_to_hz(enum feature_mel scale, double mel)
{
    return scale == FEATURE_MEL_SLANEY ? mel_to_hz(mel)
                                       : 700 * (elementary_exp(mel / HTK_MEL_PER_LN) - 1);
}

/* Band edges: n_bands + 2 points evenly spaced in mel, in Hz, or in mel for triangles over mel. */
static double *edges_new(uint32_t n_bands, double f_min_hz, double f_max_hz, enum feature_mel scale)
{
    double *edges = mem_alloc((size_t)n_bands + 2, sizeof *edges);
    double from = mel_scale_from_hz(scale, f_min_hz), to = mel_scale_from_hz(scale, f_max_hz);
    double step = (to - from) / (n_bands + 1);
    for (uint32_t i = 0; i <= n_bands + 1; i++) {
        double mel = i <= n_bands ? i * step + from : to;
        edges[i] = scale == FEATURE_MEL_KALDI ? mel : mel_scale_to_hz(scale, mel);
    }
    return edges;
}

/* at: the bin, in the unit of the edges */
static float weight_of(const double edge[3], double at, enum feature_norm norm)
{
    double rising = (at - edge[0]) / (edge[1] - edge[0]);
    double falling = (edge[2] - at) / (edge[2] - edge[1]);
    float w = (float)fmax(0.0, fmin(rising, falling));
    return norm == FEATURE_NORM_NONE ? w : (float)((double)w * (2.0 / (edge[2] - edge[0])));
}

bool mel_bank_init(struct mel_bank *b, uint32_t rate_hz, uint32_t n_fft, uint32_t n_bands,
                   double f_min_hz, double f_max_hz, struct err *e)
{
    return mel_bank_init_as(b, rate_hz, n_fft, n_bands, f_min_hz, f_max_hz, FEATURE_MEL_SLANEY,
                            FEATURE_NORM_SLANEY, e);
}

static bool check_bands(uint32_t rate_hz, uint32_t n_fft, uint32_t n_bands, double f_min_hz,
                        double f_max_hz, struct err *e)
{
    if (!(f_min_hz >= 0 && f_min_hz < f_max_hz && f_max_hz <= rate_hz / 2.0))
        return err_set(e, ERR_USAGE,
                       "mel bands from %g to %g Hz: it must be 0 <= f_min < f_max <= %g", f_min_hz,
                       f_max_hz, rate_hz / 2.0);
    if (n_bands == 0 || n_bands > n_fft)
        return err_set(e, ERR_USAGE, "%u mel bands: it must be from 1 to n_fft = %u", n_bands,
                       n_fft);
    return true;
}

/* The bins' places, in the unit of the edges. */
static double *places_new(uint32_t rate_hz, uint32_t n_fft, enum feature_mel scale)
{
    uint32_t n_bins = n_fft / 2 + 1;
    double bin_hz = 1.0 / (n_fft * (1.0 / rate_hz)); /* numpy.fft.rfftfreq's order of operations */
    double *at = mem_alloc(n_bins, sizeof *at);
    for (uint32_t k = 0; k < n_bins; k++)
        at[k] = scale == FEATURE_MEL_KALDI ? mel_scale_from_hz(scale, k * bin_hz) : k * bin_hz;
    return at;
}

bool mel_bank_init_as(struct mel_bank *b, uint32_t rate_hz, uint32_t n_fft, uint32_t n_bands,
                      double f_min_hz, double f_max_hz, enum feature_mel scale,
                      enum feature_norm norm, struct err *e)
{
    *b = (struct mel_bank){.n_bands = n_bands};
    if (!check_bands(rate_hz, n_fft, n_bands, f_min_hz, f_max_hz, e))
        return false;
    double *edges = edges_new(n_bands, f_min_hz, f_max_hz, scale);
    double *at = places_new(rate_hz, n_fft, scale);
    uint32_t n_bins = n_fft / 2 + 1;
    b->bands = mem_zalloc(n_bands, sizeof *b->bands);
    /* A bin lies under two triangles at most, except that bands narrower than a bin add nothing. */
    b->weights = mem_alloc(2 * (size_t)n_bins, sizeof *b->weights);
    for (uint32_t i = 0; i < n_bands; i++) {
        struct mel_band *band = &b->bands[i];
        band->weight_i = (uint32_t)b->n_weights;
        for (uint32_t k = 0; k < n_bins; k++) {
            float w = weight_of(edges + i, at[k], norm);
            if (w <= 0)
                continue;
            if (band->n_bins == 0)
                band->first_bin = k;
            assert(band->first_bin + band->n_bins == k);
            assert(b->n_weights < 2 * (size_t)n_bins);
            band->n_bins++;
            b->weights[b->n_weights++] = w;
        }
    }
    mem_free(edges);
    mem_free(at);
    return true;
}

void mel_bank_release(struct mel_bank *b)
{
    mem_free(b->bands);
    mem_free(b->weights);
    *b = (struct mel_bank){0};
}

LANE_BODY void apply_body(const struct mel_bank *b, const struct lane_f32 *power,
                          struct lane_f32 *out)
{
    for (uint32_t i = 0; i < b->n_bands; i++) {
        const struct mel_band *band = &b->bands[i];
        const struct lane_f32 *p = power + band->first_bin;
        const double *w = b->weights + band->weight_i;
        struct lane_f64 even = {{0}}, odd = {{0}};
        uint32_t k = 0;
        for (; k + 1 < band->n_bins; k += 2) {
            const float *two =
                (const float *)&p[k]; /* widened together: whole vectors of each width */
            double wide[2 * LANES];
            LANE_LOOP
            for (size_t l = 0; l < 2 * LANES; l++)
                wide[l] = (double)two[l];
            LANE_LOOP
            for (size_t l = 0; l < LANES; l++)
                even.at[l] += wide[l] * w[k];
            LANE_LOOP
            for (size_t l = 0; l < LANES; l++)
                odd.at[l] += wide[LANES + l] * w[k + 1];
        }
        if (k < band->n_bins) {
            LANE_LOOP
            for (size_t l = 0; l < LANES; l++)
                even.at[l] += (double)p[k].at[l] * w[k];
        }
        LANE_LOOP
        for (size_t l = 0; l < LANES; l++)
            out[i].at[l] = (float)(even.at[l] + odd.at[l]);
    }
}
LANE_VERSIONS(apply, (const struct mel_bank *b, const struct lane_f32 *power, struct lane_f32 *out),
              (b, power, out))

void mel_apply(const struct mel_bank *b, enum simd simd, const struct lane_f32 *power,
               struct lane_f32 *out)
{
    LANE_CALL(simd, apply, (b, power, out));
}
