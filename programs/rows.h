/*
 * The data set's rows, joined: what the catalogue says, what extract set aside, what the store
 * holds.
 *
 * fetch alone writes the catalogue, so a row that was fetched well is DONE there even if extract
 * could not use its audio. Joined, such a row (spool/bad names it) is REJECTED with extract's
 * cause, so that the states sum up to the rows and every loss has its cause.
 *
 * Read-only; works while the stages run, and before anything has run, when there are no rows.
 */
#ifndef REFRAIN_ROWS_H
#define REFRAIN_ROWS_H

#include "ingest/catalog.h"
#include "ingest/spool.h"
#include "store/store.h"

/* Open or NULL where nothing is there yet: *out stays NULL and the call succeeds. */
MUST_CHECK bool catalog_open_maybe(const char *dataset_dir, struct catalog **out, struct err *e);
MUST_CHECK bool spool_open_maybe(const char *dataset_dir, struct spool **out, struct err *e);
MUST_CHECK bool store_open_maybe(const char *dataset_dir, struct store **out, struct err *e);

/* What extract set aside, by row. */
struct bad_list {
    struct bad_item {
        uint64_t row;
        char cause[SPOOL_CAUSE_BYTES];
        bool joined; /* a DONE row of the catalogue was found for it */
    } * items;       /* ascending by row once read */
    size_t n, cap;
};
MUST_CHECK bool bad_list_read(struct spool *spool, struct bad_list *out, struct err *e);
void bad_list_release(struct bad_list *list);

struct joined_row {
    const struct catalog_row *row; /* as in the catalogue */
    enum row_state state;
    const char *cause; /* "" for none */
    uint32_t n_views;  /* in the store; 0 without a store */
};

/* Calls fn for every row of the catalogue in row order. `bad` and `store` may be NULL. Marks the
 * items of `bad` that it joins. The row is lent until fn returns; fn returns false to stop. */
typedef bool joined_row_fn(void *arg, const struct joined_row *row);
MUST_CHECK bool rows_each(struct catalog *catalog, struct bad_list *bad, struct store *store,
                          joined_row_fn *fn, void *arg, struct err *e);

#endif
