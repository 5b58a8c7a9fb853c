/*
 * Preloaded into a program under test: ends it, as kill -9 would, at a chosen step towards the
 * disk. A step is a call that changes or syncs a file or directory; they are counted over all
 * threads.
 *
 *     DIE_AT=3*i      just before step i (from 0)
 *     DIE_AT=3*i+1    within it, where it can be: a write of more than a page is left half done;
 *                     anything else as 3*i+2
 *     DIE_AT=3*i+2    just after it
 *     DIE_LOG=FILE    steps taken are written there, a name a line, when the program ends by itself
 *
 * Built by tests/faults/lib.sh: cc -shared -fPIC. The program itself knows nothing of this.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { STEPS_LOGGED_MAX = 1 << 16, PAGE_BYTES = 4096 };

static atomic_long n_steps;
static long die_at = -1;
static const char *names[STEPS_LOGGED_MAX];

__attribute__((constructor)) static void begin(void)
{
    const char *text = getenv("DIE_AT");
    if (text != NULL)
        die_at = atol(text);
}

__attribute__((destructor)) static void end(void)
{
    const char *path = getenv("DIE_LOG");
    FILE *log = path != NULL ? fopen(path, "w") : NULL;
    if (log == NULL)
        return;
    for (long i = 0; i < n_steps && i < STEPS_LOGGED_MAX; i++)
        fprintf(log, "%s\n", names[i]);
    fclose(log);
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static long step_begin(const char *name)
{
    long step = n_steps++;
    if (step < STEPS_LOGGED_MAX)
        names[step] = name;
    if (die_at == 3 * step)
        die();
    return step;
}

static void step_end(long step)
{
    if (die_at == 3 * step + 1 || die_at == 3 * step + 2)
        die();
}

/* Lets a thread of the library do what it was asked to do. */
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define WRAP(type, name, params, args)                                                             \
    type name params                                                                               \
    {                                                                                              \
        long step = step_begin(#name);                                                             \
        type result = REAL(name) args;                                                             \
        step_end(step);                                                                            \
        return result;                                                                             \
    }

WRAP(int, fsync, (int fd), (fd))
WRAP(int, fdatasync, (int fd), (fd))
WRAP(int, syncfs, (int fd), (fd))
WRAP(int, msync, (void *at, size_t n, int flags), (at, n, flags))
WRAP(int, rename, (const char *from, const char *to), (from, to))
WRAP(int, renameat, (int from_fd, const char *from, int to_fd, const char *to),
     (from_fd, from, to_fd, to))
WRAP(int, linkat, (int from_fd, const char *from, int to_fd, const char *to, int flags),
     (from_fd, from, to_fd, to, flags))
WRAP(int, unlink, (const char *path), (path))
WRAP(int, unlinkat, (int fd, const char *path, int flags), (fd, path, flags))
WRAP(int, ftruncate, (int fd, off_t n), (fd, n))
WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode))

static int is_file(int fd)
{
    struct stat st;
    return fd > STDERR_FILENO && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* How much of a write is done before the death in its middle. */
static size_t half_of(size_t n)
{
    return n / 2 & ~(size_t)(PAGE_BYTES - 1);
}

ssize_t write(int fd, const void *bytes, size_t n)
{
    if (!is_file(fd))
        return REAL(write)(fd, bytes, n);
    long step = step_begin("write");
    if (die_at == 3 * step + 1 && half_of(n) > 0 && REAL(write)(fd, bytes, half_of(n)) >= 0)
        die();
    ssize_t result = REAL(write)(fd, bytes, n);
    step_end(step);
    return result;
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at)
{
    if (!is_file(fd))
        return REAL(pwrite)(fd, bytes, n, at);
    long step = step_begin("pwrite");
    if (die_at == 3 * step + 1 && half_of(n) > 0 && REAL(pwrite)(fd, bytes, half_of(n), at) >= 0)
        die();
    ssize_t result = REAL(pwrite)(fd, bytes, n, at);
    step_end(step);
    return result;
}

ssize_t pwritev(int fd, const struct iovec *parts, int n, off_t at)
{
    if (!is_file(fd))
        return REAL(pwritev)(fd, parts, n, at);
    long step = step_begin("pwritev");
    if (die_at == 3 * step + 1 && n > 1 && REAL(pwritev)(fd, parts, n / 2, at) >= 0)
        die();
    ssize_t result = REAL(pwritev)(fd, parts, n, at);
    step_end(step);
    return result;
}

/* The names that a program built with 64-bit offsets may use. */
ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at)
{
    return pwrite(fd, bytes, n, at);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int n, off64_t at)
{
    return pwritev(fd, parts, n, at);
}

int ftruncate64(int fd, off64_t n)
{
    return ftruncate(fd, n);
}
