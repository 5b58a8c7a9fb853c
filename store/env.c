#include "store/tables.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { DATABASES_MAX = 4, MAP_MIN_BYTES = 1 << 20 };

/* LMDB keeps its reader table and its data in shared maps; on these the other side's changes need
 * not arrive. Numbers from statfs(2). */
static const struct {
    uint32_t magic;
    const char *name;
} remote_systems[] = {
    {0x6969, "NFS"},        {0x517b, "SMB"},      {0xfe534d42, "SMB2"}, {0xff534d42, "CIFS"},
    {0x65735546, "FUSE"},   {0x00c36400, "Ceph"}, {0x01021997, "9P"},   {0x5346414f, "AFS"},
    {0x0bd00bd0, "Lustre"}, {0x47504653, "GPFS"}, {0x01161970, "GFS2"}, {0x7461636f, "OCFS2"},
};

/* ---------------------------------------------------------------- errors */

void env_err_fill(struct err *e, int rc, const char *what, const struct env *env)
{
    assert(rc != MDB_SUCCESS);
    enum err_kind kind = rc == MDB_READERS_FULL ? ERR_TEMP : ERR_FATAL;
    err_fill(e, kind, "%s: %s: %s", env->dir, what, mdb_strerror(rc));
}

bool env_check_pid(const struct env *env, struct err *e)
{
    if (env->pid == getpid())
        return true;
    return err_set(e, ERR_FATAL,
                   "%s was opened by process %ld and used by process %ld: open it after the fork",
                   env->dir, (long)env->pid, (long)getpid());
}

/* ---------------------------------------------------------------- opening */

/* Mounted read-only there is nothing to arrive: *immutable. */
static bool refuse_remote(const char *dir, enum env_mode mode, bool *immutable, struct err *e)
{
    struct statfs st;
    if (statfs(dir, &st) != 0)
        return err_set_errno(e, ERR_FATAL, errno, "cannot look at the file system of %s", dir);
    *immutable = mode == ENV_READ && (st.f_flags & ST_RDONLY) != 0;
    if (*immutable)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(remote_systems); i++) {
        if ((uint32_t)st.f_type == remote_systems[i].magic)
            return err_set(e, ERR_FATAL,
                           "%s is on %s: the store is memory-mapped and needs a local file system; "
                           "copy the data set to a local disk, or mount it read-only to read it",
                           dir, remote_systems[i].name);
    }
    return true;
}

static bool lock_folder(struct env *env, struct err *e)
{
    env->dir_fd = open(env->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (env->dir_fd < 0)
        return err_set_errno(e, ERR_FATAL, errno, "cannot open %s", env->dir);
    /* A file system without locks can be read all the same: compact needs them, and fails. */
    if (flock(env->dir_fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return err_set(e, ERR_TEMP, "%s is being compacted: try again when that is done", env->dir);
    return true;
}

/* Without a writable lock.mdb there is no reader table. That is safe as long as nobody writes: the
 * writer's lock file, held shared, sees to it (a store that never had one has no writer). */
static bool lock_immutable(struct env *env, struct err *e)
{
    char path[PATH_BYTES];
    if (!path_join(path, env->dir, "writer.lock", e))
        return false;
    env->immutable_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (env->immutable_fd >= 0 && flock(env->immutable_fd, LOCK_SH | LOCK_NB) != 0)
        return err_set(e, ERR_TEMP,
                       "%s is being written and we may not write its lock.mdb: ask for write "
                       "permission or wait for the writer to end",
                       env->dir);
    return true;
}

static int open_once(struct env *env, unsigned flags, size_t map_bytes)
{
    int rc = mdb_env_create(&env->mdb);
    if (rc == MDB_SUCCESS)
        rc = mdb_env_set_maxdbs(env->mdb, DATABASES_MAX);
    if (rc == MDB_SUCCESS)
        rc = mdb_env_set_maxreaders(env->mdb, STORE_READERS_MAX);
    if (rc == MDB_SUCCESS)
        rc = mdb_env_set_mapsize(env->mdb, map_bytes);
    if (rc == MDB_SUCCESS)
        rc = mdb_env_open(env->mdb, env->dir, flags, 0666);
    if (rc != MDB_SUCCESS) {
        mdb_env_close(env->mdb);
        env->mdb = NULL;
    }
    return rc;
}

/* The map is address space, not memory; where even that is limited (ulimit -v), half is asked for
 * until it fits. */
static int open_halving(struct env *env, unsigned flags, uint64_t map_bytes)
{
    int rc;
    do {
        env->map_bytes = map_bytes;
        rc = open_once(env, flags, map_bytes);
        map_bytes /= 2;
    } while (rc == ENOMEM && map_bytes >= MAP_MIN_BYTES);
    return rc;
}

/* A file shorter than its tree would kill whoever reads it (SIGBUS); better a sentence. */
static bool refuse_truncated(const struct env *env, struct err *e)
{
    MDB_envinfo info;
    struct stat st;
    int fd;
    if (mdb_env_info(env->mdb, &info) != MDB_SUCCESS || mdb_env_get_fd(env->mdb, &fd) != 0 ||
        fstat(fd, &st) != 0)
        return err_set(e, ERR_FATAL, "%s: cannot ask the size of data.mdb", env->dir);
    uint64_t need = ((uint64_t)info.me_last_pgno + 1) * env->page_bytes;
    /* The last pages of a commit may be freed ones that were never written. */
    if ((uint64_t)st.st_size >= need || info.me_last_pgno <= 1)
        return true;
    return err_set(e, ERR_FATAL,
                   "%s/data.mdb is damaged: it has %" PRIu64 " bytes and its tree needs %" PRIu64,
                   env->dir, (uint64_t)st.st_size, need);
}

static bool no_tensors_yet(const struct env *env, struct err *e)
{
    return err_set(e, ERR_PERM, "%s holds no tensors yet: run refrain extract", env->dir);
}

/* The first transaction makes the tables, the second writes the recipe: a store that had both and
 * now lacks one is not new. */
static bool missing_tables(const struct env *env, struct err *e)
{
    MDB_envinfo info;
    if (mdb_env_info(env->mdb, &info) == MDB_SUCCESS && info.me_last_txnid >= 2)
        return err_set(e, ERR_FATAL, "%s/data.mdb is damaged: its tables cannot be found",
                       env->dir);
    return no_tensors_yet(env, e);
}

static int open_tables_in(struct env *env, MDB_txn *txn, enum env_mode mode)
{
    unsigned create = mode == ENV_WRITE ? MDB_CREATE : 0;
    int rc = mdb_dbi_open(txn, "clip", create | MDB_INTEGERKEY, &env->clip);
    if (rc == MDB_SUCCESS)
        rc = mdb_dbi_open(txn, "track", create | MDB_INTEGERKEY, &env->track);
    if (rc == MDB_SUCCESS)
        rc = mdb_dbi_open(txn, "meta", create, &env->meta);
    if (rc == MDB_SUCCESS)
        rc = mdb_dbi_open(txn, "content", create | MDB_INTEGERKEY, &env->content);
    if (rc == MDB_NOTFOUND && env->meta != 0) {
        env->content = 0;
        rc = MDB_SUCCESS;
    }
    return rc;
}

static bool open_tables(struct env *env, enum env_mode mode, struct err *e)
{
    MDB_txn *txn = NULL;
    struct store_recipe recipe;
    bool schema_known = true;
    int rc = mdb_txn_begin(env->mdb, NULL, mode == ENV_WRITE ? 0 : MDB_RDONLY, &txn);
    if (rc == MDB_SUCCESS)
        rc = open_tables_in(env, txn, mode);
    if (rc == MDB_SUCCESS && !meta_is_new(env, txn))
        schema_known = meta_get_recipe(env, txn, &recipe, e);
    else if (rc == MDB_SUCCESS && mode == ENV_READ)
        rc = MDB_NOTFOUND; /* the writer was killed between making the tables and using them */
    if (rc == MDB_SUCCESS && schema_known) {
        rc = mdb_txn_commit(txn); /* keeps the handles */
        txn = NULL;
    }
    if (txn)
        mdb_txn_abort(txn);
    if (rc == MDB_NOTFOUND)
        return missing_tables(env, e);
    return schema_known && (rc == MDB_SUCCESS || env_err(e, rc, "cannot open its tables", env));
}

/* LMDB begins a file with its two meta pages in one write. A file that is shorter never held a
 * commit: its writer was killed, or its disk was full, in the first instant. A reader calls that
 * empty, and the next writer begins anew, for LMDB would refuse it for ever. */
static bool data_file_settle(const struct env *env, enum env_mode mode, struct err *e)
{
    char path[PATH_BYTES];
    struct stat st;
    if (!path_join(path, env->dir, "data.mdb", e))
        return false;
    bool exists = stat(path, &st) == 0;
    if (!exists && mode == ENV_READ)
        return err_set_errno(e, ERR_PERM, errno, "%s (run refrain extract first)", path);
    if (!exists || st.st_size >= 2 * sysconf(_SC_PAGESIZE))
        return true;
    if (mode == ENV_READ)
        return no_tensors_yet(env, e);
    return truncate(path, 0) == 0 || err_set_errno(e, ERR_FATAL, errno, "cannot empty %s", path);
}

static bool env_open_mdb(struct env *env, enum env_mode mode, bool immutable, uint64_t map_bytes,
                         struct err *e)
{
    unsigned flags = MDB_NOTLS;
    if (mode == ENV_READ)
        flags |= MDB_RDONLY | MDB_NORDAHEAD;
    int rc = immutable ? EROFS : open_halving(env, flags, map_bytes);
    if (mode == ENV_READ && (rc == EACCES || rc == EROFS)) {
        if (!lock_immutable(env, e))
            return false;
        rc = open_halving(env, flags | MDB_NOLOCK, map_bytes);
    }
    if (rc != MDB_SUCCESS)
        return env_err(e, rc, "cannot open data.mdb", env);
    int dead = 0;
    rc = mdb_reader_check(env->mdb, &dead); /* slots of readers that were killed */
    if (rc != MDB_SUCCESS)
        return env_err(e, rc, "cannot clear stale readers", env);
    env->n_stale_readers = (uint32_t)dead;
    MDB_stat st;
    rc = mdb_env_stat(env->mdb, &st);
    if (rc != MDB_SUCCESS)
        return env_err(e, rc, "cannot ask its page size", env);
    env->page_bytes = st.ms_psize;
    return true;
}

bool store_folder(char out[PATH_BYTES], const char *path, struct err *e)
{
    static const char suffix[] = ".mdb";
    size_t len = strlen(path), suffix_len = sizeof suffix - 1;
    while (len > 1 && path[len - 1] == '/')
        len--;
    if (len <= suffix_len || strncmp(path + len - suffix_len, suffix, suffix_len) != 0 ||
        path[len - suffix_len - 1] == '/')
        return path_join(out, path, "features.mdb", e);
    if (len >= PATH_BYTES)
        return err_set(e, ERR_PERM, "the path %.80s... is longer than %d bytes", path, PATH_BYTES);
    memcpy(out, path, len);
    out[len] = '\0';
    return true;
}

bool env_open(struct env *env, const char *path, enum env_mode mode, uint64_t map_bytes,
              struct err *e)
{
    *env = (struct env){.dir_fd = -1, .immutable_fd = -1, .pid = getpid()};
    if (!store_folder(env->dir, path, e))
        return false;
    if (mode == ENV_WRITE && !file_make_dir(env->dir, e))
        return false;
    if (!data_file_settle(env, mode, e))
        return false;
    bool immutable = false;
    if (!refuse_remote(env->dir, mode, &immutable, e) || !lock_folder(env, e) ||
        !env_open_mdb(env, mode, immutable, u64_max(map_bytes, MAP_MIN_BYTES), e) ||
        !refuse_truncated(env, e) || !open_tables(env, mode, e)) {
        env_close(env);
        return false;
    }
    return true;
}

void env_close(struct env *env)
{
    if (env->mdb) {
        mdb_env_close(env->mdb);
        env->mdb = NULL;
    }
    if (env->dir[0] == '\0')
        return;
    if (env->immutable_fd >= 0)
        close(env->immutable_fd);
    if (env->dir_fd >= 0)
        close(env->dir_fd);
    env->immutable_fd = env->dir_fd = -1;
}

bool env_grow(struct env *env, uint64_t need_bytes, struct err *e)
{
    uint64_t map_bytes = u64_max(env->map_bytes, MAP_MIN_BYTES);
    while (map_bytes < need_bytes)
        map_bytes *= 2;
    int rc = mdb_env_set_mapsize(env->mdb, map_bytes);
    if (rc != MDB_SUCCESS)
        return err_set(e, ERR_FATAL,
                       "%s needs a map of %" PRIu64 " MiB of address space: %s (ulimit -v?)",
                       env->dir, map_bytes >> 20, mdb_strerror(rc));
    env->map_bytes = map_bytes;
    return true;
}
