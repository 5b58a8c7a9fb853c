#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

bool path_join(char out[PATH_BYTES], const char *dir, const char *name, struct err *e)
{
    int n = snprintf(out, PATH_BYTES, "%s/%s", dir, name);
    if (n < 0 || n >= PATH_BYTES)
        return err_set(e, ERR_PERM, "the path %.80s.../%.80s is longer than %d bytes", dir, name,
                       PATH_BYTES);
    return true;
}

bool file_read_all(const char *path, struct buf *out, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(e, ERR_PERM, errno, "cannot open %s", path);
    bool ok = false;
    for (;;) {
        /* One byte of room beyond the maximum is never asked for: a full buffer tries to grow by
         * one and gets the sentence about the limit. */
        size_t want = size_max(out->cap - out->len, 1);
        struct stat st;
        if (out->cap == out->len && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
            (uint64_t)st.st_size < out->max_bytes - out->len)
            want = (size_t)st.st_size + 1;
        if (!buf_reserve(out, want, e)) {
            char probe;
            if (out->len == out->max_bytes && read(fd, &probe, 1) == 0)
                ok = true; /* exactly at the limit and at its end */
            else
                err_wrap(e, "cannot read %s", path);
            break;
        }
        ssize_t n = read(fd, out->data + out->len, out->cap - out->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            err_set_errno(e, ERR_PERM, errno, "cannot read %s", path);
            break;
        }
        if (n == 0) {
            ok = true;
            break;
        }
        out->len += (size_t)n;
    }
    close(fd);
    return ok;
}

bool file_write_fd(int fd, struct span bytes, struct err *e)
{
    const char *at = bytes.ptr;
    size_t left = bytes.len;
    while (left > 0) {
        ssize_t n = write(fd, at, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_set_errno(e, ERR_FATAL, n < 0 ? errno : ENOSPC,
                                 "writing %zu bytes, %zu not written", bytes.len, left);
        at += n;
        left -= (size_t)n;
    }
    return true;
}

bool file_sync_dir(const char *dir, struct err *e)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(e, ERR_FATAL, errno, "cannot open %s", dir);
    bool ok = fsync(fd) == 0 || err_set_errno(e, ERR_FATAL, errno, "cannot sync %s", dir);
    close(fd);
    return ok;
}

static void path_parent(char out[PATH_BYTES], const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        snprintf(out, PATH_BYTES, ".");
    else
        snprintf(out, PATH_BYTES, "%.*s", (int)size_max(1, (size_t)(slash - path)), path);
}

bool file_write_atomic(const char *path, struct span bytes, struct err *e)
{
    return file_write_atomic_parts(path, &bytes, 1, e);
}

bool file_write_atomic_parts(const char *path, const struct span *parts, size_t n_parts,
                             struct err *e)
{
    char temp[PATH_BYTES], dir[PATH_BYTES];
    if (snprintf(temp, sizeof temp, "%s.XXXXXX", path) >= (int)sizeof temp)
        return err_set(e, ERR_PERM, "the path %.80s... is longer than %d bytes", path, PATH_BYTES);
    int fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(e, ERR_FATAL, errno, "cannot make a file beside %s", path);
    bool ok = false, written = true;
    for (size_t i = 0; written && i < n_parts; i++)
        written = file_write_fd(fd, parts[i], e);
    if (!written || (fdatasync(fd) != 0 && !err_set_errno(e, ERR_FATAL, errno, "cannot sync"))) {
        err_wrap(e, "%s", path);
        goto out;
    }
    if (fchmod(fd, 0644) != 0 || rename(temp, path) != 0) {
        err_set_errno(e, ERR_FATAL, errno, "cannot put %s in place", path);
        goto out;
    }
    path_parent(dir, path);
    ok = file_sync_dir(dir, e);
out:
    close(fd);
    if (!ok)
        unlink(temp);
    return ok;
}

bool file_make_dir(const char *dir, struct err *e)
{
    if (mkdir(dir, 0777) == 0)
        return true;
    struct stat st;
    int errnum = errno;
    if (errnum == EEXIST && stat(dir, &st) == 0 && S_ISDIR(st.st_mode))
        return true;
    return err_set_errno(e, ERR_FATAL, errnum, "cannot make the directory %s", dir);
}

bool file_free_bytes(const char *path, uint64_t *out_bytes, struct err *e)
{
    struct statvfs st;
    if (statvfs(path, &st) != 0)
        return err_set_errno(e, ERR_FATAL, errno, "cannot ask the free space of %s", path);
    *out_bytes = (uint64_t)st.f_bavail * st.f_frsize;
    return true;
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static bool lock_refuse(int fd, const char *path, int errnum, struct err *e)
{
    char pid[32] = "";
    if (errnum != EWOULDBLOCK)
        return err_set_errno(e, ERR_FATAL, errnum, "cannot lock %s", path);
    if (pread(fd, pid, sizeof pid - 1, 0) <= 0)
        snprintf(pid, sizeof pid, "unknown");
    pid[strcspn(pid, "\n")] = '\0';
    return err_set(e, ERR_FATAL, "%s is held by process %s: only one may run on a data set", path,
                   pid);
}

bool file_lock(const char *path, int *out_fd, struct err *e)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_set_errno(e, ERR_FATAL, errno, "cannot open the lock %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        lock_refuse(fd, path, errno, e);
        close(fd);
        return false;
    }
    char pid[32];
    int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)n, 0) != n) {
        err_set_errno(e, ERR_FATAL, errno, "cannot write the lock %s", path);
        close(fd);
        return false;
    }
    *out_fd = fd;
    return true;
}
