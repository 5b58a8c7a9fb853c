/*
 * Triplets as a pure function of (seed, purpose, cycle, index): anchor is an original clip,
 * positive an augmented view of it or a clip of another track of its group (another version of the
 * work), negative the original of a clip of another group. There is no state; a position in
 * training is two integers.
 */
#ifndef REFRAIN_SAMPLER_H
#define REFRAIN_SAMPLER_H

#include "train/split.h"

enum sampler_purpose { SAMPLE_TRAIN = 0x74726970 /* "trip" */, SAMPLE_VALIDATE = 0x76616c69 };

struct triplet {
    uint64_t anchor, positive, negative; /* keys */
    uint32_t anchor_i, negative_i;       /* clips of the side */
};

struct sampler {
    const uint64_t *keys; /* of the snapshot; borrowed */
    const struct split_side *side;
    uint64_t seed;
    enum sampler_purpose purpose;
    double version_share; /* of positives that are another version, where there is one */
    bool pairs_negatives; /* of a step: see sampler_step */
};

/* The side must have at least two groups. index < number of clips: each clip is an anchor once in a
 * cycle. */
void sampler_triplet(const struct sampler *s, uint64_t cycle, uint64_t index, struct triplet *out);

/* The keys of one step: n anchors, their n positives, their n negatives. Step `step` of an epoch
 * takes anchors [step * n, step * n + n); where the side ends within a batch, the anchors of
 * another cycle follow. With pairs_negatives every other negative is an augmented view of the clip
 * before it (unless that is of its own anchor's group): two rows that can be each other's positive
 * in a loss over the whole batch, where two different clips can only push. */
void sampler_step(const struct sampler *s, uint64_t epoch, uint64_t step, uint64_t steps_per_epoch,
                  size_t n, uint64_t *keys);

/* The groups of the same rows. */
void sampler_step_groups(const struct sampler *s, uint64_t epoch, uint64_t step,
                         uint64_t steps_per_epoch, size_t n, uint64_t *groups);

#endif
