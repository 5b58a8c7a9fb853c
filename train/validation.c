#include "train/validation.h"

#include "base/mem.h"
#include "train/model.h"

#include <stdlib.h>
#include <string.h>

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

/* Triplets in groups whose vectors fit a tile, each clip of a group once: small vectors all at a
 * time. */
bool validation_baseline(struct validation *v, const struct baseline_space *s, struct store *store,
                         double margin, struct triplet_stats *out, struct err *e)
{
    size_t dim = baseline_dim(s), tile = size_min(baseline_tile(s), 3 * v->n_triplets);
    float *rows = mem_alloc(tile * dim, sizeof *rows);
    uint64_t *keys = mem_alloc(tile, sizeof *keys);
    uint32_t *row_of = mem_alloc(v->n_keys, sizeof *row_of);
    bool ok = true;
    for (size_t done = 0; ok && done < v->n_triplets;) {
        size_t end = done, n = 0;
        memset(row_of, 0xff, v->n_keys * sizeof *row_of);
        for (; end < v->n_triplets && n + 3 <= tile; end++)
            for (size_t k = 0; k < 3; k++)
                if (row_of[v->at[end][k]] == UINT32_MAX) {
                    row_of[v->at[end][k]] = (uint32_t)n;
                    keys[n++] = v->keys[v->at[end][k]];
                }
        ok = baseline_keys(s, store, keys, n, rows, e);
        for (; ok && done < end; done++) {
            const float *anchor = rows + row_of[v->at[done][0]] * dim;
            v->positive[done] = baseline_distance(s, anchor, rows + row_of[v->at[done][1]] * dim);
            v->negative[done] = baseline_distance(s, anchor, rows + row_of[v->at[done][2]] * dim);
        }
    }
    if (ok)
        triplet_stats_from(v->positive, v->negative, v->n_triplets, margin, out);
    mem_free(rows);
    mem_free(keys);
    mem_free(row_of);
    return ok;
}
