#include "train/baseline.h"

#include "base/mem.h"
#include "train/loss.h"

#include <math.h>

enum { BATCH = 16, LANES = 8, MFCC_COEFFICIENTS = 20 };
#define PI 3.14159265358979323846

const char *baseline_name(enum baseline b)
{
    static const char *const names[BASELINES] = {"mel", "mel_mean", "mfcc_mean", "chroma"};
    assert(b < BASELINES);
    return names[b];
}

size_t baseline_dim(const struct baseline_space *s)
{
    switch (s->kind) {
    case BASELINE_MEL:
        return (size_t)s->n_frames * s->n_mels;
    case BASELINE_MFCC_MEAN:
        return size_min(MFCC_COEFFICIENTS, s->n_mels - 1);
    case BASELINE_CHROMA:
        return (size_t)s->n_frames * CHROMA_CLASSES;
    default:
        return s->n_mels;
    }
}

size_t baseline_tile(const struct baseline_space *s)
{
    return size_max(3, BASELINE_TILE_BYTES / (baseline_dim(s) * sizeof(float)));
}

struct moments {
    double mean, deviation;
};

static struct moments moments_of(const float *x, size_t n)
{
    double sum = 0.0, squares = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i];
    double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    return (struct moments){mean, fmax(sqrt(squares / (double)n), 1e-12)};
}

/* x may be out. */
static void standardise(const float *x, size_t n, float *out)
{
    struct moments s = moments_of(x, n);
    for (size_t i = 0; i < n; i++)
        out[i] = (float)(((double)x[i] - s.mean) / s.deviation);
}

/* (n_mels): the mean over time of the standardised picture. */
static void mean_bands(const struct baseline_space *s, const float *picture, double *bands)
{
    size_t count = (size_t)s->n_frames * s->n_mels;
    struct moments of = moments_of(picture, count);
    for (size_t m = 0; m < s->n_mels; m++)
        bands[m] = 0.0;
    for (size_t i = 0; i < count; i++)
        bands[i % s->n_mels] += ((double)picture[i] - of.mean) / of.deviation / s->n_frames;
}

/* The constant part, coefficient 0, is 0 after standardising and left out. */
static void cepstrum(const double *bands, uint32_t n_mels, size_t n, float *out)
{
    for (size_t k = 1; k <= n; k++) {
        double sum = 0.0;
        for (size_t m = 0; m < n_mels; m++)
            sum += bands[m] * cos(PI * (double)k * ((double)m + 0.5) / n_mels);
        out[k - 1] = (float)(sum * sqrt(2.0 / n_mels));
    }
}

static void scale_to_unit(float *x, size_t dim)
{
    double squares = 0.0;
    for (size_t i = 0; i < dim; i++)
        squares += (double)x[i] * (double)x[i];
    float inverse = (float)(1.0 / fmax(sqrt(squares), 1e-12));
    for (size_t i = 0; i < dim; i++)
        x[i] *= inverse;
}

void baseline_vector(const struct baseline_space *s, const float *picture, float *out)
{
    size_t dim = baseline_dim(s);
    double bands[RECORD_MELS_MAX];
    switch (s->kind) {
    case BASELINE_MEL:
        standardise(picture, dim, out);
        break;
    case BASELINE_CHROMA:
        chroma_fold_picture(s->chroma, picture, s->n_frames, s->n_mels, out);
        standardise(out, dim, out);
        break;
    case BASELINE_MFCC_MEAN:
        mean_bands(s, picture, bands);
        cepstrum(bands, s->n_mels, dim, out);
        break;
    default:
        mean_bands(s, picture, bands);
        for (size_t m = 0; m < dim; m++)
            out[m] = (float)bands[m];
    }
    scale_to_unit(out, dim);
}

bool baseline_keys(const struct baseline_space *s, struct store *store, const uint64_t *keys,
                   size_t n, float *out, struct err *e)
{
    size_t picture = (size_t)s->n_frames * s->n_mels, dim = baseline_dim(s);
    float *pictures = mem_alloc(BATCH * picture, sizeof *pictures);
    bool ok = true;
    for (size_t done = 0; ok && done < n;) {
        size_t now = size_min(BATCH, n - done);
        ok = store_read_batch(store, keys + done, now, s->n_frames, s->n_mels, pictures, e);
        for (size_t i = 0; ok && i < now; i++)
            baseline_vector(s, pictures + i * picture, out + (done + i) * dim);
        done += now;
    }
    mem_free(pictures);
    return ok;
}

double baseline_distance(const struct baseline_space *s, const float *x, const float *y)
{
    return s->kind == BASELINE_CHROMA ? chroma_fold_distance(x, y, s->n_frames)
                                      : vector_distance(x, y, baseline_dim(s));
}

/* Eight float64 lanes in a fixed order: fast without being free to reassociate. */
double vector_distance(const float *x, const float *y, size_t dim)
{
    double lanes[LANES] = {0}, total = 0.0;
    size_t i = 0;
    for (; i + LANES <= dim; i += LANES) {
        for (size_t k = 0; k < LANES; k++) {
            double diff = (double)x[i + k] - (double)y[i + k] + TRIPLET_EPSILON;
            lanes[k] += diff * diff;
        }
    }
    for (; i < dim; i++) {
        double diff = (double)x[i] - (double)y[i] + TRIPLET_EPSILON;
        lanes[0] += diff * diff;
    }
    for (size_t k = 0; k < LANES; k++)
        total += lanes[k];
    return sqrt(total);
}
