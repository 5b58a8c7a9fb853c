#include "store/reader.h"
#include "store/triplets.h"
#include "tests/unit/store/fixture.h"

/*
 * Over a made-up key list: tracks of 1 to 4 clips of 1 to 5 views (a clip with one has no
 * positive), rows with gaps. Only where the lists lie comes from the struct store.
 */
enum { N_TRACKS = 40, KEYS_MAX = N_TRACKS * 4 * 5, SEED = 11 };

struct made {
    uint64_t keys[KEYS_MAX];
    struct store store;
    struct store_snapshot snap;
    size_t n_clips; /* with a positive */
};

static void make(struct made *m)
{
    *m = (struct made){.store = {.env.dir = "/tmp"}};
    size_t n = 0;
    for (uint64_t i = 0; i < N_TRACKS; i++) {
        uint32_t n_clips = 1 + (uint32_t)i % 4, n_views = 1 + (uint32_t)i % 5;
        for (uint32_t clip = 0; clip < n_clips; clip++) {
            for (uint32_t view = 0; view < n_views; view++)
                m->keys[n++] = store_key(i * i + 3, clip, view);
        }
        m->n_clips += n_views > 1 ? n_clips : 0;
    }
    m->snap = (struct store_snapshot){.keys = m->keys, .n_keys = n, .root = 1, .spec_hash = 2};
}

static void check_triplet(const struct made *m, uint64_t a, uint64_t p, uint64_t n)
{
    CHECK(a < m->snap.n_keys && p < m->snap.n_keys && n < m->snap.n_keys);
    CHECK_U64(store_key_view(m->keys[a]), 0);
    CHECK(store_key_view(m->keys[p]) > 0);
    CHECK_U64(m->keys[p] >> 8, m->keys[a] >> 8);
    CHECK_U64(store_key_view(m->keys[n]), 0);
    CHECK(store_key_row(m->keys[n]) != store_key_row(m->keys[a]));
}

static void test_an_epoch_of_triplets(void)
{
    struct made m;
    struct err e = {0};
    struct store_triplets t = {0};
    struct store_order o = {.mode = STORE_ORDER_TRIPLETS, .seed = SEED};
    uint64_t out[3 * KEYS_MAX];
    uint8_t anchors[KEYS_MAX] = {0};
    make(&m);
    CHECK_OK(store_triplets_init(&m.store, &m.snap, &t, &e), &e);
    CHECK_U64(t.clips.n, m.n_clips);
    size_t n = t.clips.n;
    store_triplets_next(&t, &o, out, n);
    for (size_t i = 0; i < n; i++) {
        check_triplet(&m, out[i], out[n + i], out[2 * n + i]);
        anchors[out[i]]++;
    }
    for (size_t i = 0; i < n; i++)
        CHECK_U64(anchors[t.clips.items[i]], 1);
    CHECK_U64(o.epoch, 0);
    CHECK_U64(o.position, n);
    store_triplets_release(&t);
    store_triplets_release(&t);
}

/* Every view and every clip of the other tracks has the same chance: chi-squared of how often each
 * clip is a negative of the first anchor's track's complement, over 400 epochs. */
static void test_draws_are_even(void)
{
    enum { EPOCHS = 400 };
    struct made m;
    struct err e = {0};
    struct store_triplets t = {0};
    static uint64_t negatives[KEYS_MAX], positives[KEYS_MAX];
    make(&m);
    CHECK_OK(store_triplets_init(&m.store, &m.snap, &t, &e), &e);
    struct store_order o = {.mode = STORE_ORDER_TRIPLETS, .seed = SEED};
    size_t n = t.clips.n;
    for (size_t i = 0; i < EPOCHS * n; i++) {
        uint64_t out[3];
        store_triplets_next(&t, &o, out, 1);
        check_triplet(&m, out[0], out[1], out[2]);
        positives[out[1]]++;
        negatives[out[2]]++;
    }
    CHECK_U64(o.epoch, EPOCHS - 1);
    double chi = 0.0;
    for (size_t i = 0; i < n; i++) {
        double diff = (double)negatives[t.clips.items[i]] - EPOCHS;
        chi += diff * diff / EPOCHS;
        uint64_t first = t.clips.items[i], n_views = 0;
        while (first + n_views + 1 < m.snap.n_keys &&
               m.keys[first + n_views + 1] >> 8 == m.keys[first] >> 8)
            n_views++;
        for (uint64_t v = 1; v <= n_views; v++) /* binomial: six standard deviations */
            CHECK_NEAR(positives[first + v], (double)EPOCHS / (double)n_views,
                       6 * sqrt((double)EPOCHS / (double)n_views));
    }
    /* a clip of a larger track is excluded more often: a few percent, beside the noise */
    CHECK(chi < (double)n + 6 * sqrt(2.0 * (double)n) + 30);
    store_triplets_release(&t);
}

/* Pure, resumable through a token, different for another seed and epoch. */
static void test_triplets_resume(void)
{
    enum { TOTAL = 300, STOP = 117 };
    struct made m;
    struct err e = {0};
    struct store_triplets t = {0};
    uint64_t whole[3 * TOTAL], first[3 * STOP], rest[3 * (TOTAL - STOP)];
    uint8_t token[STORE_TOKEN_BYTES];
    struct store_order a = {.mode = STORE_ORDER_TRIPLETS, .seed = SEED}, b = a, c = {0};
    make(&m);
    CHECK_OK(store_triplets_init(&m.store, &m.snap, &t, &e), &e);
    store_triplets_next(&t, &a, whole, TOTAL);
    store_triplets_next(&t, &b, first, STOP);
    store_order_token(&b, &m.snap, token);
    CHECK_OK(store_order_restore((struct span){token, sizeof token}, &m.snap, &c, &e), &e);
    store_triplets_next(&t, &c, rest, TOTAL - STOP);
    for (size_t k = 0; k < 3; k++) {
        CHECK(memcmp(whole + k * TOTAL, first + k * STOP, STOP * sizeof *whole) == 0);
        CHECK(memcmp(whole + k * TOTAL + STOP, rest + k * (TOTAL - STOP),
                     (TOTAL - STOP) * sizeof *whole) == 0);
    }
    struct store_order other = {.mode = STORE_ORDER_TRIPLETS, .seed = SEED + 1};
    size_t same = 0;
    store_triplets_next(&t, &other, first, STOP);
    for (size_t i = 0; i < STOP; i++)
        same += first[i] == whole[i];
    CHECK(same < STOP / 4);
    store_triplets_release(&t);
}

static void test_too_little_for_triplets(void)
{
    static const uint64_t one_track[] = {0x50000, 0x50001, 0x50100, 0x50101, 0x60000};
    struct store store = {.env.dir = "/tmp"};
    struct store_snapshot snap = {.keys = one_track, .n_keys = 0};
    struct store_triplets t = {0};
    for (; snap.n_keys <= ARRAY_LEN(one_track); snap.n_keys++) {
        struct err e = {0};
        CHECK(!store_triplets_init(&store, &snap, &t, &e) && e.kind == ERR_PERM);
        CHECK(strstr(e.msg, "two tracks"));
    }
}

/* ---------------------------------------------------------------- groups */

static void test_groups(void)
{
    enum { K = 4, P = 6 };
    struct made m;
    struct err e = {0};
    struct store_groups g = {0};
    struct store_order o = {.mode = STORE_ORDER_GROUPS, .size = K, .seed = SEED};
    make(&m);
    CHECK_OK(store_groups_init(&m.store, &m.snap, K, &g, &e), &e);
    CHECK(g.tracks.n > P && g.tracks.n < N_TRACKS);
    for (size_t batch = 0; batch < 100; batch++) {
        uint64_t out[P * K], rows[P];
        CHECK_OK(store_groups_next(&g, &o, out, P, &e), &e);
        for (size_t p = 0; p < P; p++) {
            rows[p] = store_key_row(m.keys[out[p * K]]);
            for (size_t k = 0; k < K; k++) {
                CHECK_U64(out[p * K + k], out[p * K] + k);
                CHECK_U64(store_key_row(m.keys[out[p * K + k]]), rows[p]);
            }
            for (size_t q = 0; q < p; q++)
                CHECK(rows[q] != rows[p]);
        }
    }
    CHECK_U64(o.epoch, 99 / (g.tracks.n / P));
    uint64_t out[N_TRACKS * K];
    CHECK(!store_groups_next(&g, &o, out, g.tracks.n + 1, &e) && e.kind == ERR_USAGE);
    store_groups_release(&g);
    store_groups_release(&g);
}

/* Each usable track once an epoch, and every offset in it is taken at times. */
static void test_groups_cover(void)
{
    enum { K = 2 };
    struct made m;
    struct err e = {0};
    struct store_groups g = {0};
    struct store_order o = {.mode = STORE_ORDER_GROUPS, .size = K, .seed = SEED};
    static uint8_t began[KEYS_MAX];
    make(&m);
    CHECK_OK(store_groups_init(&m.store, &m.snap, K, &g, &e), &e);
    for (size_t epoch = 0; epoch < 400; epoch++) {
        uint64_t out[N_TRACKS * K], rows = 0;
        CHECK_OK(store_groups_next(&g, &o, out, g.tracks.n, &e), &e);
        for (size_t i = 0; i < g.tracks.n; i++) {
            began[out[i * K]] = 1;
            rows += store_key_row(m.keys[out[i * K]]);
        }
        for (size_t i = 0; i < g.tracks.n; i++)
            rows -= store_key_row(m.keys[g.tracks.items[i]]);
        CHECK_U64(rows, 0);
    }
    for (size_t i = 0; i + 1 < m.snap.n_keys; i++)
        CHECK_U64(began[i], store_key_row(m.keys[i]) == store_key_row(m.keys[i + 1]));
    store_groups_release(&g);
}

static void test_no_group_large_enough(void)
{
    struct made m;
    struct err e = {0};
    struct store_groups g = {0};
    make(&m);
    CHECK(!store_groups_init(&m.store, &m.snap, 100, &g, &e) && e.kind == ERR_PERM);
    CHECK(strstr(e.msg, "no track has 100 records, the largest has 20"));
}

/* The real list of a real store. */
static void test_from_a_store(void)
{
    static const uint64_t rows[] = {9, 3, 70000, 5};
    struct err e = {0};
    struct store *s = NULL;
    struct store_snapshot snap = {0};
    struct store_triplets t = {0};
    struct store_groups g = {0};
    char dir[PATH_BYTES];
    fixture_dir(dir);
    CHECK_OK(fixture_write(dir, rows, ARRAY_LEN(rows), 2, &e), &e);
    CHECK_OK(store_open(dir, &s, &e) && store_snapshot_init(s, &snap, &e), &e);
    CHECK_OK(store_triplets_init(s, &snap, &t, &e), &e);
    CHECK_OK(store_groups_init(s, &snap, FIXTURE_VIEWS, &g, &e), &e);
    CHECK_U64(t.clips.n, ARRAY_LEN(rows));
    CHECK_U64(g.tracks.n, ARRAY_LEN(rows));
    CHECK_U64(t.clips.items[3], 3 * FIXTURE_VIEWS);
    store_groups_release(&g);
    store_triplets_release(&t);
    store_snapshot_release(&snap);
    store_close(s);
    fixture_remove(dir);
}

int main(void)
{
    RUN(test_an_epoch_of_triplets);
    RUN(test_draws_are_even);
    RUN(test_triplets_resume);
    RUN(test_too_little_for_triplets);
    RUN(test_groups);
    RUN(test_groups_cover);
    RUN(test_no_group_large_enough);
    RUN(test_from_a_store);
    return test_done();
}
