/*
 * The order of reading as a pure function of (seed, epoch, position) over the keys of a snapshot,
 * and a token of 64 bytes that holds such a place and is bound to the data.
 *
 *     struct store_order order = {.mode = STORE_ORDER_FULL, .seed = 7};
 *     while (...) {
 *         store_order_next(&order, snap.n_keys, indices, 256);  // snap.keys[indices[i]]
 *         ...
 *         store_order_token(&order, &snap, token);              // keep it with the checkpoint
 *     }
 *
 * Nothing is stored but the struct: no table grows with the data, and to go on after a stop costs
 * what one draw costs.
 *
 *   full    a keyed permutation of [0, n) (base/permute.h)
 *   block   for disks that hate seeks: [0, n) is cut into blocks of 64 neighbours (2.3 MB of the
 *           usual records), blocks are permuted, and what comes out is shuffled inside windows of
 *           `size` blocks. Where the first block begins is drawn anew for each epoch, so that
 *           neither the blocks nor the short one at the end are the same twice.
 */
#ifndef REFRAIN_STORE_ORDER_H
#define REFRAIN_STORE_ORDER_H

#include "store/store.h"

enum {
    STORE_BLOCK_KEYS = 64,
    STORE_WINDOW_BLOCKS = 64, /* 4,096 records, 146 MB of the usual ones */
    STORE_WINDOW_BLOCKS_MAX = 65535,
    STORE_TOKEN_BYTES = 64
};

/* Numbers are in tokens: append only. The last two are orders of store/triplets.h. */
enum store_order_mode {
    STORE_ORDER_FULL = 1,
    STORE_ORDER_BLOCK = 2,
    STORE_ORDER_TRIPLETS = 3,
    STORE_ORDER_GROUPS = 4,
    STORE_ORDER_MODES
};

struct store_order {
    enum store_order_mode mode;
    uint32_t size; /* block: blocks in a window, 1 to 65535; groups: records of a track; else 0 */
    uint64_t seed, epoch;
    uint64_t position; /* what comes next, within the epoch */
};

/* Whether mode and size go together; ERR_USAGE. */
MUST_CHECK bool store_order_check(const struct store_order *o, struct err *e);

/* The index at `position` of the order's epoch, full or block; position < n. */
uint64_t store_order_at(const struct store_order *o, uint64_t n, uint64_t position);

/* The next n_out indices below n > 0, full or block; an epoch that ends within them is followed by
 * the next. */
void store_order_next(struct store_order *o, uint64_t n, uint64_t *out, size_t n_out);

/* docs/FORMAT.md has its bytes. The order must be one that store_order_check accepts. */
void store_order_token(const struct store_order *o, const struct store_snapshot *snap,
                       uint8_t out[STORE_TOKEN_BYTES]);

/* Any bytes. ERR_PERM with a sentence when they are no token, a damaged one, or one of other data:
 * another feature spec, another number of records, another root. */
MUST_CHECK bool store_order_restore(struct span token, const struct store_snapshot *snap,
                                    struct store_order *out, struct err *e);

#endif
