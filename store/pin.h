/*
 * The part of a store that stays in memory.
 *
 * Every epoch reads every record once, in an order of its own. A page cache that throws out what
 * was used longest ago then keeps nearly nothing of use: with room for a fraction c of the data it
 * answers c + (1 - c) ln(1 - c) of the reads, 15 % where half would fit. A part that is never
 * thrown out answers c (Mohan et al.: Analyzing and Mitigating Data Stalls in DNN Training, VLDB
 * 2021).
 *
 * The part is a copy of the compressed records in memory of our own, not mlock on the map: that
 * needs a privilege (RLIMIT_MEMLOCK is 8 MiB on Debian), and pages of a file count as cache, which
 * a memory limit takes away first. Compressed, because that holds six times as many records.
 */
#ifndef REFRAIN_STORE_PIN_H
#define REFRAIN_STORE_PIN_H

#include "store/store.h"

struct store_pin_report {
    uint64_t records, bytes; /* pinned; bytes with what finding them takes */
    double fraction;         /* of the snapshot's records: the hit rate to come */
};

/* Copies records of the snapshot, drawn by their keys alone, as many as fit budget_bytes, in the
 * order in which they lie on disk. Reads take them from there until the store is closed, and check
 * their checksums as always; other threads may read meanwhile. Once: a second time is ERR_USAGE. */
MUST_CHECK bool store_pin(struct store *s, const struct store_snapshot *snap, uint64_t budget_bytes,
                          struct store_pin_report *out, struct err *e);

/* For the reader. */
struct pin;
bool pin_find(const struct pin *pin, uint64_t key, struct span *out);
bool pin_holds(const struct pin *pin, const void *at); /* an address inside the copy */
void pin_free(struct pin *pin);

#endif
