#include "train/sampler.h"

#include "base/hash.h"
#include "base/permute.h"
#include "base/rng.h"

enum { REDRAWS_MAX = 32, RNG_PAIR = 0x70616972 /* "pair" */ };

/* Drawn until the group differs; after 32 draws (a side with one dominant group) the next clip of
 * another group in order is taken, which exists. */
static uint64_t draw_negative(const struct split_side *side, struct rng *r, uint64_t group)
{
    uint64_t i = 0;
    for (int tries = 0; tries < REDRAWS_MAX; tries++) {
        i = rng_below(r, side->n_clips);
        if (side->clips[i].group != group)
            return i;
    }
    for (size_t n = 0; n < side->n_clips; n++) {
        i = (i + 1) % side->n_clips;
        if (side->clips[i].group != group)
            break;
    }
    return i;
}

/* A clip of another track of the anchor's group, any view of it, all alike; the anchor's own view
 * where the group has no other track. Of a large group only the GROUP_MAX clips behind the anchor
 * are looked at. */
static uint64_t draw_version(const struct sampler *s, struct rng *r, uint64_t anchor_i,
                             uint64_t view_key)
{
    enum { GROUP_MAX = 256 };
    const struct clip_entry *clips = s->side->clips, *anchor = &clips[anchor_i];
    uint32_t others[GROUP_MAX];
    size_t n = 0, i = anchor->next_of_group;
    for (size_t step = 0; step < GROUP_MAX && i != anchor_i; step++, i = clips[i].next_of_group)
        if (clips[i].track_i != anchor->track_i)
            others[n++] = (uint32_t)i;
    if (n == 0)
        return view_key;
    const struct clip_entry *other = &clips[others[rng_below(r, n)]];
    return s->keys[other->first + rng_below(r, other->n_views)];
}

void sampler_triplet(const struct sampler *s, uint64_t cycle, uint64_t index, struct triplet *out)
{
    const struct split_side *side = s->side;
    assert(side->n_groups >= 2);
    uint64_t seed = hash_mix64(s->seed ^ (uint64_t)s->purpose << 32);
    uint64_t anchor_i = permute_at(seed, cycle, side->n_clips, index);
    const struct clip_entry *anchor = &side->clips[anchor_i];
    struct rng r;
    rng_init(&r, seed ^ hash_mix64(cycle), (uint32_t)s->purpose, index);
    uint64_t view = 1 + rng_below(&r, anchor->n_views - 1);
    uint64_t negative_i = draw_negative(side, &r, anchor->group);
    uint64_t positive = s->keys[anchor->first + view];
    /* Drawn last, so that runs without versions are what they were. */
    if (s->version_share > 0 && rng_uniform(&r) < s->version_share)
        positive = draw_version(s, &r, anchor_i, positive);
    *out = (struct triplet){
        .anchor = s->keys[anchor->first],
        .positive = positive,
        .negative = s->keys[side->clips[negative_i].first],
        .anchor_i = (uint32_t)anchor_i,
        .negative_i = (uint32_t)negative_i,
    };
}

/* The negative of `before` once more, as another view of it. */
static void pair_negative(const struct sampler *s, const struct triplet *before, uint64_t position,
                          struct triplet *t)
{
    const struct clip_entry *clip = &s->side->clips[before->negative_i];
    if (clip->group == s->side->clips[t->anchor_i].group)
        return;
    struct rng r;
    rng_init(&r, hash_mix64(s->seed ^ hash_mix64(position)), RNG_PAIR, before->negative);
    t->negative = s->keys[clip->first + 1 + rng_below(&r, clip->n_views - 1)];
    t->negative_i = before->negative_i;
}

/* Triplet i of a step; `before` is the one before it, unused where i is even. */
static void step_triplet(const struct sampler *s, uint64_t epoch, uint64_t step,
                         uint64_t steps_per_epoch, size_t n, size_t i, const struct triplet *before,
                         struct triplet *out)
{
    uint64_t n_clips = s->side->n_clips;
    uint64_t cycles_per_epoch = (steps_per_epoch * n + n_clips - 1) / n_clips;
    uint64_t position = step * n + i, cycle = epoch * cycles_per_epoch + position / n_clips;
    sampler_triplet(s, cycle, position % n_clips, out);
    if (s->pairs_negatives && i % 2 == 1)
        pair_negative(s, before, cycle * n_clips + position % n_clips, out);
}

void sampler_step(const struct sampler *s, uint64_t epoch, uint64_t step, uint64_t steps_per_epoch,
                  size_t n, uint64_t *keys)
{
    struct triplet t[2];
    for (size_t i = 0; i < n; i++) {
        struct triplet *now = &t[i % 2];
        step_triplet(s, epoch, step, steps_per_epoch, n, i, &t[0], now);
        keys[i] = now->anchor;
        keys[n + i] = now->positive;
        keys[2 * n + i] = now->negative;
    }
}

void sampler_step_groups(const struct sampler *s, uint64_t epoch, uint64_t step,
                         uint64_t steps_per_epoch, size_t n, uint64_t *groups)
{
    struct triplet t[2];
    for (size_t i = 0; i < n; i++) {
        struct triplet *now = &t[i % 2];
        step_triplet(s, epoch, step, steps_per_epoch, n, i, &t[0], now);
        groups[i] = groups[n + i] = s->side->clips[now->anchor_i].group;
        groups[2 * n + i] = s->side->clips[now->negative_i].group;
    }
}
