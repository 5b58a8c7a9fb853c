/*
 * Files that are whole or absent. A path is a C string; all errors name it.
 */
#ifndef REFRAIN_FILE_H
#define REFRAIN_FILE_H

#include "base/buf.h"

enum { PATH_BYTES = 4096 };

/* Writes "dir/name" to out[PATH_BYTES]; too long is ERR_PERM. */
MUST_CHECK bool path_join(char out[PATH_BYTES], const char *dir, const char *name, struct err *e);

/* Appends the whole file to `out`; a file over out->max_bytes is ERR_PERM, a missing one ERR_PERM.
 */
MUST_CHECK bool file_read_all(const char *path, struct buf *out, struct err *e);

/* temp file beside it, write, fdatasync, rename, fsync of the directory. After a crash the old file
 * or the new one is there, never a part. Disk errors are ERR_FATAL. */
MUST_CHECK bool file_write_atomic(const char *path, struct span bytes, struct err *e);

/* The same of bytes that lie in several places, one behind the other. */
MUST_CHECK bool file_write_atomic_parts(const char *path, const struct span *parts, size_t n_parts,
                                        struct err *e);

MUST_CHECK bool file_write_fd(int fd, struct span bytes,
                              struct err *e); /* all of it, or ERR_FATAL */
MUST_CHECK bool file_sync_dir(const char *dir, struct err *e);
MUST_CHECK bool file_make_dir(const char *dir, struct err *e); /* one level; existing is fine */
MUST_CHECK bool file_free_bytes(const char *path, uint64_t *out_bytes, struct err *e);
bool file_exists(const char *path);

/* Takes an exclusive flock on `path` (created when missing) and writes our pid into it. A lock held
 * by another process is ERR_FATAL "... is in use by process N". Close the descriptor to unlock. */
MUST_CHECK bool file_lock(const char *path, int *out_fd, struct err *e);

#endif
