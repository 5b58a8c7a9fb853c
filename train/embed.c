#include "train/embed.h"

#include "base/mem.h"
#include "train/loss.h"
#include "train/model.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { BASELINE_BATCH = 16, LANES = 8, MFCC_COEFFICIENTS = 20 };
#define PI 3.14159265358979323846

void embedder_init(struct embedder *m, struct store *store, struct net *net,
                   const struct norm *norm, uint32_t n_frames, uint32_t n_mels, size_t n_pictures)
{
    size_t floats = shape_count(net_shape(net, 0));
    assert(net_shape(net, 0).n == (int32_t)n_pictures);
    *m = (struct embedder){.store = store,
                           .net = net,
                           .norm = norm,
                           .n_frames = n_frames,
                           .n_mels = n_mels,
                           .n_pictures = n_pictures,
                           .pictures = mem_alloc_aligned(floats, sizeof(float)),
                           .rows = mem_alloc(n_pictures * EMBEDDING_DIM, sizeof(double))};
    memset(m->pictures, 0, floats * sizeof(float));
}

void embedder_release(struct embedder *m)
{
    mem_free(m->pictures);
    mem_free(m->rows);
    *m = (struct embedder){0};
}

static bool read_pictures(struct embedder *m, const uint64_t *keys, size_t n, struct err *e)
{
    size_t bad;
    if (m->trunk != NULL)
        return trunk_read(m->trunk, keys, n, m->pictures, e);
    if (!store_read_batch(m->store, keys, n, m->n_frames, m->n_mels, m->pictures, e))
        return false;
    if (!norm_apply(m->norm, m->pictures, n, m->n_frames, &bad))
        return err_set(e, ERR_PERM,
                       "row %" PRIu64 ", clip %u, view %u has a value that is not a finite number",
                       store_key_row(keys[bad]), store_key_clip(keys[bad]),
                       store_key_view(keys[bad]));
    return true;
}

/* The last batch is filled up with what the buffer held before; those rows are not used. */
bool embed_keys(struct embedder *m, const uint64_t *keys, size_t n, float *out, struct err *e)
{
    for (size_t done = 0; done < n;) {
        size_t now = size_min(m->n_pictures, n - done);
        if (!read_pictures(m, keys + done, now, e) ||
            !net_forward(m->net, m->pictures, NET_EVAL, 0, e))
            return false;
        net_output(m->net, m->rows);
        for (size_t i = 0; i < now * EMBEDDING_DIM; i++)
            out[done * EMBEDDING_DIM + i] = (float)m->rows[i];
        done += now;
    }
    return true;
}

const char *baseline_name(enum baseline b)
{
    static const char *const names[BASELINES] = {"mel", "mel_mean", "mfcc_mean"};
    assert(b < BASELINES);
    return names[b];
}

size_t baseline_dim(enum baseline b, uint32_t n_frames, uint32_t n_mels)
{
    if (b == BASELINE_MFCC_MEAN)
        return size_min(MFCC_COEFFICIENTS, n_mels - 1);
    return b == BASELINE_MEL ? (size_t)n_frames * n_mels : n_mels;
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

/* The constant part, coefficient 0, is 0 after standardising and left out. */
static void cepstrum(const double *bands, uint32_t n_mels, float *out)
{
    size_t n = baseline_dim(BASELINE_MFCC_MEAN, 0, n_mels);
    for (size_t k = 1; k <= n; k++) {
        double sum = 0.0;
        for (size_t m = 0; m < n_mels; m++)
            sum += bands[m] * cos(PI * (double)k * ((double)m + 0.5) / n_mels);
        out[k - 1] = (float)(sum * sqrt(2.0 / n_mels));
    }
}

void baseline_vector(enum baseline b, const float *picture, uint32_t n_frames, uint32_t n_mels,
                     float *out)
{
    size_t count = (size_t)n_frames * n_mels;
    double sum = 0.0, squares = 0.0;
    for (size_t i = 0; i < count; i++)
        sum += (double)picture[i];
    double mean = sum / (double)count;
    for (size_t i = 0; i < count; i++)
        squares += ((double)picture[i] - mean) * ((double)picture[i] - mean);
    double deviation = fmax(sqrt(squares / (double)count), 1e-12);
    if (b == BASELINE_MEL) {
        for (size_t i = 0; i < count; i++)
            out[i] = (float)(((double)picture[i] - mean) / deviation);
    } else {
        double bands[RECORD_MELS_MAX] = {0};
        for (size_t i = 0; i < count; i++)
            bands[i % n_mels] += ((double)picture[i] - mean) / deviation / n_frames;
        for (size_t m = 0; b == BASELINE_MEL_MEAN && m < n_mels; m++)
            out[m] = (float)bands[m];
        if (b == BASELINE_MFCC_MEAN)
            cepstrum(bands, n_mels, out);
    }
    scale_to_unit(out, baseline_dim(b, n_frames, n_mels));
}

bool baseline_keys(struct store *store, enum baseline b, const uint64_t *keys, size_t n,
                   uint32_t n_frames, uint32_t n_mels, float *out, struct err *e)
{
    size_t picture = (size_t)n_frames * n_mels, dim = baseline_dim(b, n_frames, n_mels);
    float *pictures = mem_alloc(BASELINE_BATCH * picture, sizeof *pictures);
    bool ok = true;
    for (size_t done = 0; ok && done < n;) {
        size_t now = size_min(BASELINE_BATCH, n - done);
        ok = store_read_batch(store, keys + done, now, n_frames, n_mels, pictures, e);
        for (size_t i = 0; ok && i < now; i++)
            baseline_vector(b, pictures + i * picture, n_frames, n_mels, out + (done + i) * dim);
        done += now;
    }
    mem_free(pictures);
    return ok;
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
