#include "train/alarms.h"

#include "base/mem.h"
#include "train/baseline.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Trained clips that are compared with: every k-th, so that an evaluation stays short. */
enum { COMPARED_MAX = 4096, BATCH = 16 };

const char *signature_name(enum signature s)
{
    static const char *const names[SIGNATURES] = {"floor", "level", "highs"};
    assert(s < SIGNATURES);
    return names[s];
}

double separation_auc(const double *a, const double *b, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++)
            sum += a[i] < b[k] ? 1.0 : a[i] == b[k] ? 0.5 : 0.0;
    double auc = n == 0 ? 0.5 : sum / ((double)n * (double)n);
    return fmax(auc, 1.0 - auc);
}

static int compare_floats(const void *x, const void *y)
{
    float a = *(const float *)x, b = *(const float *)y;
    return a < b ? -1 : a > b;
}

void signature_measure(const float *picture, uint32_t n_frames, uint32_t n_mels, float *scratch,
                       double out[SIGNATURES])
{
    size_t count = (size_t)n_frames * n_mels, first_high = n_mels - n_mels / 4;
    double sum = 0.0, highs = 0.0, n_highs = 0.0;
    for (size_t i = 0; i < count; i++) {
        sum += (double)picture[i];
        if (i % n_mels >= first_high) {
            highs += (double)picture[i];
            n_highs += 1.0;
        }
    }
    memcpy(scratch, picture, count * sizeof *scratch);
    qsort(scratch, count, sizeof *scratch, compare_floats);
    out[SIGNATURE_FLOOR] = (double)scratch[count / 10];
    out[SIGNATURE_LEVEL] = sum / (double)count;
    out[SIGNATURE_HIGHS] = n_highs > 0.0 ? highs / n_highs : 0.0;
}

/* ---------------------------------------------------------------- signatures */

/* values: (SIGNATURES, n). */
static bool measure_keys(struct store *store, const struct store_snapshot *snap,
                         const uint64_t *keys, size_t n, double *values, struct err *e)
{
    size_t picture = (size_t)snap->n_frames * snap->n_mels;
    float *pictures = mem_alloc((BATCH + 1) * picture, sizeof *pictures);
    bool ok = true;
    for (size_t done = 0; ok && done < n;) {
        size_t now = size_min(BATCH, n - done);
        ok = store_read_batch(store, keys + done, now, snap->n_frames, snap->n_mels, pictures, e);
        for (size_t i = 0; ok && i < now; i++) {
            double of_one[SIGNATURES];
            signature_measure(pictures + i * picture, snap->n_frames, snap->n_mels,
                              pictures + BATCH * picture, of_one);
            for (size_t s = 0; s < SIGNATURES; s++)
                values[s * n + done + i] = of_one[s];
        }
        done += now;
    }
    mem_free(pictures);
    return ok;
}

static bool find_signatures(struct store *store, const struct store_snapshot *snap,
                            const uint64_t *originals, const uint64_t *copies, size_t n,
                            struct alarms *out, struct err *e)
{
    double *values = mem_alloc(2 * SIGNATURES * n, sizeof *values);
    bool ok = measure_keys(store, snap, originals, n, values, e) &&
              measure_keys(store, snap, copies, n, values + SIGNATURES * n, e);
    for (size_t s = 0; ok && s < SIGNATURES; s++)
        out->signature_auc[s] = separation_auc(values + s * n, values + (SIGNATURES + s) * n, n);
    mem_free(values);
    return ok;
}

/* ---------------------------------------------------------------- the same audio twice */

static int compare_u64(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a < b ? -1 : a > b;
}

static bool source_of(struct store *store, uint64_t key, uint64_t *out, struct err *e)
{
    struct store_track_info info;
    if (!store_get_track(store, store_key_row(key), &info, e))
        return false;
    *out = info.source_id;
    return true;
}

static bool count_same_audio(struct store *store, const struct store_snapshot *snap,
                             const struct split_side *train, const uint64_t *held_out, size_t n,
                             size_t *out, struct err *e)
{
    uint64_t *sources = mem_alloc(n, sizeof *sources), source;
    bool *seen = mem_zalloc(n, sizeof *seen), ok = true;
    size_t n_sources = 0;
    for (size_t i = 0; ok && i < n; i++)
        ok = source_of(store, held_out[i], &sources[i], e);
    qsort(sources, n, sizeof *sources, compare_u64);
    for (size_t i = 0; ok && i < n; i++) /* several clips of one track are one */
        if (i == 0 || sources[i] != sources[n_sources - 1])
            sources[n_sources++] = sources[i];
    for (size_t i = 0; ok && i < train->n_clips; i++) {
        if (i > 0 && train->clips[i].track_i == train->clips[i - 1].track_i)
            continue;
        ok = source_of(store, snap->keys[train->clips[i].first], &source, e);
        const uint64_t *found =
            ok ? bsearch(&source, sources, n_sources, sizeof *sources, compare_u64) : NULL;
        if (found != NULL)
            seen[found - sources] = true;
    }
    *out = 0;
    for (size_t i = 0; i < n; i++)
        *out += seen[i];
    mem_free(sources);
    mem_free(seen);
    return ok;
}

static bool count_near(struct store *store, const struct store_snapshot *snap,
                       const struct split_side *train, const uint64_t *held_out, size_t n,
                       size_t *out, struct err *e)
{
    struct baseline_space spectrum = {BASELINE_MEL_MEAN, snap->n_frames, snap->n_mels, NULL};
    size_t mels = snap->n_mels;
    size_t step = (train->n_clips + COMPARED_MAX - 1) / COMPARED_MAX;
    float *vectors = mem_alloc(n * mels, sizeof *vectors), *other = mem_alloc(mels, sizeof *other);
    bool *near = mem_zalloc(n, sizeof *near);
    bool ok = baseline_keys(&spectrum, store, held_out, n, vectors, e);
    for (size_t i = 0; ok && i < train->n_clips; i += step) {
        uint64_t key = snap->keys[train->clips[i].first];
        ok = baseline_keys(&spectrum, store, &key, 1, other, e);
        for (size_t k = 0; ok && k < n; k++)
            near[k] =
                near[k] || vector_distance(vectors + k * mels, other, mels) < ALARM_NEAR_DISTANCE;
    }
    *out = 0;
    for (size_t k = 0; k < n; k++)
        *out += near[k];
    mem_free(vectors);
    mem_free(other);
    mem_free(near);
    return ok;
}

bool alarms_measure(struct store *store, const struct store_snapshot *snap,
                    const struct split_side *train, const uint64_t *originals,
                    const uint64_t *copies, size_t n, const struct figure *auc, struct alarms *out,
                    struct err *e)
{
    *out = (struct alarms){.versions_inverted = isfinite(auc->hi) && auc->hi < 0.5};
    return find_signatures(store, snap, originals, copies, n, out, e) &&
           count_same_audio(store, snap, train, originals, n, &out->n_same_audio, e) &&
           count_near(store, snap, train, originals, n, &out->n_near_duplicates, e);
}
