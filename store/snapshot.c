#include "store/list.h"
#include "store/reader.h"
#include "store/tables.h"

#include <inttypes.h>
#include <string.h>

static bool keys_list(struct store *s, MDB_txn *txn, struct list *out, struct err *e)
{
    MDB_cursor *cursor;
    MDB_val k, value;
    struct list_writer w;
    bool ok = true;
    if (!list_begin(&w, s->env.dir, e))
        return false;
    int rc = mdb_cursor_open(txn, s->env.clip, &cursor);
    if (rc == MDB_SUCCESS) {
        while (ok && (rc = mdb_cursor_get(cursor, &k, &value, MDB_NEXT)) == MDB_SUCCESS) {
            uint64_t key;
            memcpy(&key, k.mv_data, sizeof key);
            ok = list_add(&w, key, e);
        }
        mdb_cursor_close(cursor);
    }
    if (ok && rc != MDB_NOTFOUND)
        ok = env_err(e, rc, "cannot list its keys", &s->env);
    return list_finish(&w, ok, out, e);
}

static bool snapshot_init(struct store *s, bool mixed_allowed, struct store_snapshot *out,
                          struct err *e)
{
    struct store_seat *seat;
    struct list keys = {0};
    struct store_recipe recipe;
    struct totals totals;
    if (!store_enter(s, &seat, e))
        return false;
    bool ok = meta_get_totals(&s->env, seat->txn, &totals, e) &&
              meta_get_recipe(&s->env, seat->txn, &recipe, e) && keys_list(s, seat->txn, &keys, e);
    store_leave(s, seat);
    if (ok && keys.n != totals.clips)
        ok = err_set(e, ERR_FATAL, "%s is damaged: %zu keys, %" PRIu64 " counted", s->env.dir,
                     keys.n, totals.clips);
    if (ok && keys.n == 0)
        ok = err_set(e, ERR_PERM, "%s holds no tensors yet: run refrain extract", s->env.dir);
    if (ok && totals.mixed_shapes && !mixed_allowed)
        ok = err_set(e, ERR_PERM, "%s holds records of several shapes", s->env.dir);
    if (!ok) {
        list_release(&keys);
        return false;
    }
    *out = (struct store_snapshot){.keys = keys.items,
                                   .n_keys = keys.n,
                                   .root = totals.root,
                                   .spec_hash = recipe.spec_hash,
                                   .n_frames = totals.mixed_shapes ? 0 : totals.n_frames,
                                   .n_mels = totals.mixed_shapes ? 0 : totals.n_mels,
                                   .map_bytes = keys.map_bytes};
    return true;
}

bool store_snapshot_init(struct store *s, struct store_snapshot *out, struct err *e)
{
    return snapshot_init(s, false, out, e);
}

bool store_snapshot_init_mixed(struct store *s, struct store_snapshot *out, struct err *e)
{
    return snapshot_init(s, true, out, e);
}

void store_snapshot_release(struct store_snapshot *snap)
{
    struct list keys = {snap->keys, snap->n_keys, snap->map_bytes};
    list_release(&keys);
    *snap = (struct store_snapshot){0};
}
