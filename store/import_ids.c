#include "store/import_ids.h"

#include "base/hash.h"
#include "base/mem.h"

#include <string.h>

enum { SLOTS_FIRST = 1024 };

void import_ids_release(struct import_ids *ids)
{
    mem_free(ids->slots);
    *ids = (struct import_ids){0};
}

static uint64_t hash_of(const char *track_id)
{
    uint64_t hash = hash64(track_id, strlen(track_id), 0);
    return hash ? hash : 1;
}

/* Where it is or would be; n_slots is a power of two, and at least half of them are free. */
static struct import_id *slot_of(const struct import_ids *ids, uint64_t hash)
{
    size_t mask = ids->n_slots - 1, i = hash & mask;
    while (ids->slots[i].hash && ids->slots[i].hash != hash)
        i = (i + 1) & mask;
    return &ids->slots[i];
}

static void grow(struct import_ids *ids)
{
    struct import_ids larger = {.n_slots = size_max(SLOTS_FIRST, 2 * ids->n_slots), .n = ids->n};
    larger.slots = mem_zalloc(larger.n_slots, sizeof *larger.slots);
    for (size_t i = 0; i < ids->n_slots; i++) {
        if (ids->slots[i].hash)
            *slot_of(&larger, ids->slots[i].hash) = ids->slots[i];
    }
    mem_free(ids->slots);
    *ids = larger;
}

bool import_ids_add(struct import_ids *ids, const char *track_id, uint64_t source_id, struct err *e)
{
    if (ids->n == IMPORT_IDS_MAX)
        return err_set(e, ERR_FATAL, "more than %d tracks", IMPORT_IDS_MAX);
    if (2 * (ids->n + 1) > ids->n_slots)
        grow(ids);
    struct import_id *slot = slot_of(ids, hash_of(track_id));
    ids->n += slot->hash == 0;
    *slot = (struct import_id){hash_of(track_id), source_id};
    return true;
}

bool import_ids_find(const struct import_ids *ids, const char *track_id, uint64_t *out_source_id)
{
    if (ids->n == 0)
        return false;
    const struct import_id *slot = slot_of(ids, hash_of(track_id));
    *out_source_id = slot->source_id;
    return slot->hash != 0;
}
