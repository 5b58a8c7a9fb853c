#include "base/mem.h"
#include "store/reader.h"
#include "store/tables.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * The key list of a large data set is megabytes. It goes to a file without a name that is mapped:
 * the kernel can write its pages out and drop them, and none of it is anonymous memory. The file
 * is written with write(2), not through the map, so that a full disk is an error and not SIGBUS.
 */
enum { CHUNK_KEYS = 8192 };

static int nameless_file(const char *dir)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        return fd;
    char path[PATH_BYTES]; /* file systems without O_TMPFILE */
    struct err ignored;
    if (!path_join(path, dir, ".refrain-keys-XXXXXX", &ignored))
        return -1;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

static bool snapshot_file(const char *dataset_dir, int *out_fd, struct err *e)
{
    int fd = nameless_file(dataset_dir);
    if (fd < 0)
        fd = nameless_file("/tmp"); /* the data set is read-only */
    if (fd < 0)
        fd = memfd_create("refrain-keys", MFD_CLOEXEC);
    if (fd < 0)
        return err_set_errno(e, ERR_FATAL, errno, "cannot make a temporary file for %s",
                             dataset_dir);
    *out_fd = fd;
    return true;
}

/* Writes all keys of the transaction to fd in chunks. */
static bool keys_write(struct store *s, MDB_txn *txn, int fd, size_t *out_n, struct err *e)
{
    MDB_cursor *cursor;
    MDB_val k, value;
    uint64_t *chunk = mem_alloc(CHUNK_KEYS, sizeof *chunk);
    size_t n_chunk = 0, n = 0;
    bool ok = true;
    int rc = mdb_cursor_open(txn, s->env.clip, &cursor);
    if (rc == MDB_SUCCESS) {
        while (ok && (rc = mdb_cursor_get(cursor, &k, &value, MDB_NEXT)) == MDB_SUCCESS) {
            memcpy(&chunk[n_chunk++], k.mv_data, sizeof *chunk);
            n++;
            if (n_chunk == CHUNK_KEYS) {
                ok = file_write_fd(fd, (struct span){chunk, n_chunk * sizeof *chunk}, e);
                n_chunk = 0;
            }
        }
        mdb_cursor_close(cursor);
    }
    if (ok && rc != MDB_NOTFOUND)
        ok = env_err(e, rc, "cannot list its keys", &s->env);
    ok = ok && file_write_fd(fd, (struct span){chunk, n_chunk * sizeof *chunk}, e);
    mem_free(chunk);
    *out_n = n;
    return ok;
}

static bool snapshot_map(int fd, struct store_snapshot *snap, struct err *e)
{
    snap->map_bytes = snap->n_keys * sizeof *snap->keys;
    void *map = mmap(NULL, snap->map_bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return err_set_errno(e, ERR_FATAL, errno, "cannot map a list of %zu keys", snap->n_keys);
    snap->keys = map;
    return true;
}

bool store_snapshot_init(struct store *s, struct store_snapshot *out, struct err *e)
{
    struct store_seat *seat;
    struct store_snapshot snap = {0};
    struct store_recipe recipe;
    struct totals totals;
    int fd = -1;
    if (!store_enter(s, &seat, e))
        return false;
    bool ok = meta_get_totals(&s->env, seat->txn, &totals, e) &&
              meta_get_recipe(&s->env, seat->txn, &recipe, e) &&
              snapshot_file(s->dataset_dir, &fd, e) &&
              keys_write(s, seat->txn, fd, &snap.n_keys, e);
    store_leave(s, seat);
    if (ok && snap.n_keys != totals.clips)
        ok = err_set(e, ERR_FATAL, "%s is damaged: %zu keys, %" PRIu64 " counted", s->env.dir,
                     snap.n_keys, totals.clips);
    if (ok && snap.n_keys == 0)
        ok = err_set(e, ERR_PERM, "%s holds no tensors yet: run refrain extract", s->env.dir);
    if (ok && totals.mixed_shapes)
        ok = err_set(e, ERR_PERM, "%s holds records of several shapes", s->env.dir);
    ok = ok && snapshot_map(fd, &snap, e);
    if (fd >= 0)
        close(fd);
    if (!ok)
        return false;
    snap.root = totals.root;
    snap.spec_hash = recipe.spec_hash;
    snap.n_frames = totals.n_frames;
    snap.n_mels = totals.n_mels;
    *out = snap;
    return true;
}

void store_snapshot_release(struct store_snapshot *snap)
{
    if (snap->keys)
        munmap((void *)(uintptr_t)snap->keys, snap->map_bytes);
    *snap = (struct store_snapshot){0};
}
