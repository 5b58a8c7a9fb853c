#include "store/reader.h"
#include "base/mem.h"
#include "store/content.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Any number of threads read through one struct store. Each call borrows a seat (a parked read
 * transaction, a decoder, scratch), so that nothing is kept in thread-local storage and no thread
 * has to say goodbye. Transactions are as short as a call: the writer can always reuse its pages.
 *
 * A batch is read in two passes: all its records are looked up, which touches none of their pages,
 * and the kernel is asked for all the pages at once (prefetch.c); only then they are decoded.
 */
enum {
    SEATS_MAX = 256,
    STREAM_BYTES = 2 << 20, /* a batch larger than this is written past the cache */
    WALK_WINDOW = 64        /* records asked for at once: 2.4 MB of the usual ones */
};

/* Asked for by readers; see env_open. */
#define READ_MAP_BYTES (UINT64_C(1) << 40)

/* ---------------------------------------------------------------- open, close */

bool store_exists(const char *path)
{
    char folder[PATH_BYTES], data[PATH_BYTES];
    struct err ignored;
    return store_folder(folder, path, &ignored) && path_join(data, folder, "data.mdb", &ignored) &&
           file_exists(data);
}

static void locks_init(struct store *s)
{
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->seat_free, NULL);
    pthread_rwlock_init(&s->map_lock, NULL);
}

bool store_open(const char *path, struct store **out, struct err *e)
{
    struct store *s = mem_zalloc(1, sizeof *s);
    if (!env_open(&s->env, path, ENV_READ, READ_MAP_BYTES, e)) {
        mem_free(s);
        return false;
    }
    locks_init(s);
    *out = s;
    return true;
}

static void seat_free(struct store_seat *seat)
{
    if (seat->txn)
        mdb_txn_abort(seat->txn);
    record_decoder_free(seat->decoder);
    mem_free(seat->values);
    mem_free(seat);
}

void store_close(struct store *s)
{
    if (!s)
        return;
    while (s->free_seats) {
        struct store_seat *seat = s->free_seats;
        s->free_seats = seat->next;
        seat_free(seat);
        s->n_seats--;
    }
    assert(s->n_seats == 0); /* somebody still reads */
    pin_free(s->pin);
    env_close(&s->env);
    pthread_rwlock_destroy(&s->map_lock);
    pthread_cond_destroy(&s->seat_free);
    pthread_mutex_destroy(&s->mutex);
    mem_free(s);
}

/* The parent's transactions and its environment are left as they are: LMDB would clear the reader
 * slots that the parent shows the writer. That costs the child a mapping and two descriptors. */
bool store_reopen(struct store *s, struct err *e)
{
    struct env env;
    if (s->env.pid == getpid())
        return true;
    if (!env_open(&env, s->env.dir, ENV_READ, READ_MAP_BYTES, e))
        return false;
    for (struct store_seat *seat = s->free_seats, *next; seat; seat = next) {
        next = seat->next;
        seat->txn = NULL;
        seat_free(seat);
    }
    s->free_seats = NULL;
    s->n_seats = 0;
    locks_init(s); /* whoever held one is not here */
    s->env = env;
    return true;
}

/* ---------------------------------------------------------------- seats */

static struct store_seat *seat_borrow(struct store *s)
{
    struct store_seat *seat = NULL;
    pthread_mutex_lock(&s->mutex);
    while (!s->free_seats && s->n_seats == SEATS_MAX)
        pthread_cond_wait(&s->seat_free, &s->mutex);
    if (s->free_seats) {
        seat = s->free_seats;
        s->free_seats = seat->next;
    } else {
        s->n_seats++;
    }
    pthread_mutex_unlock(&s->mutex);
    if (!seat) {
        seat = mem_zalloc(1, sizeof *seat);
        seat->decoder = record_decoder_new();
    }
    return seat;
}

static void seat_return(struct store *s, struct store_seat *seat)
{
    pthread_mutex_lock(&s->mutex);
    seat->next = s->free_seats;
    s->free_seats = seat;
    pthread_cond_signal(&s->seat_free);
    pthread_mutex_unlock(&s->mutex);
}

static int seat_begin(struct store *s, struct store_seat *seat)
{
    if (seat->txn)
        return mdb_txn_renew(seat->txn);
    int rc = mdb_txn_begin(s->env.mdb, NULL, MDB_RDONLY, &seat->txn);
    if (rc != MDB_SUCCESS)
        seat->txn = NULL;
    return rc;
}

/* The writer made the file larger than our map: nobody here may be reading while it is remapped. */
static bool map_follow(struct store *s, struct err *e)
{
    struct stat st;
    int fd;
    if (mdb_env_get_fd(s->env.mdb, &fd) != MDB_SUCCESS || fstat(fd, &st) != 0)
        return err_set(e, ERR_FATAL, "%s: cannot ask the size of data.mdb", s->env.dir);
    pthread_rwlock_wrlock(&s->map_lock);
    bool ok = env_grow(&s->env, 2 * (uint64_t)st.st_size, e);
    pthread_rwlock_unlock(&s->map_lock);
    return ok;
}

bool store_enter(struct store *s, struct store_seat **out, struct err *e)
{
    if (!env_check_pid(&s->env, e))
        return false;
    struct store_seat *seat = seat_borrow(s);
    for (int attempt = 0;; attempt++) {
        int dead;
        pthread_rwlock_rdlock(&s->map_lock);
        int rc = seat_begin(s, seat);
        if (rc == MDB_SUCCESS)
            break;
        pthread_rwlock_unlock(&s->map_lock);
        bool again =
            attempt == 0 && ((rc == MDB_MAP_RESIZED && map_follow(s, e)) ||
                             (rc == MDB_READERS_FULL && mdb_reader_check(s->env.mdb, &dead) == 0));
        if (!again) {
            seat_return(s, seat);
            return env_err(e, rc, "cannot begin to read", &s->env);
        }
    }
    *out = seat;
    return true;
}

void store_leave(struct store *s, struct store_seat *seat)
{
    mdb_txn_reset(seat->txn);
    pthread_rwlock_unlock(&s->map_lock);
    seat_return(s, seat);
}

/* ---------------------------------------------------------------- reading */

bool store_lookup(struct store *s, struct store_seat *seat, uint64_t key, MDB_val *out,
                  struct err *e)
{
    MDB_val k = {sizeof key, &key};
    struct span pinned;
    const struct pin *pin = s->pin;
    if (pin && pin_find(pin, key, &pinned)) {
        *out = (MDB_val){pinned.len, (void *)(uintptr_t)pinned.ptr};
        return true;
    }
    int rc = mdb_get(seat->txn, s->env.clip, &k, out);
    if (rc == MDB_SUCCESS)
        rc = content_resolve(&s->env, seat->txn, out);
    if (rc == MDB_NOTFOUND)
        return err_set(e, ERR_PERM, "no record of row %" PRIu64 ", clip %u, view %u",
                       store_key_row(key), store_key_clip(key), store_key_view(key));
    return rc == MDB_SUCCESS || env_err(e, rc, "cannot look up a record", &s->env);
}

bool store_read_one(struct store *s, uint64_t key, struct store_reading *r, struct err *e)
{
    struct store_seat *seat;
    MDB_val value;
    if (!store_enter(s, &seat, e))
        return false;
    bool ok = store_lookup(s, seat, key, &value, e);
    struct span record = ok ? value_span(value) : (struct span){0};
    ok = ok && record_parse(record, &r->info, e) && record_verify(record, e);
    if (ok) {
        size_t n = (size_t)r->info.n_frames * r->info.n_mels;
        if (r->n_values_max < n) {
            mem_free(r->values);
            r->values = mem_alloc_aligned(n, sizeof *r->values);
            r->n_values_max = n;
        }
        record_decoder_stream(seat->decoder, false);
        ok = record_decode(seat->decoder, record, r->values, n, e);
    }
    store_touched(s);
    store_leave(s, seat);
    return ok || err_wrap(e, "row %" PRIu64 ", clip %u, view %u", store_key_row(key),
                          store_key_clip(key), store_key_view(key));
}

void store_reading_release(struct store_reading *r)
{
    mem_free(r->values);
    *r = (struct store_reading){0};
}

/* Where a batch goes: one of the two, (n, n_frames, n_mels). */
struct batch_out {
    uint32_t n_frames, n_mels;
    float *db;
    uint8_t *levels;
    float scale, offset; /* of the levels */
};

static bool decode_values(struct store_seat *seat, struct span record,
                          const struct record_info *info, const struct batch_out *out, size_t i,
                          struct err *e)
{
    size_t n_values = (size_t)out->n_frames * out->n_mels;
    if (out->db)
        return record_decode(seat->decoder, record, out->db + i * n_values, n_values, e);
    if (info->scale != out->scale || info->offset != out->offset)
        return err_set(e, ERR_PERM, "its dB are level * %g + %g, asked for %g and %g",
                       (double)info->scale, (double)info->offset, (double)out->scale,
                       (double)out->offset);
    return record_decode_levels(seat->decoder, record, out->levels + i * n_values, n_values, e);
}

/* The checksum comes after decoding, which fetches the record from memory while it computes, where
 * hashing would wait for it. Decoding is safe whatever the bytes are, and what the checksum says
 * about them is said first. */
static bool decode_one(struct store_seat *seat, struct span record, const struct batch_out *out,
                       size_t i, struct err *e)
{
    struct record_info info;
    struct err decoding = {0};
    if (!record_parse(record, &info, e))
        return false;
    if (info.n_frames != out->n_frames || info.n_mels != out->n_mels)
        return err_set(e, ERR_PERM, "record has %u frames of %u mels, asked for %u of %u",
                       info.n_frames, info.n_mels, out->n_frames, out->n_mels);
    bool ok = decode_values(seat, record, &info, out, i, &decoding);
    if (!record_verify(record, e))
        return false;
    if (!ok)
        *e = decoding;
    return ok;
}

static bool read_batch(struct store *s, const uint64_t *keys, size_t n, const struct batch_out *out,
                       struct err *e)
{
    struct store_seat *seat;
    if (n == 0)
        return true;
    if (!store_enter(s, &seat, e))
        return false;
    store_seat_reserve(seat, n);
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++)
        ok = store_lookup(s, seat, keys[i], &seat->values[i], e);
    if (ok)
        store_ask_for_pages(s, seat, n);
    size_t batch_bytes = n * out->n_frames * out->n_mels * sizeof(float);
    record_decoder_stream(seat->decoder, batch_bytes > STREAM_BYTES);
    for (size_t i = 0; i < n && ok; i++) {
        ok = decode_one(seat, value_span(seat->values[i]), out, i, e);
        store_touched(s);
        if (!ok)
            err_wrap(e, "row %" PRIu64 ", clip %u, view %u", store_key_row(keys[i]),
                     store_key_clip(keys[i]), store_key_view(keys[i]));
    }
    store_leave(s, seat);
    return ok;
}

bool store_read_batch(struct store *s, const uint64_t *keys, size_t n, uint32_t n_frames,
                      uint32_t n_mels, float *out, struct err *e)
{
    struct batch_out batch = {.n_frames = n_frames, .n_mels = n_mels, .db = out};
    return read_batch(s, keys, n, &batch, e);
}

bool store_read_levels(struct store *s, const uint64_t *keys, size_t n, uint32_t n_frames,
                       uint32_t n_mels, float scale, float offset, uint8_t *out, struct err *e)
{
    struct batch_out batch = {
        .n_frames = n_frames, .n_mels = n_mels, .levels = out, .scale = scale, .offset = offset};
    return read_batch(s, keys, n, &batch, e);
}

bool store_stat(struct store *s, struct store_stat *out, struct err *e)
{
    struct store_seat *seat;
    struct totals totals;
    struct store_recipe recipe;
    struct stat st;
    int fd;
    if (!store_enter(s, &seat, e))
        return false;
    bool ok = meta_get_totals(&s->env, seat->txn, &totals, e) &&
              meta_get_recipe(&s->env, seat->txn, &recipe, e);
    store_leave(s, seat);
    if (!ok)
        return false;
    if (mdb_env_get_fd(s->env.mdb, &fd) != MDB_SUCCESS || fstat(fd, &st) != 0)
        return err_set(e, ERR_FATAL, "%s: cannot ask the size of data.mdb", s->env.dir);
    *out = (struct store_stat){.clips = totals.clips,
                               .tracks = totals.tracks,
                               .file_bytes = (uint64_t)st.st_size,
                               .payload_bytes = totals.payload_bytes,
                               .dtype = recipe.dtype,
                               .max_err_db = (double)totals.max_err_db,
                               .rms_err_db = totals_rms_err_db(&totals),
                               .spec_hash = recipe.spec_hash,
                               .root = totals.root};
    memcpy(out->recipe, recipe.text, sizeof out->recipe);
    return true;
}

/* ---------------------------------------------------------------- tracks */

static bool track_value(struct store *s, struct store_seat *seat, uint64_t row, struct span *out,
                        struct err *e)
{
    MDB_val key = {sizeof row, &row}, value;
    int rc = mdb_get(seat->txn, s->env.track, &key, &value);
    if (rc == MDB_NOTFOUND)
        return err_set(e, ERR_PERM, "no track of row %" PRIu64, row);
    if (rc != MDB_SUCCESS)
        return env_err(e, rc, "cannot look up a track", &s->env);
    *out = (struct span){value.mv_data, value.mv_size};
    return true;
}

bool store_get_track(struct store *s, uint64_t row, struct store_track_info *out, struct err *e)
{
    struct store_seat *seat;
    struct span entry;
    if (!store_enter(s, &seat, e))
        return false;
    bool ok = track_value(s, seat, row, &entry, e) && track_entry_info(entry, out, e);
    store_leave(s, seat);
    return ok;
}

bool store_get_info(struct store *s, uint64_t key, struct record_info *out,
                    char augment[STORE_AUGMENT_BYTES], struct err *e)
{
    struct store_seat *seat;
    struct span entry;
    MDB_val value;
    if (!store_enter(s, &seat, e))
        return false;
    bool ok = store_lookup(s, seat, key, &value, e) && record_parse(value_span(value), out, e) &&
              track_value(s, seat, store_key_row(key), &entry, e) &&
              track_entry_augment(entry, key, augment, e);
    store_touched(s);
    store_leave(s, seat);
    return ok;
}

/* ---------------------------------------------------------------- walking */

int store_walk(struct store *s, struct store_seat *seat, MDB_dbi table, store_walk_fn *fn,
               void *arg)
{
    uint64_t keys[WALK_WINDOW];
    MDB_cursor *cursor;
    bool go_on = true;
    store_seat_reserve(seat, WALK_WINDOW);
    int rc = mdb_cursor_open(seat->txn, table, &cursor);
    if (rc != MDB_SUCCESS)
        return rc;
    while (rc == MDB_SUCCESS && go_on) {
        size_t n = 0;
        for (MDB_val k; n < WALK_WINDOW; n++) {
            rc = mdb_cursor_get(cursor, &k, &seat->values[n], MDB_NEXT);
            if (rc != MDB_SUCCESS)
                break;
            keys[n] = 0;
            memcpy(&keys[n], k.mv_data, size_min(sizeof keys[n], k.mv_size));
            if (table == s->env.clip)
                content_resolve(&s->env, seat->txn, &seat->values[n]);
        }
        if (table == s->env.clip)
            store_ask_for_pages(s, seat, n);
        for (size_t i = 0; i < n && go_on; i++)
            go_on = fn(arg, keys[i], seat->values[i]);
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? MDB_SUCCESS : rc;
}

static bool walk_table(struct store *s, MDB_dbi table, store_walk_fn *fn, void *arg, struct err *e)
{
    struct store_seat *seat;
    if (!store_enter(s, &seat, e))
        return false;
    int rc = store_walk(s, seat, table, fn, arg);
    store_leave(s, seat);
    return rc == MDB_SUCCESS || env_err(e, rc, "cannot walk through it", &s->env);
}

struct each_record {
    store_record_fn *fn;
    void *arg;
};

static bool each_record(void *arg, uint64_t key, MDB_val value)
{
    struct each_record *each = arg;
    return each->fn(each->arg, key, value_span(value));
}

bool store_each(struct store *s, store_record_fn *fn, void *arg, struct err *e)
{
    struct each_record each = {fn, arg};
    return walk_table(s, s->env.clip, each_record, &each, e);
}

struct each_track {
    store_track_fn *fn;
    void *arg;
    struct err err; /* of a damaged entry */
};

static bool each_track(void *arg, uint64_t row, MDB_val value)
{
    struct each_track *each = arg;
    struct store_track_info info;
    if (track_entry_info((struct span){value.mv_data, value.mv_size}, &info, &each->err))
        return each->fn(each->arg, row, &info);
    return err_wrap(&each->err, "row %" PRIu64, row);
}

bool store_each_track(struct store *s, store_track_fn *fn, void *arg, struct err *e)
{
    struct each_track each = {.fn = fn, .arg = arg};
    if (!walk_table(s, s->env.track, each_track, &each, e))
        return false;
    if (each.err.kind == ERR_NONE)
        return true;
    *e = each.err;
    return false;
}
