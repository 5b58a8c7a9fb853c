#include "train/arena.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE_BYTES = 2 << 20 };

void arena_init(struct arena *a)
{
    *a = (struct arena){.items = mem_zalloc(ARENA_ITEMS_MAX, sizeof(struct arena_item))};
}

void arena_release(struct arena *a)
{
    mem_free(a->items);
    mem_free(a->base);
    *a = (struct arena){0};
}

int32_t arena_add(struct arena *a, size_t bytes, int32_t first, int32_t last)
{
    assert(a->base == NULL);
    assert(a->n_items < ARENA_ITEMS_MAX);
    assert(first <= last);
    size_t rounded = (size_max(bytes, 1) + MEM_ALIGN_BYTES - 1) / MEM_ALIGN_BYTES * MEM_ALIGN_BYTES;
    a->items[a->n_items] = (struct arena_item){.bytes = rounded, .first = first, .last = last};
    return (int32_t)a->n_items++;
}

void arena_extend(struct arena *a, int32_t item, int32_t tick)
{
    assert(item >= 0 && (size_t)item < a->n_items);
    struct arena_item *it = &a->items[item];
    if (tick < it->first)
        it->first = tick;
    if (tick > it->last)
        it->last = tick;
}

static bool overlap_in_time(const struct arena_item *x, const struct arena_item *y)
{
    return x->first <= y->last && y->first <= x->last;
}

/* Largest first; equal sizes in order of declaration, so that the plan is reproducible. */
static int compare_size(const void *x, const void *y)
{
    const struct arena_item *p = *(const struct arena_item *const *)x;
    const struct arena_item *q = *(const struct arena_item *const *)y;
    if (p->bytes != q->bytes)
        return p->bytes < q->bytes ? 1 : -1;
    return p < q ? -1 : p > q;
}

/* `placed` is sorted by offset. */
static size_t lowest_gap(struct arena_item *const *placed, size_t n, const struct arena_item *item)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (!overlap_in_time(placed[i], item))
            continue;
        if (placed[i]->offset >= at && placed[i]->offset - at >= item->bytes)
            return at;
        at = size_max(at, placed[i]->offset + placed[i]->bytes);
    }
    return at;
}

void arena_plan(struct arena *a)
{
    struct arena_item **order = mem_zalloc(size_max(a->n_items, 1), sizeof *order);
    struct arena_item **placed = mem_zalloc(size_max(a->n_items, 1), sizeof *placed);
    for (size_t i = 0; i < a->n_items; i++)
        order[i] = &a->items[i];
    qsort(order, a->n_items, sizeof *order, compare_size);

    a->total_bytes = 0;
    for (size_t n = 0; n < a->n_items; n++) {
        struct arena_item *item = order[n];
        item->offset = lowest_gap(placed, n, item);
        a->total_bytes = size_max(a->total_bytes, item->offset + item->bytes);
        size_t at = n;
        for (; at > 0 && placed[at - 1]->offset > item->offset; at--)
            placed[at] = placed[at - 1];
        placed[at] = item;
    }
    mem_free(order);
    mem_free(placed);
}

void arena_allocate(struct arena *a)
{
    assert(a->base == NULL);
    a->base = mem_alloc_aligned(size_max(a->total_bytes, 1), 1);
    uintptr_t base = (uintptr_t)a->base, page = (base + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    uintptr_t end = base + a->total_bytes;
    /* Large pages where there are some: transforms write to 36 places in turn. */
    if (end > page + PAGE_BYTES)
        (void)madvise((void *)page, end - page, MADV_HUGEPAGE);
}

void arena_poison(struct arena *a, int32_t tick)
{
    for (size_t i = 0; i < a->n_items; i++)
        if (a->items[i].last == tick)
            memset(a->base + a->items[i].offset, 0xff, a->items[i].bytes);
}
