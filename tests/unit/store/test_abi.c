#include "store/abi.h"
#include "store/order.h"
#include "tests/unit/store/fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

/*
 * The library as a stranger uses it: everything through store/abi.h, wrong arguments included.
 */
enum { N_VALUES = FIXTURE_FRAMES * FIXTURE_MELS, N_ROWS = 12, N_KEYS = N_ROWS * FIXTURE_VIEWS };

static char dir[PATH_BYTES];
static char why[REFRAIN_STORE_ERR_BYTES];

static void set_up(void)
{
    struct err e = {0};
    uint64_t rows[N_ROWS];
    for (size_t i = 0; i < N_ROWS; i++)
        rows[i] = i * 3;
    fixture_dir(dir);
    CHECK_OK(fixture_write(dir, rows, N_ROWS, 5, &e), &e);
}

static struct refrain_store *open_it(void)
{
    struct refrain_store *s = NULL;
    int status = refrain_store_open(dir, &s, why, sizeof why);
    CHECK_U64(status, REFRAIN_STORE_OK);
    CHECK_STR(why, "");
    return s;
}

static void test_open_failures(void)
{
    struct refrain_store *s = NULL;
    char long_path[2 * PATH_BYTES], little[8] = "xxxxxxx";
    memset(long_path, 'a', sizeof long_path);
    long_path[sizeof long_path - 1] = '\0';
    CHECK_U64(refrain_store_abi(), REFRAIN_STORE_ABI);
    CHECK_U64(refrain_store_open("/nonexistent", &s, why, sizeof why), REFRAIN_STORE_PERM);
    CHECK(strstr(why, "/nonexistent"));
    CHECK_U64(refrain_store_open("/nonexistent", &s, little, sizeof little), REFRAIN_STORE_PERM);
    CHECK_U64(strlen(little), 7);
    CHECK_U64(refrain_store_open("/nonexistent", &s, NULL, 0), REFRAIN_STORE_PERM);
    CHECK_U64(refrain_store_open(long_path, &s, why, sizeof why), REFRAIN_STORE_PERM);
    CHECK_U64(refrain_store_open(NULL, &s, why, sizeof why), REFRAIN_STORE_USAGE);
    CHECK_U64(refrain_store_open(dir, NULL, why, sizeof why), REFRAIN_STORE_USAGE);
    CHECK(s == NULL);
    refrain_store_close(NULL);
}

static void test_what_there_is(void)
{
    struct refrain_store *s = open_it();
    struct refrain_store_stat st = {0}, part = {0};
    struct refrain_store_record record;
    char id[REFRAIN_STORE_ID_BYTES];
    uint64_t n = 0;
    const uint64_t *keys = refrain_store_keys(s, &n);
    CHECK_U64(n, N_KEYS);
    CHECK_U64(keys[4], store_key(3, 0, 1));
    CHECK_U64(refrain_store_stat(s, &st, sizeof st, why, sizeof why), REFRAIN_STORE_OK);
    CHECK_U64(st.n_keys, N_KEYS);
    CHECK_U64(st.n_tracks, N_ROWS);
    CHECK_U64(st.n_frames, FIXTURE_FRAMES);
    CHECK_U64(st.n_mels, FIXTURE_MELS);
    CHECK_U64(st.spec_hash, FIXTURE_SPEC);
    CHECK_NEAR(st.scale, 80.0 / 255, 1e-6);
    CHECK_NEAR(st.offset, -80, 0);
    CHECK(st.max_err_db > 0.1 && st.max_err_db < 0.158);
    CHECK(strstr(st.recipe, "rate_hz=22050"));
    CHECK_U64(refrain_store_stat(s, &part, 8, why, sizeof why), REFRAIN_STORE_OK);
    CHECK_U64(part.n_keys, N_KEYS);
    CHECK_U64(part.root, 0); /* an older caller's struct is not written beyond its end */
    CHECK_U64(refrain_store_track(s, 3, id, why, sizeof why), REFRAIN_STORE_OK);
    CHECK_STR(id, "TR00000003");
    CHECK_U64(refrain_store_track(s, 4, id, why, sizeof why), REFRAIN_STORE_PERM);
    CHECK_U64(refrain_store_record(s, keys[4], &record, sizeof record, why, sizeof why), 0);
    CHECK_STR(record.augment, "gain_db=1");
    CHECK_U64(record.source_id, (3 * FIXTURE_VIEWS + 1) * 31);
    CHECK_U64(refrain_store_record(s, 7, &record, sizeof record, why, sizeof why),
              REFRAIN_STORE_PERM);
    refrain_store_close(s);
}

/* ---------------------------------------------------------------- batches */

static int read_f32(struct refrain_store *s, const uint64_t *keys, size_t n, float *out,
                    uint32_t n_threads)
{
    return refrain_store_read_batch(s, keys, n, out, n * N_VALUES * sizeof *out, REFRAIN_STORE_F32,
                                    REFRAIN_STORE_TIME_MAJOR, n_threads, why, sizeof why);
}

static void test_read_batch(void)
{
    static float one[N_KEYS * N_VALUES], many[N_KEYS * N_VALUES], want[N_VALUES];
    static uint8_t levels[N_KEYS * N_VALUES];
    static const uint32_t threads[] = {1, 2, 7, REFRAIN_STORE_THREADS_MAX};
    struct refrain_store *s = open_it();
    struct refrain_store_stat st;
    uint64_t n, keys[N_KEYS];
    const uint64_t *all = refrain_store_keys(s, &n);
    for (size_t i = 0; i < N_KEYS; i++)
        keys[i] = all[i * 7 % N_KEYS];
    CHECK_U64(refrain_store_stat(s, &st, sizeof st, why, sizeof why), REFRAIN_STORE_OK);
    refrain_store_prefetch(s, keys, N_KEYS);
    CHECK_U64(read_f32(s, keys, N_KEYS, one, 1), REFRAIN_STORE_OK);
    for (size_t i = 0; i < N_KEYS; i++) {
        fixture_clip(store_key_row(keys[i]) * FIXTURE_VIEWS + store_key_view(keys[i]),
                     FIXTURE_FRAMES, FIXTURE_MELS, want);
        for (size_t j = 0; j < N_VALUES; j++)
            CHECK_NEAR(one[i * N_VALUES + j], want[j], st.max_err_db);
    }
    for (size_t t = 0; t < ARRAY_LEN(threads); t++) {
        memset(many, 0xff, sizeof many);
        memset(levels, 0xff, sizeof levels);
        CHECK_U64(read_f32(s, keys, N_KEYS, many, threads[t]), REFRAIN_STORE_OK);
        CHECK(memcmp(one, many, sizeof one) == 0);
        CHECK_U64(refrain_store_read_batch(s, keys, N_KEYS, levels, sizeof levels, REFRAIN_STORE_U8,
                                           REFRAIN_STORE_TIME_MAJOR, threads[t], why, sizeof why),
                  REFRAIN_STORE_OK);
        size_t differ = 0;
        for (size_t i = 0; i < (size_t)N_KEYS * N_VALUES; i++)
            differ += (float)levels[i] * st.scale + st.offset != one[i];
        CHECK_U64(differ, 0);
    }
    CHECK_U64(read_f32(s, keys, 0, NULL, 1), REFRAIN_STORE_OK);
    refrain_store_close(s);
}

static void test_wrong_batches(void)
{
    static float out[4 * N_VALUES];
    struct refrain_store *s = open_it();
    uint64_t n, keys[4];
    memcpy(keys, refrain_store_keys(s, &n), sizeof keys);
#define READ(store, k, count, to, bytes, dtype, layout, threads)                                   \
    refrain_store_read_batch(store, k, count, to, bytes, (enum refrain_store_dtype)(dtype),        \
                             (enum refrain_store_layout)(layout), threads, why, sizeof why)
    CHECK_U64(READ(s, keys, 4, out, sizeof out, 0, 0, 1), REFRAIN_STORE_OK);
    CHECK_U64(READ(NULL, keys, 4, out, sizeof out, 0, 0, 1), REFRAIN_STORE_USAGE);
    CHECK_U64(READ(s, NULL, 4, out, sizeof out, 0, 0, 1), REFRAIN_STORE_USAGE);
    CHECK_U64(READ(s, keys, 4, NULL, sizeof out, 0, 0, 1), REFRAIN_STORE_USAGE);
    CHECK_U64(READ(s, keys, 4, out, sizeof out - 1, 0, 0, 1), REFRAIN_STORE_USAGE);
    CHECK_STR(why, "4 records of 40 x 24 need 15360 bytes, there is room for 15359");
    CHECK_U64(READ(s, keys, SIZE_MAX, out, sizeof out, 0, 0, 1), REFRAIN_STORE_USAGE);
    CHECK_U64(READ(s, keys, 3, (char *)out + 1, sizeof out - 4, 0, 0, 1), REFRAIN_STORE_USAGE);
    CHECK_U64(READ(s, keys, 4, out, sizeof out, 2, 0, 1), REFRAIN_STORE_USAGE);
    CHECK_U64(READ(s, keys, 4, out, sizeof out, 0, 1, 1), REFRAIN_STORE_USAGE);
    CHECK_U64(READ(s, keys, 4, out, sizeof out, 0, 0, 0), REFRAIN_STORE_USAGE);
    CHECK_U64(READ(s, keys, 4, out, sizeof out, 0, 0, REFRAIN_STORE_THREADS_MAX + 1),
              REFRAIN_STORE_USAGE);
    keys[2] = store_key(1, 0, 0); /* rows are multiples of 3 */
    CHECK_U64(READ(s, keys, 4, out, sizeof out, 0, 0, 2), REFRAIN_STORE_PERM);
    CHECK_STR(why, "no record of row 1, clip 0, view 0");
#undef READ
    refrain_store_prefetch(s, keys, 4);
    refrain_store_prefetch(s, NULL, 4);
    refrain_store_prefetch(NULL, keys, 4);
    CHECK(refrain_store_keys(NULL, &n) == NULL && n == 0);
    refrain_store_close(s);
}

/* ---------------------------------------------------------------- order */

static void test_orders(void)
{
    struct refrain_store *s = open_it();
    uint64_t a[2 * N_KEYS], b[2 * N_KEYS], n = 0;
    uint8_t token[REFRAIN_STORE_TOKEN_BYTES];
    struct refrain_store_order order = {REFRAIN_STORE_BLOCK, 1, 5, 0, 0}, back = {0};
    CHECK_U64(refrain_store_epoch_length(s, &order, &n, why, sizeof why), REFRAIN_STORE_OK);
    CHECK_U64(n, N_KEYS);
    CHECK_U64(refrain_store_order_next(s, &order, a, 10, why, sizeof why), REFRAIN_STORE_OK);
    CHECK_U64(order.position, 10);
    CHECK_U64(refrain_store_token(s, &order, token, why, sizeof why), REFRAIN_STORE_OK);
    CHECK_U64(refrain_store_order_next(s, &order, a, 2 * N_KEYS, why, sizeof why), 0);
    CHECK_U64(refrain_store_restore(s, token, sizeof token, &back, why, sizeof why), 0);
    CHECK_U64(refrain_store_order_next(s, &back, b, 2 * N_KEYS, why, sizeof why), 0);
    CHECK(memcmp(a, b, sizeof a) == 0);
    CHECK(memcmp(&order, &back, sizeof back) == 0);
    token[9] ^= 1;
    CHECK_U64(refrain_store_restore(s, token, sizeof token, &back, why, sizeof why),
              REFRAIN_STORE_PERM);
    CHECK(strstr(why, "damaged"));
    CHECK_U64(refrain_store_restore(s, NULL, 64, &back, why, sizeof why), REFRAIN_STORE_USAGE);
    refrain_store_close(s);
}

static void test_triplets_and_groups(void)
{
    enum { P = 4, K = 2 };
    struct refrain_store *s = open_it();
    uint64_t out[3 * N_ROWS], n = 0;
    const uint64_t *keys = refrain_store_keys(s, &n);
    struct refrain_store_order triplets = {REFRAIN_STORE_TRIPLETS, 0, 5, 0, 0};
    struct refrain_store_order groups = {REFRAIN_STORE_GROUPS, K, 5, 0, 0};
    CHECK_U64(refrain_store_epoch_length(s, &triplets, &n, why, sizeof why), REFRAIN_STORE_OK);
    CHECK_U64(n, N_ROWS);
    CHECK_U64(refrain_store_triplets_next(s, &triplets, out, N_ROWS, why, sizeof why), 0);
    for (size_t i = 0; i < N_ROWS; i++) {
        CHECK_U64(store_key_view(keys[out[i]]), 0);
        CHECK_U64(keys[out[N_ROWS + i]] >> 8, keys[out[i]] >> 8);
        CHECK(store_key_row(keys[out[2 * N_ROWS + i]]) != store_key_row(keys[out[i]]));
    }
    CHECK_U64(refrain_store_epoch_length(s, &groups, &n, why, sizeof why), REFRAIN_STORE_OK);
    CHECK_U64(n, N_ROWS);
    CHECK_U64(refrain_store_groups_next(s, &groups, out, P, why, sizeof why), REFRAIN_STORE_OK);
    for (size_t p = 0; p < P; p++)
        CHECK_U64(out[p * K + 1], out[p * K] + 1);
    groups.size = FIXTURE_VIEWS; /* another K: the list is made anew */
    CHECK_U64(refrain_store_groups_next(s, &groups, out, P, why, sizeof why), REFRAIN_STORE_OK);
    CHECK_U64(out[2], out[0] + 2);
    CHECK_U64(refrain_store_groups_next(s, &groups, out, N_ROWS + 1, why, sizeof why),
              REFRAIN_STORE_USAGE);
    refrain_store_close(s);
}

static void test_wrong_orders(void)
{
    static const struct refrain_store_order wrong[] = {
        {0, 0, 1, 0, 0},
        {5, 0, 1, 0, 0},
        {REFRAIN_STORE_FULL, 1, 1, 0, 0},
        {REFRAIN_STORE_BLOCK, 0, 1, 0, 0},
        {REFRAIN_STORE_BLOCK, 65536, 1, 0, 0},
        {REFRAIN_STORE_TRIPLETS, 1, 1, 0, 0},
        {REFRAIN_STORE_GROUPS, 0, 1, 0, 0},
        {REFRAIN_STORE_GROUPS, 257, 1, 0, 0},
    };
    struct refrain_store *s = open_it();
    uint64_t out[8], n;
    uint8_t token[REFRAIN_STORE_TOKEN_BYTES];
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct refrain_store_order o = wrong[i];
        CHECK_U64(refrain_store_epoch_length(s, &o, &n, why, sizeof why), REFRAIN_STORE_USAGE);
        CHECK_U64(refrain_store_order_next(s, &o, out, 1, why, sizeof why), REFRAIN_STORE_USAGE);
        CHECK_U64(refrain_store_triplets_next(s, &o, out, 1, why, sizeof why), REFRAIN_STORE_USAGE);
        CHECK_U64(refrain_store_groups_next(s, &o, out, 1, why, sizeof why), REFRAIN_STORE_USAGE);
        CHECK_U64(refrain_store_token(s, &o, token, why, sizeof why), REFRAIN_STORE_USAGE);
    }
    struct refrain_store_order far = {REFRAIN_STORE_FULL, 0, 1, UINT64_MAX, UINT64_MAX};
    CHECK_U64(refrain_store_token(s, &far, token, why, sizeof why), REFRAIN_STORE_USAGE);
    CHECK_U64(refrain_store_triplets_next(s, &far, out, 1, why, sizeof why), REFRAIN_STORE_USAGE);
    CHECK_U64(refrain_store_order_next(s, &far, out, 1, why, sizeof why), REFRAIN_STORE_OK);
    CHECK_U64(far.epoch, 0);
    far = (struct refrain_store_order){REFRAIN_STORE_GROUPS, 2, 1, UINT64_MAX, UINT64_MAX};
    CHECK_U64(refrain_store_groups_next(s, &far, out, 2, why, sizeof why), REFRAIN_STORE_OK);
    CHECK_U64(refrain_store_order_next(s, NULL, out, 1, why, sizeof why), REFRAIN_STORE_USAGE);
    far.mode = REFRAIN_STORE_FULL;
    far.size = 0;
    CHECK_U64(refrain_store_order_next(s, &far, NULL, 1, why, sizeof why), REFRAIN_STORE_USAGE);
    CHECK_U64(refrain_store_order_next(s, &far, out, SIZE_MAX, why, sizeof why),
              REFRAIN_STORE_USAGE);
    refrain_store_close(s);
}

/* ---------------------------------------------------------------- processes and threads */

/* Two handles of one store in a process: closing one must not take the other's place in LMDB's
 * reader table. The writer between them would see no reader and use pages again. */
static void test_two_handles(void)
{
    struct err e = {0};
    uint64_t more[60], n;
    static float before[N_VALUES], after[N_VALUES];
    struct refrain_store *a = open_it(), *b = open_it();
    uint64_t key = refrain_store_keys(a, &n)[0];
    CHECK_U64(read_f32(a, &key, 1, before, 1), REFRAIN_STORE_OK);
    refrain_store_close(b);
    for (size_t i = 0; i < ARRAY_LEN(more); i++)
        more[i] = 1000 + i;
    pid_t child = fork();
    if (child == 0)
        _exit(!fixture_write(dir, more, ARRAY_LEN(more), 1, &e));
    int status;
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_U64(read_f32(a, &key, 1, after, 1), REFRAIN_STORE_OK);
    CHECK(memcmp(before, after, sizeof before) == 0);
    refrain_store_keys(a, &n);
    CHECK_U64(n, N_KEYS); /* pinned */
    struct refrain_store *c = open_it();
    refrain_store_keys(c, &n);
    CHECK_U64(n, N_KEYS + ARRAY_LEN(more) * FIXTURE_VIEWS);
    struct refrain_store_order order = {REFRAIN_STORE_FULL, 0, 1, 0, 5}, back;
    uint8_t token[REFRAIN_STORE_TOKEN_BYTES];
    CHECK_U64(refrain_store_token(a, &order, token, why, sizeof why), REFRAIN_STORE_OK);
    CHECK_U64(refrain_store_restore(c, token, sizeof token, &back, why, sizeof why),
              REFRAIN_STORE_PERM);
    CHECK(strstr(why, "the data changed"));
    refrain_store_close(a);
    refrain_store_close(c);
}

static void test_after_a_fork(void)
{
    static float out[N_VALUES];
    struct refrain_store *s = open_it();
    uint64_t n;
    const uint64_t *keys = refrain_store_keys(s, &n);
    pid_t child = fork();
    if (child == 0) {
        struct refrain_store *own = NULL;
        bool ok = read_f32(s, keys, 1, out, 1) == REFRAIN_STORE_FATAL && strstr(why, "fork");
        refrain_store_close(s); /* the parent's: must do nothing */
        ok = ok && refrain_store_open(dir, &own, why, sizeof why) == REFRAIN_STORE_OK && own != s &&
             read_f32(own, keys, 1, out, 1) == REFRAIN_STORE_OK;
        refrain_store_close(own);
        _exit(!ok);
    }
    int status;
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_U64(read_f32(s, keys, 1, out, 1), REFRAIN_STORE_OK);
    refrain_store_close(s);
}

static void *use_it(void *arg)
{
    struct refrain_store *s = arg, *own = NULL;
    static const struct refrain_store_order kinds[] = {{REFRAIN_STORE_TRIPLETS, 0, 1, 0, 0},
                                                       {REFRAIN_STORE_GROUPS, 2, 1, 0, 0},
                                                       {REFRAIN_STORE_GROUPS, 3, 1, 0, 0}};
    float out[4 * N_VALUES];
    char text[REFRAIN_STORE_ERR_BYTES];
    uint64_t n, bad = 0;
    const uint64_t *keys = refrain_store_keys(s, &n);
    for (size_t i = 0; i < 20; i++) {
        struct refrain_store_order o = kinds[i % 3];
        uint64_t length = 0;
        bad += refrain_store_epoch_length(s, &o, &length, text, sizeof text) != 0 || length == 0;
        bad +=
            refrain_store_read_batch(s, keys + i % (n - 4), 4, out, sizeof out, REFRAIN_STORE_F32,
                                     REFRAIN_STORE_TIME_MAJOR, 2, text, sizeof text) != 0;
        bad += refrain_store_open(dir, &own, text, sizeof text) != 0;
        refrain_store_close(own);
    }
    return bad == 0 ? arg : NULL;
}

/* Beside readers, through any handle, once, and with the same values; two that ask at once get one
 * pinned part between them. */
static void *pin_it(void *arg)
{
    struct refrain_store_pinned pinned = {0};
    char text[REFRAIN_STORE_ERR_BYTES];
    int status = refrain_store_pin(arg, 1 << 20, &pinned, sizeof pinned, text, sizeof text);
    if (status == REFRAIN_STORE_OK)
        return pinned.records > 0 && pinned.fraction > 0.9 ? arg : dir;
    return status == REFRAIN_STORE_USAGE && strstr(text, "pinned part already") ? NULL : dir;
}

static void test_pin(void)
{
    enum { THREADS = 2 };
    pthread_t threads[THREADS], reader;
    void *results[THREADS], *read = NULL;
    struct refrain_store *s = open_it(), *other = open_it();
    struct refrain_store_pinned pinned;
    CHECK(refrain_store_pin(s, 10, &pinned, sizeof pinned, why, sizeof why) == REFRAIN_STORE_USAGE);
    CHECK(strstr(why, "too little"));
    CHECK(refrain_store_pin(NULL, 1 << 20, NULL, 0, why, sizeof why) == REFRAIN_STORE_USAGE);
    CHECK(pthread_create(&reader, NULL, use_it, s) == 0);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, pin_it, i == 0 ? s : other) == 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], &results[i]);
    pthread_join(reader, &read);
    CHECK(read == s);
    CHECK((results[0] == s && results[1] == NULL) || (results[0] == NULL && results[1] == other));
    CHECK(use_it(s) == s);
    CHECK(refrain_store_pin(other, 1 << 20, NULL, 0, why, sizeof why) == REFRAIN_STORE_USAGE);
    refrain_store_close(other);
    refrain_store_close(s);
    s = open_it(); /* another store, nothing pinned */
    CHECK(refrain_store_pin(s, 1 << 20, NULL, 0, why, sizeof why) == REFRAIN_STORE_OK);
    refrain_store_close(s);
}

static void test_threads(void)
{
    enum { THREADS = 3 };
    pthread_t threads[THREADS];
    struct refrain_store *s = open_it();
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, use_it, s) == 0);
    for (size_t i = 0; i < THREADS; i++) {
        void *result = NULL;
        pthread_join(threads[i], &result);
        CHECK(result == s);
    }
    refrain_store_close(s);
}

#ifndef __SANITIZE_ADDRESS__
static void *open_and_close(void *arg)
{
    atomic_bool *stop = arg;
    char text[REFRAIN_STORE_ERR_BYTES];
    while (!*stop) {
        struct refrain_store *s = NULL;
        if (refrain_store_open(dir, &s, text, sizeof text) != REFRAIN_STORE_OK)
            return NULL;
        refrain_store_close(s);
    }
    return arg;
}

/* A child that is forked while another thread opens or closes can open for itself. Not under
 * AddressSanitizer: gcc 12's allocator of it does not survive a fork beside a thread that
 * allocates, with none of our code. */
static void test_fork_beside_an_opener(void)
{
    enum { FORKS = 40, CHILD_LIFE_S = 20 };
    atomic_bool stop = false;
    pthread_t thread;
    void *result = NULL;
    CHECK(pthread_create(&thread, NULL, open_and_close, &stop) == 0);
    for (int i = 0; i < FORKS && test_ok; i++) {
        pid_t child = fork();
        if (child == 0) {
            struct refrain_store *s = NULL;
            alarm(CHILD_LIFE_S);
            _exit(refrain_store_open(dir, &s, why, sizeof why) != REFRAIN_STORE_OK);
        }
        int status = -1;
        waitpid(child, &status, 0);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    stop = true;
    pthread_join(thread, &result);
    CHECK(result == &stop);
}
#endif

int main(void)
{
    set_up();
    RUN(test_open_failures);
    RUN(test_what_there_is);
    RUN(test_read_batch);
    RUN(test_wrong_batches);
    RUN(test_orders);
    RUN(test_triplets_and_groups);
    RUN(test_wrong_orders);
    RUN(test_after_a_fork);
    RUN(test_threads);
    RUN(test_pin);
#ifndef __SANITIZE_ADDRESS__
    RUN(test_fork_beside_an_opener);
#endif
    RUN(test_two_handles); /* last: the store grows */
    fixture_remove(dir);
    return test_done();
}
