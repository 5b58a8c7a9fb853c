/*
 * One loop: start what is due, wait for a child or a signal, draw the progress line. The children's
 * pid descriptors and the stop descriptor are polled together, so nothing is missed and nothing is
 * asked twice.
 *
 * The children get process groups of their own: Ctrl-C on a terminal reaches only us, and each
 * child sees exactly one SIGTERM from us. The parent-death signal is a SIGTERM too: if we are
 * killed it is their first and they drain; if we were draining already it is their second and they
 * die with us.
 */
#include "programs/supervise.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/program.h"
#include "base/progress.h"
#include "programs/delegate.h"
#include "programs/rows.h"
#include "programs/status.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FETCH, EXTRACT, N_STAGES, STAGE_ARGS_MAX = 5 };

/* A catalogue or store that is just being made may refuse a reader; one that refuses for so many
 * ticks is broken. */
enum { TICK_FAILURES_MAX = 20 };

#define TICK_NS (NS_PER_S / 2)

struct stage {
    const char *name;
    char path[PATH_BYTES];
    const char *args[STAGE_ARGS_MAX + 1];
    pid_t pid;     /* 0: not running */
    int pid_fd;    /* -1: not running */
    bool stopping; /* was sent SIGTERM, at stopped_ns */
    uint64_t stopped_ns;
    bool finished; /* exited with 0 */
    uint64_t started_ns;
    uint64_t start_at_ns; /* not before; UINT64_MAX: not to be started */
    uint64_t n_failures;  /* in a row */
};

struct supervisor {
    const struct dataset *dataset;
    bool watch, draining;
    struct stage stages[N_STAGES];
    struct progress progress;
    uint64_t ticked_ns;       /* 0: as soon as possible */
    unsigned n_tick_failures; /* in a row */
    bool spool_empty;         /* measured after fetch finished */
};

uint64_t supervise_backoff_ms(uint64_t first_ms, uint64_t max_ms, uint64_t n_failures)
{
    uint64_t wait_ms = first_ms;
    for (uint64_t i = 1; i < n_failures && wait_ms < max_ms; i++)
        wait_ms *= 2;
    return u64_min(wait_ms, max_ms);
}

/* ---------------------------------------------------------------- one stage */

/* In the child, between fork and exec: only async-signal-safe calls. */
NORETURN static void stage_exec(const struct stage *stage, pid_t parent, const sigset_t *old_mask)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) /* it died before the line above */
        _exit(EXIT_FAILED);
    signal(SIGTERM, SIG_DFL); /* not our handler: it would set our flag in the wrong process */
    signal(SIGINT, SIG_DFL);
    sigprocmask(SIG_SETMASK, old_mask, NULL);
    execvp(stage->path, (char *const *)stage->args);
    static const char message[] = "refrain run: cannot run ";
    if (write(STDERR_FILENO, message, sizeof message - 1) < 0 ||
        write(STDERR_FILENO, stage->path, strlen(stage->path)) < 0 ||
        write(STDERR_FILENO, "\n", 1) < 0)
        _exit(EXIT_USAGE);
    _exit(EXIT_USAGE);
}

static bool stage_start(struct stage *stage, uint64_t now_ns, struct err *e)
{
    /* Blocked around the fork, so that no stop signal falls between the child's birth and its
     * default handlers. */
    sigset_t stops, old_mask;
    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    sigaddset(&stops, SIGINT);
    sigprocmask(SIG_BLOCK, &stops, &old_mask);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        stage_exec(stage, parent, &old_mask);
    int saved = errno;
    sigprocmask(SIG_SETMASK, &old_mask, NULL);
    if (pid < 0)
        return err_set_errno(e, ERR_FATAL, saved, "cannot start %s", stage->name);
    stage->pid = pid;
    stage->pid_fd = pidfd_open(pid, 0);
    if (stage->pid_fd < 0)
        return err_set_errno(e, ERR_FATAL, errno, "cannot watch %s", stage->name);
    stage->stopping = stage->finished = false;
    stage->started_ns = now_ns;
    stage->start_at_ns = UINT64_MAX;
    log_info("stage started", "stage=%s pid=%d", stage->name, (int)pid);
    return true;
}

/* Asks once; who has not ended when drain_ns is over is killed. */
static void stage_stop(struct stage *stage, uint64_t now_ns, uint64_t drain_ns)
{
    stage->start_at_ns = UINT64_MAX;
    if (stage->pid == 0)
        return;
    if (!stage->stopping) {
        stage->stopping = true;
        stage->stopped_ns = now_ns;
        kill(stage->pid, SIGTERM);
    } else if (now_ns - stage->stopped_ns > drain_ns) {
        log_warn("stage does not stop", "stage=%s pid=%d", stage->name, (int)stage->pid);
        kill(stage->pid, SIGKILL);
    }
}

/* Collects the exit, if there is one. *ended says so; *status is waitpid's. */
static void stage_reap(struct stage *stage, bool *ended, int *status)
{
    *ended = stage->pid != 0 && waitpid(stage->pid, status, WNOHANG) == stage->pid;
    if (!*ended)
        return;
    close(stage->pid_fd);
    stage->pid = 0;
    stage->pid_fd = -1;
}

/* ---------------------------------------------------------------- what an exit means */

static void describe_exit(int status, char out[64])
{
    if (WIFSIGNALED(status))
        snprintf(out, 64, "signal=%s", sigabbrev_np(WTERMSIG(status)));
    else
        snprintf(out, 64, "exit=%d", WEXITSTATUS(status));
}

static bool stage_failed(struct supervisor *s, struct stage *stage, int status, uint64_t now_ns,
                         struct err *e)
{
    const struct settings *settings = &s->dataset->settings;
    if (now_ns - stage->started_ns > settings->run.backoff_max_ms * NS_PER_MS)
        stage->n_failures = 0; /* it ran well for a while: not the same trouble */
    stage->n_failures++;
    if (settings->run.attempts > 0 && stage->n_failures >= settings->run.attempts)
        return err_set(e, ERR_FATAL,
                       "refrain-%s failed %" PRIu64 " times in a row; its messages say why",
                       stage->name, stage->n_failures);
    uint64_t wait_ms = supervise_backoff_ms(settings->run.backoff_ms, settings->run.backoff_max_ms,
                                            stage->n_failures);
    stage->start_at_ns = now_ns + wait_ms * NS_PER_MS;
    char exit_text[64];
    describe_exit(status, exit_text);
    log_warn("stage failed", "stage=%s %s failures=%" PRIu64 " again_in_ms=%" PRIu64, stage->name,
             exit_text, stage->n_failures, wait_ms);
    return true;
}

static bool stage_ended(struct supervisor *s, struct stage *stage, int status, uint64_t now_ns,
                        struct err *e)
{
    bool ok = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_OK;
    if (stage->stopping) {
        /* Killed by our SIGTERM before it could install its handler: nothing had begun. */
        bool early = WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM;
        char exit_text[64];
        describe_exit(status, exit_text);
        if (!ok && !early)
            return err_set(e, ERR_FATAL, "refrain-%s did not stop cleanly (%s)", stage->name,
                           exit_text);
        log_info("stage stopped", "stage=%s", stage->name);
        return true;
    }
    if (ok && stage == &s->stages[FETCH] && !s->watch) {
        /* Its last rename came before its exit: a spool seen empty from now on stays empty. */
        stage->finished = true;
        stage->n_failures = 0;
        s->spool_empty = false;
        s->ticked_ns = 0;
        log_info("catalogue drained", "stage=fetch");
        return true;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_USAGE)
        return err_set(e, ERR_USAGE, "refrain-%s found its command or the configuration wrong",
                       stage->name);
    return stage_failed(s, stage, status, now_ns, e);
}

/* ---------------------------------------------------------------- progress and the end */

static bool tick(struct supervisor *s, uint64_t now_ns, struct err *e)
{
    struct status status;
    struct err tick_e = {0};
    s->ticked_ns = now_ns;
    if (!status_read_totals(s->dataset, &status, &tick_e)) {
        status_release(&status);
        if (++s->n_tick_failures < TICK_FAILURES_MAX)
            return true;
        *e = tick_e;
        return false;
    }
    s->n_tick_failures = 0;
    s->spool_empty = status.spool.new_files == 0;
    s->progress.total = status.rows;
    progress_update(&s->progress, now_ns, status_rows_ended(&status),
                    "clips=%" PRIu64 " spool=%" PRIu64 " bad=%" PRIu64, status.store.clips,
                    status.spool.new_files, status.spool.bad_files);
    status_release(&status);
    return true;
}

/* ---------------------------------------------------------------- the loop */

static bool start_due(struct supervisor *s, uint64_t now_ns, struct err *e)
{
    for (size_t i = 0; i < N_STAGES; i++) {
        struct stage *stage = &s->stages[i];
        if (stage->pid != 0 || stage->start_at_ns > now_ns)
            continue;
        if (!stage_start(stage, now_ns, e))
            return false;
    }
    return true;
}

static void wait_for_news(struct supervisor *s, uint64_t now_ns)
{
    struct pollfd fds[N_STAGES + 1];
    nfds_t n_fds = 0;
    uint64_t until_ns = now_ns + TICK_NS;
    for (size_t i = 0; i < N_STAGES; i++) {
        if (s->stages[i].pid != 0)
            fds[n_fds++] = (struct pollfd){.fd = s->stages[i].pid_fd, .events = POLLIN};
        else
            until_ns = u64_min(until_ns, s->stages[i].start_at_ns);
    }
    if (!s->draining) /* once seen it stays readable */
        fds[n_fds++] = (struct pollfd){.fd = program_stop_fd(), .events = POLLIN};
    uint64_t wait_ms = until_ns <= now_ns ? 0 : (until_ns - now_ns) / NS_PER_MS + 1;
    poll(fds, n_fds, (int)wait_ms);
}

static bool any_running(const struct supervisor *s)
{
    for (size_t i = 0; i < N_STAGES; i++)
        if (s->stages[i].pid != 0)
            return true;
    return false;
}

static void stop_all(struct supervisor *s, uint64_t now_ns)
{
    s->draining = true;
    for (size_t i = 0; i < N_STAGES; i++)
        stage_stop(&s->stages[i], now_ns, s->dataset->settings.run.drain_ms * NS_PER_MS);
}

static bool reap_all(struct supervisor *s, uint64_t now_ns, struct err *e)
{
    bool ok = true;
    for (size_t i = 0; i < N_STAGES; i++) {
        bool ended;
        int status;
        struct err stage_e = {0};
        stage_reap(&s->stages[i], &ended, &status);
        if (ended && !stage_ended(s, &s->stages[i], status, now_ns, &stage_e) && ok) {
            *e = stage_e;
            ok = false;
        }
    }
    return ok;
}

static bool drained(const struct supervisor *s)
{
    return !s->watch && s->stages[FETCH].finished && s->spool_empty;
}

/* Until nothing runs any more. The first failure is kept and drains the rest. */
static bool supervise_loop(struct supervisor *s, struct err *e)
{
    bool ok = true;
    for (;;) {
        uint64_t now_ns = clock_now_ns();
        struct err step_e = {0};
        bool step_ok = reap_all(s, now_ns, &step_e);
        if (step_ok && !s->draining)
            step_ok = start_due(s, now_ns, &step_e);
        if (step_ok && now_ns - s->ticked_ns >= TICK_NS)
            step_ok = tick(s, now_ns, &step_e);
        if (!step_ok && ok) {
            *e = step_e;
            ok = false;
        }
        if (s->draining || !ok || drained(s) || program_stop_requested())
            stop_all(s, now_ns);
        if (s->draining && !any_running(s))
            return ok;
        wait_for_news(s, now_ns);
    }
}

static void stage_init(struct stage *stage, const char *name, const char *program, const char *dir,
                       bool watch, bool quiet)
{
    size_t n = 0;
    *stage = (struct stage){.name = name, .pid_fd = -1};
    delegate_locate(program, stage->path);
    stage->args[n++] = program;
    stage->args[n++] = dir;
    if (watch)
        stage->args[n++] = "--watch";
    if (quiet)
        stage->args[n++] = "--quiet";
    assert(n <= STAGE_ARGS_MAX);
}

bool supervise_run(const struct dataset *d, bool watch, struct err *e)
{
    char lock_path[PATH_BYTES];
    int lock_fd = -1;
    struct supervisor s = {.dataset = d, .watch = watch};
    if (!path_join(lock_path, d->dir, "run.lock", e) || !file_lock(lock_path, &lock_fd, e))
        return false;
    progress_init(&s.progress, "run", "rows", 0);
    /* On a terminal the one progress line is ours: the stages speak up only when something is
     * wrong. */
    bool quiet = s.progress.on_terminal;
    stage_init(&s.stages[FETCH], "fetch", "refrain-fetch", d->dir, watch, quiet);
    stage_init(&s.stages[EXTRACT], "extract", "refrain-extract", d->dir, true, quiet);
    bool ok = supervise_loop(&s, e);
    progress_finish(&s.progress, clock_now_ns());
    close(lock_fd);
    return ok;
}
