/*
 * A second chance by cause: rows that ended without a preview become inputs again. For `refrain
 * fetch --retry timeout,http_403` after the cause is gone.
 */
#ifndef REFRAIN_AGAIN_H
#define REFRAIN_AGAIN_H

#include "ingest/catalog.h"

/* `causes` is a comma-separated list of what catalog_row.cause says, or "all". GONE, REJECTED and
 * DEAD rows with one of them become DIRECT with no attempt made. *out_n: how many. */
MUST_CHECK bool again_by_cause(struct catalog *c, const char *causes, uint64_t *out_n,
                               struct err *e);

#endif
