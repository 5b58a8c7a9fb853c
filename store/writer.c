#include "base/mem.h"
#include "store/content.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

/*
 * One LMDB write transaction is the open batch. Nothing of it is visible or on disk until
 * store_commit; a crash drops it whole. Records and track entries are put once and never changed,
 * and the totals (counts, root) are written in the same transaction, so that they always describe
 * exactly the records that are there.
 *
 * Room is looked at before a track goes into the batch: first the disk, because a full one at the
 * commit would cost the batch; then the map, because growing it needs the batch to be closed.
 */
struct store_writer {
    struct env env;
    struct store_writer_params params;
    struct store_recipe recipe;
    int lock_fd;
    MDB_txn *txn;            /* the open batch, or NULL */
    struct totals totals;    /* with the open batch */
    struct totals committed; /* without */
    uint64_t last_key;       /* the highest so far, or 0 */
    uint64_t batch_clips, batch_bytes, batch_start_ns;
    struct buf entry;
};

enum {
    TREE_SLACK_BYTES = 1 << 20,  /* what leaf and branch pages of one batch may take, and ... */
    TREE_PAGES_A_RECORD = 2,     /* ... these for each record: its hash lands anywhere */
    BATCH_RECORDS_MAX = 32768,   /* LMDB keeps at most 131,071 dirty pages a transaction */
    DIFFERENCE_SHOWN_BYTES = 90, /* of each side, in a message */
};

/* ---------------------------------------------------------------- recipe */

static const char *line_end(const char *line)
{
    return line + strcspn(line, "\n");
}

/* Names the first line that differs; the recipe is canonical text, so lines pair up. */
static bool recipe_refuse(const struct env *env, const struct store_recipe *stored,
                          const struct store_recipe *wanted, struct err *e)
{
    const char *a = stored->text, *b = wanted->text;
    while (*a && *b) {
        size_t a_len = (size_t)(line_end(a) - a), b_len = (size_t)(line_end(b) - b);
        if (a_len != b_len || memcmp(a, b, a_len) != 0)
            break;
        a += a_len + (a[a_len] != '\0');
        b += b_len + (b[b_len] != '\0');
    }
    int a_len = (int)size_min((size_t)(line_end(a) - a), DIFFERENCE_SHOWN_BYTES);
    int b_len = (int)size_min((size_t)(line_end(b) - b), DIFFERENCE_SHOWN_BYTES);
    if (a_len == 0 && b_len == 0)
        return err_set(e, ERR_USAGE,
                       "%.120s was made with spec %016" PRIx64 " as %s, this is spec %016" PRIx64
                       " as %s; go back to it, or keep it aside with \"refrain store retire\" and "
                       "extract anew",
                       env->dir, stored->spec_hash, record_dtype_name(stored->dtype),
                       wanted->spec_hash, record_dtype_name(wanted->dtype));
    return err_set(e, ERR_USAGE,
                   "%.120s was made with \"%.*s\", the configuration says \"%.*s\"; set it back, "
                   "or keep it aside with \"refrain store retire\" and extract anew",
                   env->dir, a_len, a, b_len, b);
}

static bool last_key_find(struct store_writer *w, MDB_txn *txn, struct err *e)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc = mdb_cursor_open(txn, w->env.clip, &cursor);
    if (rc == MDB_SUCCESS) {
        rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
        mdb_cursor_close(cursor);
    }
    if (rc == MDB_SUCCESS)
        memcpy(&w->last_key, key.mv_data, sizeof w->last_key);
    return rc == MDB_SUCCESS || rc == MDB_NOTFOUND ||
           env_err(e, rc, "cannot find its last key", &w->env);
}

/* A new store takes the recipe, an old one must have it. */
static bool recipe_settle(struct store_writer *w, const struct store_recipe *recipe, struct err *e)
{
    MDB_txn *txn = NULL;
    struct store_recipe stored;
    bool ok = false;
    int rc = mdb_txn_begin(w->env.mdb, NULL, 0, &txn);
    if (rc != MDB_SUCCESS)
        return env_err(e, rc, "cannot begin to write", &w->env);
    if (meta_is_new(&w->env, txn)) {
        ok = meta_put_recipe(&w->env, txn, recipe, e) &&
             meta_put_totals(&w->env, txn, &w->totals, e);
        if (ok) {
            rc = mdb_txn_commit(txn);
            txn = NULL;
            ok = rc == MDB_SUCCESS || env_err(e, rc, "cannot write the recipe", &w->env);
        }
    } else if (meta_get_recipe(&w->env, txn, &stored, e)) {
        ok = stored.spec_hash == recipe->spec_hash && stored.dtype == recipe->dtype &&
             strcmp(stored.text, recipe->text) == 0;
        ok = ok ? meta_get_totals(&w->env, txn, &w->totals, e) && last_key_find(w, txn, e)
                : recipe_refuse(&w->env, &stored, recipe, e);
    }
    if (txn)
        mdb_txn_abort(txn);
    w->committed = w->totals;
    return ok;
}

/* ---------------------------------------------------------------- open, close */

bool store_writer_open(const char *path, const struct store_recipe *recipe,
                       const struct store_writer_params *params, struct store_writer **out,
                       struct err *e)
{
    char dir[PATH_BYTES], lock[PATH_BYTES];
    assert(memchr(recipe->text, '\0', sizeof recipe->text));
    assert(recipe->dtype > 0 && recipe->dtype < RECORD_DTYPES);
    if (!store_folder(dir, path, e) || !file_make_dir(dir, e) ||
        !path_join(lock, dir, "writer.lock", e))
        return false;
    struct store_writer *w = mem_zalloc(1, sizeof *w);
    w->params = *params;
    w->recipe = *recipe;
    w->lock_fd = -1;
    buf_init(&w->entry, STORE_TRACK_VALUE_BYTES);
    if (!file_lock(lock, &w->lock_fd, e) ||
        !env_open(&w->env, path, ENV_WRITE, params->map_bytes, e) || !recipe_settle(w, recipe, e)) {
        store_writer_close(w);
        return false;
    }
    *out = w;
    return true;
}

static void batch_drop(struct store_writer *w)
{
    if (w->txn)
        mdb_txn_abort(w->txn);
    w->txn = NULL;
    w->totals = w->committed;
    w->batch_clips = w->batch_bytes = 0;
}

void store_writer_close(struct store_writer *w)
{
    if (!w)
        return;
    batch_drop(w);
    env_close(&w->env);
    if (w->lock_fd >= 0)
        close(w->lock_fd);
    buf_release(&w->entry);
    mem_free(w);
}

/* ---------------------------------------------------------------- room */

/* What the open batch will write besides its records. */
static uint64_t tree_bytes(const struct store_writer *w)
{
    return TREE_SLACK_BYTES + TREE_PAGES_A_RECORD * w->env.page_bytes * w->batch_clips;
}

static bool disk_check(const struct store_writer *w, uint64_t more_bytes, struct err *e)
{
    uint64_t free_bytes;
    if (!file_free_bytes(w->env.dir, &free_bytes, e))
        return false;
    uint64_t need = w->batch_bytes + more_bytes + tree_bytes(w);
    if (free_bytes >= need + w->params.disk_floor_bytes)
        return true;
    return err_set(e, ERR_FATAL,
                   "the disk of %.120s is full: %" PRIu64
                   " KiB free, the next commit needs %" PRIu64 " KiB above the floor of %" PRIu64
                   " KiB; what was committed is safe, make room "
                   "and run the command again",
                   w->env.dir, free_bytes >> 10, need >> 10, w->params.disk_floor_bytes >> 10);
}

/* Closes the batch when the map may not hold it together with `more_bytes`, and grows the map. */
static bool map_check(struct store_writer *w, uint64_t more_bytes, struct err *e)
{
    MDB_envinfo info;
    int rc = mdb_env_info(w->env.mdb, &info);
    if (rc != MDB_SUCCESS)
        return env_err(e, rc, "cannot ask the size of its map", &w->env);
    uint64_t used = ((uint64_t)info.me_last_pgno + 1) * w->env.page_bytes;
    uint64_t need = used + w->batch_bytes + more_bytes + tree_bytes(w);
    if (need <= info.me_mapsize)
        return true;
    return store_commit(w, e) && env_grow(&w->env, need * 2, e);
}

/* ---------------------------------------------------------------- putting */

static bool view_check(const struct store_writer *w, const struct store_track *track, size_t i,
                       struct record_info *info, struct err *e)
{
    const struct store_view *view = &track->views[i];
    assert(store_key_row(view->key) == track->row);
    assert(i == 0 || view->key > track->views[i - 1].key);
    if (strlen(view->augment) >= STORE_AUGMENT_BYTES)
        return err_set(e, ERR_PERM, "augment text of %zu bytes, the limit is %d",
                       strlen(view->augment), STORE_AUGMENT_BYTES - 1);
    if (!record_parse(view->record, info, e))
        return false;
    if (info->dtype != w->recipe.dtype || info->spec_hash != w->recipe.spec_hash)
        return err_set(e, ERR_PERM,
                       "record is %s of spec %016" PRIx64 ", the store takes %s of %016" PRIx64,
                       record_dtype_name(info->dtype), info->spec_hash,
                       record_dtype_name(w->recipe.dtype), w->recipe.spec_hash);
    return true;
}

/* Checks all of the track before any of it goes in; *out_bytes is what it will take. */
static bool track_check(struct store_writer *w, const struct store_track *track,
                        uint64_t *out_bytes, struct err *e)
{
    struct record_info info;
    size_t id_bytes = strlen(track->track_id);
    if (track->n_views < 1 || track->n_views > STORE_VIEWS_MAX)
        return err_set(e, ERR_PERM, "track has %zu views, a store takes 1 to %d", track->n_views,
                       STORE_VIEWS_MAX);
    if (id_bytes < 1 || id_bytes >= STORE_TRACK_ID_BYTES)
        return err_set(e, ERR_PERM, "track id of %zu bytes, a store takes 1 to %d", id_bytes,
                       STORE_TRACK_ID_BYTES - 1);
    *out_bytes = 0;
    for (size_t i = 0; i < track->n_views; i++) {
        if (!view_check(w, track, i, &info, e))
            return err_wrap(e, "view %zu", i);
        *out_bytes += track->views[i].record.len + w->env.page_bytes;
    }
    return track_entry_write(track, &w->entry, e);
}

static int record_put(struct store_writer *w, const struct store_view *view)
{
    size_t n_bytes = 0;
    int rc =
        content_put(&w->env, w->txn, view->key, view->record, view->key > w->last_key, &n_bytes);
    if (rc != MDB_SUCCESS)
        return rc;
    w->last_key = u64_max(w->last_key, view->key);
    w->batch_bytes += n_bytes;
    return MDB_SUCCESS;
}

static bool track_put(struct store_writer *w, const struct store_track *track, struct err *e)
{
    uint64_t row = track->row;
    MDB_val key = {sizeof row, &row}, value = {w->entry.len, w->entry.data};
    int rc = mdb_put(w->txn, w->env.track, &key, &value, MDB_NOOVERWRITE);
    for (size_t i = 0; i < track->n_views && rc == MDB_SUCCESS; i++)
        rc = record_put(w, &track->views[i]);
    if (rc != MDB_SUCCESS) {
        env_err(e, rc, "cannot put a track", &w->env);
        batch_drop(w);
        return false;
    }
    for (size_t i = 0; i < track->n_views; i++) {
        struct record_info info;
        bool parsed = record_parse(track->views[i].record, &info, e);
        assert(parsed); /* track_check did */
        totals_add_record(&w->totals, track->views[i].key, track->views[i].record, &info);
    }
    totals_add_track(&w->totals, row, buf_span(&w->entry));
    w->batch_bytes += w->entry.len;
    w->batch_clips += track->n_views;
    return true;
}

static bool batch_begin(struct store_writer *w, uint64_t now_ns, struct err *e)
{
    if (w->txn)
        return true;
    int rc = mdb_txn_begin(w->env.mdb, NULL, 0, &w->txn);
    if (rc != MDB_SUCCESS) {
        w->txn = NULL;
        return env_err(e, rc, "cannot begin to write", &w->env);
    }
    w->batch_start_ns = now_ns;
    return true;
}

bool store_has_track(struct store_writer *w, uint64_t row, bool *out, struct err *e)
{
    MDB_txn *txn = w->txn;
    MDB_val key = {sizeof row, &row}, value;
    int rc = MDB_SUCCESS;
    if (!env_check_pid(&w->env, e))
        return false;
    if (!txn)
        rc = mdb_txn_begin(w->env.mdb, NULL, MDB_RDONLY, &txn);
    if (rc != MDB_SUCCESS)
        return env_err(e, rc, "cannot begin to read", &w->env);
    rc = mdb_get(txn, w->env.track, &key, &value);
    if (txn != w->txn)
        mdb_txn_abort(txn);
    if (rc != MDB_SUCCESS && rc != MDB_NOTFOUND)
        return env_err(e, rc, "cannot look up a track", &w->env);
    *out = rc == MDB_SUCCESS;
    return true;
}

bool store_put_track(struct store_writer *w, const struct store_track *track, uint64_t now_ns,
                     bool *out_added, struct err *e)
{
    uint64_t more_bytes = 0;
    bool there;
    if (!store_has_track(w, track->row, &there, e))
        return false;
    if (there) {
        *out_added = false;
        return true;
    }
    if (!track_check(w, track, &more_bytes, e))
        return err_wrap(e, "track %s", track->track_id);
    if (w->batch_clips + track->n_views > BATCH_RECORDS_MAX && !store_commit(w, e))
        return false;
    if (!disk_check(w, more_bytes, e) || !map_check(w, more_bytes, e) ||
        !batch_begin(w, now_ns, e) || !track_put(w, track, e))
        return false;
    *out_added = true;
    return true;
}

/* ---------------------------------------------------------------- committing */

bool store_commit_due(const struct store_writer *w, uint64_t now_ns)
{
    return w->txn &&
           (w->batch_clips >= w->params.commit_clips || w->batch_bytes >= w->params.commit_bytes ||
            now_ns >= store_commit_deadline_ns(w));
}

uint64_t store_commit_deadline_ns(const struct store_writer *w)
{
    if (!w->txn || w->batch_start_ns > UINT64_MAX - w->params.commit_ns)
        return UINT64_MAX;
    return w->batch_start_ns + w->params.commit_ns;
}

/* LMDB says EIO for a write that came back short too, which is what a disk or a quota does that is
 * just full. */
static bool commit_refuse(const struct store_writer *w, int rc, uint64_t batch_bytes, struct err *e)
{
    uint64_t free_bytes = 0;
    struct err ignored;
    const char *what = "no room for";
    if (rc == EIO)
        what = "a write failed or came back short (a full disk or quota, or a failing disk):";
    else if (rc != ENOSPC && rc != EDQUOT && rc != EFBIG)
        return env_err(e, rc, "cannot commit; what was committed before is safe", &w->env);
    if (!file_free_bytes(w->env.dir, &free_bytes, &ignored))
        free_bytes = 0;
    return err_set(e, ERR_FATAL,
                   "%s %.120s: %s; this commit needs %" PRIu64 " KiB, %" PRIu64
                   " KiB are free; what was committed is safe, make room and run the command again",
                   what, w->env.dir, mdb_strerror(rc), (batch_bytes + TREE_SLACK_BYTES) >> 10,
                   free_bytes >> 10);
}

bool store_commit(struct store_writer *w, struct err *e)
{
    if (!w->txn)
        return true;
    if (!env_check_pid(&w->env, e))
        return false;
    if (!meta_put_totals(&w->env, w->txn, &w->totals, e)) {
        batch_drop(w);
        return false;
    }
    uint64_t batch_bytes = w->batch_bytes;
    int rc = mdb_txn_commit(w->txn);
    w->txn = NULL; /* committed or aborted */
    if (rc == MDB_SUCCESS)
        w->committed = w->totals;
    batch_drop(w);
    return rc == MDB_SUCCESS || commit_refuse(w, rc, batch_bytes, e);
}
