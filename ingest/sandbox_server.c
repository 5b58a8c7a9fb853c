/*
 * The guarantee: server and workers hold no descriptor but their own sockets and shared memory,
 * ignore the signals that a terminal or systemd sends to the whole group (the program finishes what
 * is in work and ends them), and die with their parent.
 *
 * A worker is forked from a server that never saw a foreign byte, so that whatever an item did to
 * its worker ends with it.
 */
#include "ingest/sandbox_server.h"

#include "ingest/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SOCKET_FD = 3, INPUT_FD = 4, OUTPUT_FD = 5, EXIT_BAD_WORKER = 97 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { KEEPS_STDERR = 1 }; /* for their reports */
#else
enum { KEEPS_STDERR = 0 };
#endif

bool sandbox_send(int socket_fd, struct span message, const int *descriptors, size_t n_descriptors)
{
    union {
        struct cmsghdr header; /* aligns the bytes */
        char bytes[CMSG_SPACE(SANDBOX_DESCRIPTORS * sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = (void *)(uintptr_t)message.ptr, .iov_len = message.len};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
    assert(n_descriptors <= SANDBOX_DESCRIPTORS);
    if (n_descriptors > 0) {
        m.msg_control = control.bytes;
        m.msg_controllen = CMSG_SPACE(n_descriptors * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n_descriptors * sizeof(int));
        memcpy(CMSG_DATA(c), descriptors, n_descriptors * sizeof(int));
    }
    ssize_t n;
    do
        n = sendmsg(socket_fd, &m, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)message.len;
}

/* ---------------------------------------------------------------- what both begin with */

static void ignore_signals(void)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGUSR1, SIGUSR2, SIGTSTP};
    for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
        (void)signal(ignored[i], SIG_IGN);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* As ps and top show it. */
static void set_name(const char *name)
{
    (void)prctl(PR_SET_NAME, name);
}

/* The signal is bound to the parent's thread that forked us; it may have ended already. */
static void die_with(int parent_pid)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent_pid)
        _exit(EXIT_BAD_WORKER);
}

/* The descriptors become SOCKET_FD and the following; all others are closed, the standard ones are
 * /dev/null, or closed where there is none. */
static void keep_descriptors(const int *kept, int n_kept)
{
    int high[SANDBOX_DESCRIPTORS];
    for (int i = 0; i < n_kept; i++) { /* out of the way of each other's place */
        high[i] = fcntl(kept[i], F_DUPFD_CLOEXEC, SOCKET_FD + n_kept);
        if (high[i] < 0)
            _exit(EXIT_BAD_WORKER);
    }
    for (int i = 0; i < n_kept; i++)
        if (dup2(high[i], SOCKET_FD + i) < 0)
            _exit(EXIT_BAD_WORKER);
    closefrom(SOCKET_FD + n_kept);
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < (KEEPS_STDERR ? STDERR_FILENO : SOCKET_FD); fd++)
        if (null_fd < 0)
            close(fd);
        else
            (void)dup2(null_fd, fd);
    if (null_fd >= 0)
        close(null_fd);
}

/* ---------------------------------------------------------------- a worker */

static bool send_bytes(const void *bytes, size_t n)
{
    return send(SOCKET_FD, bytes, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static void *map_shared(int fd, size_t n_bytes, int protection)
{
    void *at = mmap(NULL, n_bytes, protection, MAP_SHARED, fd, 0);
    close(fd);
    return at == MAP_FAILED ? NULL : at;
}

static void answer_calls(const struct sandbox_service *service, void *state)
{
    uint8_t request[SANDBOX_MESSAGE_BYTES];
    _Alignas(uint64_t) uint8_t reply[SANDBOX_MESSAGE_BYTES];
    for (;;) {
        ssize_t n = recv(SOCKET_FD, request, sizeof request, 0);
        if (n <= 0)
            return;
        memset(reply, 0, sizeof reply);
        size_t n_reply = service->serve(state, (struct span){request, (size_t)n}, reply);
        assert(n_reply > 0);
        assert(n_reply <= sizeof reply);
        if (!send_bytes(reply, n_reply))
            return;
    }
}

NORETURN static void worker_run(const struct sandbox_params *params,
                                const struct sandbox_order_message *order, const int *descriptors,
                                int server_pid)
{
    struct sandbox_ready ready = {0};
    struct err e = {0};
    die_with(server_pid);
    set_name("refrain-decode");
    keep_descriptors(descriptors, SANDBOX_DESCRIPTORS);
    void *input = map_shared(INPUT_FD, order->input_bytes, PROT_READ);
    void *output = map_shared(OUTPUT_FD, order->output_bytes, PROT_READ | PROT_WRITE);
    if (input == NULL || output == NULL)
        _exit(EXIT_BAD_WORKER);
    void *state = params->service->open((struct span){input, order->input_bytes}, output,
                                        order->output_bytes);
    const struct confinement confinement = {params->memory_bytes, params->life_cpu_s, SOCKET_FD};
    int filter_error = 0;
    ready.is_limited = confine_self(&confinement, &filter_error, &e);
    ready.filter_error = filter_error;
    memcpy(ready.why, e.msg, sizeof ready.why);
    if (send_bytes(&ready, sizeof ready) && ready.is_limited &&
        (filter_error == 0 || !params->needs_filter))
        answer_calls(params->service, state);
    _exit(0); /* nothing of the parent's is flushed or released twice */
}

/* ---------------------------------------------------------------- the server */

/* False at the end of the socket. Descriptors that came are *n_descriptors of descriptors[]. */
static bool receive_order(struct sandbox_order_message *out, int *descriptors,
                          size_t *n_descriptors)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(SANDBOX_DESCRIPTORS * sizeof(int))];
    } control;
    struct iovec part = {.iov_base = out, .iov_len = sizeof *out};
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof control.bytes};
    ssize_t n;
    do
        n = recvmsg(SOCKET_FD, &m, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    *n_descriptors = 0;
    const struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
    if (c != NULL && c->cmsg_type == SCM_RIGHTS) {
        *n_descriptors = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(descriptors, CMSG_DATA(c), *n_descriptors * sizeof(int));
    }
    return n == (ssize_t)sizeof *out;
}

static struct sandbox_order_reply start_worker(const struct sandbox_params *params,
                                               const struct sandbox_order_message *order,
                                               const int *descriptors)
{
    struct sandbox_order_reply reply = {0};
    int server_pid = getpid();
    pid_t pid = fork();
    if (pid == 0)
        worker_run(params, order, descriptors, server_pid);
    if (pid > 0)
        reply.pid = pid;
    else
        reply.error = errno;
    return reply;
}

/* A worker that is dying already keeps the status it dies with. */
static struct sandbox_order_reply end_worker(int pid)
{
    struct sandbox_order_reply reply = {.pid = pid};
    pid_t ended;
    (void)kill(pid, SIGKILL); /* a child that nobody has waited for: the number is still its own */
    do
        ended = waitpid(pid, &reply.status, 0);
    while (ended < 0 && errno == EINTR);
    if (ended != pid)
        reply.error = errno;
    return reply;
}

NORETURN void sandbox_server_run(const struct sandbox_params *params, int socket_fd, int parent_pid)
{
    die_with(parent_pid);
    set_name("refrain-forker");
    ignore_signals();
    keep_descriptors(&socket_fd, 1);
    for (;;) {
        struct sandbox_order_message order;
        int descriptors[SANDBOX_DESCRIPTORS];
        size_t n_descriptors;
        if (!receive_order(&order, descriptors, &n_descriptors))
            _exit(0);
        struct sandbox_order_reply reply = {.error = EINVAL};
        if (order.order == SANDBOX_START && n_descriptors == SANDBOX_DESCRIPTORS)
            reply = start_worker(params, &order, descriptors);
        else if (order.order == SANDBOX_END && order.pid > 0)
            reply = end_worker(order.pid);
        for (size_t i = 0; i < n_descriptors; i++)
            close(descriptors[i]);
        if (!send_bytes(&reply, sizeof reply))
            _exit(0);
    }
}
