/*
 * A disk that fails, to be preloaded (LD_PRELOAD) into any program: the n-th call that writes,
 * syncs, makes, cuts, renames or removes a file of a store is refused, comes back short, or is the
 * program's last. Other files and other calls are left alone.
 *
 *     FAULTY_PATH   a part of the paths that are meant
 *     FAULTY_AT     n, from 1
 *     FAULTY_KIND   ENOSPC, EIO, SHORT (writes only; others are left alone), KILL (SIGKILL before
 *                   the call), DIED (SIGKILL after it)
 *     FAULTY_HIT    a file that is made when the n-th call comes
 *
 * Built by tests/e2e/store_faults.sh: cc -shared -fPIC faulty_disk.c
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { NONE, NO_SPACE, IO_ERROR, SHORT, KILL_BEFORE, KILL_AFTER };

static struct {
    bool ready;
    enum kind kind;
    const char *path;
    long at, n_calls; /* under mutex */
    pthread_mutex_t mutex;
} disk = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void disk_init(void)
{
    static const char *const kinds[] = {"", "ENOSPC", "EIO", "SHORT", "KILL", "DIED"};
    const char *kind = getenv("FAULTY_KIND"), *at = getenv("FAULTY_AT");
    disk.path = getenv("FAULTY_PATH");
    for (int k = 1; kind && at && disk.path && k < (int)(sizeof kinds / sizeof kinds[0]); k++) {
        if (strcmp(kind, kinds[k]) == 0)
            disk.kind = (enum kind)k;
    }
    disk.at = at ? atol(at) : 0;
    disk.ready = true;
}

static bool is_meant(const char *path)
{
    if (!disk.ready)
        disk_init();
    return disk.kind != NONE && path && strstr(path, disk.path);
}

static bool is_meant_fd(int fd)
{
    char link[64], path[4096];
    if (!disk.ready)
        disk_init();
    if (disk.kind == NONE)
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0)
        return false;
    path[n] = '\0';
    return is_meant(path);
}

/* What to do with this call; `writes` says whether it can be short. */
static enum kind fault(bool meant, bool writes)
{
    if (!meant)
        return NONE;
    pthread_mutex_lock(&disk.mutex);
    bool now = ++disk.n_calls == disk.at;
    pthread_mutex_unlock(&disk.mutex);
    if (!now)
        return NONE;
    const char *hit = getenv("FAULTY_HIT");
    if (hit)
        close((int)syscall(SYS_openat, AT_FDCWD, hit, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    if (disk.kind == KILL_BEFORE)
        kill(getpid(), SIGKILL);
    if (disk.kind == SHORT && !writes)
        return NONE;
    return disk.kind;
}

static int refused(enum kind kind)
{
    errno = kind == NO_SPACE ? ENOSPC : EIO;
    return -1;
}

static long done(enum kind kind, long result)
{
    if (kind == KILL_AFTER)
        kill(getpid(), SIGKILL);
    return result;
}

#define REFUSED(kind) ((kind) == NO_SPACE || (kind) == IO_ERROR)

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t offset)
{
    enum kind kind = fault(is_meant_fd(fd), true);
    if (REFUSED(kind))
        return refused(kind);
    return done(kind, syscall(SYS_pwrite64, fd, bytes, kind == SHORT ? n / 2 : n, offset));
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off_t offset)
{
    return pwrite(fd, bytes, n, offset);
}

ssize_t write(int fd, const void *bytes, size_t n)
{
    enum kind kind = fault(is_meant_fd(fd), true);
    if (REFUSED(kind))
        return refused(kind);
    return done(kind, syscall(SYS_write, fd, bytes, kind == SHORT ? n / 2 : n));
}

ssize_t writev(int fd, const struct iovec *pieces, int n_pieces)
{
    enum kind kind = fault(is_meant_fd(fd), true);
    if (REFUSED(kind))
        return refused(kind);
    return done(kind, syscall(SYS_writev, fd, pieces,
                              kind == SHORT && n_pieces > 1 ? n_pieces / 2 : n_pieces));
}

int fsync(int fd)
{
    enum kind kind = fault(is_meant_fd(fd), false);
    return REFUSED(kind) ? refused(kind) : (int)done(kind, syscall(SYS_fsync, fd));
}

int fdatasync(int fd)
{
    enum kind kind = fault(is_meant_fd(fd), false);
    return REFUSED(kind) ? refused(kind) : (int)done(kind, syscall(SYS_fdatasync, fd));
}

int ftruncate(int fd, off_t length)
{
    enum kind kind = fault(is_meant_fd(fd), false);
    return REFUSED(kind) ? refused(kind) : (int)done(kind, syscall(SYS_ftruncate, fd, length));
}

int ftruncate64(int fd, off_t length)
{
    return ftruncate(fd, length);
}

int truncate(const char *path, off_t length)
{
    enum kind kind = fault(is_meant(path), false);
    return REFUSED(kind) ? refused(kind) : (int)done(kind, syscall(SYS_truncate, path, length));
}

int mkdir(const char *path, mode_t mode)
{
    enum kind kind = fault(is_meant(path), false);
    return REFUSED(kind) ? refused(kind)
                         : (int)done(kind, syscall(SYS_mkdirat, AT_FDCWD, path, mode));
}

int rename(const char *from, const char *to)
{
    enum kind kind = fault(is_meant(from), false);
    return REFUSED(kind) ? refused(kind)
                         : (int)done(kind, syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

int unlink(const char *path)
{
    enum kind kind = fault(is_meant(path), false);
    return REFUSED(kind) ? refused(kind)
                         : (int)done(kind, syscall(SYS_unlinkat, AT_FDCWD, path, 0));
}

int open(const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    mode_t mode = va_arg(ap, mode_t);
    va_end(ap);
    bool writes = (flags & O_ACCMODE) != O_RDONLY;
    enum kind kind = fault(writes && is_meant(path), false);
    if (REFUSED(kind))
        return refused(kind);
    return (int)done(kind, syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}

int open64(const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    mode_t mode = va_arg(ap, mode_t);
    va_end(ap);
    return open(path, flags, mode);
}
