/*
 * Which tracks are there, and from what: track id to source id. Ids are kept as hashes of 64 bits;
 * memory is 32 bytes a track at most.
 */
#ifndef REFRAIN_STORE_IMPORT_IDS_H
#define REFRAIN_STORE_IMPORT_IDS_H

#include "base/err.h"

enum { IMPORT_IDS_MAX = 1 << 28 };

struct import_ids {
    struct import_id {
        uint64_t hash, source_id; /* hash 0: free */
    } * slots;
    size_t n, n_slots;
};

void import_ids_release(struct import_ids *ids); /* safe on {0} */
MUST_CHECK bool import_ids_add(struct import_ids *ids, const char *track_id, uint64_t source_id,
                               struct err *e);
bool import_ids_find(const struct import_ids *ids, const char *track_id, uint64_t *out_source_id);

#endif
