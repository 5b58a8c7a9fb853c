#include "train/loader.h"

#include "base/mem.h"
#include "base/queue.h"
#include "train/jitter.h"

#include <inttypes.h>
#include <pthread.h>

struct loader {
    struct loader_params params;
    struct queue *empty, *full; /* of struct batch; a batch is in one of them or with a thread */
    struct batch *batches;
    uint64_t *ahead; /* keys of a later step, for the hint */
    pthread_t thread;
};

static void hint(struct loader *l, uint64_t step)
{
    if (step >= l->params.end_step)
        return;
    l->params.keys_fn(l->params.keys_arg, step, l->ahead);
    if (l->params.trunk != NULL)
        trunk_prefetch(l->params.trunk, l->ahead, l->params.n_pictures);
    else
        store_prefetch(l->params.store, l->ahead, l->params.n_pictures);
}

static bool fill(struct loader *l, struct batch *b, uint64_t step)
{
    const struct loader_params *p = &l->params;
    size_t bad;
    b->step = step;
    b->err = (struct err){0};
    p->keys_fn(p->keys_arg, step, b->keys);
    if (p->trunk != NULL)
        return trunk_read(p->trunk, b->keys, p->n_pictures, b->pictures, &b->err);
    if (!store_read_batch(p->store, b->keys, p->n_pictures, p->n_frames, p->n_mels, b->pictures,
                          &b->err))
        return err_wrap(&b->err, "step %" PRIu64, step);
    size_t picture = (size_t)p->n_frames * p->n_mels;
    for (size_t i = 0; p->jitter && i < p->n_pictures; i++)
        jitter_apply(p->seed, step, i, b->pictures + i * picture, p->n_frames, p->n_mels,
                     p->norm->mean_db);
    if (!norm_apply(p->norm, b->pictures, p->n_pictures, p->n_frames, &bad))
        return err_set(&b->err, ERR_PERM,
                       "row %" PRIu64 ", clip %u, view %u has a value that is not a finite number",
                       store_key_row(b->keys[bad]), store_key_clip(b->keys[bad]),
                       store_key_view(b->keys[bad]));
    return true;
}

static void *loader_main(void *arg)
{
    struct loader *l = arg;
    bool ok = true;
    for (uint64_t step = 0; step < LOADER_AHEAD_STEPS; step++)
        hint(l, l->params.first_step + step);
    for (uint64_t step = l->params.first_step; ok && step < l->params.end_step; step++) {
        void *item;
        if (queue_pop(l->empty, &item) != QUEUE_OK)
            break;
        hint(l, step + LOADER_AHEAD_STEPS);
        ok = fill(l, item, step);
        if (!queue_push(l->full, item))
            break;
    }
    queue_close(l->full);
    return NULL;
}

struct loader *loader_new(const struct loader_params *params)
{
    struct loader *l = mem_zalloc(1, sizeof *l);
    assert(params->n_slots >= 2);
    l->params = *params;
    size_t picture = params->trunk != NULL ? trunk_values(params->trunk)
                                           : (size_t)params->n_frames * params->n_mels;
    l->empty = queue_new(params->n_slots);
    l->full = queue_new(params->n_slots);
    l->ahead = mem_alloc(params->n_pictures, sizeof *l->ahead);
    l->batches = mem_zalloc(params->n_slots, sizeof *l->batches);
    for (size_t i = 0; i < params->n_slots; i++) {
        l->batches[i].pictures = mem_alloc_aligned(params->n_pictures * picture, sizeof(float));
        l->batches[i].keys = mem_alloc(params->n_pictures, sizeof(uint64_t));
        bool pushed = queue_push(l->empty, &l->batches[i]);
        assert(pushed);
    }
    int rc = pthread_create(&l->thread, NULL, loader_main, l);
    assert(rc == 0);
    return l;
}

struct batch *loader_take(struct loader *l)
{
    void *item;
    return queue_pop(l->full, &item) == QUEUE_OK ? item : NULL;
}

void loader_give_back(struct loader *l, struct batch *b)
{
    if (b == NULL)
        return;
    bool pushed = queue_push(l->empty, b);
    assert(pushed);
}

static void drain(struct queue *q)
{
    void *item;
    while (queue_pop(q, &item) == QUEUE_OK) {
    }
}

void loader_free(struct loader *l)
{
    if (l == NULL)
        return;
    queue_close(l->empty);
    queue_close(l->full);
    pthread_join(l->thread, NULL);
    drain(l->empty);
    drain(l->full);
    queue_free(l->empty);
    queue_free(l->full);
    for (size_t i = 0; i < l->params.n_slots; i++) {
        mem_free(l->batches[i].pictures);
        mem_free(l->batches[i].keys);
    }
    mem_free(l->batches);
    mem_free(l->ahead);
    mem_free(l);
}
