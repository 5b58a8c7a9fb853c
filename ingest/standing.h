/*
 * Where a fetch stands, for those who watch from another process: its hosts with their permits and
 * pauses, how long requests took, how long the rest takes at least. Written with its commits, so it
 * is a few seconds old; kept after the end as what was last known.
 */
#ifndef REFRAIN_STANDING_H
#define REFRAIN_STANDING_H

#include "ingest/catalog.h"
#include "ingest/latency.h"

enum { STANDING_HOSTS_MAX = 16, STANDING_NAME_BYTES = 64 };

/* Both structs are on disk as they are, little-endian. */
struct standing_host {
    char name[STANDING_NAME_BYTES];
    uint32_t n_permits, n_free; /* of the first limit, at the present level; 0, 0: no limit */
    uint32_t n_in_flight, zero;
    uint64_t window_ms;
    uint64_t n_left;                  /* rows that still need a request */
    uint64_t n_requests, n_throttled; /* of this run */
    int64_t paused_until_ms;          /* wall clock */
};

struct standing {
    uint32_t version, n_hosts; /* those with most left first come first */
    int64_t wall_ms;           /* when this was so; 0: never */
    int64_t eta_ms;            /* by the quotas; negative: not known */
    struct standing_host hosts[STANDING_HOSTS_MAX];
    struct latency latency; /* of all runs; a note of its own */
};

MUST_CHECK bool standing_write(struct catalog_write *w, const struct standing *s, struct err *e);
/* All zero when nothing was written, or by another version. */
MUST_CHECK bool standing_read(struct catalog *c, struct standing *out, struct err *e);

#endif
