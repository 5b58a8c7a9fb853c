/*
 * Entries of the track table: any bytes.
 */
#include "store/tables.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = {0};
    struct store_track_info info;
    struct span entry = {data, size};
    char augment[STORE_AUGMENT_BYTES];
    uint64_t key;
    if (!track_entry_info(entry, &info, &e)) {
        require(e.kind == ERR_PERM);
        require(!track_entry_augment(entry, 0, augment, &e));
        return 0;
    }
    require(memchr(info.track_id, '\0', sizeof info.track_id) != NULL);
    require(info.n_views <= STORE_VIEWS_MAX);
    for (uint32_t i = 0; i < info.n_views; i++) {
        if (!track_entry_key(entry, 5, i, &key, &e))
            break;
        require(store_key_row(key) == 5);
        require(track_entry_augment(entry, key, augment, &e));
        require(memchr(augment, '\0', sizeof augment) != NULL);
    }
    if (track_entry_augment(entry, store_key(5, 255, 255), augment, &e))
        require(memchr(augment, '\0', sizeof augment) != NULL);
    return 0;
}
