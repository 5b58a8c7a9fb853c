/*
 * The list is what malloc, memcpy, an assert and FFmpeg's decoders need once all is open: memory
 * that is never executable, one socket, the clock, and ways to end. Everything that names a path,
 * an address, a process or a device is missing. Descriptors 1 and 2 may be written so that an
 * assert dies of SIGABRT and not of its message; in a worker they are /dev/null.
 */
#include "ingest/confine.h"

#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER 1
#else
#define HAS_SANITIZER 0
#endif

enum { STDERR_FD = 2 };

bool confine_limits_memory(void)
{
    return !HAS_SANITIZER;
}

/* ---------------------------------------------------------------- resource limits */

static bool set_limit(__rlimit_resource_t resource, const char *name, uint64_t soft, uint64_t hard,
                      struct err *e)
{
    struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};
    if (setrlimit(resource, &limit) != 0)
        return err_set_errno(e, ERR_FATAL, errno, "cannot set the limit %s to %llu", name,
                             (unsigned long long)soft);
    return true;
}

/* Address space in use, or 0 when /proc is not there; proc(5), statm. */
static uint64_t address_space_bytes(void)
{
    unsigned long long n_pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL)
        return 0;
    if (fscanf(f, "%llu", &n_pages) != 1)
        n_pages = 0;
    fclose(f);
    return (uint64_t)n_pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Where nobody says how much address space is in use, heap and private mappings are limited, which
 * is all that malloc takes. */
static bool limit_memory(uint64_t more_bytes, struct err *e)
{
    uint64_t used = address_space_bytes();
    if (HAS_SANITIZER)
        return true;
    if (used == 0)
        return set_limit(RLIMIT_DATA, "data", more_bytes, more_bytes, e);
    return set_limit(RLIMIT_AS, "address space", used + more_bytes, used + more_bytes, e);
}

static bool limit_resources(const struct confinement *c, struct err *e)
{
    /* The soft limit of processor time sends SIGXCPU, which says what happened; SIGKILL would not.
     */
    return limit_memory(c->memory_bytes, e) &&
           set_limit(RLIMIT_CPU, "processor time", c->cpu_s, c->cpu_s + 1, e) &&
           set_limit(RLIMIT_CORE, "core", 0, 0, e) && set_limit(RLIMIT_FSIZE, "fsize", 0, 0, e) &&
           set_limit(RLIMIT_MEMLOCK, "memlock", 0, 0, e) &&
           set_limit(RLIMIT_NPROC, "nproc", 0, 0, e) && set_limit(RLIMIT_NOFILE, "nofile", 0, 0, e);
}

/* ---------------------------------------------------------------- the filter */

static const int allowed_calls[] = {
    /* memory; the calls that could make it executable are below */
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    /* the C library's locks and clocks */
    SCMP_SYS(futex),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(sched_yield),
    SCMP_SYS(getrandom),
    SCMP_SYS(sysinfo), /* qsort asks how much memory there is */
    SCMP_SYS(restart_syscall),
    /* dying: abort raises a signal of its own */
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
#if HAS_SANITIZER
    SCMP_SYS(sigaltstack),
    SCMP_SYS(close),
    SCMP_SYS(readlink),
    SCMP_SYS(nanosleep),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(getrusage),
    SCMP_SYS(lseek),
    SCMP_SYS(pread64),
#endif
};

static int allow(scmp_filter_ctx filter, int call, struct scmp_arg_cmp when)
{
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1, when);
}

static int add_rules(scmp_filter_ctx filter, const struct confinement *c)
{
    int error = 0;
    for (size_t i = 0; error == 0 && i < ARRAY_LEN(allowed_calls); i++)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed_calls[i], 0);
    static const int mapping_calls[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect)};
    for (size_t i = 0; error == 0 && i < ARRAY_LEN(mapping_calls); i++)
        error = allow(filter, mapping_calls[i], SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    static const int socket_calls[] = {SCMP_SYS(recvfrom), SCMP_SYS(sendto)};
    for (size_t i = 0; error == 0 && i < ARRAY_LEN(socket_calls); i++)
        error = allow(filter, socket_calls[i], SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)c->socket_fd));
    static const int writing_calls[] = {SCMP_SYS(write), SCMP_SYS(writev)};
    for (size_t i = 0; error == 0 && i < ARRAY_LEN(writing_calls); i++)
        error = allow(filter, writing_calls[i], SCMP_A0(SCMP_CMP_EQ, STDERR_FD));
    if (error == 0)
        error = allow(filter, SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
    return error;
}

/* 0 or an errno. */
static int load_filter(const struct confinement *c)
{
    errno = 0;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (filter == NULL) /* the library has asked the kernel and got no for an answer */
        return errno != 0 ? errno : ENOSYS;
    int error = add_rules(filter, c);
    if (error == 0) {
        errno = 0;
        error = seccomp_load(filter);
        if (error != 0 && errno != 0)
            error = -errno; /* the kernel's reason; the library's own codes hide it */
    }
    seccomp_release(filter);
    return -error;
}

bool confine_self(const struct confinement *c, int *out_filter_error, struct err *e)
{
    if (!limit_resources(c, e))
        return false;
    *out_filter_error = load_filter(c);
    return true;
}
