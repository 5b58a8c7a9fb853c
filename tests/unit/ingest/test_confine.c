/*
 * A confined process may compute and answer, and nothing else: each forbidden thing is done in a
 * child of the test, confined as a worker is, and must end it with SIGSYS.
 */
#include "ingest/confine.h"

#include "tests/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { NO_FILTER = 40, NOT_CONFINED = 41, MEMORY_BYTES = 64 << 20 };

static int channel[2]; /* [0] is the child's one socket */
static int other_fd;   /* open, but not the child's to use */

/* ---------------------------------------------------------------- what a child does */

static void do_nothing(void)
{
}

static void do_open(void)
{
    (void)open("/etc/passwd", O_RDONLY);
}

static void do_open_proc(void)
{
    (void)open("/proc/self/mem", O_RDWR);
}

static void do_socket(void)
{
    (void)socket(AF_INET, SOCK_STREAM, 0);
}

static void do_connect(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)connect(other_fd, (struct sockaddr *)&to, sizeof to);
}

static void do_send_elsewhere(void)
{
    (void)send(other_fd, "x", 1, 0);
}

static void do_write_elsewhere(void)
{
    if (write(other_fd, "x", 1) < 0)
        return;
}

static void do_read_elsewhere(void)
{
    char byte;
    if (read(other_fd, &byte, 1) < 0)
        return;
}

static void do_fork(void)
{
    (void)fork();
}

static void do_exec(void)
{
    execl("/bin/true", "true", (char *)NULL);
}

static void do_kill_parent(void)
{
    (void)kill(getppid(), 0);
}

static void do_ptrace(void)
{
    (void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static void do_executable_memory(void)
{
    (void)mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void do_make_executable(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

static void do_raise_limit(void)
{
    struct rlimit wide = {1, 1};
    (void)setrlimit(RLIMIT_CPU, &wide);
}

static void do_unlink(void)
{
    (void)unlink("/tmp/nothing-of-this-name");
}

static void do_io_uring(void)
{
    (void)syscall(SYS_io_uring_setup, 1, NULL);
}

/* Allowed: memory, the clock, the socket. */
static void do_work(void)
{
    char byte = 0;
    size_t n_bytes = 8 << 20;
    for (int i = 0; i < 4; i++) {
        char *block = malloc(n_bytes);
        if (block == NULL)
            _exit(50);
        memset(block, i, n_bytes);
        free(block);
    }
    struct timespec t;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) != 0 || recv(channel[0], &byte, 1, 0) != 1 ||
        send(channel[0], &byte, 1, 0) != 1)
        _exit(51);
}

static void do_abort(void)
{
    assert(!"an assert says so and dies of SIGABRT");
}

static void do_run_for_ever(void)
{
    for (volatile unsigned i = 0;; i++)
        continue;
}

/* As much as it gets; what is there must be less than what was asked for in all. */
static void do_take_memory(void)
{
    enum { BLOCK_BYTES = 1 << 20 };
    size_t n_bytes = 0;
    for (void **last = NULL, **block; n_bytes < (size_t)4 * MEMORY_BYTES; last = block) {
        block = malloc(BLOCK_BYTES);
        if (block == NULL)
            break;
        *block = last; /* a chain of all of them */
        n_bytes += BLOCK_BYTES;
    }
    _exit(n_bytes <= MEMORY_BYTES ? 0 : 52);
}

/* ---------------------------------------------------------------- */

/* How a child that is confined and then does this ends, as waitpid says it. */
static int status_of(void (*what)(void))
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        const struct confinement c = {MEMORY_BYTES, 1, channel[0]};
        struct err e = {0};
        int filter_error;
        int null_fd = open("/dev/null", O_RDWR);
        if (dup2(null_fd, STDERR_FILENO) < 0 || !confine_self(&c, &filter_error, &e))
            _exit(NOT_CONFINED);
        if (filter_error != 0)
            _exit(NO_FILTER);
        what();
        _exit(0);
    }
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    return status;
}

static bool has_filter(void)
{
    static int known = -1;
    if (known < 0) {
        int status = status_of(do_nothing);
        known = !(WIFEXITED(status) && WEXITSTATUS(status) == NO_FILTER);
        if (!known)
            printf("# no seccomp here: what needs it is not tested\n");
    }
    return known;
}

static void test_forbidden(void)
{
    static const struct {
        const char *name;
        void (*what)(void);
    } cases[] = {
        {"open a file", do_open},
        {"open its own memory", do_open_proc},
        {"make a socket", do_socket},
        {"connect", do_connect},
        {"send on another socket", do_send_elsewhere},
        {"write to another descriptor", do_write_elsewhere},
        {"read from another descriptor", do_read_elsewhere},
        {"fork", do_fork},
        {"exec", do_exec},
        {"signal another process", do_kill_parent},
        {"ptrace", do_ptrace},
        {"map executable memory", do_executable_memory},
        {"make memory executable", do_make_executable},
        {"raise a limit", do_raise_limit},
        {"remove a file", do_unlink},
        {"io_uring", do_io_uring},
    };
    for (size_t i = 0; has_filter() && i < ARRAY_LEN(cases); i++) {
        int status = status_of(cases[i].what);
        bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
        if (!killed)
            printf("# %s: status %d\n", cases[i].name, status);
        CHECK(killed);
    }
}

static void test_allowed(void)
{
    char byte = 'a';
    CHECK(send(channel[1], &byte, 1, 0) == 1);
    int status = status_of(do_work);
    CHECK(has_filter() ? WIFEXITED(status) && WEXITSTATUS(status) == 0 : true);
    CHECK(!has_filter() || recv(channel[1], &byte, 1, MSG_DONTWAIT) == 1);
    status = status_of(do_abort);
    CHECK(!has_filter() || (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT));
}

static int exit_of_limited(void (*what)(void))
{
    int status = status_of(what);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* What holds without a filter, too. */
static void test_limits(void)
{
    if (!has_filter())
        return;
    CHECK(exit_of_limited(do_run_for_ever) == -SIGXCPU);
    CHECK(!confine_limits_memory() || exit_of_limited(do_take_memory) == 0);
}

int main(void)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, channel) != 0)
        return 1;
    other_fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    RUN(test_forbidden);
    RUN(test_allowed);
    RUN(test_limits);
    return test_done();
}
