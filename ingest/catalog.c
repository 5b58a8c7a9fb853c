/*
 * Five tables in one LMDB environment:
 *
 *     rows   u64 row, native order           row.h
 *     ids    identity of a CSV row or a link u64 row
 *     due    due_ms, row, both big-endian    nothing       rows that are not final, and only those,
 *                                                        but for NEED
 *     need   artist_key, row, both big-endian nothing     rows that are NEED
 *     notes  name                            small values: version, totals, what fetch remembers
 *
 * The invariant: `due`, `need` and the counts per state in `totals` follow from `rows`; both change
 * in the transaction that changes a row, in catalog_put and catalog_add and nowhere else.
 */
#include "ingest/catalog.h"

#include "base/file.h"
#include "base/mem.h"
#include "ingest/row.h"

#include <errno.h>
#include <inttypes.h>
#include <lmdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The map is address space, not disk: about 20 million rows. */
static const size_t MAP_BYTES = (size_t)8 << 30;
enum { CATALOG_VERSION = 2, DUE_BYTES = 16 };

struct catalog {
    MDB_env *env;
    MDB_dbi rows, ids, due, need, notes;
    bool has_need; /* a reader may find a catalogue of version 1 */
    bool writable;
    char path[PATH_BYTES];
};

struct catalog_write {
    struct catalog *c;
    MDB_txn *txn;
    struct catalog_totals totals;
};

static const char *const state_names[ROW_STATES] = {
    [ROW_NEW] = "NEW",   [ROW_DIRECT] = "DIRECT",     [ROW_NEED] = "NEED",
    [ROW_WAIT] = "WAIT", [ROW_DONE] = "DONE",         [ROW_NO_MATCH] = "NO_MATCH",
    [ROW_GONE] = "GONE", [ROW_REJECTED] = "REJECTED", [ROW_BAD_ROW] = "BAD_ROW",
    [ROW_DUP] = "DUP",   [ROW_DEAD] = "DEAD",         [ROW_RESOLVED] = "RESOLVED",
};

const char *row_state_name(enum row_state s)
{
    assert(s < ROW_STATES);
    return state_names[s];
}

bool row_state_is_final(enum row_state s)
{
    return s != ROW_NEW && s != ROW_DIRECT && s != ROW_NEED && s != ROW_WAIT && s != ROW_RESOLVED;
}

const char *catalog_row_link(const struct catalog_row *row)
{
    return row->resolved_url[0] != '\0' ? row->resolved_url : row->url;
}

static bool fail(const struct catalog *c, int rc, const char *what, struct err *e)
{
    if (rc == MDB_MAP_FULL)
        return err_set(e, ERR_FATAL, "%s is full: it may grow to %zu GiB", c->path,
                       MAP_BYTES >> 30);
    return err_set(e, ERR_FATAL, "%s: %s: %s", c->path, what, mdb_strerror(rc));
}

/* ---------------------------------------------------------------- due order */

int catalog_due_compare(struct catalog_due a, struct catalog_due b)
{
    if (a.due_ms != b.due_ms)
        return a.due_ms < b.due_ms ? -1 : 1;
    return a.row < b.row ? -1 : a.row > b.row;
}

struct catalog_due catalog_row_due(const struct catalog_row *row)
{
    int64_t due_ms = row->state == ROW_WAIT && row->not_before_ms > 0 ? row->not_before_ms : 0;
    return (struct catalog_due){due_ms, row->row};
}

static void put_big_endian(uint8_t *out, uint64_t value)
{
    for (size_t i = 0; i < 8; i++)
        out[i] = (uint8_t)(value >> (56 - 8 * i));
}

static uint64_t get_big_endian(const uint8_t *in)
{
    uint64_t value = 0;
    for (size_t i = 0; i < 8; i++)
        value = value << 8 | in[i];
    return value;
}

static void due_encode(uint8_t out[DUE_BYTES], struct catalog_due due)
{
    assert(due.due_ms >= 0);
    put_big_endian(out, (uint64_t)due.due_ms);
    put_big_endian(out + 8, due.row);
}

/* ---------------------------------------------------------------- notes */

static bool note_read(struct catalog *c, MDB_txn *txn, const char *name,
                      uint8_t out[CATALOG_NOTE_BYTES_MAX], size_t *out_bytes, struct err *e)
{
    MDB_val key = {strlen(name), (void *)(uintptr_t)name}, value;
    *out_bytes = 0;
    int rc = mdb_get(txn, c->notes, &key, &value);
    if (rc == MDB_NOTFOUND)
        return true;
    if (rc != 0)
        return fail(c, rc, "cannot read a note", e);
    if (value.mv_size > CATALOG_NOTE_BYTES_MAX)
        return err_set(e, ERR_FATAL, "%s: note %s has %zu bytes, at most %d are read", c->path,
                       name, value.mv_size, CATALOG_NOTE_BYTES_MAX);
    memcpy(out, value.mv_data, value.mv_size);
    *out_bytes = value.mv_size;
    return true;
}

static bool note_write(struct catalog *c, MDB_txn *txn, const char *name, struct span value,
                       struct err *e)
{
    assert(value.len <= CATALOG_NOTE_BYTES_MAX);
    MDB_val key = {strlen(name), (void *)(uintptr_t)name};
    MDB_val data = {value.len, (void *)(uintptr_t)value.ptr};
    int rc = mdb_put(txn, c->notes, &key, &data, 0);
    return rc == 0 || fail(c, rc, "cannot write a note", e);
}

/* Totals are u64s: rows, requests, throttled, bytes, then one per state, so that later versions may
 * append states. */
enum { TOTALS_HEAD = 4 };
static_assert((TOTALS_HEAD + ROW_STATES) * 8 <= CATALOG_NOTE_BYTES_MAX, "totals fit a note");

static bool totals_read(struct catalog *c, MDB_txn *txn, struct catalog_totals *out, struct err *e)
{
    uint8_t bytes[CATALOG_NOTE_BYTES_MAX];
    uint64_t values[TOTALS_HEAD + ROW_STATES] = {0};
    size_t n;
    if (!note_read(c, txn, "totals", bytes, &n, e))
        return false;
    if (n % 8 != 0 || n > sizeof values)
        return err_set(e, ERR_FATAL, "%s: the totals have %zu bytes", c->path, n);
    memcpy(values, bytes, n);
    *out = (struct catalog_totals){
        .rows = values[0], .requests = values[1], .throttled = values[2], .bytes = values[3]};
    memcpy(out->states, values + TOTALS_HEAD, sizeof out->states);
    return true;
}

static bool totals_write(struct catalog_write *w, struct err *e)
{
    uint64_t values[TOTALS_HEAD + ROW_STATES] = {w->totals.rows, w->totals.requests,
                                                 w->totals.throttled, w->totals.bytes};
    memcpy(values + TOTALS_HEAD, w->totals.states, sizeof w->totals.states);
    return note_write(w->c, w->txn, "totals", (struct span){values, sizeof values}, e);
}

/* ---------------------------------------------------------------- open and close */

static bool check_version(struct catalog *c, MDB_txn *txn, struct err *e)
{
    uint8_t bytes[CATALOG_NOTE_BYTES_MAX];
    size_t n;
    uint32_t version = CATALOG_VERSION;
    if (!note_read(c, txn, "version", bytes, &n, e))
        return false;
    if (n == sizeof version)
        memcpy(&version, bytes, sizeof version);
    if ((n == 0 || version < CATALOG_VERSION) && c->writable) {
        version = CATALOG_VERSION;
        return note_write(c, txn, "version", (struct span){&version, sizeof version}, e);
    }
    if (n != sizeof version)
        return err_set(e, ERR_PERM, "%s holds no catalogue yet", c->path);
    if (version > CATALOG_VERSION)
        return err_set(e, ERR_USAGE,
                       "%s is of version %u and this refrain knows up to %d: use a "
                       "newer refrain",
                       c->path, version, CATALOG_VERSION);
    return true;
}

static bool open_tables(struct catalog *c, struct err *e)
{
    unsigned create = c->writable ? MDB_CREATE : 0;
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(c->env, NULL, c->writable ? 0 : MDB_RDONLY, &txn);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "rows", create | MDB_INTEGERKEY, &c->rows);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "ids", create, &c->ids);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "due", create, &c->due);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "notes", create, &c->notes);
    if (rc == 0) {
        rc = mdb_dbi_open(txn, "need", create, &c->need);
        c->has_need = rc == 0;
        rc = rc == MDB_NOTFOUND && !c->writable ? 0 : rc;
    }
    if (rc != 0) {
        mdb_txn_abort(txn);
        if (rc == MDB_NOTFOUND)
            return err_set(e, ERR_PERM, "%s holds no catalogue yet", c->path);
        return fail(c, rc, "cannot open the tables", e);
    }
    if (!check_version(c, txn, e)) {
        mdb_txn_abort(txn);
        return false;
    }
    rc = mdb_txn_commit(txn);
    return rc == 0 || fail(c, rc, "cannot commit", e);
}

/* LMDB begins a file with two pages. A kill or a full disk within that leaves one that it would
 * refuse for ever, and that holds nothing. */
static bool remove_unborn(const struct catalog *c, struct err *e)
{
    char path[PATH_BYTES];
    struct stat st;
    if (!path_join(path, c->path, "data.mdb", e))
        return false;
    bool is_unborn = stat(path, &st) == 0 && st.st_size < 2 * sysconf(_SC_PAGESIZE);
    return !is_unborn || unlink(path) == 0 ||
           err_set_errno(e, ERR_FATAL, errno, "cannot remove %s", path);
}

bool catalog_open(const char *dataset_dir, bool writable, struct catalog **out, struct err *e)
{
    struct catalog *c = mem_zalloc(1, sizeof *c);
    c->writable = writable;
    if (!path_join(c->path, dataset_dir, "catalog.mdb", e))
        goto failed;
    if (!writable && !file_exists(c->path)) {
        err_set(e, ERR_PERM, "%s does not exist: nothing was fetched yet", c->path);
        goto failed;
    }
    if (writable && (!file_make_dir(c->path, e) || !remove_unborn(c, e)))
        goto failed;
    int dead, rc = mdb_env_create(&c->env);
    if (rc == 0)
        rc = mdb_env_set_mapsize(c->env, MAP_BYTES);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(c->env, 5);
    /* NOTLS: a read transaction belongs to its holder and not to the thread. */
    if (rc == 0)
        rc = mdb_env_open(c->env, c->path, MDB_NOTLS | (writable ? 0 : MDB_RDONLY), 0644);
    if (rc == 0 && writable)
        rc = mdb_reader_check(c->env, &dead); /* slots of readers that were killed */
    if (rc != 0) {
        fail(c, rc, "cannot open", e);
        if (!writable)
            e->kind = ERR_PERM;
        goto failed;
    }
    if (!open_tables(c, e))
        goto failed;
    *out = c;
    return true;
failed:
    catalog_close(c);
    return false;
}

void catalog_close(struct catalog *c)
{
    if (c == NULL)
        return;
    if (c->env != NULL)
        mdb_env_close(c->env);
    mem_free(c);
}

/* ---------------------------------------------------------------- reading */

static bool begin_read(struct catalog *c, MDB_txn **out, struct err *e)
{
    int rc = mdb_txn_begin(c->env, NULL, MDB_RDONLY, out);
    return rc == 0 || fail(c, rc, "cannot read", e);
}

static bool read_row(struct catalog *c, MDB_txn *txn, uint64_t row, struct catalog_row *out,
                     struct err *e)
{
    MDB_val key = {sizeof row, &row}, value;
    int rc = mdb_get(txn, c->rows, &key, &value);
    if (rc == MDB_NOTFOUND)
        return err_set(e, ERR_PERM, "%s has no row %" PRIu64, c->path, row);
    if (rc != 0)
        return fail(c, rc, "cannot read a row", e);
    return row_decode((struct span){value.mv_data, value.mv_size}, row, out, e);
}

bool catalog_totals(struct catalog *c, struct catalog_totals *out, struct err *e)
{
    MDB_txn *txn;
    if (!begin_read(c, &txn, e))
        return false;
    bool ok = totals_read(c, txn, out, e);
    mdb_txn_abort(txn);
    return ok;
}

bool catalog_get(struct catalog *c, uint64_t row, struct catalog_row *out, struct err *e)
{
    MDB_txn *txn;
    if (!begin_read(c, &txn, e))
        return false;
    bool ok = read_row(c, txn, row, out, e);
    mdb_txn_abort(txn);
    return ok;
}

bool catalog_each(struct catalog *c, catalog_row_fn *fn, void *arg, struct err *e)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    if (!begin_read(c, &txn, e))
        return false;
    int rc = mdb_cursor_open(txn, c->rows, &cursor);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return fail(c, rc, "cannot read rows", e);
    }
    bool ok = true, more = true;
    struct catalog_row row;
    MDB_val key, value;
    while (ok && more && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        uint64_t number = 0;
        if (key.mv_size == sizeof number)
            memcpy(&number, key.mv_data, sizeof number);
        ok = row_decode((struct span){value.mv_data, value.mv_size}, number, &row, e);
        more = ok && fn(arg, &row);
    }
    if (ok && more && rc != MDB_NOTFOUND)
        ok = fail(c, rc, "cannot read rows", e);
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    return ok;
}

/* What a walk over one of the two indices hands out. */
struct index_walk {
    MDB_dbi dbi;
    catalog_due_fn *due_fn;
    catalog_need_fn *need_fn;
    void *arg;
};

static bool walk_step(const struct index_walk *w, const uint8_t key[DUE_BYTES],
                      const struct catalog_row *row)
{
    if (w->need_fn != NULL)
        return w->need_fn(w->arg, row);
    assert(w->due_fn != NULL);
    struct catalog_due due = {(int64_t)get_big_endian(key), get_big_endian(key + 8)};
    return w->due_fn(w->arg, due, row);
}

static bool walk_index(struct catalog *c, const struct index_walk *w, uint8_t first[DUE_BYTES],
                       struct err *e)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    if (!begin_read(c, &txn, e))
        return false;
    int rc = mdb_cursor_open(txn, w->dbi, &cursor);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return fail(c, rc, "cannot read an index", e);
    }
    MDB_val key = {DUE_BYTES, first}, value;
    MDB_cursor_op op = MDB_SET_RANGE;
    struct catalog_row row;
    bool ok = true, more = true;
    while (ok && more && (rc = mdb_cursor_get(cursor, &key, &value, op)) == 0) {
        op = MDB_NEXT;
        if (key.mv_size != DUE_BYTES) {
            ok = err_set(e, ERR_FATAL, "%s: an index key has %zu bytes", c->path, key.mv_size);
            break;
        }
        const uint8_t *bytes = key.mv_data;
        ok = read_row(c, txn, get_big_endian(bytes + 8), &row, e);
        more = ok && walk_step(w, bytes, &row);
    }
    if (ok && more && rc != MDB_NOTFOUND)
        ok = fail(c, rc, "cannot read an index", e);
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    return ok;
}

bool catalog_each_due(struct catalog *c, struct catalog_due from, catalog_due_fn *fn, void *arg,
                      struct err *e)
{
    uint8_t first[DUE_BYTES];
    struct index_walk w = {.dbi = c->due, .due_fn = fn, .arg = arg};
    due_encode(first, from);
    return walk_index(c, &w, first, e);
}

bool catalog_each_need(struct catalog *c, struct catalog_need from, catalog_need_fn *fn, void *arg,
                       struct err *e)
{
    uint8_t first[DUE_BYTES];
    struct index_walk w = {.dbi = c->need, .need_fn = fn, .arg = arg};
    put_big_endian(first, from.artist_key);
    put_big_endian(first + 8, from.row);
    return !c->has_need || walk_index(c, &w, first, e);
}

bool catalog_note_get(struct catalog *c, const char *name, uint8_t out[CATALOG_NOTE_BYTES_MAX],
                      size_t *out_bytes, struct err *e)
{
    MDB_txn *txn;
    if (!begin_read(c, &txn, e))
        return false;
    bool ok = note_read(c, txn, name, out, out_bytes, e);
    mdb_txn_abort(txn);
    return ok;
}

/* ---------------------------------------------------------------- writing */

bool catalog_begin(struct catalog *c, struct catalog_write **out, struct err *e)
{
    assert(c->writable);
    struct catalog_write *w = mem_zalloc(1, sizeof *w);
    w->c = c;
    int rc = mdb_txn_begin(c->env, NULL, 0, &w->txn);
    if (rc != 0) {
        mem_free(w);
        return fail(c, rc, "cannot write", e);
    }
    if (!totals_read(c, w->txn, &w->totals, e)) {
        catalog_abort(w);
        return false;
    }
    *out = w;
    return true;
}

bool catalog_commit(struct catalog_write *w, struct err *e)
{
    if (!totals_write(w, e)) {
        catalog_abort(w);
        return false;
    }
    int rc = mdb_txn_commit(w->txn);
    struct catalog *c = w->c;
    mem_free(w);
    return rc == 0 || fail(c, rc, "cannot commit", e);
}

void catalog_abort(struct catalog_write *w)
{
    if (w == NULL)
        return;
    mdb_txn_abort(w->txn);
    mem_free(w);
}

static bool find_id(struct catalog *c, MDB_txn *txn, struct span key, uint64_t *out_row,
                    bool *out_found, struct err *e)
{
    assert(key.len > 0);
    assert(key.len <= CATALOG_KEY_BYTES_MAX);
    MDB_val k = {key.len, (void *)(uintptr_t)key.ptr}, value;
    int rc = mdb_get(txn, c->ids, &k, &value);
    *out_found = rc == 0;
    if (rc == MDB_NOTFOUND)
        return true;
    if (rc != 0)
        return fail(c, rc, "cannot find a row", e);
    if (value.mv_size != sizeof *out_row)
        return err_set(e, ERR_FATAL, "%s: an identity has %zu bytes", c->path, value.mv_size);
    memcpy(out_row, value.mv_data, sizeof *out_row);
    return true;
}

bool catalog_find(struct catalog_write *w, struct span key, uint64_t *out_row, bool *out_found,
                  struct err *e)
{
    return find_id(w->c, w->txn, key, out_row, out_found, e);
}

bool catalog_look_up(struct catalog *c, struct span key, struct catalog_row *out, bool *out_found,
                     struct err *e)
{
    MDB_txn *txn;
    uint64_t row;
    if (!begin_read(c, &txn, e))
        return false;
    bool ok =
        find_id(c, txn, key, &row, out_found, e) && (!*out_found || read_row(c, txn, row, out, e));
    mdb_txn_abort(txn);
    return ok;
}

/* The index that an unfinished row lies in, and its key there. */
static MDB_dbi index_of(const struct catalog_write *w, const struct catalog_row *row,
                        uint8_t out[DUE_BYTES])
{
    if (row->state != ROW_NEED) {
        due_encode(out, catalog_row_due(row));
        return w->c->due;
    }
    put_big_endian(out, row->artist_key);
    put_big_endian(out + 8, row->row);
    return w->c->need;
}

static bool store_row(struct catalog_write *w, const struct catalog_row *row, unsigned flags,
                      struct err *e)
{
    uint8_t bytes[ROW_BYTES_MAX], place[DUE_BYTES];
    uint64_t number = row->row;
    MDB_val key = {sizeof number, &number}, value = {row_encode(row, bytes), bytes};
    int rc = mdb_put(w->txn, w->c->rows, &key, &value, flags);
    if (rc != 0)
        return fail(w->c, rc, "cannot write a row", e);
    w->totals.states[row->state]++;
    if (row_state_is_final(row->state))
        return true;
    MDB_dbi index = index_of(w, row, place);
    MDB_val place_key = {sizeof place, place}, nothing = {0, place};
    rc = mdb_put(w->txn, index, &place_key, &nothing, 0);
    return rc == 0 || fail(w->c, rc, "cannot write into an index", e);
}

bool catalog_add(struct catalog_write *w, struct span key, struct catalog_row *row, struct err *e)
{
    assert(key.len > 0);
    assert(key.len <= CATALOG_KEY_BYTES_MAX);
    row->row = ++w->totals.rows;
    MDB_val k = {key.len, (void *)(uintptr_t)key.ptr}, value = {sizeof row->row, &row->row};
    int rc = mdb_put(w->txn, w->c->ids, &k, &value, MDB_NOOVERWRITE);
    if (rc != 0)
        return fail(w->c, rc, "cannot add a row", e);
    return store_row(w, row, MDB_APPEND, e);
}

bool catalog_alias(struct catalog_write *w, struct span key, uint64_t row, struct err *e)
{
    assert(key.len > 0);
    assert(key.len <= CATALOG_KEY_BYTES_MAX);
    MDB_val k = {key.len, (void *)(uintptr_t)key.ptr}, value = {sizeof row, &row};
    int rc = mdb_put(w->txn, w->c->ids, &k, &value, 0);
    return rc == 0 || fail(w->c, rc, "cannot add an identity", e);
}

bool catalog_read(struct catalog_write *w, uint64_t row, struct catalog_row *out, struct err *e)
{
    return read_row(w->c, w->txn, row, out, e);
}

bool catalog_put(struct catalog_write *w, const struct catalog_row *row, struct err *e)
{
    struct catalog_row old;
    if (!read_row(w->c, w->txn, row->row, &old, e))
        return false;
    if (w->totals.states[old.state] == 0)
        return err_set(e, ERR_FATAL, "%s: row %" PRIu64 " is %s and the totals count none",
                       w->c->path, row->row, row_state_name(old.state));
    w->totals.states[old.state]--;
    if (!row_state_is_final(old.state)) {
        uint8_t place[DUE_BYTES];
        MDB_dbi index = index_of(w, &old, place);
        MDB_val key = {sizeof place, place};
        int rc = mdb_del(w->txn, index, &key, NULL);
        if (rc != 0)
            return fail(w->c, rc, "cannot take a row out of an index", e);
    }
    return store_row(w, row, 0, e);
}

void catalog_count(struct catalog_write *w, uint64_t requests, uint64_t throttled, uint64_t bytes)
{
    w->totals.requests += requests;
    w->totals.throttled += throttled;
    w->totals.bytes += bytes;
}

bool catalog_note_set(struct catalog_write *w, const char *name, struct span value, struct err *e)
{
    return note_write(w->c, w->txn, name, value, e);
}
