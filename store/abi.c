#include "store/abi.h"

#include "base/mem.h"
#include "store/batch.h"
#include "store/env.h"
#include "store/reader.h"
#include "store/triplets.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Everything that comes in is checked here; behind it, wrong arguments are asserts.
 *
 * LMDB must not open one environment twice in a process: its locks are POSIX locks, and closing one
 * descriptor of a file drops all locks the process has on it. A host with two data loaders would do
 * just that, so handles of one store share one struct store. That is a fact of the process, and the
 * table for it is the only global state of the library.
 */
struct shared {
    struct store *store;
    dev_t dev;
    ino_t ino;
    pid_t pid;
    size_t n_handles;
    struct shared *next;
};

static pthread_mutex_t shared_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct shared *shared_stores; /* under shared_mutex; entries of a parent stay unused */

struct refrain_store {
    struct shared *shared;
    struct store *store;
    struct store_snapshot snap;
    struct store_stat stat; /* when opened */
    float scale, offset;
    pthread_mutex_t mutex;
    /* below: under mutex; made when first asked for */
    struct store_triplets triplets;
    struct store_groups groups;
};

static_assert(REFRAIN_STORE_ERR_BYTES == ERR_MSG_BYTES, "a sentence fits");
static_assert(REFRAIN_STORE_TOKEN_BYTES == (int)STORE_TOKEN_BYTES, "of one size");
static_assert(REFRAIN_STORE_ID_BYTES == (int)STORE_TRACK_ID_BYTES, "of one size");
static_assert(REFRAIN_STORE_AUGMENT_BYTES == (int)STORE_AUGMENT_BYTES, "of one size");
static_assert(REFRAIN_STORE_RECIPE_BYTES == (int)STORE_RECIPE_BYTES, "of one size");
static_assert(REFRAIN_STORE_THREADS_MAX == (int)STORE_BATCH_THREADS_MAX, "of one size");
static_assert(REFRAIN_STORE_FULL == (int)STORE_ORDER_FULL &&
                  REFRAIN_STORE_BLOCK == (int)STORE_ORDER_BLOCK &&
                  REFRAIN_STORE_TRIPLETS == (int)STORE_ORDER_TRIPLETS &&
                  REFRAIN_STORE_GROUPS == (int)STORE_ORDER_GROUPS,
              "one numbering");

/* ---------------------------------------------------------------- errors */

static int finish(bool ok, const struct err *e, char *err, size_t err_bytes)
{
    if (err && err_bytes > 0) {
        size_t n = ok ? 0 : size_min(strlen(e->msg), err_bytes - 1);
        memcpy(err, e->msg, n);
        err[n] = '\0';
    }
    if (ok)
        return REFRAIN_STORE_OK;
    switch (e->kind) {
    case ERR_TEMP:
        return REFRAIN_STORE_TEMP;
    case ERR_PERM:
        return REFRAIN_STORE_PERM;
    case ERR_USAGE:
        return REFRAIN_STORE_USAGE;
    case ERR_NONE:
    case ERR_FATAL:
    case ERR_STOP:
        break;
    }
    return REFRAIN_STORE_FATAL;
}

static bool need(bool condition, const char *what, struct err *e)
{
    return condition || err_set(e, ERR_USAGE, "%s is missing", what);
}

static bool handle_check(const struct refrain_store *s, struct err *e)
{
    return need(s != NULL, "the store", e) && env_check_pid(&s->store->env, e);
}

/* ---------------------------------------------------------------- open, close */

static struct shared *shared_find(const struct stat *st)
{
    for (struct shared *sh = shared_stores; sh; sh = sh->next) {
        if (sh->dev == st->st_dev && sh->ino == st->st_ino && sh->pid == getpid() &&
            sh->n_handles > 0)
            return sh;
    }
    return NULL;
}

/* Under shared_mutex. The file is asked before and after opening it: compact may have put another
 * in its place in between, and then the new one counts. */
static bool shared_open(const char *dataset_dir, struct shared **out, struct err *e)
{
    char folder[PATH_BYTES], path[PATH_BYTES];
    struct stat st;
    if (!store_folder(folder, dataset_dir, e) || !path_join(path, folder, "data.mdb", e))
        return false;
    struct shared *sh = stat(path, &st) == 0 ? shared_find(&st) : NULL;
    if (!sh) {
        struct store *store;
        if (!store_open(dataset_dir, &store, e))
            return false;
        if (stat(path, &st) != 0) {
            err_fill_errno(e, ERR_FATAL, errno, "%s", path);
            store_close(store);
            return false;
        }
        sh = mem_zalloc(1, sizeof *sh);
        *sh = (struct shared){.store = store,
                              .dev = st.st_dev,
                              .ino = st.st_ino,
                              .pid = getpid(),
                              .next = shared_stores};
        shared_stores = sh;
    }
    sh->n_handles++;
    *out = sh;
    return true;
}

static void shared_close(struct shared *sh)
{
    pthread_mutex_lock(&shared_mutex);
    if (--sh->n_handles == 0) {
        struct shared **link = &shared_stores;
        while (*link != sh)
            link = &(*link)->next;
        *link = sh->next;
        store_close(sh->store);
        mem_free(sh);
    }
    pthread_mutex_unlock(&shared_mutex);
}

/* A fork waits until nobody is at the table: the child has only the forking thread, and would wait
 * for ever for a mutex that another one held. */
static void table_lock(void)
{
    pthread_mutex_lock(&shared_mutex);
}

static void table_unlock(void)
{
    pthread_mutex_unlock(&shared_mutex);
}

static void follow_forks(void)
{
    int rc = pthread_atfork(table_lock, table_unlock, table_unlock);
    assert(rc == 0); /* or out of memory */
}

static bool handle_init(struct refrain_store *s, struct err *e)
{
    struct record_info info;
    char augment[STORE_AUGMENT_BYTES];
    if (!store_stat(s->store, &s->stat, e) || !store_snapshot_init(s->store, &s->snap, e))
        return false;
    if (!record_dtype_has_levels(s->stat.dtype))
        return true;
    if (!store_get_info(s->store, s->snap.keys[0], &info, augment, e))
        return false;
    s->scale = info.scale;
    s->offset = info.offset;
    return true;
}

static bool handle_open(const char *dataset_dir, struct refrain_store **out, struct err *e)
{
    static pthread_once_t forks_followed = PTHREAD_ONCE_INIT;
    struct shared *shared = NULL;
    if (!need(dataset_dir != NULL, "the path", e) ||
        !need(out != NULL, "where to put the store", e))
        return false;
    pthread_once(&forks_followed, follow_forks);
    pthread_mutex_lock(&shared_mutex);
    bool ok = shared_open(dataset_dir, &shared, e);
    pthread_mutex_unlock(&shared_mutex);
    if (!ok)
        return false;
    struct refrain_store *s = mem_zalloc(1, sizeof *s);
    pthread_mutex_init(&s->mutex, NULL);
    s->shared = shared;
    s->store = shared->store;
    if (!handle_init(s, e)) {
        refrain_store_close(s);
        return false;
    }
    *out = s;
    return true;
}

uint32_t refrain_store_abi(void)
{
    return REFRAIN_STORE_ABI;
}

int refrain_store_open(const char *dataset_dir, struct refrain_store **out, char *err,
                       size_t err_bytes)
{
    struct err e = {0};
    return finish(handle_open(dataset_dir, out, &e), &e, err, err_bytes);
}

void refrain_store_close(struct refrain_store *s)
{
    if (!s || s->shared->pid != getpid())
        return;
    store_triplets_release(&s->triplets);
    store_groups_release(&s->groups);
    store_snapshot_release(&s->snap);
    shared_close(s->shared);
    pthread_mutex_destroy(&s->mutex);
    mem_free(s);
}

/* ---------------------------------------------------------------- what there is */

int refrain_store_stat(struct refrain_store *s, struct refrain_store_stat *out, size_t out_bytes,
                       char *err, size_t err_bytes)
{
    struct err e = {0};
    struct store_stat now;
    bool ok = handle_check(s, &e) && need(out != NULL, "where to put the figures", &e) &&
              store_stat(s->store, &now, &e);
    if (ok) {
        struct refrain_store_stat st = {.n_keys = s->snap.n_keys,
                                        .root = s->snap.root,
                                        .spec_hash = s->snap.spec_hash,
                                        .n_frames = s->snap.n_frames,
                                        .n_mels = s->snap.n_mels,
                                        .stored_as = (uint32_t)now.dtype,
                                        .scale = s->scale,
                                        .offset = s->offset,
                                        .n_tracks = now.tracks,
                                        .file_bytes = now.file_bytes,
                                        .payload_bytes = now.payload_bytes,
                                        .max_err_db = now.max_err_db,
                                        .rms_err_db = now.rms_err_db};
        memcpy(st.recipe, now.recipe, sizeof st.recipe);
        memcpy(out, &st, size_min(out_bytes, sizeof st));
    }
    return finish(ok, &e, err, err_bytes);
}

const uint64_t *refrain_store_keys(const struct refrain_store *s, uint64_t *out_n)
{
    if (out_n)
        *out_n = s ? s->snap.n_keys : 0;
    return s ? s->snap.keys : NULL;
}

int refrain_store_track(struct refrain_store *s, uint64_t row, char out_id[REFRAIN_STORE_ID_BYTES],
                        char *err, size_t err_bytes)
{
    struct err e = {0};
    struct store_track_info info;
    bool ok = handle_check(s, &e) && need(out_id != NULL, "where to put the id", &e) &&
              store_get_track(s->store, row, &info, &e);
    if (ok)
        memcpy(out_id, info.track_id, sizeof info.track_id);
    return finish(ok, &e, err, err_bytes);
}

int refrain_store_record(struct refrain_store *s, uint64_t key, struct refrain_store_record *out,
                         size_t out_bytes, char *err, size_t err_bytes)
{
    struct err e = {0};
    struct record_info info;
    struct refrain_store_record r = {0};
    bool ok = handle_check(s, &e) && need(out != NULL, "where to put the record", &e) &&
              store_get_info(s->store, key, &info, r.augment, &e);
    if (ok) {
        r.source_id = info.source_id;
        r.start_ms = info.start_ms;
        r.ref_db = info.ref_db;
        r.max_err_db = info.max_err_db;
        r.rms_err_db = info.rms_err_db;
        memcpy(out, &r, size_min(out_bytes, sizeof r));
    }
    return finish(ok, &e, err, err_bytes);
}

/* ---------------------------------------------------------------- batches */

static bool batch_check(const struct refrain_store *s, const uint64_t *keys, size_t n,
                        const void *out, size_t out_bytes, enum refrain_store_dtype dtype,
                        struct err *e)
{
    if (!handle_check(s, e))
        return false;
    if (n > REFRAIN_STORE_BATCH_MAX)
        return err_set(e, ERR_USAGE, "a batch of %zu records, at most %d", n,
                       REFRAIN_STORE_BATCH_MAX);
    if (dtype != REFRAIN_STORE_F32 && dtype != REFRAIN_STORE_U8)
        return err_set(e, ERR_USAGE, "there is no dtype %d: 0 (f32) or 1 (u8)", (int)dtype);
    if (dtype == REFRAIN_STORE_U8 && !record_dtype_has_levels(s->stat.dtype))
        return err_set(e, ERR_PERM, "the store is %s: levels of 8 bits are in a u8 store only",
                       record_dtype_name(s->stat.dtype));
    size_t item_bytes = dtype == REFRAIN_STORE_F32 ? sizeof(float) : 1;
    size_t need_bytes = n * s->snap.n_frames * s->snap.n_mels * item_bytes;
    if (out_bytes < need_bytes)
        return err_set(e, ERR_USAGE, "%zu records of %u x %u need %zu bytes, there is room for %zu",
                       n, s->snap.n_frames, s->snap.n_mels, need_bytes, out_bytes);
    if ((uintptr_t)out % item_bytes != 0)
        return err_set(e, ERR_USAGE, "the array is not aligned to its %zu byte values", item_bytes);
    return n == 0 ||
           (need(keys != NULL, "the list of keys", e) && need(out != NULL, "the array", e));
}

int refrain_store_read_batch(struct refrain_store *s, const uint64_t *keys, size_t n, void *out,
                             size_t out_bytes, enum refrain_store_dtype dtype,
                             enum refrain_store_layout layout, uint32_t n_threads, char *err,
                             size_t err_bytes)
{
    struct err e = {0};
    bool ok = batch_check(s, keys, n, out, out_bytes, dtype, &e);
    if (ok && layout != REFRAIN_STORE_TIME_MAJOR)
        ok = err_set(&e, ERR_USAGE, "there is no layout %d: 0 (n, n_frames, n_mels)", (int)layout);
    if (ok && (n_threads < 1 || n_threads > REFRAIN_STORE_THREADS_MAX))
        ok = err_set(&e, ERR_USAGE, "%u threads: from 1 to %d", n_threads,
                     REFRAIN_STORE_THREADS_MAX);
    if (ok && n > 0) {
        struct store_batch batch = {.keys = keys,
                                    .n = n,
                                    .n_frames = s->snap.n_frames,
                                    .n_mels = s->snap.n_mels,
                                    .scale = s->scale,
                                    .offset = s->offset};
        if (dtype == REFRAIN_STORE_F32)
            batch.db = out;
        else
            batch.levels = out;
        ok = store_read_parallel(s->store, &batch, n_threads, &e);
    }
    return finish(ok, &e, err, err_bytes);
}

void refrain_store_prefetch(struct refrain_store *s, const uint64_t *keys, size_t n)
{
    struct err ignored = {0};
    if (keys && n <= REFRAIN_STORE_BATCH_MAX && handle_check(s, &ignored))
        store_prefetch(s->store, keys, n);
}

int refrain_store_pin(struct refrain_store *s, uint64_t budget_bytes,
                      struct refrain_store_pinned *out, size_t out_bytes, char *err,
                      size_t err_bytes)
{
    struct err e = {0};
    struct store_pin_report report;
    bool ok = handle_check(s, &e) && store_pin(s->store, &s->snap, budget_bytes, &report, &e);
    if (ok && out) {
        struct refrain_store_pinned pinned = {report.records, report.bytes, report.fraction};
        memcpy(out, &pinned, size_min(out_bytes, sizeof pinned));
    }
    return finish(ok, &e, err, err_bytes);
}

/* ---------------------------------------------------------------- order */

static bool order_take(const struct refrain_store *s, const struct refrain_store_order *order,
                       struct store_order *out, struct err *e)
{
    if (!handle_check(s, e) || !need(order != NULL, "the order", e))
        return false;
    *out = (struct store_order){.mode = (enum store_order_mode)order->mode,
                                .size = order->size,
                                .seed = order->seed,
                                .epoch = order->epoch,
                                .position = order->position};
    return store_order_check(out, e);
}

static void order_give(const struct store_order *o, struct refrain_store_order *out)
{
    *out = (struct refrain_store_order){.mode = (uint32_t)o->mode,
                                        .size = o->size,
                                        .seed = o->seed,
                                        .epoch = o->epoch,
                                        .position = o->position};
}

static bool order_wants(const struct store_order *o, bool right, const char *function,
                        struct err *e)
{
    return right ||
           err_set(e, ERR_USAGE, "%s has no order of mode %u", function, (unsigned)o->mode);
}

static bool count_check(const uint64_t *out, size_t n, struct err *e)
{
    return need(out != NULL || n == 0, "where to put the indices", e) &&
           (n <= REFRAIN_STORE_BATCH_MAX ||
            err_set(e, ERR_USAGE, "a batch of %zu, at most %d", n, REFRAIN_STORE_BATCH_MAX));
}

/* Under s->mutex. */
static bool triplets_ready(struct refrain_store *s, struct err *e)
{
    return s->triplets.snap || store_triplets_init(s->store, &s->snap, &s->triplets, e);
}

static bool groups_ready(struct refrain_store *s, uint32_t n_records, struct err *e)
{
    if (s->groups.snap && s->groups.n_records == n_records)
        return true;
    store_groups_release(&s->groups);
    return store_groups_init(s->store, &s->snap, n_records, &s->groups, e);
}

static bool epoch_length(struct refrain_store *s, const struct store_order *o, uint64_t *out,
                         struct err *e)
{
    bool ok = true;
    pthread_mutex_lock(&s->mutex);
    if (o->mode == STORE_ORDER_TRIPLETS) {
        ok = triplets_ready(s, e);
        *out = s->triplets.clips.n;
    } else if (o->mode == STORE_ORDER_GROUPS) {
        ok = groups_ready(s, o->size, e);
        *out = s->groups.tracks.n;
    } else {
        *out = s->snap.n_keys;
    }
    pthread_mutex_unlock(&s->mutex);
    return ok;
}

int refrain_store_epoch_length(struct refrain_store *s, const struct refrain_store_order *order,
                               uint64_t *out, char *err, size_t err_bytes)
{
    struct err e = {0};
    struct store_order o;
    uint64_t n;
    bool ok = order_take(s, order, &o, &e) && need(out != NULL, "where to put the length", &e) &&
              epoch_length(s, &o, &n, &e);
    if (ok)
        *out = n;
    return finish(ok, &e, err, err_bytes);
}

int refrain_store_order_next(struct refrain_store *s, struct refrain_store_order *order,
                             uint64_t *out, size_t n, char *err, size_t err_bytes)
{
    struct err e = {0};
    struct store_order o;
    bool ok = order_take(s, order, &o, &e) &&
              order_wants(&o, o.mode == STORE_ORDER_FULL || o.mode == STORE_ORDER_BLOCK,
                          "refrain_store_order_next", &e) &&
              count_check(out, n, &e);
    if (ok) {
        store_order_next(&o, s->snap.n_keys, out, n);
        order_give(&o, order);
    }
    return finish(ok, &e, err, err_bytes);
}

int refrain_store_triplets_next(struct refrain_store *s, struct refrain_store_order *order,
                                uint64_t *out, size_t n, char *err, size_t err_bytes)
{
    struct err e = {0};
    struct store_order o;
    bool ok = order_take(s, order, &o, &e) &&
              order_wants(&o, o.mode == STORE_ORDER_TRIPLETS, "refrain_store_triplets_next", &e) &&
              count_check(out, n, &e);
    if (ok) {
        pthread_mutex_lock(&s->mutex);
        ok = triplets_ready(s, &e);
        if (ok)
            store_triplets_next(&s->triplets, &o, out, n);
        pthread_mutex_unlock(&s->mutex);
    }
    if (ok)
        order_give(&o, order);
    return finish(ok, &e, err, err_bytes);
}

int refrain_store_groups_next(struct refrain_store *s, struct refrain_store_order *order,
                              uint64_t *out, size_t n_tracks, char *err, size_t err_bytes)
{
    struct err e = {0};
    struct store_order o;
    bool ok = order_take(s, order, &o, &e) &&
              order_wants(&o, o.mode == STORE_ORDER_GROUPS, "refrain_store_groups_next", &e) &&
              count_check(out, n_tracks, &e);
    if (ok) {
        pthread_mutex_lock(&s->mutex);
        ok = groups_ready(s, o.size, &e) && store_groups_next(&s->groups, &o, out, n_tracks, &e);
        pthread_mutex_unlock(&s->mutex);
    }
    if (ok)
        order_give(&o, order);
    return finish(ok, &e, err, err_bytes);
}

int refrain_store_token(struct refrain_store *s, const struct refrain_store_order *order,
                        uint8_t out[REFRAIN_STORE_TOKEN_BYTES], char *err, size_t err_bytes)
{
    struct err e = {0};
    struct store_order o;
    bool ok = order_take(s, order, &o, &e) && need(out != NULL, "where to put the token", &e);
    if (ok && o.position > s->snap.n_keys)
        ok = err_set(&e, ERR_USAGE, "position %" PRIu64 " of %zu", o.position, s->snap.n_keys);
    if (ok)
        store_order_token(&o, &s->snap, out);
    return finish(ok, &e, err, err_bytes);
}

int refrain_store_restore(struct refrain_store *s, const uint8_t *token, size_t token_bytes,
                          struct refrain_store_order *out, char *err, size_t err_bytes)
{
    struct err e = {0};
    struct store_order o;
    bool ok = handle_check(s, &e) && need(token != NULL, "the token", &e) &&
              need(out != NULL, "where to put the order", &e) &&
              store_order_restore((struct span){token, token_bytes}, &s->snap, &o, &e);
    if (ok)
        order_give(&o, out);
    return finish(ok, &e, err, err_bytes);
}
