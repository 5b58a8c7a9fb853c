/*
 * What this machine gives a store: memory that may hold it, and the disk under it, read past the
 * page cache (O_DIRECT), so that neither is disturbed by what happens to be cached.
 */
#ifndef REFRAIN_STORE_PROBE_H
#define REFRAIN_STORE_PROBE_H

#include "base/err.h"

/* Memory for caching, in bytes: what is available and what a control group allows, the less. */
uint64_t probe_memory_bytes(void);

struct probe_disk {
    bool known; /* false where files cannot be read past the cache (tmpfs) */
    double sequential_bytes_per_s;
    double random_bytes_per_s; /* pieces of piece_bytes anywhere, PROBE_DEPTH at a time */
};

enum { PROBE_DEPTH = 8, PROBE_MS = 300 };

/* For about PROBE_MS each way. */
MUST_CHECK bool probe_disk(const char *file, uint64_t piece_bytes, struct probe_disk *out,
                           struct err *e);

#endif
