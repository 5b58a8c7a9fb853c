/*
 * Is the store whole? Everything is read in a child process, because LMDB trusts its file: a
 * damaged tree can kill whoever walks it, and then the child's death is the finding.
 */
#ifndef REFRAIN_VERIFY_H
#define REFRAIN_VERIFY_H

#include "base/err.h"

enum { VERIFY_TEXT_BYTES = 256, VERIFY_STALL_MS = 120000 };

struct verify_report {
    uint64_t clips, tracks; /* read */
    uint64_t n_damaged;     /* findings */
    uint64_t root;          /* recomputed */
};

/* Either may be NULL. */
struct verify_listener {
    void (*damage)(void *arg, const char *text); /* one sentence; lent until it returns */
    void (*progress)(void *arg, uint64_t clips);
    void *arg;
};

/* Checks: keys in order, each record's checksum, its dtype and spec against the recipe, padding of
 * zeros, a track entry for each record and the reverse, the totals and the root. `deep` decodes
 * each record too and holds the error certificate against what its dtype can be off by. True when
 * the check ran to an end, whatever it found; the caller must have no store open. */
MUST_CHECK bool store_verify(const char *path, bool deep, const struct verify_listener *listener,
                             struct verify_report *out, struct err *e);

#endif
