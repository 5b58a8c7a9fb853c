#include "store/order.h"

#include "base/mem.h"
#include "tests/test.h"

/* The same order with another place to stand at. */
static struct store_order order_of(enum store_order_mode mode, uint32_t size)
{
    return (struct store_order){.mode = mode, .size = size, .seed = 42, .epoch = 3};
}

static void check_bijection(const struct store_order *o, uint64_t n)
{
    uint8_t *seen = mem_zalloc(n, 1);
    uint64_t once = 0;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t x = store_order_at(o, n, i);
        CHECK(x < n);
        if (x < n)
            seen[x]++;
    }
    for (uint64_t i = 0; i < n; i++)
        once += seen[i] == 1;
    CHECK_U64(once, n);
    mem_free(seen);
}

/* Every index once, whatever is left over of blocks and windows. */
static void test_bijection(void)
{
    static const uint64_t sizes[] = {1, 2, 63, 64, 65, 127, 128, 129, 640, 1000, 4096, 4160, 10007};
    for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
        struct store_order full = order_of(STORE_ORDER_FULL, 0);
        check_bijection(&full, sizes[k]);
        static const uint32_t windows[] = {1, 3, 64, STORE_WINDOW_BLOCKS_MAX};
        for (size_t w = 0; w < ARRAY_LEN(windows); w++) {
            struct store_order block = order_of(STORE_ORDER_BLOCK, windows[w]);
            check_bijection(&block, sizes[k]);
        }
    }
}

/* What the mode is for: a window reads few, long runs, and mixes what it reads. */
static void test_windows_read_runs(void)
{
    enum { N = 100 * STORE_BLOCK_KEYS, WINDOW = 4, KEYS = WINDOW * STORE_BLOCK_KEYS };
    struct store_order o = order_of(STORE_ORDER_BLOCK, WINDOW);
    for (uint64_t start = 0; start < N; start += KEYS) {
        uint8_t seen[N] = {0};
        size_t runs = 0, steps_of_one = 0;
        for (uint64_t i = 0; i < KEYS; i++) {
            uint64_t x = store_order_at(&o, N, start + i);
            seen[x] = 1;
            steps_of_one += i > 0 && x == store_order_at(&o, N, start + i - 1) + 1;
        }
        for (size_t i = 0; i < N; i++)
            runs += seen[i] && !(i > 0 && seen[i - 1]);
        CHECK(runs <= WINDOW + 1);       /* + 1: a block may lie over the end */
        CHECK(steps_of_one < KEYS / 16); /* expected: 1 */
    }
}

static void test_epochs_and_seeds_differ(void)
{
    enum { N = 1000 };
    for (int mode = STORE_ORDER_FULL; mode <= STORE_ORDER_BLOCK; mode++) {
        struct store_order a = order_of((enum store_order_mode)mode, mode == STORE_ORDER_BLOCK);
        struct store_order b = a, c = a;
        size_t same_epoch = 0, same_seed = 0;
        b.epoch++;
        c.seed++;
        for (uint64_t i = 0; i < N; i++) {
            uint64_t x = store_order_at(&a, N, i);
            same_epoch += x == store_order_at(&b, N, i);
            same_seed += x == store_order_at(&c, N, i);
        }
        CHECK(same_epoch < 20); /* expected: 1 */
        CHECK(same_seed < 20);
    }
}

/* What comes in the short block at the end is not the same in each epoch, and over many epochs
 * every index comes there. */
static void test_the_end_moves(void)
{
    enum { N = STORE_BLOCK_KEYS + 30, EPOCHS = 100 };
    struct store_order o = order_of(STORE_ORDER_BLOCK, 1);
    size_t last[N] = {0};
    for (o.epoch = 0; o.epoch < EPOCHS; o.epoch++) {
        for (uint64_t i = STORE_BLOCK_KEYS; i < N; i++)
            last[store_order_at(&o, N, i)]++;
    }
    for (size_t i = 0; i < N; i++) /* expected: 32, standard deviation 5 */
        CHECK(last[i] > 5 && last[i] < 65);
}

/* In batches of any size, or after a stop: the same sequence, over the end of the epoch. */
static void test_next_goes_on(void)
{
    enum { N = 150, TOTAL = 400 };
    uint64_t whole[TOTAL], parts[TOTAL];
    struct store_order a = order_of(STORE_ORDER_BLOCK, 1), b = a;
    store_order_next(&a, N, whole, TOTAL);
    for (size_t done = 0, n = 1; done < TOTAL; done += n, n = n * 2 % 61) {
        n = size_min(n, TOTAL - done);
        struct store_order stopped = b;
        store_order_next(&stopped, N, parts + done, n);
        b = stopped;
    }
    CHECK(memcmp(whole, parts, sizeof whole) == 0);
    CHECK_U64(a.epoch, 3 + 2);
    CHECK_U64(a.position, 100);
    CHECK_U64(b.epoch, a.epoch);
    CHECK_U64(b.position, a.position);
}

/* ---------------------------------------------------------------- token */

static const struct store_snapshot SNAP = {.n_keys = 500, .root = 77, .spec_hash = 88};

static void make_token(uint8_t token[STORE_TOKEN_BYTES])
{
    struct store_order o = order_of(STORE_ORDER_BLOCK, 9);
    o.position = 321;
    store_order_token(&o, &SNAP, token);
}

static bool restore(const uint8_t *token, size_t n, const struct store_snapshot *snap,
                    struct store_order *out, struct err *e)
{
    return store_order_restore((struct span){token, n}, snap, out, e);
}

static void test_token_round_trip(void)
{
    struct err e = {0};
    struct store_order o = {0};
    uint8_t token[STORE_TOKEN_BYTES];
    make_token(token);
    CHECK_OK(restore(token, sizeof token, &SNAP, &o, &e), &e);
    CHECK_U64(o.mode, STORE_ORDER_BLOCK);
    CHECK_U64(o.size, 9);
    CHECK_U64(o.seed, 42);
    CHECK_U64(o.epoch, 3);
    CHECK_U64(o.position, 321);
}

/* docs/FORMAT.md, byte by byte. */
static void test_token_layout(void)
{
    static const uint8_t want[56] = {
        'R', 'F', 'R', 'O', 1, 2,  9,         0,         /* 500 */ 0xf4, 1,           0,
        0,   0,   0,   0,   0, 77, [24] = 88, [32] = 42, [40] = 3,       [48] = 0x41, [49] = 1};
    uint8_t token[STORE_TOKEN_BYTES];
    make_token(token);
    CHECK(memcmp(token, want, sizeof want) == 0);
}

static void test_other_data_refused(void)
{
    struct store_order o;
    uint8_t token[STORE_TOKEN_BYTES];
    struct store_snapshot root = SNAP, n_keys = SNAP, spec = SNAP;
    root.root++;
    n_keys.n_keys++;
    spec.spec_hash++;
    make_token(token);
    struct err e = {0};
    CHECK(!restore(token, sizeof token, &root, &o, &e) && e.kind == ERR_PERM);
    CHECK(strstr(e.msg, "the data changed: the resume token is of 500 records with root "
                        "000000000000004d, the store holds 500 with root 000000000000004e"));
    CHECK(!restore(token, sizeof token, &n_keys, &o, &e));
    CHECK(strstr(e.msg, "the store holds 501"));
    CHECK(!restore(token, sizeof token, &spec, &o, &e));
    CHECK(strstr(e.msg, "of features 0000000000000058"));
}

static void test_damaged_tokens_refused(void)
{
    struct store_order o;
    uint8_t token[STORE_TOKEN_BYTES + 1] = {0};
    make_token(token);
    for (size_t bit = 0; bit < (size_t)STORE_TOKEN_BYTES * 8; bit++) {
        struct err e = {0};
        token[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(!restore(token, STORE_TOKEN_BYTES, &SNAP, &o, &e) && e.kind == ERR_PERM);
        token[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t n = 0; n <= sizeof token; n++) {
        struct err e = {0};
        CHECK(restore(token, n, &SNAP, &o, &e) == (n == STORE_TOKEN_BYTES));
    }
}

/* A token with a right checksum may still say nonsense. */
static void test_nonsense_refused(void)
{
    static const struct store_order nonsense[] = {
        {.mode = (enum store_order_mode)9},
        {.mode = STORE_ORDER_FULL, .size = 1},
        {.mode = STORE_ORDER_BLOCK, .size = 0},
        {.mode = STORE_ORDER_GROUPS, .size = 0},
        {.mode = STORE_ORDER_GROUPS, .size = STORE_VIEWS_MAX + 1},
        {.mode = STORE_ORDER_FULL, .position = 501},
    };
    for (size_t i = 0; i < ARRAY_LEN(nonsense); i++) {
        struct err e = {0};
        struct store_order o;
        uint8_t token[STORE_TOKEN_BYTES];
        store_order_token(&nonsense[i], &SNAP, token);
        CHECK(!restore(token, sizeof token, &SNAP, &o, &e) && e.kind == ERR_PERM);
        CHECK(e.msg[0]);
    }
}

int main(void)
{
    RUN(test_bijection);
    RUN(test_windows_read_runs);
    RUN(test_epochs_and_seeds_differ);
    RUN(test_the_end_moves);
    RUN(test_next_goes_on);
    RUN(test_token_round_trip);
    RUN(test_token_layout);
    RUN(test_other_data_refused);
    RUN(test_damaged_tokens_refused);
    RUN(test_nonsense_refused);
    return test_done();
}
