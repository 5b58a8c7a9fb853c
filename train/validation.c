#include "train/validation.h"

#include "base/mem.h"
#include "train/model.h"

#include <stdlib.h>

static int compare_keys(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a < b ? -1 : a > b;
}

static uint32_t index_of(const struct validation *v, uint64_t key)
{
    const uint64_t *found = bsearch(&key, v->keys, v->n_keys, sizeof *v->keys, compare_keys);
    assert(found != NULL);
    return (uint32_t)(found - v->keys);
}

void validation_init(struct validation *v, const struct sampler *sampler)
{
    size_t n_clips = sampler->side->n_clips;
    size_t n = size_min(VALIDATION_TRIPLETS_MAX, n_clips * VALIDATION_REPEATS);
    *v = (struct validation){
        .n_triplets = n,
        .keys = mem_alloc(3 * n, sizeof *v->keys),
        .at = mem_alloc(n, sizeof *v->at),
        .groups = mem_alloc(n, sizeof *v->groups),
        .positive = mem_zalloc(n, sizeof(double)),
        .negative = mem_zalloc(n, sizeof(double)),
    };
    struct triplet *list = mem_alloc(n, sizeof *list);
    for (size_t i = 0; i < n; i++) {
        sampler_triplet(sampler, i / n_clips, i % n_clips, &list[i]);
        v->groups[i] = sampler->side->clips[list[i].anchor_i].group;
        v->keys[3 * i] = list[i].anchor;
        v->keys[3 * i + 1] = list[i].positive;
        v->keys[3 * i + 2] = list[i].negative;
    }
    qsort(v->keys, 3 * n, sizeof *v->keys, compare_keys);
    for (size_t i = 0; i < 3 * n; i++)
        if (i == 0 || v->keys[i] != v->keys[v->n_keys - 1])
            v->keys[v->n_keys++] = v->keys[i];
    for (size_t i = 0; i < n; i++) {
        v->at[i][0] = index_of(v, list[i].anchor);
        v->at[i][1] = index_of(v, list[i].positive);
        v->at[i][2] = index_of(v, list[i].negative);
    }
    v->vectors = mem_alloc(v->n_keys * EMBEDDING_DIM, sizeof *v->vectors);
    mem_free(list);
}

void validation_release(struct validation *v)
{
    mem_free(v->keys);
    mem_free(v->at);
    mem_free(v->groups);
    mem_free(v->vectors);
    mem_free(v->positive);
    mem_free(v->negative);
    *v = (struct validation){0};
}

bool validation_measure(struct validation *v, struct embedder *embedder, double margin,
                        struct triplet_stats *out, struct err *e)
{
    if (!embed_keys(embedder, v->keys, v->n_keys, v->vectors, e))
        return false;
    for (size_t i = 0; i < v->n_triplets; i++) {
        const float *rows[3];
        for (size_t k = 0; k < 3; k++)
            rows[k] = v->vectors + v->at[i][k] * (size_t)EMBEDDING_DIM;
        v->positive[i] = vector_distance(rows[0], rows[1], EMBEDDING_DIM);
        v->negative[i] = vector_distance(rows[0], rows[2], EMBEDDING_DIM);
    }
    triplet_stats_from(v->positive, v->negative, v->n_triplets, margin, out);
    return true;
}

/* Triplet by triplet: three pictures in memory, not all. */
bool validation_baseline(struct validation *v, struct store *store, enum baseline b,
                         uint32_t n_frames, uint32_t n_mels, double margin,
                         struct triplet_stats *out, struct err *e)
{
    size_t dim = baseline_dim(b, n_frames, n_mels);
    float *rows = mem_alloc(3 * dim, sizeof *rows);
    bool ok = true;
    for (size_t i = 0; ok && i < v->n_triplets; i++) {
        uint64_t keys[3];
        for (size_t k = 0; k < 3; k++)
            keys[k] = v->keys[v->at[i][k]];
        ok = baseline_keys(store, b, keys, 3, n_frames, n_mels, rows, e);
        if (!ok)
            break;
        v->positive[i] = vector_distance(rows, rows + dim, dim);
        v->negative[i] = vector_distance(rows, rows + 2 * dim, dim);
    }
    if (ok)
        triplet_stats_from(v->positive, v->negative, v->n_triplets, margin, out);
    mem_free(rows);
    return ok;
}
