#include "base/clock.h"
#include "store/batch.h"
#include "store/doctor.h"
#include "store/reader.h"
#include "tests/unit/store/fixture.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

/*
 * One store and several processes and threads: readers beside the writer, a fork in between,
 * readers that were killed; and a snapshot of very many keys.
 */
enum { N_VALUES = FIXTURE_FRAMES * FIXTURE_MELS, N_ROWS = 200, CHILD_LIFE_S = 60 };

static int wait_for(pid_t child)
{
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---------------------------------------------------------------- readers while writing */

/* One look at the store: the snapshot agrees with itself and its records decode. */
static bool look(struct store *s, struct rng *r, size_t *out_n, struct err *e)
{
    struct store_snapshot snap;
    float out[4 * N_VALUES];
    uint64_t keys[4];
    if (!store_snapshot_init(s, &snap, e))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        keys[i] = snap.keys[rng_below(r, snap.n_keys)];
    bool ok = snap.n_keys % FIXTURE_VIEWS == 0 && snap.n_keys >= *out_n &&
              store_read_batch(s, keys, ARRAY_LEN(keys), snap.n_frames, snap.n_mels, out, e);
    *out_n = snap.n_keys;
    store_snapshot_release(&snap);
    return ok;
}

static void reading_child(const char *dir)
{
    struct err e = {0};
    struct store *s = NULL;
    struct rng r;
    size_t n = 0;
    bool ok = true;
    rng_init(&r, 21, FIXTURE_PURPOSE, 0);
    alarm(CHILD_LIFE_S);
    while (!s) {
        struct err not_yet = {0};
        if (!store_open(dir, &s, &not_yet))
            clock_sleep_ns(NS_PER_MS);
    }
    while (ok && n < N_ROWS * FIXTURE_VIEWS) {
        struct err empty = {0};
        ok = look(s, &r, &n, &empty) || empty.kind == ERR_PERM;
        if (!ok)
            e = empty;
    }
    store_close(s);
    if (!ok)
        printf("# %s\n", e.msg);
    fflush(stdout);
    _exit(!ok);
}

static void test_readers_while_writing(void)
{
    enum { READERS = 2 };
    struct err e = {0};
    uint64_t rows[N_ROWS];
    char dir[PATH_BYTES];
    pid_t readers[READERS];
    fixture_dir(dir);
    for (size_t i = 0; i < N_ROWS; i++)
        rows[i] = i * 77 % N_ROWS;
    for (size_t i = 0; i < READERS; i++) {
        readers[i] = fork();
        if (readers[i] == 0)
            reading_child(dir);
    }
    CHECK_OK(fixture_write(dir, rows, N_ROWS, 3, &e), &e);
    for (size_t i = 0; i < READERS; i++)
        CHECK(wait_for(readers[i]) == 0);
    fixture_remove(dir);
}

/* The map of this reader is as small as it can be, so the growing file must be followed. */
static void test_reader_follows_a_growing_file(void)
{
    static const uint64_t few[] = {0, 1, 2};
    struct err e = {0};
    struct store *s = NULL;
    struct store_stat st;
    char dir[PATH_BYTES];
    int go[2], status;
    char byte = 'x';
    fixture_dir(dir);
    CHECK_OK(fixture_write(dir, few, ARRAY_LEN(few), 1, &e), &e);
    CHECK(pipe(go) == 0);
    pid_t child = fork();
    if (child == 0) {
        uint64_t rows[N_ROWS];
        struct err child_e = {0};
        for (size_t i = 0; i < N_ROWS; i++)
            rows[i] = 100 + i;
        bool ok = read(go[0], &byte, 1) == 1 && fixture_write(dir, rows, N_ROWS, 50, &child_e);
        _exit(!ok);
    }
    CHECK_OK(store_open(dir, &s, &e), &e);
    int rc = mdb_env_set_mapsize(s->env.mdb, 256 << 10);
    CHECK_U64(rc, 0);
    CHECK_OK(store_stat(s, &st, &e), &e);
    CHECK_U64(st.tracks, 3);
    CHECK(write(go[1], &byte, 1) == 1);
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_OK(store_stat(s, &st, &e), &e);
    CHECK_U64(st.tracks, 3 + N_ROWS);
    CHECK(st.file_bytes > 256 << 10);
    store_close(s);
    close(go[0]);
    close(go[1]);
    fixture_remove(dir);
}

/* ---------------------------------------------------------------- threads */

struct thread_work {
    struct store *s;
    const struct store_snapshot *snap;
    uint64_t seed;
    bool ok;
};

static void *read_much(void *arg)
{
    struct thread_work *work = arg;
    struct err e = {0};
    struct rng r;
    float out[8 * N_VALUES], want[N_VALUES];
    uint64_t keys[8];
    rng_init(&r, work->seed, FIXTURE_PURPOSE, 0);
    work->ok = true;
    for (int round = 0; round < 30 && work->ok; round++) {
        for (size_t i = 0; i < ARRAY_LEN(keys); i++)
            keys[i] = work->snap->keys[rng_below(&r, work->snap->n_keys)];
        store_prefetch(work->s, keys, ARRAY_LEN(keys));
        work->ok =
            store_read_batch(work->s, keys, ARRAY_LEN(keys), FIXTURE_FRAMES, FIXTURE_MELS, out, &e);
        for (size_t i = 0; i < ARRAY_LEN(keys) && work->ok; i++) {
            fixture_clip(store_key_row(keys[i]) * FIXTURE_VIEWS + store_key_view(keys[i]),
                         FIXTURE_FRAMES, FIXTURE_MELS, want);
            for (size_t j = 0; j < N_VALUES; j++)
                work->ok = work->ok && fabsf(out[i * N_VALUES + j] - want[j]) <= 0.158F;
        }
    }
    return NULL;
}

static void test_threads_share_one_store(void)
{
    enum { THREADS = 4 };
    static const uint64_t rows[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    struct err e = {0};
    struct store *s = NULL;
    struct store_snapshot snap = {0};
    struct thread_work work[THREADS];
    pthread_t threads[THREADS];
    char dir[PATH_BYTES];
    fixture_dir(dir);
    CHECK_OK(fixture_write(dir, rows, ARRAY_LEN(rows), 4, &e), &e);
    CHECK_OK(store_open(dir, &s, &e) && store_snapshot_init(s, &snap, &e), &e);
    for (size_t i = 0; i < THREADS; i++) {
        work[i] = (struct thread_work){s, &snap, i, false};
        CHECK(pthread_create(&threads[i], NULL, read_much, &work[i]) == 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        CHECK(work[i].ok);
    }
    store_snapshot_release(&snap);
    store_close(s);
    fixture_remove(dir);
}

/* A batch by several threads: each key's values at its place, and of two missing keys the first is
 * named, whichever thread came upon which. */
static void test_threads_share_one_batch(void)
{
    enum { N_KEYS = 150, MISSING_A = 41, MISSING_B = 140 };
    static const uint32_t n_threads[] = {1, 2, 7, STORE_BATCH_THREADS_MAX};
    struct err e = {0};
    struct store *s = NULL;
    char dir[PATH_BYTES];
    uint64_t rows[N_ROWS], keys[N_KEYS];
    fixture_dir(dir);
    for (uint64_t i = 0; i < N_ROWS; i++)
        rows[i] = i;
    CHECK_OK(fixture_write(dir, rows, N_ROWS, 50, &e), &e);
    CHECK_OK(store_open(dir, &s, &e), &e);
    float *want = mem_alloc((size_t)N_KEYS * N_VALUES, sizeof *want);
    float *got = mem_alloc((size_t)N_KEYS * N_VALUES, sizeof *got);
    for (uint64_t i = 0; i < N_KEYS; i++)
        keys[i] = store_key(i * 83 % N_ROWS, 0, (uint32_t)(i % FIXTURE_VIEWS));
    CHECK_OK(store_read_batch(s, keys, N_KEYS, FIXTURE_FRAMES, FIXTURE_MELS, want, &e), &e);
    struct store_batch batch = {
        .keys = keys, .n = N_KEYS, .n_frames = FIXTURE_FRAMES, .n_mels = FIXTURE_MELS, .db = got};
    for (size_t t = 0; t < ARRAY_LEN(n_threads); t++) {
        memset(got, 0, (size_t)N_KEYS * N_VALUES * sizeof *got);
        CHECK_OK(store_read_parallel(s, &batch, n_threads[t], &e), &e);
        CHECK(memcmp(got, want, (size_t)N_KEYS * N_VALUES * sizeof *got) == 0);
    }
    keys[MISSING_A] = store_key(5000, 0, 0);
    keys[MISSING_B] = store_key(6000, 0, 0);
    for (size_t t = 0; t < ARRAY_LEN(n_threads); t++) {
        CHECK(!store_read_parallel(s, &batch, n_threads[t], &e));
        CHECK(e.kind == ERR_PERM && strstr(e.msg, "row 5000"));
    }
    mem_free(want);
    mem_free(got);
    store_close(s);
    fixture_remove(dir);
}

/* Counts the slots of LMDB's reader table that hold a transaction: "pid thread txnid", "-" where
 * there is none. */
static int count_held(const char *line, void *arg)
{
    char txn[32];
    long pid;
    size_t *n_held = arg;
    if (sscanf(line, "%ld %*s %31s", &pid, txn) == 2 && strcmp(txn, "-") != 0)
        ++*n_held;
    return 0;
}

static size_t held(struct store *s)
{
    size_t n = 0;
    CHECK(mdb_reader_list(s->env.mdb, count_held, &n) >= 0);
    return n;
}

/* Between reads no transaction is held, also by who holds a snapshot: a writer may use again all
 * pages that it left. */
static void test_no_transaction_is_held(void)
{
    static const uint64_t rows[] = {1, 2};
    struct err e = {0};
    struct store *s = NULL;
    struct store_seat *seat;
    struct store_snapshot snap = {0};
    float out[2 * FIXTURE_VIEWS * N_VALUES];
    char dir[PATH_BYTES];
    fixture_dir(dir);
    CHECK_OK(fixture_write(dir, rows, 2, 1, &e), &e);
    CHECK_OK(store_open(dir, &s, &e), &e);
    CHECK_U64(held(s), 0);
    CHECK_OK(store_snapshot_init(s, &snap, &e), &e);
    CHECK_U64(held(s), 0);
    store_prefetch(s, snap.keys, snap.n_keys);
    CHECK_OK(store_read_batch(s, snap.keys, snap.n_keys, FIXTURE_FRAMES, FIXTURE_MELS, out, &e),
             &e);
    CHECK_U64(held(s), 0);
    CHECK_OK(store_enter(s, &seat, &e), &e);
    CHECK_U64(held(s), 1); /* it can be seen */
    store_leave(s, seat);
    CHECK_U64(held(s), 0);
    store_snapshot_release(&snap);
    store_close(s);
    fixture_remove(dir);
}

/* ---------------------------------------------------------------- forks, deaths */

static void test_use_after_fork_refused(void)
{
    static const uint64_t rows[] = {1};
    struct err e = {0};
    struct store *s = NULL;
    char dir[PATH_BYTES];
    fixture_dir(dir);
    CHECK_OK(fixture_write(dir, rows, 1, 1, &e), &e);
    CHECK_OK(store_open(dir, &s, &e), &e);
    pid_t child = fork();
    if (child == 0) {
        struct store_stat st;
        struct err child_e = {0};
        bool refused = !store_stat(s, &st, &child_e) && child_e.kind == ERR_FATAL &&
                       strstr(child_e.msg, "after the fork");
        _exit(!refused);
    }
    CHECK(wait_for(child) == 0);
    store_close(s);
    fixture_remove(dir);
}

static bool die_reading(void *arg, uint64_t key, struct span record)
{
    (void)arg, (void)key, (void)record;
    kill(getpid(), SIGKILL);
    return false;
}

/* A reader that is killed in its transaction leaves a slot that keeps old pages from being used
 * again; opening the store clears it. */
/* A child that reopens reads on, and the parent's transactions stay what they were. */
static void test_reopened_after_fork(void)
{
    static const uint64_t rows[] = {1, 2}, more[] = {3};
    struct err e = {0};
    struct store *s = NULL;
    struct store_snapshot snap = {0};
    struct store_pin_report pinned;
    float out[N_VALUES];
    char dir[PATH_BYTES];
    fixture_dir(dir);
    CHECK_OK(fixture_write(dir, rows, 2, 1, &e), &e);
    CHECK_OK(store_open(dir, &s, &e) && store_snapshot_init(s, &snap, &e), &e);
    CHECK_OK(store_pin(s, &snap, 1 << 20, &pinned, &e), &e);
    CHECK_OK(store_reopen(s, &e), &e); /* nothing to do */
    struct store_seat *held;
    CHECK_OK(store_enter(s, &held, &e), &e); /* at the time of the fork, by another thread */
    pid_t child = fork();
    if (child == 0) {
        struct err child_e = {0};
        struct rng r;
        size_t n = 0;
        alarm(CHILD_LIFE_S);
        rng_init(&r, 23, FIXTURE_PURPOSE, 0);
        bool ok = store_reopen(s, &child_e) &&
                  store_read_batch(s, snap.keys, 1, FIXTURE_FRAMES, FIXTURE_MELS, out, &child_e) &&
                  look(s, &r, &n, &child_e) && n == 2 * FIXTURE_VIEWS;
        if (!ok)
            printf("# %s\n", child_e.msg);
        fflush(stdout);
        store_close(s);
        _exit(!ok);
    }
    CHECK(wait_for(child) == 0);
    MDB_envinfo info;
    CHECK(mdb_env_info(s->env.mdb, &info) == 0 && info.me_numreaders >= 1);
    child = fork(); /* a second environment in this process would drop the locks of the first */
    if (child == 0)
        _exit(!fixture_write(dir, more, 1, 1, &e));
    CHECK(wait_for(child) == 0);
    MDB_val value;
    CHECK_OK(store_lookup(s, held, snap.keys[0], &value, &e), &e); /* as it was */
    store_leave(s, held);
    CHECK_OK(store_read_batch(s, snap.keys, 1, FIXTURE_FRAMES, FIXTURE_MELS, out, &e), &e);
    store_snapshot_release(&snap);
    store_close(s);
    fixture_remove(dir);
}

static void test_stale_readers_are_cleared(void)
{
    static const uint64_t rows[] = {1, 2};
    struct err e = {0};
    struct store *keeper = NULL, *s = NULL;
    struct doctor_report report = {0};
    char dir[PATH_BYTES];
    int dead = -1;
    fixture_dir(dir);
    CHECK_OK(fixture_write(dir, rows, 2, 1, &e), &e);
    /* While somebody has it open, the lock file is not made anew by the next opener. */
    int ready[2], done[2];
    char byte = 'x';
    CHECK(pipe(ready) == 0 && pipe(done) == 0);
    pid_t holder = fork();
    if (holder == 0) {
        struct err child_e = {0};
        close(done[1]);
        bool ok = store_open(dir, &keeper, &child_e) && write(ready[1], &byte, 1) == 1 &&
                  read(done[0], &byte, 1) >= 0;
        _exit(!ok);
    }
    CHECK(read(ready[0], &byte, 1) == 1);
    pid_t child = fork();
    if (child == 0) {
        struct err child_e = {0};
        if (store_open(dir, &s, &child_e) && store_each(s, die_reading, NULL, &child_e))
            _exit(1);
        _exit(2);
    }
    CHECK(wait_for(child) == 128 + SIGKILL);
    CHECK_OK(store_open(dir, &s, &e), &e);
    CHECK_U64(s->env.n_stale_readers, 1);
    CHECK_OK(store_examine(s, dir, &report, &e), &e);
    CHECK_U64(report.n_stale_readers, 1);
    CHECK_U64(mdb_reader_check(s->env.mdb, &dead), 0);
    CHECK_U64(dead, 0);
    store_close(s);
    close(done[1]);
    CHECK(wait_for(holder) == 0);
    close(done[0]);
    close(ready[0]);
    close(ready[1]);
    fixture_remove(dir);
}

/* Half the address space is asked for until it fits. */
/* Thousands of readers at once, in a few processes; the writer goes on beside them. */
enum { READING_PROCESSES = 12, READS_EACH = 250 };

static void many_reads(const char *dir, int ready_fd, int done_fd)
{
    struct err e = {0};
    struct store *s = NULL;
    MDB_txn *txns[READS_EACH]; /* as many threads would hold */
    char byte = 'x';
    size_t n = 0;
    bool ok = store_open(dir, &s, &e);
    while (ok && n < READS_EACH &&
           (ok = mdb_txn_begin(s->env.mdb, NULL, MDB_RDONLY, &txns[n]) == MDB_SUCCESS))
        n++;
    if (!ok)
        printf("# after %zu: %s\n", n, e.msg);
    fflush(stdout);
    ok = write(ready_fd, &byte, 1) == 1 && ok;
    ok = read(done_fd, &byte, 1) >= 0 && ok;
    while (n > 0)
        mdb_txn_abort(txns[--n]);
    store_close(s);
    _exit(!ok);
}

static void test_thousands_of_readers(void)
{
    static const uint64_t rows[] = {1, 2}, more[] = {3};
    struct err e = {0};
    struct store *s = NULL;
    MDB_envinfo info = {0};
    char dir[PATH_BYTES], byte;
    int ready[2], done[2];
    pid_t children[READING_PROCESSES];
    fixture_dir(dir);
    CHECK_OK(fixture_write(dir, rows, 2, 1, &e), &e);
    CHECK(pipe(ready) == 0 && pipe(done) == 0);
    for (size_t i = 0; i < READING_PROCESSES; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            close(done[1]);
            alarm(CHILD_LIFE_S);
            many_reads(dir, ready[1], done[0]);
        }
    }
    for (size_t i = 0; i < READING_PROCESSES; i++)
        CHECK(read(ready[0], &byte, 1) == 1);
    CHECK_OK(fixture_write(dir, more, 1, 1, &e), &e);
    CHECK_OK(store_open(dir, &s, &e), &e);
    size_t n_seen = 0;
    struct rng r;
    rng_init(&r, 22, FIXTURE_PURPOSE, 0);
    CHECK_OK(look(s, &r, &n_seen, &e), &e);
    CHECK_U64(n_seen, 3 * FIXTURE_VIEWS);
    CHECK(mdb_env_info(s->env.mdb, &info) == 0);
    CHECK(info.me_numreaders >= READING_PROCESSES * READS_EACH);
    close(done[1]);
    for (size_t i = 0; i < READING_PROCESSES; i++)
        CHECK(wait_for(children[i]) == 0);
    store_close(s);
    close(done[0]);
    close(ready[0]);
    close(ready[1]);
    fixture_remove(dir);
}

static void test_little_address_space(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    printf("# left out: a sanitizer needs the address space itself\n");
#else
    static const uint64_t rows[] = {1, 2};
    char dir[PATH_BYTES];
    fixture_dir(dir);
    pid_t child = fork();
    if (child == 0) {
        struct err e = {0};
        struct store *s = NULL;
        struct store_stat st = {0};
        struct rlimit limit = {UINT64_C(1) << 30, UINT64_C(1) << 30};
        setrlimit(RLIMIT_AS, &limit);
        bool ok = fixture_write(dir, rows, 2, 1, &e) && store_open(dir, &s, &e) &&
                  store_stat(s, &st, &e) && st.tracks == 2;
        if (!ok)
            printf("# %s\n", e.msg);
        fflush(stdout);
        store_close(s);
        _exit(!ok);
    }
    CHECK(wait_for(child) == 0);
    fixture_remove(dir);
#endif
}

/* A store that nobody may write to opens without a lock file's help. */
static void test_read_only_store(void)
{
    static const uint64_t rows[] = {1, 2};
    struct err e = {0};
    char dir[PATH_BYTES], path[PATH_BYTES];
    fixture_dir(dir);
    CHECK_OK(fixture_write(dir, rows, 2, 1, &e), &e);
    snprintf(path, sizeof path, "%.3000s/features.mdb/lock.mdb", dir);
    CHECK(unlink(path) == 0);
    snprintf(path, sizeof path, "%.3000s/features.mdb", dir);
    CHECK(chmod(path, 0555) == 0 && chmod(dir, 0755) == 0);
    pid_t child = fork();
    if (child == 0) {
        struct err child_e = {0};
        struct store *s = NULL;
        struct store_snapshot snap = {0};
        if (getuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(3);
        bool ok = store_open(dir, &s, &child_e) && store_snapshot_init(s, &snap, &child_e) &&
                  snap.n_keys == 2 * FIXTURE_VIEWS;
        if (!ok)
            printf("# %s\n", child_e.msg);
        fflush(stdout);
        store_snapshot_release(&snap);
        store_close(s);
        _exit(!ok);
    }
    CHECK(wait_for(child) == 0);
    CHECK(chmod(path, 0755) == 0);
    fixture_remove(dir);
}

/* ---------------------------------------------------------------- memory */

static uint64_t rss_anon_kib(void)
{
    char line[256];
    unsigned long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "RssAnon: %lu", &kib) == 1)
            break;
    }
    if (f)
        fclose(f);
    return kib;
}

static bool write_small(const char *dir, uint64_t n, struct err *e)
{
    static const float db[8] = {-1, -2, -3, -4, -5, -6, -7, -8};
    struct store_recipe recipe = fixture_recipe();
    struct store_writer_params params = fixture_params();
    struct store_writer *w = NULL;
    struct record_encoder *enc = record_encoder_new(RECORD_U8, RECORD_LEVEL_NONE);
    struct record_info meta = {.n_frames = 2, .n_mels = 4, .spec_hash = FIXTURE_SPEC};
    struct buf record;
    params.commit_clips = 20000;
    buf_init(&record, RECORD_MAX_BYTES);
    bool ok = record_encode(enc, db, 80, &meta, &record, e) &&
              store_writer_open(dir, &recipe, &params, &w, e);
    for (uint64_t row = 0; row < n && ok; row++) {
        struct store_view view = {store_key(row, 0, 0), buf_span(&record), ""};
        char id[24];
        bool added;
        snprintf(id, sizeof id, "T%llu", (unsigned long long)row);
        struct store_track track = {row, id, row, &view, 1};
        ok = store_put_track(w, &track, 0, &added, e) &&
             (!store_commit_due(w, 0) || store_commit(w, e));
    }
    ok = ok && store_commit(w, e);
    store_writer_close(w);
    buf_release(&record);
    record_encoder_free(enc);
    return ok;
}

/* 100,000 keys are 800 KB; they must not be anonymous memory. */
static void test_snapshot_takes_no_anonymous_memory(void)
{
    enum { N = 100000, ALLOWED_KIB = 300 };
    struct err e = {0};
    struct store *s = NULL;
    struct store_snapshot snap = {0};
    char dir[PATH_BYTES];
    uint64_t sum = 0;
    fixture_dir(dir);
    CHECK_OK(write_small(dir, N, &e), &e);
    CHECK_OK(store_open(dir, &s, &e), &e);
    CHECK_OK(store_snapshot_init(s, &snap, &e), &e); /* the allocator's first touch */
    store_snapshot_release(&snap);
    uint64_t before_kib = rss_anon_kib();
    CHECK_OK(store_snapshot_init(s, &snap, &e), &e);
    for (size_t i = 0; i < snap.n_keys; i++)
        sum += store_key_row(snap.keys[i]);
    CHECK_U64(snap.n_keys, N);
    CHECK_U64(sum, (uint64_t)N * (N - 1) / 2);
    uint64_t after_kib = rss_anon_kib();
    CHECK(before_kib > 0);
#if !defined(__SANITIZE_THREAD__) /* whose shadow of the mapped pages is anonymous */
    CHECK(after_kib < before_kib + ALLOWED_KIB);
#else
    CHECK(after_kib > 0);
#endif
    store_snapshot_release(&snap);
    store_close(s);
    fixture_remove(dir);
}

int main(void)
{
    RUN(test_readers_while_writing);
    RUN(test_reader_follows_a_growing_file);
    RUN(test_threads_share_one_store);
    RUN(test_threads_share_one_batch);
    RUN(test_no_transaction_is_held);
    RUN(test_use_after_fork_refused);
    RUN(test_reopened_after_fork);
    RUN(test_stale_readers_are_cleared);
    RUN(test_thousands_of_readers);
    RUN(test_little_address_space);
    RUN(test_read_only_store);
    RUN(test_snapshot_takes_no_anonymous_memory);
    return test_done();
}
