/*
 * The caller's side. A worker's death shows as the end of its socket, since the server closes its
 * copy; the server, its parent, then says how it died. Processor time is read from the worker's
 * clock while we wait, so that a machine under load fails no item; a worker that neither computes
 * nor answers is given WAIT_FACTOR times as long.
 */
#include "ingest/sandbox.h"

#include "base/mem.h"
#include "ingest/sandbox_server.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    POLL_MS = 50, /* how often a worker's clock is read */
    WAIT_FACTOR = 20,
    START_MS = 10000, /* processor time of a worker until it is ready; sanitizers are slow */
};

struct sandbox {
    struct sandbox_params params;
    pid_t server_pid;
    int filter_error;
    pthread_mutex_t mu;
    /* under mu: */
    int socket_fd; /* orders to the server, and its replies */
};

struct shared_memory {
    int fd;
    void *at;
    size_t n_bytes;
};

struct sandbox_worker {
    struct sandbox *sandbox;
    struct shared_memory input, output;
    int socket_fd; /* -1: no process */
    int pid;
    clockid_t clock;
};

/* ---------------------------------------------------------------- orders */

/* False: the server is gone. */
static bool give_order(struct sandbox *s, const struct sandbox_order_message *order,
                       const int *descriptors, size_t n_descriptors,
                       struct sandbox_order_reply *out)
{
    ssize_t n = -1;
    pthread_mutex_lock(&s->mu);
    if (sandbox_send(s->socket_fd, (struct span){order, sizeof *order}, descriptors, n_descriptors))
        do
            n = recv(s->socket_fd, out, sizeof *out, 0);
        while (n < 0 && errno == EINTR);
    pthread_mutex_unlock(&s->mu);
    return n == (ssize_t)sizeof *out;
}

static bool server_gone(struct err *e)
{
    return err_set(e, ERR_FATAL, "the process that starts decoders has ended; start again");
}

/* ---------------------------------------------------------------- shared memory */

static void shared_release(struct shared_memory *m)
{
    if (m->at != NULL)
        munmap(m->at, m->n_bytes);
    if (m->fd >= 0)
        close(m->fd);
    *m = (struct shared_memory){.fd = -1};
}

/* Not executable where the kernel knows the word (Linux 6.3; the C library's headers do not yet),
 * which hardened systems insist on. */
static int make_memfd(const char *name)
{
    const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING, noexec_seal = 8;
    int fd = memfd_create(name, flags | noexec_seal);
    return fd < 0 && errno == EINVAL ? memfd_create(name, flags) : fd;
}

/* Of a fixed size, so that no process can take pages away from under another. With `read_only`
 * whoever maps it after us cannot write: Linux 5.1; where it is unknown a worker that was taken
 * over could change what it decodes itself, and nothing else. */
static bool seal(int fd, bool read_only)
{
    const int size_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    return (read_only && fcntl(fd, F_ADD_SEALS, size_seals | F_SEAL_FUTURE_WRITE) == 0) ||
           fcntl(fd, F_ADD_SEALS, size_seals) == 0;
}

static bool shared_make(const char *name, size_t n_bytes, bool read_only, struct shared_memory *out,
                        struct err *e)
{
    long page_bytes = sysconf(_SC_PAGESIZE);
    size_t mask = (size_t)page_bytes - 1;
    out->n_bytes = (size_max(n_bytes, 1) + mask) & ~mask;
    out->fd = make_memfd(name);
    if (out->fd < 0 || ftruncate(out->fd, (off_t)out->n_bytes) != 0)
        return err_set_errno(e, ERR_FATAL, errno, "no shared memory of %zu bytes", out->n_bytes);
    void *at = mmap(NULL, out->n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, out->fd, 0);
    if (at == MAP_FAILED)
        return err_set_errno(e, ERR_FATAL, errno, "cannot map %zu bytes", out->n_bytes);
    out->at = at;
    if (!seal(out->fd, read_only))
        return err_set_errno(e, ERR_FATAL, errno, "cannot seal shared memory");
    return true;
}

/* ---------------------------------------------------------------- life of a process */

/* Ends the process; the status is -1 when nobody knows it. */
static int worker_end(struct sandbox_worker *w)
{
    struct sandbox_order_message order = {.order = SANDBOX_END, .pid = w->pid};
    struct sandbox_order_reply reply;
    if (w->socket_fd < 0)
        return -1;
    close(w->socket_fd);
    w->socket_fd = -1;
    w->pid = 0;
    return give_order(w->sandbox, &order, NULL, 0, &reply) && reply.error == 0 ? reply.status : -1;
}

static uint64_t worker_cpu_ms(const struct sandbox_worker *w)
{
    struct timespec t;
    if (clock_gettime(w->clock, &t) != 0)
        return 0; /* it has just ended, and poll will say so */
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static enum sandbox_result died(struct sandbox_worker *w, struct err *e)
{
    const struct sandbox_params *p = &w->sandbox->params;
    int status = worker_end(w);
    if (status == -1)
        server_gone(e);
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        err_set(e, ERR_PERM, "its decoder tried a system call that it may not have (SIGSYS)");
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)
        err_set(e, ERR_PERM, "its decoder used up the %" PRIu64 " s of processor time of its life",
                p->life_cpu_s);
    else if (WIFSIGNALED(status))
        err_set(e, ERR_PERM,
                "its decoder died of signal %d (SIG%s); it may use %" PRIu64 " MiB of memory",
                WTERMSIG(status), sigabbrev_np(WTERMSIG(status)), p->memory_bytes >> 20);
    else
        err_set(e, ERR_PERM, "its decoder ended by itself with code %d", WEXITSTATUS(status));
    return status == -1 ? SANDBOX_FAILED : SANDBOX_DIED;
}

static enum sandbox_result timed_out(struct sandbox_worker *w, uint64_t cpu_ms, uint64_t waited_ms,
                                     uint64_t limit_ms, struct err *e)
{
    err_set(
        e, ERR_PERM,
        "its decoder was ended after %.1f s of processor time and %.1f s in all; the limits are "
        "%.1f and %.1f",
        (double)cpu_ms / 1e3, (double)waited_ms / 1e3, (double)limit_ms / 1e3,
        (double)limit_ms * WAIT_FACTOR / 1e3);
    (void)worker_end(w);
    return SANDBOX_DIED;
}

/* Waits for one message. */
static enum sandbox_result receive(struct sandbox_worker *w, uint64_t limit_ms, void *out,
                                   size_t cap, size_t *out_bytes, struct err *e)
{
    uint64_t before_ms = worker_cpu_ms(w);
    for (uint64_t waited_ms = 0;; waited_ms += POLL_MS) {
        struct pollfd p = {.fd = w->socket_fd, .events = POLLIN};
        int n_ready = poll(&p, 1, POLL_MS);
        if (n_ready > 0) {
            ssize_t n = recv(w->socket_fd, out, cap, MSG_DONTWAIT);
            *out_bytes = n > 0 ? (size_t)n : 0;
            return n > 0 ? SANDBOX_OK : died(w, e);
        }
        uint64_t cpu_ms = worker_cpu_ms(w);
        cpu_ms = cpu_ms > before_ms ? cpu_ms - before_ms : 0;
        if (cpu_ms > limit_ms || waited_ms > limit_ms * WAIT_FACTOR)
            return timed_out(w, cpu_ms, waited_ms, limit_ms, e);
    }
}

static enum sandbox_result worker_ready(struct sandbox_worker *w, struct sandbox_ready *ready,
                                        struct err *e)
{
    size_t n;
    enum sandbox_result result = receive(w, START_MS, ready, sizeof *ready, &n, e);
    if (result != SANDBOX_OK) {
        e->kind = ERR_FATAL;
        err_wrap(e, "a decoder process did not start");
        return SANDBOX_FAILED;
    }
    ready->why[sizeof ready->why - 1] = '\0';
    if (ready->is_limited && (ready->filter_error == 0 || !w->sandbox->params.needs_filter))
        return SANDBOX_OK;
    if (!ready->is_limited)
        err_set(e, ERR_FATAL, "a decoder process cannot be confined: %s", ready->why);
    else
        err_set_errno(
            e, ERR_FATAL, ready->filter_error,
            "no system call filter (seccomp) for decoders, and sandbox.filter = require; with "
            "prefer they have resource limits alone");
    (void)worker_end(w);
    return SANDBOX_FAILED;
}

static enum sandbox_result worker_start(struct sandbox_worker *w, struct sandbox_ready *ready,
                                        struct err *e)
{
    int ends[2];
    struct sandbox_order_message order = {
        .order = SANDBOX_START, .input_bytes = w->input.n_bytes, .output_bytes = w->output.n_bytes};
    struct sandbox_order_reply reply;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        err_set_errno(e, ERR_FATAL, errno, "no socket for a decoder process");
        return SANDBOX_FAILED;
    }
    const int descriptors[SANDBOX_DESCRIPTORS] = {ends[1], w->input.fd, w->output.fd};
    bool ordered = give_order(w->sandbox, &order, descriptors, SANDBOX_DESCRIPTORS, &reply);
    close(ends[1]);
    if (!ordered || reply.pid <= 0) {
        close(ends[0]);
        if (ordered)
            err_set_errno(e, ERR_FATAL, reply.error, "no process for a decoder");
        else
            server_gone(e);
        return SANDBOX_FAILED;
    }
    w->socket_fd = ends[0];
    w->pid = reply.pid;
    if (clock_getcpuclockid(w->pid, &w->clock) != 0)
        w->clock = CLOCK_MONOTONIC; /* it has ended: the socket says so at once */
    return worker_ready(w, ready, e);
}

bool sandbox_worker_new(struct sandbox *s, size_t input_bytes, size_t output_bytes,
                        struct sandbox_worker **out, struct err *e)
{
    struct sandbox_worker *w = mem_zalloc(1, sizeof *w);
    w->sandbox = s;
    w->socket_fd = w->input.fd = w->output.fd = -1;
    if (!shared_make("refrain-input", input_bytes, true, &w->input, e) ||
        !shared_make("refrain-output", output_bytes, false, &w->output, e)) {
        sandbox_worker_free(w);
        return false;
    }
    *out = w;
    return true;
}

void sandbox_worker_free(struct sandbox_worker *w)
{
    if (w == NULL)
        return;
    (void)worker_end(w);
    shared_release(&w->input);
    shared_release(&w->output);
    mem_free(w);
}

void sandbox_worker_renew(struct sandbox_worker *w)
{
    (void)worker_end(w);
    (void)madvise(w->output.at, w->output.n_bytes, MADV_REMOVE);
}

void *sandbox_worker_input(struct sandbox_worker *w)
{
    return w->input.at;
}

const void *sandbox_worker_output(const struct sandbox_worker *w)
{
    return w->output.at;
}

int sandbox_worker_pid(const struct sandbox_worker *w)
{
    return w->pid;
}

enum sandbox_result sandbox_call(struct sandbox_worker *w, struct span request, void *reply,
                                 size_t *out_bytes, struct err *e)
{
    struct sandbox_ready ready;
    assert(request.len > 0);
    assert(request.len <= SANDBOX_MESSAGE_BYTES);
    if (w->socket_fd < 0 && worker_start(w, &ready, e) != SANDBOX_OK)
        return SANDBOX_FAILED;
    memset(reply, 0, SANDBOX_MESSAGE_BYTES);
    if (!sandbox_send(w->socket_fd, request, NULL, 0))
        return died(w, e);
    return receive(w, w->sandbox->params.call_cpu_ms, reply, SANDBOX_MESSAGE_BYTES, out_bytes, e);
}

/* ---------------------------------------------------------------- the sandbox */

static bool server_start(struct sandbox *s, struct err *e)
{
    int ends[2];
    int self = getpid();
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return err_set_errno(e, ERR_FATAL, errno, "no socket for the fork server");
    s->server_pid = fork();
    if (s->server_pid == 0)
        sandbox_server_run(&s->params, ends[1], self);
    int fork_error = errno;
    close(ends[1]);
    s->socket_fd = ends[0];
    return s->server_pid > 0 ||
           err_set_errno(e, ERR_FATAL, fork_error, "no process for the fork server");
}

/* A worker that does nothing, to learn what is granted here before any work is taken. */
static bool try_worker(struct sandbox *s, struct err *e)
{
    struct sandbox_worker *w = NULL;
    struct sandbox_ready ready;
    if (!sandbox_worker_new(s, 1, 1, &w, e))
        return false;
    bool ok = worker_start(w, &ready, e) == SANDBOX_OK;
    if (ok)
        s->filter_error = ready.filter_error;
    sandbox_worker_free(w);
    return ok;
}

bool sandbox_open(const struct sandbox_params *params, struct sandbox **out, struct err *e)
{
    struct sandbox *s = mem_zalloc(1, sizeof *s);
    s->params = *params;
    s->socket_fd = -1;
    pthread_mutex_init(&s->mu, NULL);
    if (!server_start(s, e) || !try_worker(s, e)) {
        sandbox_close(s);
        return false;
    }
    *out = s;
    return true;
}

void sandbox_close(struct sandbox *s)
{
    if (s == NULL)
        return;
    if (s->socket_fd >= 0)
        close(s->socket_fd); /* the server ends at the end of its socket */
    while (s->server_pid > 0 && waitpid(s->server_pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    pthread_mutex_destroy(&s->mu);
    mem_free(s);
}

int sandbox_filter_error(const struct sandbox *s)
{
    return s->filter_error;
}
