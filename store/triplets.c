#include "store/triplets.h"

#include "base/hash.h"
#include "base/permute.h"
#include "base/rng.h"
#include "store/reader.h"

#include <inttypes.h>

enum { PURPOSE_TRIPLET = 0x74726970 /* "trip" */, PURPOSE_GROUP = 0x67726f75 /* "grou" */ };

static uint64_t seed_for(uint64_t seed, uint32_t purpose)
{
    return hash_mix64(seed ^ (uint64_t)purpose << 32);
}

/* The stream of draws at one position. */
static void draws_init(struct rng *r, const struct store_order *o, uint32_t purpose)
{
    rng_init(r, seed_for(o->seed, purpose) ^ hash_mix64(o->epoch), purpose, o->position);
}

static bool same_clip(uint64_t a, uint64_t b)
{
    return a >> 8 == b >> 8;
}

/* ---------------------------------------------------------------- triplets */

static uint64_t row_of_clip(const struct store_triplets *t, size_t clip_i)
{
    return store_key_row(t->snap->keys[t->clips.items[clip_i]]);
}

bool store_triplets_init(struct store *s, const struct store_snapshot *snap,
                         struct store_triplets *out, struct err *e)
{
    struct store_triplets t = {.snap = snap};
    struct list_writer w;
    bool ok = true;
    if (!list_begin(&w, s->env.dir, e))
        return false;
    for (size_t i = 0; i + 1 < snap->n_keys && ok; i++) {
        if (store_key_view(snap->keys[i]) == 0 && same_clip(snap->keys[i], snap->keys[i + 1]))
            ok = list_add(&w, i, e);
    }
    if (!list_finish(&w, ok, &t.clips, e))
        return false;
    if (t.clips.n == 0 || row_of_clip(&t, 0) == row_of_clip(&t, t.clips.n - 1)) {
        size_t n_clips = t.clips.n;
        list_release(&t.clips);
        return err_set(e, ERR_PERM,
                       "%s: triplets need clips with augmented views from two tracks; it has %zu "
                       "such clips, of one track at most (augment.views)",
                       s->env.dir, n_clips);
    }
    *out = t;
    return true;
}

void store_triplets_release(struct store_triplets *t)
{
    list_release(&t->clips);
    *t = (struct store_triplets){0};
}

/* The first clip whose row is at least `row`. */
static size_t clips_from_row(const struct store_triplets *t, uint64_t row)
{
    size_t lo = 0, hi = t->clips.n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (row_of_clip(t, mid) < row)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static uint64_t views_besides(const struct store_snapshot *snap, uint64_t original)
{
    uint64_t n = 0;
    while (original + n + 1 < snap->n_keys &&
           same_clip(snap->keys[original], snap->keys[original + n + 1]))
        n++;
    return n;
}

static void triplet_at(const struct store_triplets *t, const struct store_order *o, uint64_t out[3])
{
    struct rng r;
    draws_init(&r, o, PURPOSE_TRIPLET);
    size_t clip_i =
        permute_at(seed_for(o->seed, PURPOSE_TRIPLET), o->epoch, t->clips.n, o->position);
    uint64_t anchor = t->clips.items[clip_i], row = row_of_clip(t, clip_i);
    /* the anchor's track is a run of the list: one draw over what is left */
    size_t run = clips_from_row(t, row), run_end = clips_from_row(t, row + 1);
    uint64_t positive = anchor + 1 + rng_below(&r, views_besides(t->snap, anchor));
    size_t other = rng_below(&r, t->clips.n - (run_end - run));
    if (other >= run)
        other += run_end - run;
    out[0] = anchor;
    out[1] = positive;
    out[2] = t->clips.items[other];
}

static void order_begin_next_epoch(struct store_order *o)
{
    o->epoch++;
    o->position = 0;
}

void store_triplets_next(const struct store_triplets *t, struct store_order *o, uint64_t *out,
                         size_t n)
{
    assert(o->mode == STORE_ORDER_TRIPLETS);
    for (size_t i = 0; i < n; i++) {
        uint64_t triplet[3];
        if (o->position >= t->clips.n)
            order_begin_next_epoch(o);
        triplet_at(t, o, triplet);
        o->position++;
        for (size_t k = 0; k < 3; k++)
            out[k * n + i] = triplet[k];
    }
}

/* ---------------------------------------------------------------- groups */

/* How many records the track has whose first is at `first`. */
static uint64_t records_of_track(const struct store_snapshot *snap, uint64_t first)
{
    uint64_t row = store_key_row(snap->keys[first]);
    size_t lo = first + 1, hi = snap->n_keys;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (store_key_row(snap->keys[mid]) == row)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo - first;
}

bool store_groups_init(struct store *s, const struct store_snapshot *snap, uint32_t n_records,
                       struct store_groups *out, struct err *e)
{
    struct store_groups g = {.snap = snap, .n_records = n_records};
    struct list_writer w;
    uint64_t largest = 0, n = 0;
    bool ok = true;
    assert(n_records > 0 && n_records <= STORE_VIEWS_MAX);
    if (!list_begin(&w, s->env.dir, e))
        return false;
    for (uint64_t first = 0; first < snap->n_keys && ok; first += n) {
        n = records_of_track(snap, first);
        largest = u64_max(largest, n);
        if (n >= n_records)
            ok = list_add(&w, first, e);
    }
    if (!list_finish(&w, ok, &g.tracks, e))
        return false;
    if (g.tracks.n == 0)
        return err_set(e, ERR_PERM, "%s: no track has %u records, the largest has %" PRIu64,
                       s->env.dir, n_records, largest);
    *out = g;
    return true;
}

void store_groups_release(struct store_groups *g)
{
    list_release(&g->tracks);
    *g = (struct store_groups){0};
}

bool store_groups_next(const struct store_groups *g, struct store_order *o, uint64_t *out,
                       size_t n_tracks, struct err *e)
{
    assert(o->mode == STORE_ORDER_GROUPS);
    assert(o->size == g->n_records);
    if (n_tracks > g->tracks.n)
        return err_set(e, ERR_USAGE, "a batch of %zu tracks from %zu that have %u records",
                       n_tracks, g->tracks.n, g->n_records);
    if (o->position > g->tracks.n || g->tracks.n - o->position < n_tracks)
        order_begin_next_epoch(o);
    for (size_t i = 0; i < n_tracks; i++) {
        struct rng r;
        draws_init(&r, o, PURPOSE_GROUP);
        uint64_t first = g->tracks.items[permute_at(seed_for(o->seed, PURPOSE_GROUP), o->epoch,
                                                    g->tracks.n, o->position)];
        first += rng_below(&r, records_of_track(g->snap, first) - g->n_records + 1);
        for (uint32_t k = 0; k < g->n_records; k++)
            out[i * g->n_records + k] = first + k;
        o->position++;
    }
    return true;
}
