/*
 * What became of a data set, as figures: catalogue, spool and store read side by side and joined
 * (programs/rows.h). Read-only; what is not there yet counts as zero.
 */
#ifndef REFRAIN_STATUS_H
#define REFRAIN_STATUS_H

#include "ingest/catalog.h"
#include "ingest/spool.h"
#include "ingest/standing.h"
#include "programs/dataset.h"
#include "programs/tally.h"
#include "store/store.h"

#include <stdio.h>

enum { STATUS_MODELS_MAX = 64, STATUS_MODEL_NAME_BYTES = 64 };

struct status {
    bool has_catalog, has_store;
    uint64_t rows;
    uint64_t states[ROW_STATES]; /* joined: sums up to rows */
    uint64_t requests, throttled, fetched_bytes;
    struct standing standing; /* of the fetch that runs or ran last; wall_ms 0: none has */
    struct spool_usage spool;
    struct store_stat store;
    struct tally *causes; /* owned; of rows that wait or ended without a clip */
    double eta_s; /* by the limits of refrain.conf; 0: nothing left; NAN: no limit applies */
    size_t n_models;
    char models[STATUS_MODELS_MAX][STATUS_MODEL_NAME_BYTES]; /* in name order */
};

/* Release even after a failure. */
MUST_CHECK bool status_read(const struct dataset *d, struct status *out, struct err *e);
void status_release(struct status *s); /* safe on {0}, may run twice */

/* The cheap part, for a progress line: totals, spool usage and store counters; no causes, no join,
 * no ETA, no models. */
MUST_CHECK bool status_read_totals(const struct dataset *d, struct status *out, struct err *e);

/* Rows that will not change any more. */
uint64_t status_rows_ended(const struct status *s);

void status_print_json(const struct dataset *d, struct status *s, FILE *out);
void status_print_text(const struct dataset *d, struct status *s, FILE *out);

/* One CSV line per catalogue row: row, track_id, state, cause, attempts, not_before, preview_bytes,
 * dup_of, clips, artist, name. `path` is replaced atomically; "-" is stdout. */
MUST_CHECK bool status_write_rows(const struct dataset *d, const char *path, struct err *e);

#endif
