#include "train/sampler.h"

#include "base/hash.h"
#include "base/permute.h"
#include "base/rng.h"

enum { REDRAWS_MAX = 32 };

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

size_t sampler_rows(const struct sampler *s, size_t n)
{
    return s->in_batch ? 2 * n : 3 * n;
}

void sampler_step(const struct sampler *s, uint64_t epoch, uint64_t step, uint64_t steps_per_epoch,
                  size_t n, uint64_t *keys, uint64_t *groups)
{
    const struct clip_entry *clips = s->side->clips;
    uint64_t n_clips = s->side->n_clips;
    uint64_t cycles_per_epoch = (steps_per_epoch * n + n_clips - 1) / n_clips;
    for (size_t i = 0; i < n; i++) {
        uint64_t position = step * n + i, cycle = epoch * cycles_per_epoch + position / n_clips;
        struct triplet t;
        sampler_triplet(s, cycle, position % n_clips, &t);
        uint64_t row_keys[] = {t.anchor, t.positive, t.negative};
        uint64_t row_groups[] = {clips[t.anchor_i].group, clips[t.anchor_i].group,
                                 clips[t.negative_i].group};
        for (size_t k = 0; k * n < sampler_rows(s, n); k++) {
            if (keys != NULL)
                keys[k * n + i] = row_keys[k];
            if (groups != NULL)
                groups[k * n + i] = row_groups[k];
        }
    }
}
