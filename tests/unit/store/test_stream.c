#include "store/order.h"
#include "store/stream.h"
#include "tests/unit/store/fixture.h"

/* Batches read ahead are those that reading one after the other gives, in order, whatever the
 * threads and slots. */
enum { ROWS = 60, KEYS = ROWS * FIXTURE_VIEWS, BATCH = 25, SEED = 5 };

static const size_t n_values = (size_t)FIXTURE_FRAMES * FIXTURE_MELS;

struct source {
    struct store_snapshot snap;
    uint64_t n_batches;
    uint64_t missing_at; /* in this batch one key is of no record; UINT64_MAX: in none */
};

/* Two epochs in an order of their own; the last batch is a short one. */
static size_t keys_of(void *arg, uint64_t i, uint64_t *keys)
{
    const struct source *source = arg;
    struct store_order order = {
        .mode = STORE_ORDER_FULL, .seed = SEED, .position = i * BATCH % KEYS};
    if (i >= source->n_batches)
        return 0;
    order.epoch = i * BATCH / KEYS;
    size_t n = i + 1 == source->n_batches ? BATCH - 4 : BATCH;
    store_order_next(&order, source->snap.n_keys, keys, n);
    for (size_t k = 0; k < n; k++)
        keys[k] = source->snap.keys[keys[k]];
    if (i == source->missing_at)
        keys[n - 2] = store_key(ROWS + 7, 0, 0);
    return n;
}

struct opened {
    char dir[PATH_BYTES];
    struct store *s;
    struct source source;
};

static void store_make(struct opened *o)
{
    struct err e = {0};
    uint64_t rows[ROWS];
    for (uint64_t i = 0; i < ROWS; i++)
        rows[i] = i;
    fixture_dir(o->dir);
    CHECK_OK(fixture_write(o->dir, rows, ROWS, ROWS, &e), &e);
    CHECK_OK(store_open(o->dir, &o->s, &e), &e);
    CHECK_OK(store_snapshot_init(o->s, &o->source.snap, &e), &e);
    o->source.n_batches = 13;
    o->source.missing_at = UINT64_MAX;
}

static void store_done(struct opened *o)
{
    store_snapshot_release(&o->source.snap);
    store_close(o->s);
    fixture_remove(o->dir);
}

static struct store_stream_params params_of(struct opened *o, uint32_t n_threads, uint32_t n_slots)
{
    return (struct store_stream_params){.store = o->s,
                                        .n_frames = FIXTURE_FRAMES,
                                        .n_mels = FIXTURE_MELS,
                                        .batch = BATCH,
                                        .keys_fn = keys_of,
                                        .keys_arg = &o->source,
                                        .n_threads = n_threads,
                                        .n_slots = n_slots};
}

/* Reads batch i itself and compares. */
static void check_batch(struct opened *o, const struct store_stream_batch *b, uint64_t i)
{
    struct err e = {0};
    uint64_t keys[BATCH];
    float *want = mem_alloc(BATCH * n_values, sizeof *want);
    size_t n = keys_of(&o->source, i, keys);
    CHECK_U64(b->i, i);
    CHECK_U64(b->n, n);
    CHECK(b->n == n && memcmp(b->keys, keys, n * sizeof *keys) == 0);
    CHECK_OK(store_read_batch(o->s, keys, n, FIXTURE_FRAMES, FIXTURE_MELS, want, &e), &e);
    CHECK(b->n == n && memcmp(b->db, want, n * n_values * sizeof *want) == 0);
    /* the caller's to change, and nobody else's */
    memset(b->db, 0, n * n_values * sizeof *want);
    mem_free(want);
}

static void test_same_batches_with_any_threads(void)
{
    static const uint32_t threads_and_slots[][2] = {{1, 2}, {2, 2}, {3, 4}, {8, 16}, {2, 64}};
    struct opened o = {0};
    store_make(&o);
    for (size_t c = 0; c < ARRAY_LEN(threads_and_slots); c++) {
        struct err e = {0};
        struct store_stream *stream = NULL;
        struct store_stream_batch b;
        struct store_stream_params params =
            params_of(&o, threads_and_slots[c][0], threads_and_slots[c][1]);
        CHECK_OK(store_stream_open(&params, &stream, &e), &e);
        for (uint64_t i = 0; i < o.source.n_batches; i++) {
            CHECK_OK(store_stream_next(stream, &b, &e), &e);
            check_batch(&o, &b, i);
        }
        for (int again = 0; again < 2; again++) {
            CHECK_OK(store_stream_next(stream, &b, &e), &e);
            CHECK_U64(b.n, 0);
        }
        store_stream_close(stream);
    }
    store_done(&o);
}

/* Batches before the one that cannot be read come whole; it comes as its error, and stays that. */
static void test_a_missing_record_is_its_batch_error(void)
{
    struct opened o = {0};
    store_make(&o);
    o.source.missing_at = 6;
    for (uint32_t n_threads = 1; n_threads <= 4; n_threads++) {
        struct err e = {0};
        struct store_stream *stream = NULL;
        struct store_stream_batch b;
        struct store_stream_params params = params_of(&o, n_threads, 4);
        CHECK_OK(store_stream_open(&params, &stream, &e), &e);
        for (uint64_t i = 0; i < o.source.missing_at; i++) {
            CHECK_OK(store_stream_next(stream, &b, &e), &e);
            check_batch(&o, &b, i);
        }
        for (int again = 0; again < 2; again++) {
            CHECK(!store_stream_next(stream, &b, &e) && e.kind == ERR_PERM);
            CHECK(strstr(e.msg, "row 67"));
        }
        store_stream_close(stream);
    }
    store_done(&o);
}

/* Threads that are full wait, and closing wakes them; nothing is left behind (run under
 * LeakSanitizer and ThreadSanitizer). */
static void test_close_at_any_time(void)
{
    struct opened o = {0};
    store_make(&o);
    for (uint64_t n_taken = 0; n_taken < 5; n_taken++) {
        struct err e = {0};
        struct store_stream *stream = NULL;
        struct store_stream_batch b;
        struct store_stream_params params = params_of(&o, 3, 3);
        CHECK_OK(store_stream_open(&params, &stream, &e), &e);
        for (uint64_t i = 0; i < n_taken; i++)
            CHECK_OK(store_stream_next(stream, &b, &e), &e);
        store_stream_close(stream);
    }
    store_stream_close(NULL);
    store_done(&o);
}

int main(void)
{
    RUN(test_same_batches_with_any_threads);
    RUN(test_a_missing_record_is_its_batch_error);
    RUN(test_close_at_any_time);
    return test_done();
}
