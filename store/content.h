/*
 * Records by content: bytes that are there already are not stored again. The same preview under two
 * rows of a catalogue, or a folder that holds a song twice, gives records that are equal to the
 * last byte; the second key then holds an alias of the first.
 *
 * Nobody outside this file sees that: a key reads as its record, and root, totals and counts are
 * those of the records, so that which of two equal ones came first decides nothing but where the
 * bytes lie; compact lets the lowest key own them.
 */
#ifndef REFRAIN_STORE_CONTENT_H
#define REFRAIN_STORE_CONTENT_H

#include "store/tables.h"

/* Puts a record, padded, or an alias when its bytes are there. `last`: the key is above all others.
 * *out_bytes is what it took. Returns an LMDB code; a key that is there is MDB_KEYEXIST. */
MUST_CHECK int content_put(const struct env *env, MDB_txn *txn, uint64_t key, struct span record,
                           bool last, size_t *out_bytes);

/* *value, of table `clip`, becomes the record's own value if it is an alias. An alias of nothing is
 * MDB_CORRUPTED, and *value stays, which nobody takes for a record. */
int content_resolve(const struct env *env, MDB_txn *txn, MDB_val *value);

/* Whether a value of table `clip` is an alias: no record is so short. */
bool content_is_alias(MDB_val value);

#endif
