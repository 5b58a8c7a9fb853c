#include "store/pin.h"

#include "base/hash.h"
#include "base/mem.h"
#include "store/content.h"
#include "store/reader.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

/*
 * One mapping: the records, one after the other, and before them a table that finds them (open
 * addressing, at most half full). It is filled before readers see it and never changed: no lock.
 */
struct slot {
    uint64_t key; /* of an empty slot: at is 0 */
    uint64_t at;  /* behind the table; never 0 */
    uint32_t len;
};

struct pin {
    uint8_t *memory;
    size_t memory_bytes, used_bytes;
    struct slot *slots;
    size_t n_slots; /* a power of two */
    uint64_t records;
};

enum { WINDOW = 64, RECORD_ALIGN = 8 };

void pin_free(struct pin *pin)
{
    if (!pin)
        return;
    munmap(pin->memory, pin->memory_bytes);
    mem_free(pin);
}

static struct slot *slot_of(const struct pin *pin, uint64_t key)
{
    size_t i = hash_mix64(key) & (pin->n_slots - 1);
    while (pin->slots[i].at != 0 && pin->slots[i].key != key)
        i = (i + 1) & (pin->n_slots - 1);
    return &pin->slots[i];
}

bool pin_find(const struct pin *pin, uint64_t key, struct span *out)
{
    const struct slot *slot = slot_of(pin, key);
    *out = (struct span){pin->memory + slot->at, slot->len};
    return slot->at != 0;
}

bool pin_holds(const struct pin *pin, const void *at)
{
    uintptr_t start = (uintptr_t)pin->memory;
    return (uintptr_t)at >= start && (uintptr_t)at < start + pin->memory_bytes;
}

/* ---------------------------------------------------------------- filling */

/* A key is drawn when its hash is below the fraction of the budget; another constant than the
 * table's, so that what is drawn spreads over all slots. */
static bool is_drawn(uint64_t key, double fraction)
{
    return (double)(hash_mix64(key ^ UINT64_C(0x70696e)) >> 11) * 0x1p-53 < fraction;
}

/* Bytes of all values of the snapshot, without touching them. */
static bool bytes_of_all(struct store *s, struct store_seat *seat,
                         const struct store_snapshot *snap, uint64_t *out, struct err *e)
{
    *out = 0;
    for (size_t i = 0; i < snap->n_keys; i++) {
        MDB_val value;
        if (!store_lookup(s, seat, snap->keys[i], &value, e))
            return false;
        *out += value.mv_size;
    }
    return true;
}

static bool pinned_already(const struct store *s, struct err *e)
{
    return err_set(e, ERR_USAGE, "%s has a pinned part already", s->env.dir);
}

static bool pin_new(size_t n_records, uint64_t budget_bytes, struct pin **out, struct err *e)
{
    size_t n_slots = 2;
    while (n_slots < 2 * n_records)
        n_slots *= 2;
    size_t table_bytes = n_slots * sizeof(struct slot);
    if (table_bytes >= budget_bytes)
        return err_set(e, ERR_USAGE,
                       "%llu KiB are too little to pin records in: finding %zu "
                       "of them takes %zu",
                       (unsigned long long)(budget_bytes >> 10), n_records, table_bytes >> 10);
    void *memory = mmap(NULL, budget_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return err_set_errno(e, ERR_FATAL, errno, "cannot pin %llu MiB",
                             (unsigned long long)(budget_bytes >> 20));
    struct pin *pin = mem_zalloc(1, sizeof *pin);
    *pin = (struct pin){.memory = memory,
                        .memory_bytes = budget_bytes,
                        .used_bytes = table_bytes,
                        .slots = memory,
                        .n_slots = n_slots};
    *out = pin;
    return true;
}

/* False when it has no more room. */
static bool pin_add(struct pin *pin, uint64_t key, struct span record)
{
    if (pin->memory_bytes - pin->used_bytes < record.len || 2 * (pin->records + 1) > pin->n_slots)
        return false;
    struct slot *slot = slot_of(pin, key);
    if (slot->at == 0)
        pin->records++;
    *slot = (struct slot){key, pin->used_bytes, (uint32_t)record.len};
    memcpy(pin->memory + pin->used_bytes, record.ptr, record.len);
    pin->used_bytes += (record.len + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
    pin->used_bytes = size_min(pin->used_bytes, pin->memory_bytes);
    return true;
}

/* keys[n]: reads ahead, copies, and tells the kernel that it may have these pages back first. */
static bool pin_window(struct store *s, struct store_seat *seat, struct pin *pin,
                       const uint64_t *keys, size_t n, bool *full, struct err *e)
{
    size_t page_bytes = s->env.page_bytes;
    for (size_t i = 0; i < n; i++) {
        if (!store_lookup(s, seat, keys[i], &seat->values[i], e))
            return false;
    }
    store_ask_for_pages(s, seat, n);
    for (size_t i = 0; i < n && !*full; i++) {
        *full = !pin_add(pin, keys[i], value_span(seat->values[i]));
        uintptr_t start = (uintptr_t)seat->values[i].mv_data & ~(uintptr_t)(page_bytes - 1);
        uintptr_t end = (uintptr_t)seat->values[i].mv_data + seat->values[i].mv_size;
        madvise((void *)start, end - start, MADV_COLD); /* a hint */
    }
    return true;
}

static bool pin_fill(struct store *s, struct store_seat *seat, const struct store_snapshot *snap,
                     uint64_t budget_bytes, struct pin **out, struct err *e)
{
    uint64_t all_bytes, keys[WINDOW];
    size_t n = 0, n_drawn = 0;
    if (!bytes_of_all(s, seat, snap, &all_bytes, e))
        return false;
    double fraction = (double)budget_bytes / (double)all_bytes;
    for (size_t i = 0; i < snap->n_keys; i++)
        n_drawn += is_drawn(snap->keys[i], fraction);
    if (!pin_new(n_drawn, budget_bytes, out, e))
        return false;
    /* What the table takes is not for records: without this the last keys would find no room. */
    fraction = (double)(budget_bytes - (*out)->used_bytes) / (double)all_bytes;
    store_seat_reserve(seat, WINDOW);
    bool ok = true, full = false;
    for (size_t i = 0; i < snap->n_keys && ok && !full; i++) {
        if (is_drawn(snap->keys[i], fraction))
            keys[n++] = snap->keys[i];
        if (n == WINDOW || (i + 1 == snap->n_keys && n > 0)) {
            ok = pin_window(s, seat, *out, keys, n, &full, e);
            n = 0;
        }
    }
    return ok;
}

bool store_pin(struct store *s, const struct store_snapshot *snap, uint64_t budget_bytes,
               struct store_pin_report *out, struct err *e)
{
    struct store_seat *seat;
    struct pin *pin = NULL;
    struct pin *none = NULL;
    if (s->pin)
        return pinned_already(s, e);
    if (!store_enter(s, &seat, e))
        return false;
    bool ok = pin_fill(s, seat, snap, budget_bytes, &pin, e);
    store_leave(s, seat);
    if (!ok) {
        pin_free(pin);
        return err_wrap(e, "pin");
    }
    mlock(pin->memory, pin->used_bytes); /* against swapping, where it is allowed */
    if (!atomic_compare_exchange_strong(&s->pin, &none, pin)) {
        pin_free(pin); /* another thread was faster */
        return pinned_already(s, e);
    }
    *out = (struct store_pin_report){.records = pin->records,
                                     .bytes = pin->used_bytes,
                                     .fraction = (double)pin->records / (double)snap->n_keys};
    return true;
}
