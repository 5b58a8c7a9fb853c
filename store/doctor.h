/*
 * What a store looks like on disk and in memory: how its bytes are used, how well the order of its
 * keys is the order of its pages, how much of it is in the page cache, who reads it. Reads the tree
 * and no record; what follows from it on this machine, the main program measures and says.
 */
#ifndef REFRAIN_STORE_DOCTOR_H
#define REFRAIN_STORE_DOCTOR_H

#include "store/store.h"

struct doctor_report {
    struct store_stat stat;
    uint64_t aliases;      /* keys whose record is another key's */
    uint64_t record_bytes; /* pages of records */
    uint64_t slack_bytes;  /* of these, filled with zeros */
    uint64_t free_bytes;   /* pages that nothing uses; a writer fills them first */
    uint64_t tree_bytes;   /* the rest of the file: indices, tracks, the recipe */
    uint64_t
        jumps; /* records that lie before the one before them, or far behind it, in key order */
    uint64_t resident_bytes;
    uint32_t n_readers,
        n_stale_readers;    /* slots in use, ours included; cleared when we opened it */
    uint32_t n_generations; /* retired ones beside it */
};

/* path: what the store was opened by. */
MUST_CHECK bool store_examine(struct store *s, const char *path, struct doctor_report *out,
                              struct err *e);

/* Part of the reads that a cache answers that holds the fraction c of the data and forgets what was
 * used longest ago, when each epoch reads everything once in an order of its own. (A record's
 * position in two independent permutations; docs/STORE.md derives it.) A pinned part answers c. */
double doctor_lru_hit_rate(double c);

#endif
