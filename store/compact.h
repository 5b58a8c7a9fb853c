/*
 * Lays a store out anew: records in key order, no free pages. The new file is a function of the
 * content alone, byte for byte, whatever the history of the old one.
 */
#ifndef REFRAIN_COMPACT_H
#define REFRAIN_COMPACT_H

#include "base/err.h"

struct compact_report {
    uint64_t bytes_before, bytes_after, clips, root;
};

/* Needs the store for itself: a reader or writer elsewhere is ERR_TEMP or ERR_FATAL. The new file
 * is put in place by a rename; until then, and after any failure, the old one stands. */
MUST_CHECK bool store_compact(const char *path, struct compact_report *out, struct err *e);

#endif
