/*
 * The sandbox with a service of the test's own, which does to its worker what a request says: every
 * way to die costs that call alone, is named, and the next call is answered by a new process.
 */
#include "ingest/sandbox.h"

#include "base/mem.h"
#include "ingest/confine.h"
#include "tests/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { INPUT_BYTES = 100000, OUTPUT_BYTES = 1 << 20, MEMORY_BYTES = 64 << 20 };

enum order {
    ORDER_ADD = 'a', /* answers the sum of the input's bytes, and writes it to the output */
    ORDER_CRASH = 'c',
    ORDER_ABORT = 'b',
    ORDER_EXIT = 'e',
    ORDER_OPEN = 'o',
    ORDER_SOCKET = 's',
    ORDER_WRITE_INPUT = 'w',
    ORDER_UNLOCK_INPUT = 'u', /* answers the errno of making it writable, or 0 */
    ORDER_HANG = 'h',
    ORDER_SLEEP = 'z',
    ORDER_BOMB = 'm',
    ORDER_DESCRIPTORS = 'd', /* answers how many it could duplicate */
};

struct state {
    struct span input;
    uint64_t *output;
};

static void *service_open(struct span input, void *output, size_t output_bytes)
{
    struct state *s = mem_zalloc(1, sizeof *s);
    assert(output_bytes >= sizeof(uint64_t));
    (void)signal(SIGSEGV, SIG_DFL); /* sanitizers catch these */
    (void)signal(SIGABRT, SIG_DFL);
    s->input = input;
    s->output = output;
    return s;
}

static uint64_t add(const struct state *s)
{
    const uint8_t *bytes = s->input.ptr;
    uint64_t sum = 0;
    for (size_t i = 0; i < s->input.len; i++)
        sum += bytes[i];
    return sum;
}

static void take_memory(void)
{
    enum { BLOCK_BYTES = 1 << 20 };
    for (;;) {
        char *block = mem_alloc(BLOCK_BYTES, 1);
        memset(block, 1, BLOCK_BYTES);
    }
}

static size_t service_serve(void *state, struct span request, void *reply)
{
    struct state *s = state;
    uint64_t answer = 0;
    char byte;
    switch (*(const char *)request.ptr) {
    case ORDER_ADD:
        answer = *s->output = add(s);
        break;
    case ORDER_CRASH:
        raise(SIGSEGV);
        break;
    case ORDER_ABORT:
        abort();
    case ORDER_EXIT:
        _exit(7);
    case ORDER_OPEN:
        (void)open("/etc/hostname", O_RDONLY);
        break;
    case ORDER_SOCKET:
        (void)socket(AF_INET, SOCK_STREAM, 0);
        break;
    case ORDER_WRITE_INPUT:
        *(volatile char *)(uintptr_t)s->input.ptr = 'x';
        break;
    case ORDER_UNLOCK_INPUT:
        answer = mprotect((void *)(uintptr_t)s->input.ptr, 4096, PROT_READ | PROT_WRITE) == 0
                     ? 0
                     : (uint64_t)errno;
        break;
    case ORDER_HANG:
        for (volatile unsigned i = 0;; i++)
            continue;
    case ORDER_SLEEP: /* for a message that never comes */
        if (recv(3, &byte, 1, 0) <= 0)
            return 0;
        break;
    case ORDER_BOMB:
        take_memory();
        break;
    case ORDER_DESCRIPTORS:
        for (int fd = 0; fd < 64; fd++)
            answer += fcntl(fd, F_GETFD) >= 0;
        break;
    }
    memcpy(reply, &answer, sizeof answer);
    return sizeof answer;
}

static const struct sandbox_service service = {service_open, service_serve};
static const struct sandbox_params params = {
    .service = &service, .memory_bytes = MEMORY_BYTES, .call_cpu_ms = 100, .life_cpu_s = 60};

static struct sandbox *sandbox;
static struct sandbox_worker *worker;

static enum sandbox_result call(struct sandbox_worker *w, enum order order, uint64_t *out,
                                struct err *e)
{
    _Alignas(uint64_t) uint8_t reply[SANDBOX_MESSAGE_BYTES];
    char request = (char)order;
    size_t n = 0;
    *e = (struct err){0};
    enum sandbox_result result = sandbox_call(w, (struct span){&request, 1}, reply, &n, e);
    CHECK((result == SANDBOX_OK) == (e->kind == ERR_NONE));
    if (result == SANDBOX_OK) {
        CHECK_U64(n, sizeof *out);
        memcpy(out, reply, sizeof *out);
    }
    return result;
}

/* The worker answers, and shares the memory. */
static void check_works(struct sandbox_worker *w, uint8_t fill)
{
    struct err e;
    uint64_t got = 0;
    memset(sandbox_worker_input(w), fill, INPUT_BYTES);
    CHECK(call(w, ORDER_ADD, &got, &e) == SANDBOX_OK);
    CHECK_U64(got, (uint64_t)fill * INPUT_BYTES);
    CHECK_U64(*(const uint64_t *)sandbox_worker_output(w), (uint64_t)fill * INPUT_BYTES);
}

static void test_works(void)
{
    struct err e = {0};
    uint64_t got;
    CHECK_OK(sandbox_worker_new(sandbox, INPUT_BYTES, OUTPUT_BYTES, &worker, &e), &e);
    CHECK_U64(sandbox_worker_pid(worker), 0);
    check_works(worker, 1);
    int pid = sandbox_worker_pid(worker);
    check_works(worker, 3);
    CHECK_U64(sandbox_worker_pid(worker), pid);
    CHECK(call(worker, ORDER_UNLOCK_INPUT, &got, &e) == SANDBOX_OK);
    CHECK_U64(got, EACCES);
    sandbox_worker_renew(worker);
    CHECK(*(const uint64_t *)sandbox_worker_output(worker) == 0);
    check_works(worker, 2);
    CHECK(sandbox_worker_pid(worker) != pid);
}

static void check_dies(enum order order, const char *word)
{
    struct err e;
    uint64_t got;
    int before = sandbox_worker_pid(worker);
    CHECK(call(worker, order, &got, &e) == SANDBOX_DIED);
    CHECK(e.kind == ERR_PERM);
    if (strstr(e.msg, word) == NULL)
        printf("# '%c': no \"%s\" in: %s\n", order, word, e.msg);
    CHECK(strstr(e.msg, word) != NULL);
    CHECK_U64(sandbox_worker_pid(worker), 0);
    CHECK(before == 0 || (kill(before, 0) != 0 && errno == ESRCH));
    check_works(worker, 5);
}

static void test_deaths(void)
{
    check_dies(ORDER_CRASH, "SIGSEGV");
    check_dies(ORDER_ABORT, "SIGABRT");
    check_dies(ORDER_EXIT, "code 7");
    check_dies(ORDER_HANG, "of processor time");
    check_dies(ORDER_SLEEP, "s in all");
    if (confine_limits_memory())
        check_dies(ORDER_BOMB, "64 MiB");
    check_dies(ORDER_WRITE_INPUT, "SIGSEGV");
}

static void test_forbidden(void)
{
    if (sandbox_filter_error(sandbox) != 0) {
        printf("# no seccomp here: not tested\n");
        return;
    }
    check_dies(ORDER_OPEN, "SIGSYS");
    check_dies(ORDER_SOCKET, "SIGSYS");
}

/* From outside, between two calls. */
static void test_killed(void)
{
    struct err e;
    uint64_t got;
    CHECK(kill(sandbox_worker_pid(worker), SIGKILL) == 0);
    CHECK(call(worker, ORDER_ADD, &got, &e) == SANDBOX_DIED);
    CHECK(strstr(e.msg, "SIGKILL") != NULL);
    check_works(worker, 9);
}

/* What ends the program must not end its workers: it lets them finish. */
static void test_ignores_stop(void)
{
    int pid = sandbox_worker_pid(worker);
    CHECK(kill(pid, SIGINT) == 0 && kill(pid, SIGTERM) == 0 && kill(pid, SIGHUP) == 0);
    check_works(worker, 4);
    CHECK_U64(sandbox_worker_pid(worker), pid);
}

static void *work_in_thread(void *arg)
{
    struct sandbox_worker *w = NULL;
    struct err e = {0};
    uint64_t got, n_ok = 0;
    (void)arg;
    if (!sandbox_worker_new(sandbox, INPUT_BYTES, OUTPUT_BYTES, &w, &e))
        return NULL;
    memset(sandbox_worker_input(w), 1, INPUT_BYTES);
    for (int i = 0; i < 20; i++) {
        enum sandbox_result result = call(w, i % 5 == 4 ? ORDER_CRASH : ORDER_ADD, &got, &e);
        n_ok += i % 5 == 4 ? result == SANDBOX_DIED : result == SANDBOX_OK && got == INPUT_BYTES;
    }
    sandbox_worker_free(w);
    return (void *)(uintptr_t)n_ok;
}

static void test_threads(void)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work_in_thread, NULL) == 0);
    for (int i = 0; i < THREADS; i++) {
        void *n_ok = NULL;
        CHECK(pthread_join(threads[i], &n_ok) == 0);
        CHECK_U64((uintptr_t)n_ok, 20);
    }
}

/* ---------------------------------------------------------------- in children of their own */

static int exit_of(int (*what)(void))
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(what());
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* As a container that forbids filters: installing one fails with EPERM from now on. */
static bool refuse_filters(void)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
    bool ok = f != NULL && seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(seccomp), 0) == 0 &&
              seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prctl), 1,
                               SCMP_A0(SCMP_CMP_EQ, PR_SET_SECCOMP)) == 0 &&
              seccomp_load(f) == 0;
    seccomp_release(f);
    return ok;
}

/* Works with limits alone, and says so; or refuses, when the filter is needed. */
static int without_filter(void)
{
    struct sandbox_params needy = params;
    struct sandbox *s = NULL;
    struct sandbox_worker *w = NULL;
    struct err e = {0};
    uint64_t got = 0;
    if (!refuse_filters())
        return 1;
    if (!sandbox_open(&params, &s, &e) || sandbox_filter_error(s) != EPERM)
        return 2;
    if (!sandbox_worker_new(s, INPUT_BYTES, OUTPUT_BYTES, &w, &e) ||
        call(w, ORDER_ADD, &got, &e) != SANDBOX_OK)
        return 3;
    if (call(w, ORDER_DESCRIPTORS, &got, &e) != SANDBOX_OK || got != 4) /* 0, 1, 2, its socket */
        return 4;
    if (confine_limits_memory() && call(w, ORDER_BOMB, &got, &e) != SANDBOX_DIED)
        return 5;
    if (call(w, ORDER_WRITE_INPUT, &got, &e) != SANDBOX_DIED)
        return 6;
    sandbox_worker_free(w);
    sandbox_close(s);
    needy.needs_filter = true;
    if (sandbox_open(&needy, &s, &e))
        return 7;
    return e.kind == ERR_FATAL && strstr(e.msg, "sandbox.filter = require") != NULL ? 0 : 8;
}

static void test_without_filter(void)
{
    CHECK_U64(exit_of(without_filter), 0);
}

static int orphan_pids[2]; /* pipe: the worker's pid */

static int die_with_worker(void)
{
    struct sandbox *s = NULL;
    struct sandbox_worker *w = NULL;
    struct err e = {0};
    uint64_t got;
    if (!sandbox_open(&params, &s, &e) ||
        !sandbox_worker_new(s, INPUT_BYTES, OUTPUT_BYTES, &w, &e) ||
        call(w, ORDER_ADD, &got, &e) != SANDBOX_OK)
        return 1;
    int pid = sandbox_worker_pid(w);
    if (write(orphan_pids[1], &pid, sizeof pid) != sizeof pid)
        return 2;
    raise(SIGKILL);
    return 3;
}

/* A program that is killed leaves no process. */
static void test_no_orphans(void)
{
    int pid = 0;
    CHECK(pipe(orphan_pids) == 0);
    CHECK(exit_of(die_with_worker) == -1);
    CHECK(read(orphan_pids[0], &pid, sizeof pid) == sizeof pid);
    const struct timespec pause = {.tv_nsec = 10000000};
    for (int i = 0; i < 500 && kill(pid, 0) == 0; i++)
        nanosleep(&pause, NULL);
    CHECK(pid > 0 && kill(pid, 0) != 0);
    close(orphan_pids[0]);
    close(orphan_pids[1]);
}

static size_t open_descriptors(void)
{
    size_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir != NULL && readdir(dir) != NULL)
        n++;
    if (dir != NULL)
        closedir(dir);
    return n;
}

static void test_leaves_nothing(void)
{
    struct err e = {0};
    struct sandbox *s = NULL;
    struct sandbox_worker *w = NULL;
    uint64_t got;
    size_t before = open_descriptors();
    for (int i = 0; i < 3; i++) {
        CHECK_OK(sandbox_open(&params, &s, &e), &e);
        CHECK_OK(sandbox_worker_new(s, INPUT_BYTES, OUTPUT_BYTES, &w, &e), &e);
        CHECK(call(w, ORDER_ADD, &got, &e) == SANDBOX_OK);
        CHECK(call(w, ORDER_CRASH, &got, &e) == SANDBOX_DIED);
        sandbox_worker_free(w);
        sandbox_close(s);
    }
    CHECK_U64(open_descriptors(), before);
}

int main(void)
{
    struct err e = {0};
    if (!sandbox_open(&params, &sandbox, &e)) {
        printf("# %s\n", e.msg);
        return 1;
    }
    RUN(test_works);
    RUN(test_deaths);
    RUN(test_forbidden);
    RUN(test_killed);
    RUN(test_ignores_stop);
    RUN(test_threads);
    RUN(test_without_filter);
    RUN(test_no_orphans);
    RUN(test_leaves_nothing);
    sandbox_worker_free(worker);
    sandbox_close(sandbox);
    return test_done();
}
