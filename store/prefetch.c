#include "base/mem.h"
#include "store/reader.h"

#include <stdlib.h>
#include <sys/mman.h>

/*
 * mdb_get gives the address of a record without touching its pages (a long value's node holds a
 * page number; the map's base is added, no more), so all of a batch is resolved first and the
 * kernel is asked for all the pages at once: MADV_WILLNEED reads ahead without waiting, at the
 * depth of the device's queue. Faulting records in one by one would read 4 KiB at a time with
 * nothing in flight, because the map is opened for random access (MDB_NORDAHEAD).
 */
static int value_compare(const void *a, const void *b)
{
    const MDB_val *va = a, *vb = b;
    return (va->mv_data > vb->mv_data) - (va->mv_data < vb->mv_data);
}

static void will_need(uintptr_t start, uintptr_t end, size_t page_bytes)
{
    start &= ~(uintptr_t)(page_bytes - 1);
    madvise((void *)start, end - start, MADV_WILLNEED); /* a hint: failing costs time only */
}

/* values[n] are sorted by address and close ones merged, then the kernel is asked for each range.
 */
static void ask_for_pages(MDB_val *values, size_t n, size_t page_bytes)
{
    if (n == 0)
        return;
    qsort(values, n, sizeof *values, value_compare);
    uintptr_t start = (uintptr_t)values[0].mv_data, end = start + values[0].mv_size;
    for (size_t i = 1; i < n; i++) {
        uintptr_t at = (uintptr_t)values[i].mv_data;
        if (at > end + STORE_MERGE_GAP_BYTES) {
            will_need(start, end, page_bytes);
            start = at;
        }
        end = at + values[i].mv_size;
    }
    will_need(start, end, page_bytes);
}

void store_seat_reserve(struct store_seat *seat, size_t n)
{
    if (n <= seat->n_values_max)
        return;
    mem_free(seat->values);
    seat->values = mem_alloc(2 * n, sizeof *seat->values);
    seat->n_values_max = n;
}

void store_ask_for_pages(struct store *s, struct store_seat *seat, size_t n)
{
    MDB_val *sorted = seat->values + seat->n_values_max;
    const struct pin *pin = s->pin;
    size_t n_asked = 0;
    for (size_t i = 0; i < n; i++) {
        if (!pin || !pin_holds(pin, seat->values[i].mv_data))
            sorted[n_asked++] = seat->values[i];
    }
    ask_for_pages(sorted, n_asked, s->env.page_bytes);
}

void store_prefetch(struct store *s, const uint64_t *keys, size_t n)
{
    struct store_seat *seat;
    struct err ignored;
    size_t n_found = 0;
    if (n == 0 || !store_enter(s, &seat, &ignored))
        return;
    store_seat_reserve(seat, n);
    for (size_t i = 0; i < n; i++)
        n_found += store_lookup(s, seat, keys[i], &seat->values[n_found], &ignored);
    store_ask_for_pages(s, seat, n_found);
    store_leave(s, seat);
}
