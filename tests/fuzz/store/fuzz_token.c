/*
 * Resume tokens: any bytes, and the same bytes with a checksum and a root that are right.
 */
#include "base/hash.h"
#include "store/order.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void restore(const uint8_t *data, size_t size, const struct store_snapshot *snap)
{
    struct err e = {0};
    struct store_order order;
    uint8_t again[STORE_TOKEN_BYTES];
    if (!store_order_restore((struct span){data, size}, snap, &order, &e)) {
        require(e.kind == ERR_PERM);
        return;
    }
    require(store_order_check(&order, &e));
    require(order.position <= snap->n_keys);
    store_order_token(&order, snap, again);
    require(memcmp(again, data, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct store_snapshot snap = {.n_keys = 1000, .root = 5, .spec_hash = 6};
    restore(data, size, &snap);
    if (size != STORE_TOKEN_BYTES)
        return 0;
    uint8_t fixed[STORE_TOKEN_BYTES];
    memcpy(fixed, data, size);
    uint64_t checksum = hash64(fixed, 56, 0);
    memcpy(fixed + 56, &checksum, sizeof checksum);
    memcpy(&snap.n_keys, fixed + 8, 8);
    memcpy(&snap.root, fixed + 16, 8);
    memcpy(&snap.spec_hash, fixed + 24, 8);
    restore(fixed, size, &snap);
    return 0;
}
