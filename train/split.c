#include "train/split.h"

#include "base/hash.h"

#include <string.h>

/* Clips fill one mapping from both ends, training from the front; the validation side is turned
 * round at the end so that both are in the order of keys. */
struct builder {
    struct store *store;
    const struct store_snapshot *snap;
    const struct split_params *params;
    struct clip_entry *entries;
    size_t n_entries;    /* room */
    struct mapping seen; /* hash set of groups */
    size_t n_seen_slots;
    struct split split;
    uint64_t row, group;
    uint32_t n_tracks;
    bool validates, counted;
};

bool split_validates(uint64_t seed, double validation_share, uint64_t group)
{
    uint64_t h = hash64(&group, sizeof group, seed);
    return (double)(h >> 11) * 0x1p-53 < validation_share;
}

/* Number of keys from `first` on that belong to the same clip. */
static size_t clip_views(const struct store_snapshot *snap, size_t first)
{
    size_t n = 1;
    while (first + n < snap->n_keys && snap->keys[first + n] >> 8 == snap->keys[first] >> 8)
        n++;
    return n;
}

static size_t count_clips(const struct store_snapshot *snap, size_t *out_tracks)
{
    size_t clips = 0, tracks = 0;
    for (size_t i = 0; i < snap->n_keys; i += clip_views(snap, i), clips++)
        tracks += i == 0 || store_key_row(snap->keys[i]) != store_key_row(snap->keys[i - 1]);
    *out_tracks = tracks;
    return clips;
}

/* True the first time a group is seen. */
static bool first_sight(struct builder *b, uint64_t group)
{
    uint64_t *slots = b->seen.base;
    for (size_t i = (size_t)hash_mix64(group);; i++) {
        uint64_t *slot = &slots[i & (b->n_seen_slots - 1)];
        if (*slot == group)
            return false;
        if (*slot == 0) {
            *slot = group;
            return true;
        }
    }
}

static bool begin_track(struct builder *b, uint64_t row, struct err *e)
{
    struct store_track_info info;
    bool known;
    if (!store_get_track(b->store, row, &info, e))
        return false;
    b->row = row;
    b->group = groups_of(b->params->groups, info.track_id, &known);
    b->validates = split_validates(b->params->seed, b->params->validation_share, b->group);
    b->split.n_unnamed += b->params->groups != NULL && !known;
    b->counted = false;
    b->n_tracks++;
    return true;
}

static void add_clip(struct builder *b, size_t first, size_t n_views)
{
    if (store_key_view(b->snap->keys[first]) != 0 || n_views < 2) {
        b->split.n_unpaired++;
        return;
    }
    struct split_side *side = b->validates ? &b->split.validation : &b->split.train;
    size_t at = b->validates ? b->n_entries - 1 - side->n_clips : side->n_clips;
    b->entries[at] = (struct clip_entry){.first = first,
                                         .group = b->group,
                                         .n_views = (uint32_t)n_views,
                                         .track_i = b->n_tracks - 1};
    side->n_clips++;
    if (!b->counted) {
        b->counted = true;
        side->n_tracks++;
        side->n_groups += first_sight(b, b->group);
    }
}

/* Rings of the clips of each group, in the order of keys. `last` is a hash table by group. */
struct ring_end {
    uint64_t group;
    uint32_t first, last;
};

static bool link_groups(struct clip_entry *clips, size_t n, const char *work_dir, struct err *e)
{
    struct mapping table = {0};
    size_t n_slots = 16;
    while (n_slots < 2 * n)
        n_slots *= 2;
    if (!mapping_init(&table, work_dir, n_slots * sizeof(struct ring_end), e))
        return false;
    struct ring_end *slots = table.base;
    for (size_t i = 0; i < n; i++) {
        size_t at = (size_t)hash_mix64(clips[i].group) & (n_slots - 1);
        while (slots[at].group != 0 && slots[at].group != clips[i].group)
            at = (at + 1) & (n_slots - 1);
        struct ring_end *end = &slots[at];
        if (end->group == 0)
            *end = (struct ring_end){clips[i].group, (uint32_t)i, (uint32_t)i};
        clips[end->last].next_of_group = (uint32_t)i;
        clips[i].next_of_group = end->first;
        end->last = (uint32_t)i;
    }
    mapping_release(&table);
    return true;
}

static void finish_sides(struct builder *b)
{
    struct split_side *validation = &b->split.validation;
    struct clip_entry *last = b->entries + b->n_entries;
    struct clip_entry *first = last - validation->n_clips;
    b->split.train.clips = b->entries;
    validation->clips = first;
    for (; first + 1 < last; first++) {
        struct clip_entry swap = *first;
        *first = *--last;
        *last = swap;
    }
}

bool split_init(struct store *s, const struct store_snapshot *snap,
                const struct split_params *params, struct split *out, struct err *e)
{
    struct builder b = {.store = s, .snap = snap, .params = params, .row = UINT64_MAX};
    size_t n_tracks;
    bool ok = false;
    b.n_entries = count_clips(snap, &n_tracks);
    b.n_seen_slots = 16;
    while (b.n_seen_slots < 2 * n_tracks)
        b.n_seen_slots *= 2;
    if (!mapping_init(&b.split.entries, params->work_dir, b.n_entries * sizeof *b.entries, e) ||
        !mapping_init(&b.seen, params->work_dir, b.n_seen_slots * sizeof(uint64_t), e))
        goto out;
    b.entries = b.split.entries.base;
    for (size_t i = 0; i < snap->n_keys;) {
        size_t n_views = clip_views(snap, i);
        uint64_t row = store_key_row(snap->keys[i]);
        if (row != b.row && !begin_track(&b, row, e))
            goto out;
        add_clip(&b, i, n_views);
        i += n_views;
    }
    finish_sides(&b);
    struct clip_entry *validation = b.entries + b.n_entries - b.split.validation.n_clips;
    if (!link_groups(b.entries, b.split.train.n_clips, params->work_dir, e) ||
        !link_groups(validation, b.split.validation.n_clips, params->work_dir, e))
        goto out;
    *out = b.split;
    ok = true;
out:
    mapping_release(&b.seen);
    if (!ok)
        split_release(&b.split);
    return ok;
}

void split_release(struct split *s)
{
    mapping_release(&s->entries);
    *s = (struct split){0};
}
