#include "store/env.h"

#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
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

static bool refuse_remote(const char *dir, struct err *e)
{
    struct statfs st;
    if (statfs(dir, &st) != 0)
        return err_set_errno(e, ERR_FATAL, errno, "cannot look at the file system of %s", dir);
    for (size_t i = 0; i < ARRAY_LEN(remote_systems); i++) {
        if ((uint32_t)st.f_type == remote_systems[i].magic)
            return err_set(e, ERR_FATAL,
                           "%s is on %s: the store is memory-mapped and needs a local file system; "
                           "copy the data set to a local disk",
                           dir, remote_systems[i].name);
    }
    return true;
}

static bool lock_folder(struct env *env, struct err *e)
{
    env->dir_fd = open(env->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (env->dir_fd < 0)
        return err_set_errno(e, ERR_FATAL, errno, "cannot open %s", env->dir);
    if (flock(env->dir_fd, LOCK_SH | LOCK_NB) != 0)
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

/* The first transaction makes the tables, the second writes the recipe: a store that had both and
 * now lacks one is not new. */
static bool missing_tables(const struct env *env, struct err *e)
{
    MDB_envinfo info;
    if (mdb_env_info(env->mdb, &info) == MDB_SUCCESS && info.me_last_txnid >= 2)
        return err_set(e, ERR_FATAL, "%s/data.mdb is damaged: its tables cannot be found",
                       env->dir);
    return err_set(e, ERR_PERM, "%s holds no tensors yet: run refrain extract", env->dir);
}

static int open_tables_in(struct env *env, MDB_txn *txn, unsigned create)
{
    int rc = mdb_dbi_open(txn, "clip", create | MDB_INTEGERKEY, &env->clip);
    if (rc == MDB_SUCCESS)
        rc = mdb_dbi_open(txn, "track", create | MDB_INTEGERKEY, &env->track);
    if (rc == MDB_SUCCESS)
        rc = mdb_dbi_open(txn, "meta", create, &env->meta);
    return rc;
}

static bool open_tables(struct env *env, enum env_mode mode, struct err *e)
{
    MDB_txn *txn = NULL;
    struct store_recipe recipe;
    bool schema_known = true;
    int rc = mdb_txn_begin(env->mdb, NULL, mode == ENV_WRITE ? 0 : MDB_RDONLY, &txn);
    if (rc == MDB_SUCCESS)
        rc = open_tables_in(env, txn, mode == ENV_WRITE ? MDB_CREATE : 0);
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

static bool data_file_exists(const struct env *env, struct err *e)
{
    char path[PATH_BYTES];
    if (!path_join(path, env->dir, "data.mdb", e))
        return false;
    if (file_exists(path))
        return true;
    return err_set(e, ERR_PERM, "%s does not exist: run refrain extract first", path);
}

static bool env_open_mdb(struct env *env, enum env_mode mode, uint64_t map_bytes, struct err *e)
{
    unsigned flags = MDB_NOTLS;
    if (mode == ENV_READ)
        flags |= MDB_RDONLY | MDB_NORDAHEAD;
    int rc = open_halving(env, flags, map_bytes);
    if (mode == ENV_READ && (rc == EACCES || rc == EROFS)) {
        if (!lock_immutable(env, e))
            return false;
        rc = open_halving(env, flags | MDB_NOLOCK, map_bytes);
    }
    if (rc != MDB_SUCCESS)
        return env_err(e, rc, "cannot open data.mdb", env);
    int dead;
    rc = mdb_reader_check(env->mdb, &dead); /* slots of readers that were killed */
    if (rc != MDB_SUCCESS)
        return env_err(e, rc, "cannot clear stale readers", env);
    MDB_stat st;
    rc = mdb_env_stat(env->mdb, &st);
    if (rc != MDB_SUCCESS)
        return env_err(e, rc, "cannot ask its page size", env);
    env->page_bytes = st.ms_psize;
    return true;
}

bool env_open(struct env *env, const char *dataset_dir, enum env_mode mode, uint64_t map_bytes,
              struct err *e)
{
    *env = (struct env){.dir_fd = -1, .immutable_fd = -1, .pid = getpid()};
    if (!path_join(env->dir, dataset_dir, "features.mdb", e))
        return false;
    if (mode == ENV_WRITE && !file_make_dir(env->dir, e))
        return false;
    if (mode == ENV_READ && !data_file_exists(env, e))
        return false;
    if (!refuse_remote(env->dir, e) || !lock_folder(env, e) ||
        !env_open_mdb(env, mode, u64_max(map_bytes, MAP_MIN_BYTES), e) ||
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

/* ---------------------------------------------------------------- totals */

void totals_add_record(struct totals *t, uint64_t key, struct span record,
                       const struct record_info *info)
{
    uint64_t n_values = (uint64_t)info->n_frames * info->n_mels;
    double square = (double)info->rms_err_db * (double)info->rms_err_db * (double)n_values;
    if (t->clips == 0) {
        t->n_frames = info->n_frames;
        t->n_mels = info->n_mels;
    }
    if (info->n_frames != t->n_frames || info->n_mels != t->n_mels)
        t->mixed_shapes = true;
    t->clips++;
    t->payload_bytes += info->payload_bytes;
    t->root += hash64(record.ptr, record.len, key);
    t->n_values += n_values;
    t->square_err_q20 += (uint64_t)fmin(square * (1 << 20), 0x1p40);
    t->max_err_db = info->max_err_db > t->max_err_db ? info->max_err_db : t->max_err_db;
}

void totals_add_track(struct totals *t, uint64_t row, struct span entry)
{
    t->tracks++;
    t->track_root += hash64(entry.ptr, entry.len, row);
}

double totals_rms_err_db(const struct totals *t)
{
    if (t->n_values == 0)
        return 0;
    return sqrt((double)t->square_err_q20 / (1 << 20) / (double)t->n_values);
}

static MDB_val text_val(const char *text)
{
    return (MDB_val){strlen(text), (void *)(uintptr_t)text};
}

bool meta_is_new(const struct env *env, MDB_txn *txn)
{
    MDB_val key = text_val("recipe"), value;
    return mdb_get(txn, env->meta, &key, &value) == MDB_NOTFOUND;
}

bool meta_put_totals(const struct env *env, MDB_txn *txn, const struct totals *t, struct err *e)
{
    uint32_t max_err_bits;
    memcpy(&max_err_bits, &t->max_err_db, sizeof max_err_bits);
    uint64_t words[TOTALS_BYTES / 8] = {
        t->clips,    t->tracks,         t->payload_bytes, t->root,     t->track_root,
        t->n_values, t->square_err_q20, max_err_bits,     t->n_frames, t->n_mels,
    };
    words[8] |= (uint64_t)t->mixed_shapes << 32;
    MDB_val key = text_val("totals"), value = {sizeof words, words};
    int rc = mdb_put(txn, env->meta, &key, &value, 0);
    return rc == MDB_SUCCESS || env_err(e, rc, "cannot write the totals", env);
}

bool meta_get_totals(const struct env *env, MDB_txn *txn, struct totals *out, struct err *e)
{
    uint64_t words[TOTALS_BYTES / 8];
    MDB_val key = text_val("totals"), value;
    int rc = mdb_get(txn, env->meta, &key, &value);
    if (rc != MDB_SUCCESS)
        return env_err(e, rc, "cannot read the totals", env);
    if (value.mv_size != sizeof words)
        return err_set(e, ERR_FATAL, "%s is damaged: its totals are %zu bytes, not %zu", env->dir,
                       value.mv_size, sizeof words);
    memcpy(words, value.mv_data, sizeof words);
    *out = (struct totals){.clips = words[0],
                           .tracks = words[1],
                           .payload_bytes = words[2],
                           .root = words[3],
                           .track_root = words[4],
                           .n_values = words[5],
                           .square_err_q20 = words[6],
                           .n_frames = (uint32_t)words[8],
                           .n_mels = (uint32_t)words[9],
                           .mixed_shapes = (words[8] >> 32) != 0};
    uint32_t max_err_bits = (uint32_t)words[7];
    memcpy(&out->max_err_db, &max_err_bits, sizeof max_err_bits);
    return true;
}

/* ---------------------------------------------------------------- recipe */

/* The recipe's head: schema, dtype and spec hash as three little-endian 64-bit words. */
enum { RECIPE_HEAD_BYTES = 24 };

bool meta_put_recipe(const struct env *env, MDB_txn *txn, const struct store_recipe *recipe,
                     struct err *e)
{
    uint8_t bytes[RECIPE_HEAD_BYTES + STORE_RECIPE_BYTES];
    uint64_t head[3] = {STORE_SCHEMA, (uint64_t)recipe->dtype, recipe->spec_hash};
    size_t len = strlen(recipe->text);
    memcpy(bytes, head, sizeof head);
    memcpy(bytes + sizeof head, recipe->text, len);
    MDB_val key = text_val("recipe"), value = {sizeof head + len, bytes};
    int rc = mdb_put(txn, env->meta, &key, &value, 0);
    return rc == MDB_SUCCESS || env_err(e, rc, "cannot write the recipe", env);
}

bool meta_get_recipe(const struct env *env, MDB_txn *txn, struct store_recipe *out, struct err *e)
{
    uint64_t head[3];
    MDB_val key = text_val("recipe"), value;
    int rc = mdb_get(txn, env->meta, &key, &value);
    if (rc != MDB_SUCCESS)
        return env_err(e, rc, "cannot read the recipe", env);
    if (value.mv_size < sizeof head || value.mv_size - sizeof head >= STORE_RECIPE_BYTES)
        return err_set(e, ERR_FATAL, "%s is damaged: its recipe is %zu bytes", env->dir,
                       value.mv_size);
    memcpy(head, value.mv_data, sizeof head);
    if (head[0] != STORE_SCHEMA)
        return err_set(e, ERR_USAGE,
                       "%s has schema %" PRIu64 ", this program reads %d: use a newer refrain",
                       env->dir, head[0], STORE_SCHEMA);
    if (head[1] < 1 || head[1] >= RECORD_DTYPES)
        return err_set(e, ERR_FATAL, "%s is damaged: dtype %" PRIu64, env->dir, head[1]);
    *out = (struct store_recipe){.dtype = (enum record_dtype)head[1], .spec_hash = head[2]};
    memcpy(out->text, (const uint8_t *)value.mv_data + sizeof head, value.mv_size - sizeof head);
    return true;
}

/* ---------------------------------------------------------------- values */

size_t value_padded_bytes(size_t record_bytes, size_t page_bytes)
{
    /* LMDB 0.9 keeps a value in the leaf while two such nodes fit a page: (page - 16) / 2, less an
     * index of 2, a node header of 8 and our key of 8. A longer one gets pages of its own, after a
     * page header of 16 (mdb.c: me_nodemax, OVPAGES). */
    size_t leaf_max = (((page_bytes - 16) / 2) & ~(size_t)1) - 2 - 8 - 8;
    if (record_bytes <= leaf_max)
        return record_bytes;
    return (record_bytes + 16 + page_bytes - 1) / page_bytes * page_bytes - 16;
}

/* ---------------------------------------------------------------- track entries */

/* u16 version, u8 id length, u8 0, u32 views, u64 source id, the id; then for each view u16 clip
 * and view (the key's low bits), u16 length, text. */
enum { ENTRY_VERSION = 1, ENTRY_HEAD_BYTES = 16, ENTRY_VIEW_BYTES = 4 };

bool track_entry_write(const struct store_track *track, struct buf *out, struct err *e)
{
    size_t id_bytes = strlen(track->track_id);
    uint8_t head[ENTRY_HEAD_BYTES] = {ENTRY_VERSION, 0, (uint8_t)id_bytes};
    uint32_t n_views = (uint32_t)track->n_views;
    memcpy(head + 4, &n_views, sizeof n_views);
    memcpy(head + 8, &track->source_id, sizeof track->source_id);
    buf_reset(out);
    if (!buf_append(out, head, sizeof head, e) || !buf_append(out, track->track_id, id_bytes, e))
        return false;
    for (size_t i = 0; i < track->n_views; i++) {
        const struct store_view *view = &track->views[i];
        size_t len = strlen(view->augment);
        uint16_t words[2] = {(uint16_t)view->key, (uint16_t)len};
        if (!buf_append(out, words, sizeof words, e) || !buf_append(out, view->augment, len, e))
            return false;
    }
    return true;
}

static bool entry_damaged(struct span entry, struct err *e)
{
    return err_set(e, ERR_PERM, "damaged track entry of %zu bytes", entry.len);
}

bool track_entry_info(struct span entry, struct store_track_info *out, struct err *e)
{
    const uint8_t *p = entry.ptr;
    if (entry.len < ENTRY_HEAD_BYTES || p[0] != ENTRY_VERSION || p[1] != 0 ||
        p[2] >= STORE_TRACK_ID_BYTES || entry.len < ENTRY_HEAD_BYTES + (size_t)p[2])
        return entry_damaged(entry, e);
    *out = (struct store_track_info){0};
    memcpy(&out->n_views, p + 4, sizeof out->n_views);
    memcpy(&out->source_id, p + 8, sizeof out->source_id);
    memcpy(out->track_id, p + ENTRY_HEAD_BYTES, p[2]);
    return out->n_views <= STORE_VIEWS_MAX || entry_damaged(entry, e);
}

/* One view of an entry; views are walked from *at. */
struct entry_view {
    uint16_t key_low;
    struct span augment;
};

static bool entry_next(struct span entry, size_t *at, struct entry_view *out, struct err *e)
{
    const uint8_t *p = entry.ptr;
    uint16_t words[2];
    static_assert(sizeof words == ENTRY_VIEW_BYTES, "as written");
    if (entry.len - *at < sizeof words)
        return entry_damaged(entry, e);
    memcpy(words, p + *at, sizeof words);
    *at += sizeof words;
    if (entry.len - *at < words[1] || words[1] >= STORE_AUGMENT_BYTES)
        return entry_damaged(entry, e);
    *out = (struct entry_view){words[0], {p + *at, words[1]}};
    *at += words[1];
    return true;
}

static size_t entry_first(struct span entry)
{
    return ENTRY_HEAD_BYTES + (size_t)((const uint8_t *)entry.ptr)[2];
}

bool track_entry_key(struct span entry, uint64_t row, uint32_t view_i, uint64_t *out, struct err *e)
{
    struct store_track_info info;
    struct entry_view view = {0};
    if (!track_entry_info(entry, &info, e))
        return false;
    assert(view_i < info.n_views);
    size_t at = entry_first(entry);
    for (uint32_t i = 0; i <= view_i; i++) {
        if (!entry_next(entry, &at, &view, e))
            return false;
    }
    *out = row << 16 | view.key_low;
    return true;
}

bool track_entry_augment(struct span entry, uint64_t key, char out[STORE_AUGMENT_BYTES],
                         struct err *e)
{
    struct store_track_info info;
    struct entry_view view;
    out[0] = '\0';
    if (!track_entry_info(entry, &info, e))
        return false;
    size_t at = entry_first(entry);
    for (uint32_t i = 0; i < info.n_views; i++) {
        if (!entry_next(entry, &at, &view, e))
            return false;
        if (view.key_low == (uint16_t)key) {
            memcpy(out, view.augment.ptr, view.augment.len);
            out[view.augment.len] = '\0';
            return true;
        }
    }
    return true;
}
