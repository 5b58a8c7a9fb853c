/*
 * The bytes of the three tables, as docs/FORMAT.md lays them out: totals and recipe in `meta`, the
 * padding of records in `clip`, the entries of `track`.
 */
#ifndef REFRAIN_TABLES_H
#define REFRAIN_TABLES_H

#include "store/env.h"

enum {
    STORE_TRACK_VALUE_BYTES = 256 << 10, /* no track entry is larger */
    TOTALS_BYTES = 10 * 8
};

/* ---------------------------------------------------------------- meta */

/* Running sums over all records, written with each commit. Sums of integers, so that they do not
 * depend on the order of arrival. */
struct totals {
    uint64_t clips, tracks, payload_bytes;
    uint64_t root;       /* sum of hash64(record, seed = key), mod 2^64 */
    uint64_t track_root; /* sum of hash64(track entry, seed = row), mod 2^64 */
    uint64_t n_values;
    uint64_t square_err_q20; /* sum of n_values * rms^2, in 2^-20 dB^2 */
    float max_err_db;
    uint32_t n_frames, n_mels; /* of the first record */
    bool mixed_shapes;
};

void totals_add_record(struct totals *t, uint64_t key, struct span record,
                       const struct record_info *info);
void totals_add_track(struct totals *t, uint64_t row, struct span entry);
double totals_rms_err_db(const struct totals *t);

/* A text value that is longer than its room is damage: ERR_FATAL. */
bool meta_is_new(const struct env *env, MDB_txn *txn); /* nothing was ever committed */
MUST_CHECK bool meta_get_totals(const struct env *env, MDB_txn *txn, struct totals *out,
                                struct err *e);
MUST_CHECK bool meta_put_totals(const struct env *env, MDB_txn *txn, const struct totals *totals,
                                struct err *e);
MUST_CHECK bool meta_get_recipe(const struct env *env, MDB_txn *txn, struct store_recipe *out,
                                struct err *e);
MUST_CHECK bool meta_put_recipe(const struct env *env, MDB_txn *txn,
                                const struct store_recipe *recipe, struct err *e);

/* A stored record without its padding. */
static inline struct span value_span(MDB_val v)
{
    return record_unpad((struct span){v.mv_data, v.mv_size});
}

/* How many bytes a record takes as an LMDB value: values that get pages of their own are filled up
 * with zeros to whole pages, which costs nothing on disk and leaves no stray bytes in the file. */
size_t value_padded_bytes(size_t record_bytes, size_t page_bytes);

/* ---------------------------------------------------------------- track entries */

/* Replaces what is in out. */
MUST_CHECK bool track_entry_write(const struct store_track *track, struct buf *out, struct err *e);
MUST_CHECK bool track_entry_info(struct span entry, struct store_track_info *out, struct err *e);
/* The key of the view_i-th view, view_i below n_views. */
MUST_CHECK bool track_entry_key(struct span entry, uint64_t row, uint32_t view_i, uint64_t *out,
                                struct err *e);
/* "" when the entry has no such view. */
MUST_CHECK bool track_entry_augment(struct span entry, uint64_t key, char out[STORE_AUGMENT_BYTES],
                                    struct err *e);

#endif
