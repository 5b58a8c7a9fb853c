/*
 * One allocation for everything a tape touches, planned once. Each item says how long it lives, as
 * the first and the last tick of the tape (forward ticks, then backward ticks); two items share
 * bytes only if no tick needs both. Greedy by size: the largest item first, each at the lowest
 * offset where nothing alive at the same time lies.
 */
#ifndef REFRAIN_ARENA_H
#define REFRAIN_ARENA_H

#include "base/base.h"

enum { ARENA_ITEMS_MAX = 4096 };

struct arena_item {
    size_t bytes;
    int32_t first, last; /* ticks, inclusive */
    size_t offset;       /* valid after arena_plan */
};

struct arena {
    struct arena_item *items;
    size_t n_items;
    size_t total_bytes;
    uint8_t *base;
};

void arena_init(struct arena *a);
void arena_release(struct arena *a); /* safe on {0}, may run twice */

/* Before arena_plan only. Returns the item's index. */
int32_t arena_add(struct arena *a, size_t bytes, int32_t first, int32_t last);

/* Lengthens an item's life so that it covers `tick`. */
void arena_extend(struct arena *a, int32_t item, int32_t tick);

void arena_plan(struct arena *a);     /* sets offsets and total_bytes, allocates nothing */
void arena_allocate(struct arena *a); /* not cleared: what is never used never becomes resident */

static inline void *arena_ptr(const struct arena *a, int32_t item)
{
    assert(a->base != NULL);
    assert(item >= 0 && (size_t)item < a->n_items);
    return a->base + a->items[item].offset;
}

/* Debug: fills every item whose life ends at `tick` with 0xff bytes, which are NaNs as float and as
 * double; a read after the end of a life then shows in the results. */
void arena_poison(struct arena *a, int32_t tick);

#endif
