/*
 * What a trainer of similarity reads, drawn in the store as a pure function of (seed, epoch,
 * position): no state but struct store_order, nothing per thread, the same on every machine.
 *
 *   triplets   anchor: an original clip, each once an epoch in a permuted order; positive: one of
 *              its augmented views; negative: an original of another track, uniformly
 *   groups     P tracks x K records for mining inside a batch: each track once an epoch in a
 *              permuted order; its K records are neighbours, so that a group is one read
 *
 * Indices are into the snapshot's keys. What must be known of the data (where clips or tracks
 * begin) is a mapped file like the snapshot's key list, not heap.
 */
#ifndef REFRAIN_STORE_TRIPLETS_H
#define REFRAIN_STORE_TRIPLETS_H

#include "store/list.h"
#include "store/order.h"

/* Borrows the snapshot until released. */
struct store_triplets {
    const struct store_snapshot *snap;
    struct list clips; /* index of the original of each clip that has a view besides it */
};

/* A snapshot without two tracks that have clips with views is ERR_PERM. */
MUST_CHECK bool store_triplets_init(struct store *s, const struct store_snapshot *snap,
                                    struct store_triplets *out, struct err *e);
void store_triplets_release(struct store_triplets *t); /* safe on {0}, may run twice */

/* The next n triplets: out[0, n) anchors, out[n, 2n) their positives, out[2n, 3n) negatives. An
 * epoch that ends within them is followed by the next. The order's mode is TRIPLETS. */
void store_triplets_next(const struct store_triplets *t, struct store_order *o, uint64_t *out,
                         size_t n);

/* Borrows the snapshot until released. */
struct store_groups {
    const struct store_snapshot *snap;
    uint32_t n_records; /* K */
    struct list
        tracks; /* index of the first record of each track that has K; others are left out */
};

/* 1 <= n_records <= STORE_VIEWS_MAX; a snapshot without a track of that many is ERR_PERM. */
MUST_CHECK bool store_groups_init(struct store *s, const struct store_snapshot *snap,
                                  uint32_t n_records, struct store_groups *out, struct err *e);
void store_groups_release(struct store_groups *g); /* safe on {0}, may run twice */

/* The next n_tracks groups, out[n_tracks][K], all of different tracks: where fewer are left of the
 * epoch, the next begins. More than there are is ERR_USAGE. The order's mode is GROUPS and its size
 * is K. */
MUST_CHECK bool store_groups_next(const struct store_groups *g, struct store_order *o,
                                  uint64_t *out, size_t n_tracks, struct err *e);

#endif
