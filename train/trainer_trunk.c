/*
 * A run whose first layers are frozen: the whole network, in small batches, gives each clip's
 * activations where the trained part begins, once; the steps then train that part alone.
 */
#include "train/trainer_state.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <string.h>

enum { SYNC_CLIPS = 256 };

bool trainer_wants_trunk(const struct trainer *t)
{
    const struct train_params *p = t->params;
    bool frozen = p->unfreeze != NULL && strcmp(p->unfreeze, "all") != 0;
    if (frozen && p->jitter && p->cache_bytes > 0)
        log_info("the frozen layers run in every step: with train.jitter off they would run once a "
                 "clip",
                 "unfreeze=%s", p->unfreeze);
    return frozen && !p->jitter && p->cache_bytes > 0;
}

/* Every view of every training clip, then what validates: fn returns false to stop. */
static bool each_key(const struct trainer *t, bool (*fn)(void *arg, uint64_t key), void *arg)
{
    const struct split_side *side = &t->split.train;
    for (size_t i = 0; i < side->n_clips; i++)
        for (uint32_t view = 0; view < side->clips[i].n_views; view++)
            if (!fn(arg, t->snap.keys[side->clips[i].first + view]))
                return false;
    for (size_t i = 0; i < t->validation.n_keys; i++)
        if (!fn(arg, t->validation.keys[i]))
            return false;
    return true;
}

/* All that decides a clip's activations besides the clip. */
static uint64_t hash_trunk(const struct trainer *t, struct shape cut)
{
    const struct params *whole = net_params(t->whole), *head = net_params(t->net);
    uint64_t h = hash64(&cut, sizeof cut, t->snap.spec_hash);
    h = hash64(t->norm.mean_db, t->norm.n_mels * sizeof(float), h);
    h = hash64(t->norm.std_db, t->norm.n_mels * sizeof(float), h);
    for (size_t i = 0; i < whole->n; i++) {
        const struct param *p = &whole->items[i];
        if (params_find(head, p->name) != NULL)
            continue;
        h = hash64(p->name, strlen(p->name), h);
        h = hash64(whole->value + p->offset, p->count * sizeof *whole->value, h);
    }
    return h;
}

struct fill {
    struct trainer *t;
    size_t n_missing, n_done, n_batch, n_pictures, n_unsynced;
    int32_t cut;
    uint64_t *keys;
    float *pictures, *values;
    struct progress progress;
    struct err *e;
    bool stopped;
};

static bool count_missing(void *arg, uint64_t key)
{
    struct fill *f = arg;
    f->n_missing += !trunk_has(f->t->trunk, key);
    return true;
}

static bool run_batch(struct fill *f)
{
    struct trainer *t = f->t;
    struct store_snapshot *snap = &t->snap;
    size_t bad;
    if (f->n_batch == 0)
        return true;
    if (!store_read_batch(t->store, f->keys, f->n_batch, snap->n_frames, snap->n_mels, f->pictures,
                          f->e))
        return false;
    if (!norm_apply(&t->norm, f->pictures, f->n_batch, snap->n_frames, &bad))
        return err_set(f->e, ERR_PERM, "key %" PRIu64 " has a value that is not a finite number",
                       f->keys[bad]);
    if (!net_forward_to(t->whole, f->pictures, f->cut, f->values, f->e) ||
        !trunk_append(t->trunk, f->keys, f->n_batch, f->values, f->e))
        return false;
    f->n_done += f->n_batch;
    f->n_unsynced += f->n_batch;
    f->n_batch = 0;
    if (f->n_unsynced >= SYNC_CLIPS) {
        f->n_unsynced = 0;
        if (!trunk_sync(t->trunk, f->e))
            return false;
    }
    progress_update(&f->progress, clock_now_ns(), f->n_done, "frozen layers");
    f->stopped = t->params->stop != NULL && t->params->stop();
    return !f->stopped;
}

static bool fill_key(void *arg, uint64_t key)
{
    struct fill *f = arg;
    if (trunk_has(f->t->trunk, key))
        return true;
    f->keys[f->n_batch++] = key;
    return f->n_batch < f->n_pictures || run_batch(f);
}

static bool fill_trunk(struct trainer *t, int32_t cut, bool *out_stopped, struct err *e)
{
    struct fill f = {.t = t, .cut = cut, .e = e};
    f.n_pictures = (size_t)net_shape(t->whole, cut).n;
    each_key(t, count_missing, &f);
    if (f.n_missing == 0)
        return trunk_map(t->trunk, e);
    if (!trunk_reserve(t->trunk, f.n_missing, e))
        return false;
    size_t picture = (size_t)t->snap.n_frames * t->snap.n_mels;
    f.keys = mem_alloc(f.n_pictures, sizeof *f.keys);
    f.pictures = mem_alloc_aligned(f.n_pictures * picture, sizeof *f.pictures);
    f.values = mem_alloc_aligned(f.n_pictures * trunk_values(t->trunk), sizeof *f.values);
    memset(f.pictures, 0, f.n_pictures * picture * sizeof *f.pictures);
    progress_init(&f.progress, "cache", "clips", f.n_missing);
    bool ok = (each_key(t, fill_key, &f) && run_batch(&f)) || f.stopped;
    progress_finish(&f.progress, clock_now_ns());
    ok = ok && trunk_map(t->trunk, e);
    *out_stopped = f.stopped;
    mem_free(f.keys);
    mem_free(f.pictures);
    mem_free(f.values);
    return ok;
}

bool trainer_open_trunk(struct trainer *t, bool *out_stopped, struct err *e)
{
    char models[PATH_BYTES];
    *out_stopped = false;
    if (t->whole == t->net)
        return true;
    int32_t cut = net_cut(t->whole);
    struct shape shape = net_shape(t->whole, cut);
    params_copy(net_params(t->net), net_params(t->whole));
    struct shape one = {1, shape.h, shape.w, shape.c};
    struct trunk_params tp = {.models_dir = models,
                              .hash = hash_trunk(t, one),
                              .n_values = shape_count(one),
                              .limit_bytes = t->params->cache_bytes};
    if (!path_join(models, t->params->dir, "models", e) ||
        !trunk_open(&tp, t->store, &t->snap, &t->trunk, e) || !fill_trunk(t, cut, out_stopped, e))
        return err_wrap(e, "activations of the frozen layers");
    net_drop_memory(t->whole);
    t->embedder.trunk = t->trunk;
    log_info("frozen layers are cached", "values=%zu clips_mb=%.1f", tp.n_values,
             (double)tp.n_values * sizeof(uint16_t) / 1e6);
    return true;
}

static size_t n_needed(const struct trainer *t)
{
    size_t n = t->validation.n_keys;
    for (size_t i = 0; i < t->split.train.n_clips; i++)
        n += t->split.train.clips[i].n_views;
    return n;
}

bool trainer_trunk_fits(const struct trainer *t, struct shape cut)
{
    uint64_t bytes = n_needed(t) * (uint64_t)cut.h * (uint64_t)cut.w * (uint64_t)cut.c * 2;
    if (bytes <= t->params->cache_bytes)
        return true;
    log_warn("the frozen layers run in every step: their activations do not fit train.cache",
             "needs_gib=%.1f limit_gib=%.1f", (double)bytes / (1 << 30),
             (double)t->params->cache_bytes / (1 << 30));
    return false;
}
