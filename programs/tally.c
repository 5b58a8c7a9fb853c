#include "programs/tally.h"

#include "base/hash.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* Items lie in order of first sight; `slots` is an open-addressing table of item numbers, at most
 * half full. Sorting reorders the items, so it drops the table until the next addition. */
struct tally {
    struct tally_item *items;
    size_t n, cap, max_names;
    uint32_t *slots; /* item number + 1; 0: free */
    size_t n_slots;  /* a power of two */
    bool sorted;
    uint64_t overflow;
};

struct tally *tally_new(size_t max_names)
{
    assert(max_names > 0 && max_names < UINT32_MAX / 4);
    struct tally *t = mem_zalloc(1, sizeof *t);
    t->max_names = max_names;
    return t;
}

void tally_free(struct tally *t)
{
    if (t == NULL)
        return;
    mem_free(t->items);
    mem_free(t->slots);
    mem_free(t);
}

static size_t slot_find(const struct tally *t, const char *name, size_t len)
{
    size_t at = hash64(name, len, 0) & (t->n_slots - 1);
    while (t->slots[at] != 0) {
        const struct tally_item *item = &t->items[t->slots[at] - 1];
        if (strlen(item->name) == len && memcmp(item->name, name, len) == 0)
            break;
        at = (at + 1) & (t->n_slots - 1);
    }
    return at;
}

static void slots_rebuild(struct tally *t, size_t n_slots)
{
    mem_free(t->slots);
    t->slots = mem_zalloc(n_slots, sizeof t->slots[0]);
    t->n_slots = n_slots;
    for (size_t i = 0; i < t->n; i++) {
        const char *name = t->items[i].name;
        t->slots[slot_find(t, name, strlen(name))] = (uint32_t)(i + 1);
    }
    t->sorted = false;
}

/* Not longer than the field, no NUL inside, not within a character. */
static size_t name_len(struct span name)
{
    const char *s = name.ptr;
    size_t len = strnlen(s, size_min(name.len, TALLY_NAME_BYTES - 1));
    if (len < name.len)
        while (len > 0 && ((uint8_t)s[len] & 0xc0) == 0x80)
            len--;
    return len;
}

void tally_add(struct tally *t, struct span name, bool marked)
{
    if (t->n_slots == 0 || t->sorted || t->n * 2 >= t->n_slots) {
        size_t n_slots = size_max(64, t->n_slots);
        while (n_slots <= t->n * 2)
            n_slots *= 2;
        slots_rebuild(t, n_slots);
    }
    size_t len = name_len(name), at = slot_find(t, name.ptr, len);
    if (t->slots[at] == 0) {
        if (t->n == t->max_names) {
            t->overflow++;
            return;
        }
        if (t->n == t->cap) {
            t->cap = size_max(16, t->cap * 2);
            t->items = mem_resize(t->items, t->cap, sizeof t->items[0]);
        }
        struct tally_item *item = &t->items[t->n++];
        memset(item, 0, sizeof *item);
        memcpy(item->name, name.ptr, len);
        t->slots[at] = (uint32_t)t->n;
    }
    struct tally_item *item = &t->items[t->slots[at] - 1];
    item->n++;
    item->n_marked += marked;
}

void tally_add_str(struct tally *t, const char *name, bool marked)
{
    tally_add(t, (struct span){name, strlen(name)}, marked);
}

static int item_order(const void *a, const void *b)
{
    const struct tally_item *x = a, *y = b;
    if (x->n != y->n)
        return x->n < y->n ? 1 : -1;
    return strcmp(x->name, y->name);
}

const struct tally_item *tally_sorted(struct tally *t, size_t *out_n)
{
    if (t->n > 0)
        qsort(t->items, t->n, sizeof t->items[0], item_order);
    t->sorted = true;
    *out_n = t->n;
    return t->items;
}

uint64_t tally_overflow(const struct tally *t)
{
    return t->overflow;
}
