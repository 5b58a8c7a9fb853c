/*
 * The activations of a frozen trunk, each computed once and kept in files that are mapped: later
 * epochs, and later runs, cost only the layers that are trained.
 *
 *     DIR/models/trunk/HASH.bin   slots of n_values bfloat16 each, appended
 *     DIR/models/trunk/HASH.idx   64-byte header, then 16 bytes a slot: key and checksum of the
 *                                 record it was computed from
 *
 * HASH covers everything else that decides the values: the network's frozen tensors, where it is
 * cut, the standardisation of the input (trunk_hash of the caller). A slot is found by (key,
 * checksum): a record that changed is computed again. The index is appended after its slots are
 * durable, so a slot that the index names is whole after any crash. When the files of all trunks
 * together would pass the limit, those used longest ago go first.
 *
 * All files hold numbers in the machine's own order, little-endian on all supported machines; they
 * are a cache and can be deleted at any time.
 */
#ifndef REFRAIN_TRUNK_H
#define REFRAIN_TRUNK_H

#include "store/store.h"

struct trunk_params {
    const char *models_dir;
    uint64_t hash;
    size_t n_values; /* of one clip */
    uint64_t limit_bytes;
};

struct trunk;

/* Takes the files' lock: two runs on one trunk exclude each other. A file that is not ours is
 * ERR_PERM, a full disk or a lost one ERR_FATAL. Slots of records that the snapshot has are found
 * by reading the index and each record's checksum. The snapshot and the store are borrowed. */
MUST_CHECK bool trunk_open(const struct trunk_params *params, struct store *store,
                           const struct store_snapshot *snap, struct trunk **out, struct err *e);
void trunk_close(struct trunk *t); /* NULL is fine */

/* ERR_USAGE when n_clips of them would not fit the limit; makes room for them by deleting other
 * trunks' files otherwise. */
MUST_CHECK bool trunk_reserve(struct trunk *t, size_t n_clips, struct err *e);

bool trunk_has(const struct trunk *t, uint64_t key);
size_t trunk_values(const struct trunk *t);

/* Appends n clips: values (n, n_values). What is not synced yet may be lost in a crash. */
MUST_CHECK bool trunk_append(struct trunk *t, const uint64_t *keys, size_t n, const float *values,
                             struct err *e);
MUST_CHECK bool trunk_sync(struct trunk *t, struct err *e);

/* Maps what is there for reading; no trunk_append after it. */
MUST_CHECK bool trunk_map(struct trunk *t, struct err *e);

/* out: (n, n_values). A key without a slot is ERR_PERM. Several threads may read at once. */
MUST_CHECK bool trunk_read(const struct trunk *t, const uint64_t *keys, size_t n, float *out,
                           struct err *e);
void trunk_prefetch(const struct trunk *t, const uint64_t *keys, size_t n); /* a hint */

#endif
