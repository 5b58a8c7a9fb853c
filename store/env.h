/*
 * The opened LMDB environment, as writer, reader and tools share it inside the room. Nobody outside
 * store/ includes this.
 *
 * Locks, outermost first:
 *   writer.lock  exclusive flock: one writer or compaction at a time, with a sentence for the next
 *   the folder   shared flock by everyone who has it open; compact takes it exclusively, because it
 *                puts another data.mdb in place
 *   lock.mdb     LMDB's own: the reader table and its writer mutex
 *
 * MDB_WRITEMAP is never used: a stray write or a full disk would reach the file without a commit.
 */
#ifndef REFRAIN_ENV_H
#define REFRAIN_ENV_H

#include "base/file.h"
#include "store/store.h"

#include <lmdb.h>
#include <sys/types.h>

enum {
    STORE_SCHEMA = 1,
    STORE_READERS_MAX = 8192, /* 512 KiB of lock.mdb */
};

enum env_mode { ENV_READ, ENV_WRITE };

struct env {
    char dir[PATH_BYTES]; /* the store's folder */
    MDB_env *mdb;
    MDB_dbi clip, track, meta;
    MDB_dbi content;  /* store/content.h; 0 in a store that older programs wrote */
    int dir_fd;       /* carries the shared flock */
    int immutable_fd; /* lock file held shared when there is no reader table; or -1 */
    size_t page_bytes;
    size_t map_bytes;
    uint32_t n_stale_readers; /* slots that killed readers had left, and that opening cleared */
    pid_t pid;                /* LMDB must not be carried over a fork */
};

/* Opens or (ENV_WRITE) creates; map_bytes is a wish, halved until it fits the address space. On
 * failure nothing stays open. */
MUST_CHECK bool env_open(struct env *env, const char *path, enum env_mode mode, uint64_t map_bytes,
                         struct err *e);
void env_close(struct env *env); /* safe on a zeroed or half-opened one */

/* Makes the map at least `need_bytes`. No transaction may be open in this process. */
MUST_CHECK bool env_grow(struct env *env, uint64_t need_bytes, struct err *e);

MUST_CHECK bool env_check_pid(const struct env *env, struct err *e);

/* env_err(e, rc, what, env): an LMDB return code as an error; an expression that is false. */
#define env_err(...) (env_err_fill(__VA_ARGS__), err_false())
void env_err_fill(struct err *e, int rc, const char *what, const struct env *env);

#endif
