#include "base/rng.h"
#include "tests/test.h"
#include "train/arena.h"

/* No two items that live at the same time share a byte. */
static bool is_sound(const struct arena *a)
{
    for (size_t i = 0; i < a->n_items; i++) {
        const struct arena_item *x = &a->items[i];
        if (x->offset + x->bytes > a->total_bytes || x->offset % 64 != 0)
            return false;
        for (size_t k = 0; k < i; k++) {
            const struct arena_item *y = &a->items[k];
            bool in_time = x->first <= y->last && y->first <= x->last;
            bool in_space = x->offset < y->offset + y->bytes && y->offset < x->offset + x->bytes;
            if (in_time && in_space)
                return false;
        }
    }
    return true;
}

static void test_reuse(void)
{
    struct arena a;
    arena_init(&a);
    arena_add(&a, 1000, 0, 1);
    arena_add(&a, 1000, 2, 3); /* may lie where the first was */
    arena_add(&a, 100, 1, 2);  /* lives with both */
    arena_plan(&a);
    CHECK(is_sound(&a));
    CHECK_U64(a.total_bytes, 1024 + 128);
    arena_release(&a);
    arena_release(&a);
}

static void test_extend(void)
{
    struct arena a;
    arena_init(&a);
    int32_t x = arena_add(&a, 64, 1, 1);
    arena_extend(&a, x, 5);
    arena_extend(&a, x, 0);
    CHECK(a.items[x].first == 0 && a.items[x].last == 5);
    arena_release(&a);
}

static void test_random(void)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct arena a;
        struct rng r;
        arena_init(&a);
        rng_init(&r, seed, 1, 0);
        size_t sum = 0, most = 0, alive[40] = {0};
        for (size_t i = 0; i < 60; i++) {
            int32_t first = (int32_t)rng_below(&r, 40);
            int32_t last = first + (int32_t)rng_below(&r, (uint64_t)(40 - first));
            int32_t item = arena_add(&a, 1 + rng_below(&r, 5000), first, last);
            sum += a.items[item].bytes;
            for (int32_t t = first; t <= last; t++)
                alive[t] += a.items[item].bytes;
        }
        for (size_t t = 0; t < 40; t++)
            most = size_max(most, alive[t]);
        arena_plan(&a);
        CHECK(is_sound(&a));
        CHECK(a.total_bytes >= most);
        CHECK(a.total_bytes <= sum);
        arena_release(&a);
    }
}

static void test_poison(void)
{
    struct arena a;
    arena_init(&a);
    int32_t x = arena_add(&a, 8, 0, 3), y = arena_add(&a, 8, 0, 4);
    arena_plan(&a);
    arena_allocate(&a);
    *(double *)arena_ptr(&a, x) = 1.0;
    *(double *)arena_ptr(&a, y) = 1.0;
    arena_poison(&a, 3);
    CHECK(isnan(*(double *)arena_ptr(&a, x)));
    CHECK(*(double *)arena_ptr(&a, y) == 1.0);
    arena_release(&a);
}

int main(void)
{
    RUN(test_reuse);
    RUN(test_extend);
    RUN(test_random);
    RUN(test_poison);
    return test_done();
}
