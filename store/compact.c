#include "store/compact.h"

#include "store/content.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COMMIT_BYTES = 64 << 20, MAP_FLOOR_BYTES = 64 << 20 };

/*
 * mdb_env_copy2 with MDB_CP_COMPACT would drop the free pages, but the shape of the tree would
 * still tell the order in which the records came. So everything is put again, in key order, with
 * commits after fixed amounts and a map size that follows from the content.
 */
struct compaction {
    struct env from, to;
    char to_path[PATH_BYTES]; /* compact.mdb, in the folder */
    MDB_txn *read, *write;
    uint64_t open_bytes;
    struct totals totals;
};

static bool file_bytes(const struct env *env, uint64_t *out, struct err *e)
{
    struct stat st;
    int fd;
    if (mdb_env_get_fd(env->mdb, &fd) != MDB_SUCCESS || fstat(fd, &st) != 0)
        return err_set(e, ERR_FATAL, "%s: cannot ask the size of data.mdb", env->dir);
    *out = (uint64_t)st.st_size;
    return true;
}

/* What a compaction that was killed left, and what this one leaves. */
static void remove_temporary(const struct compaction *c)
{
    static const char *const names[] = {"data.mdb", "lock.mdb"};
    char path[PATH_BYTES];
    struct err ignored;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (path_join(path, c->to_path, names[i], &ignored))
            unlink(path);
    }
    rmdir(c->to_path);
}

static bool open_both(struct compaction *c, const char *path, uint64_t *bytes_before, struct err *e)
{
    uint64_t free_bytes, map_bytes = MAP_FLOOR_BYTES;
    if (!env_open(&c->from, path, ENV_READ, UINT64_C(1) << 40, e))
        return false;
    if (flock(c->from.dir_fd, LOCK_EX | LOCK_NB) != 0)
        return err_set(e, ERR_TEMP, "%s is being read: compact needs it for itself", c->from.dir);
    if (!path_join(c->to_path, c->from.dir, "compact.mdb", e) ||
        !file_bytes(&c->from, bytes_before, e) || !file_free_bytes(c->from.dir, &free_bytes, e))
        return false;
    if (free_bytes < *bytes_before)
        return err_set(e, ERR_FATAL,
                       "compacting %s needs room for a copy: %" PRIu64 " MiB, %" PRIu64
                       " MiB are free",
                       c->from.dir, *bytes_before >> 20, free_bytes >> 20);
    int rc = mdb_txn_begin(c->from.mdb, NULL, MDB_RDONLY, &c->read);
    if (rc != MDB_SUCCESS)
        return env_err(e, rc, "cannot begin to read", &c->from);
    if (!meta_get_totals(&c->from, c->read, &c->totals, e))
        return false;
    /* Room for padding and tree too, as a power of two: a function of the content. */
    while (map_bytes < 2 * c->totals.payload_bytes + 16384 * c->totals.clips)
        map_bytes *= 2;
    remove_temporary(c);
    return file_make_dir(c->to_path, e) && env_open(&c->to, c->to_path, ENV_WRITE, map_bytes, e);
}

static bool commit(struct compaction *c, struct err *e)
{
    int rc = c->write ? mdb_txn_commit(c->write) : MDB_SUCCESS;
    c->write = NULL;
    c->open_bytes = 0;
    return rc == MDB_SUCCESS || env_err(e, rc, "cannot commit", &c->to);
}

static int copy_entry(struct compaction *c, MDB_dbi from, MDB_dbi to, MDB_val key, MDB_val value)
{
    size_t n_bytes = value.mv_size;
    uint64_t clip_key;
    int rc;
    if (from == c->from.clip) {
        memcpy(&clip_key, key.mv_data, sizeof clip_key);
        rc = content_resolve(&c->from, c->read, &value);
        if (rc == MDB_SUCCESS)
            rc = content_put(&c->to, c->write, clip_key, value_span(value), true, &n_bytes);
    } else {
        rc = mdb_put(c->write, to, &key, &value, MDB_APPEND);
    }
    c->open_bytes += n_bytes;
    return rc;
}

static bool copy_table(struct compaction *c, MDB_dbi from, MDB_dbi to, struct err *e)
{
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    bool ok = true;
    int rc = mdb_cursor_open(c->read, from, &cursor);
    while (ok && rc == MDB_SUCCESS) {
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
        if (rc == MDB_SUCCESS && !c->write)
            rc = mdb_txn_begin(c->to.mdb, NULL, 0, &c->write);
        if (rc == MDB_SUCCESS)
            rc = copy_entry(c, from, to, key, value);
        if (rc != MDB_SUCCESS)
            break;
        if (c->open_bytes >= COMMIT_BYTES)
            ok = commit(c, e);
    }
    if (cursor)
        mdb_cursor_close(cursor);
    if (ok && rc != MDB_NOTFOUND)
        ok = env_err(e, rc, "cannot copy", &c->from);
    return ok && commit(c, e);
}

/* The old lock.mdb counts transactions of the old file, so it goes. Nobody has it open: we hold
 * the folder. */
static bool put_in_place(struct compaction *c, struct err *e)
{
    char new_path[PATH_BYTES], path[PATH_BYTES], lock[PATH_BYTES];
    if (!path_join(new_path, c->to.dir, "data.mdb", e) ||
        !path_join(path, c->from.dir, "data.mdb", e) ||
        !path_join(lock, c->from.dir, "lock.mdb", e))
        return false;
    if (rename(new_path, path) != 0)
        return err_set_errno(e, ERR_FATAL, errno, "cannot put %s in place", path);
    if (unlink(lock) != 0 && errno != ENOENT)
        return err_set_errno(e, ERR_FATAL, errno, "cannot remove %s", lock);
    return file_sync_dir(c->from.dir, e);
}

static void close_databases(struct compaction *c)
{
    if (c->write)
        mdb_txn_abort(c->write);
    if (c->read)
        mdb_txn_abort(c->read);
    if (c->from.mdb)
        mdb_env_close(c->from.mdb);
    if (c->to.mdb)
        mdb_env_close(c->to.mdb);
    c->write = c->read = NULL;
    c->from.mdb = c->to.mdb = NULL;
}

bool store_compact(const char *path, struct compact_report *out, struct err *e)
{
    struct compaction c = {0};
    struct compact_report report = {0};
    char lock[PATH_BYTES];
    int lock_fd = -1;
    char folder[PATH_BYTES];
    if (!store_exists(path))
        return err_set(e, ERR_PERM, "%s holds no store", path);
    if (!store_folder(folder, path, e) || !path_join(lock, folder, "writer.lock", e) ||
        !file_lock(lock, &lock_fd, e))
        return false;
    bool ok =
        open_both(&c, path, &report.bytes_before, e) && copy_table(&c, c.from.clip, c.to.clip, e) &&
        copy_table(&c, c.from.track, c.to.track, e) && copy_table(&c, c.from.meta, c.to.meta, e) &&
        file_bytes(&c.to, &report.bytes_after, e);
    close_databases(&c);
    ok = ok && put_in_place(&c, e);
    if (c.to_path[0])
        remove_temporary(&c);
    env_close(&c.to);
    env_close(&c.from);
    close(lock_fd);
    if (!ok)
        return err_wrap(e, "compact");
    report.clips = c.totals.clips;
    report.root = c.totals.root;
    *out = report;
    return true;
}
