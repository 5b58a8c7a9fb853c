/*
 * A second chance by cause: rows that ended without a preview become inputs again. For `refrain
 * fetch --retry timeout,http_403` after the cause is gone.
 */
#ifndef REFRAIN_AGAIN_H
#define REFRAIN_AGAIN_H

#include "ingest/catalog.h"

/* `causes` is a comma-separated list of what catalog_row.cause says, or "all". GONE, REJECTED and
 * DEAD rows with one of them become DIRECT with no attempt made, and those without a link of their
 * own, like NO_MATCH ones that a source was asked for, as if no source had been. *out_n: how many.
 */
MUST_CHECK bool again_by_cause(struct catalog *c, const char *causes, uint64_t *out_n,
                               struct err *e);

/* Rows without a link, or with one that is dead or refused, that one of these sources (bits as in
 * catalog_row.sources_tried) was not asked for become NEED. Without sources, NEED rows are what
 * they were before. */
MUST_CHECK bool again_by_source(struct catalog *c, uint8_t sources, uint64_t *out_n, struct err *e);

#endif
