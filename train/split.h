/*
 * Which clips train and which validate. The rule: a clip belongs to the group of its track (its
 * work when a groups file names one, else the track itself), and a group validates when the hash of
 * (seed, group) falls into the lower `validation_share` of all hashes. A pure function of seed and
 * group: no group is ever on both sides, and a data set that grows keeps its sides.
 */
#ifndef REFRAIN_SPLIT_H
#define REFRAIN_SPLIT_H

#include "store/store.h"
#include "train/groups.h"

/* One clip with at least one augmented view. Its keys are snapshot.keys[first .. first + n_views):
 * the original, then its positives. */
struct clip_entry {
    uint64_t first;
    uint64_t group;
    uint32_t n_views;
    uint32_t track_i;       /* number of its track within the snapshot */
    uint32_t next_of_group; /* the group's clips of this side as a ring: index of the next one */
};

struct split_side {
    const struct clip_entry *clips; /* in the order of keys */
    size_t n_clips, n_tracks, n_groups;
};

struct split {
    struct split_side train, validation;
    size_t n_unpaired; /* clips without an augmented view: not used */
    size_t n_unnamed;  /* tracks that the groups file does not name */
    struct mapping entries;
};

struct split_params {
    const char *work_dir; /* for the temporary file */
    uint64_t seed;
    double validation_share;
    const struct groups *groups; /* borrowed for the call; NULL: by track */
};

bool split_validates(uint64_t seed, double validation_share, uint64_t group);

MUST_CHECK bool split_init(struct store *s, const struct store_snapshot *snap,
                           const struct split_params *params, struct split *out, struct err *e);
void split_release(struct split *s); /* safe on {0}, may run twice */

#endif
