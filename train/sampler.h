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
    bool in_batch; /* negatives are the other rows of a step; else each triplet has a drawn one */
};

/* The side must have at least two groups. index < number of clips: each clip is an anchor once in a
 * cycle. */
void sampler_triplet(const struct sampler *s, uint64_t cycle, uint64_t index, struct triplet *out);

/* Rows of a step of n triplets, each a clip to embed: 2 n in_batch, else 3 n. */
size_t sampler_rows(const struct sampler *s, size_t n);

/* One step's rows: n anchors, their n positives and, unless in_batch, their n negatives, as keys
 * and as the groups that they are of; either may be NULL. Step `step` of an epoch takes anchors
 * [step * n, step * n + n); where the side ends within a batch, the anchors of another cycle
 * follow. */
void sampler_step(const struct sampler *s, uint64_t epoch, uint64_t step, uint64_t steps_per_epoch,
                  size_t n, uint64_t *keys, uint64_t *groups);

#endif
