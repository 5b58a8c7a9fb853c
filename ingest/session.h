/*
 * When requests were sent last, across runs: what a limiter must assume after a restart. Kept as a
 * note in the catalogue, written before the first request of a run and after the last one. A run
 * that was killed leaves "open" behind; then everything may have been sent just now.
 */
#ifndef REFRAIN_SESSION_H
#define REFRAIN_SESSION_H

#include "ingest/catalog.h"

struct session {
    bool hold;              /* an earlier run sent requests that may still count */
    uint64_t held_since_ns; /* the last of them, on the monotonic clock */
};

MUST_CHECK bool session_read(struct catalog *c, uint64_t now_ns, struct session *out,
                             struct err *e);
MUST_CHECK bool session_mark_open(struct catalog *c, struct err *e);
/* What is known of the hosts, as hosts_remember writes it. */
MUST_CHECK bool session_read_hosts(struct catalog *c, uint8_t out[CATALOG_NOTE_BYTES_MAX],
                                   size_t *out_bytes, struct err *e);
MUST_CHECK bool session_write_hosts(struct catalog *c, struct span note, struct err *e);
MUST_CHECK bool session_mark_closed(struct catalog *c, uint64_t last_ns, struct err *e);

#endif
