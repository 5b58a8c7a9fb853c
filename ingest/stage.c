#include "ingest/stage.h"

#include "base/log.h"
#include "base/mem.h"
#include "ingest/fetch.h"
#include "ingest/session.h"
#include "ingest/stage_inside.h"

#include <inttypes.h>
#include <poll.h>

enum {
    AHEAD_LEAST = 32,
    COLLECT_MAX = 64,
    POLL_MAX_MS = 250, /* so that the progress line lives */
    VIRTUAL_POLL_MAX_MS = 60000,
};
#define WAITING_BYTES_MAX (UINT64_C(24) << 20)
#define DRAIN_NS (5 * NS_PER_S)
#define PARKED_NS (10 * NS_PER_S)

static void collect(struct stage *s)
{
    struct outcome outcomes[COLLECT_MAX];
    size_t n;
    while ((n = committer_collect(s->committer, outcomes, COLLECT_MAX)) > 0)
        for (size_t i = 0; i < n; i++) {
            bool waits = outcomes[i].state == ROW_WAIT;
            if (outcomes[i].state == ROW_RESOLVED) {
                todo_queue_link(s->todo, outcomes[i].item);
                s->n_left[outcomes[i].item->group_i] += outcomes[i].item->source == SOURCE_NONE;
                continue;
            }
            if (outcomes[i].state == ROW_NEED)
                resolver_rewind(s->resolver);
            if (row_state_is_final(outcomes[i].state))
                stage_row_ended(s, outcomes[i].item);
            s->result->n_fetched += outcomes[i].is_local && outcomes[i].state == ROW_DONE;
            s->result->n_failed += outcomes[i].is_local && outcomes[i].state != ROW_DONE;
            todo_settle(s->todo, outcomes[i].item, waits, outcomes[i].not_before_ms);
        }
}

static uint64_t poll_timeout_ms(struct stage *s, bool has_more)
{
    uint64_t timeout_ms = s->world->awaits_commits ? VIRTUAL_POLL_MAX_MS : POLL_MAX_MS;
    bool is_full = s->transport->in_flight(s->transport) == s->p->fetch.n_in_flight;
    if (has_more && !is_full)
        return 0;
    if (!is_full && s->drain_ns == 0 && committer_room(s->committer) == ROOM_OK) {
        uint64_t next_ns = stage_next_start_ns(s);
        /* Rounded up: waking early would spin. */
        if (next_ns != UINT64_MAX)
            timeout_ms = u64_min(timeout_ms,
                                 next_ns <= s->now_ns ? 0 : (next_ns - s->now_ns) / NS_PER_MS + 1);
        int64_t due_ms = todo_next_due_ms(s->todo), now_ms = stage_wall_ms(s);
        if (due_ms != INT64_MAX && due_ms > now_ms)
            timeout_ms = u64_min(timeout_ms, (uint64_t)(due_ms - now_ms));
    }
    return timeout_ms;
}

static bool is_stop_requested(const struct stage *s)
{
    struct pollfd fd = {.fd = s->p->stop_fd, .events = POLLIN};
    return s->p->stop_fd >= 0 && poll(&fd, 1, 0) > 0;
}

/* Nothing left to do, or nothing that this run waits for. */
static bool is_finished(struct stage *s)
{
    if (s->transport->in_flight(s->transport) > 0)
        return false;
    if (s->drain_ns != 0)
        return true;
    /* Queued, and their hosts pause for long: another run's business. */
    size_t n_waiting = todo_queued(s->todo);
    if (s->resolver != NULL)
        n_waiting += resolver_open_rows(s->resolver);
    bool is_parked = s->p->once && todo_taken(s->todo) == n_waiting && n_waiting > 0 &&
                     stage_next_start_ns(s) > s->now_ns + PARKED_NS;
    if (is_parked)
        return true;
    if (todo_taken(s->todo) > 0 || (s->resolver != NULL && !resolver_is_idle(s->resolver)))
        return false;
    int64_t due_ms = todo_next_due_ms(s->todo);
    return (due_ms == INT64_MAX && !s->p->watch) || (s->p->once && due_ms > stage_wall_ms(s));
}

static void drain(struct stage *s)
{
    if (s->drain_ns == 0 && is_stop_requested(s)) {
        s->result->is_stopped = true;
        s->drain_ns = s->now_ns + DRAIN_NS;
        log_info("stopping", "in_flight=%zu", s->transport->in_flight(s->transport));
    }
    if (s->drain_ns != 0 && s->now_ns >= s->drain_ns)
        s->transport->cancel_all(s->transport);
}

/* Without this a run would wait for its last group to fill. */
static void hurry(struct stage *s, bool has_more)
{
    if (!has_more && s->transport->in_flight(s->transport) == 0 &&
        stage_next_start_ns(s) >= s->now_ns + COMMIT_GROUP_NS)
        committer_hurry(s->committer);
}

static void await_commit(const struct stage *s)
{
    struct pollfd fd = {.fd = committer_fd(s->committer), .events = POLLIN};
    (void)poll(&fd, 1, POLL_MAX_MS);
}

static bool loop(struct stage *s, struct err *e)
{
    const int wake_fds[] = {committer_fd(s->committer), s->p->stop_fd};
    for (;;) {
        bool has_more = false;
        s->now_ns = stage_now_ns(s);
        committer_fd_clear(s->committer);
        collect(s);
        drain(s);
        if (!committer_check(s->committer, e) || !stage_remember_hosts(s, e) ||
            (s->p->watch && !stage_watch(s, e)))
            return false;
        if (s->drain_ns == 0 && (!todo_refill(s->todo, stage_wall_ms(s), &has_more, e) ||
                                 !stage_start_queries(s, e) || !stage_start_some(s, e)))
            return false;
        if (is_finished(s) && !has_more)
            return true;
        hurry(s, has_more);
        if (s->world->awaits_commits && committer_pending(s->committer) > 0) {
            await_commit(s);
            continue;
        }
        stage_show_progress(s);
        size_t n_fds = s->p->stop_fd >= 0 && s->drain_ns == 0 ? 2 : 1;
        if (!s->transport->poll(s->transport, wake_fds, n_fds, poll_timeout_ms(s, has_more), e))
            return false;
    }
}

/* ---------------------------------------------------------------- life */

static bool open_parts(struct stage *s, struct spool *spool, struct err *e)
{
    struct session session;
    const struct stage_params *p = s->p;
    if (!session_read(s->catalog, s->now_ns, &session, e))
        return false;
    const struct hosts_params hosts = {
        .limits = p->limits,
        .seed = p->seed,
        .backoff_ms = p->backoff_ms,
        .backoff_max_ms = p->backoff_max_ms,
        .n_in_flight = p->fetch.n_in_flight,
        .hold = session.hold,
        .held_since_ns = session.held_since_ns,
    };
    uint8_t note[CATALOG_NOTE_BYTES_MAX];
    size_t n_note;
    if (!hosts_open(&hosts, &s->hosts, e) || !session_read_hosts(s->catalog, note, &n_note, e))
        return false;
    hosts_recall(s->hosts, (struct span){note, n_note}, s->now_ns, stage_wall_ms(s));
    struct standing before;
    if (!standing_read(s->catalog, &before, e) || !stage_count_left(s, e))
        return false;
    s->latency = before.latency;
    s->todo = todo_new(s->catalog, s->hosts, AHEAD_LEAST + 2 * p->fetch.n_in_flight,
                       p->n_sources > 0 ? RESOLVE_ROWS_MAX : 0);
    s->local = local_new(p->file_root, p->fetch.max_bytes);
    const struct committer_params committer = {
        .catalog = s->catalog,
        .spool = spool,
        .local = s->local,
        .dataset_dir = p->dataset_dir,
        .high_water_bytes = p->high_water_bytes,
        .disk_floor_bytes = p->disk_floor_bytes,
        .max_waiting_bytes = WAITING_BYTES_MAX,
        .max_outcomes = todo_items_max(s->todo),
        .group_ns = s->world->awaits_commits ? 0 : COMMIT_GROUP_NS,
    };
    struct fetch_hooks hooks = stage_hooks;
    hooks.arg = s;
    s->flights = mem_zalloc(p->fetch.n_in_flight, sizeof *s->flights);
    return stage_open_resolver(s, e) && committer_open(&committer, &s->committer, e) &&
           s->world->open_transport(s->world->arg, &p->fetch, &hooks, &s->transport, e);
}

/* Whatever ended the loop: what was fetched is committed, and the time of the last request kept. */
static bool close_parts(struct stage *s, bool ok, struct err *e)
{
    struct err later = {0};
    if (s->transport != NULL)
        s->transport->cancel_all(s->transport);
    if (s->committer != NULL && s->has_session)
        stage_tell_standing(s);
    bool committed = s->committer == NULL || committer_finish(s->committer, &later);
    if (s->committer != NULL)
        collect(s);
    if (committed && s->hosts != NULL)
        committed = stage_remember_hosts(s, &later);
    if (committed && s->has_session)
        committed = session_mark_closed(s->catalog, s->last_request_ns, &later);
    if (ok && !committed)
        *e = later;
    if (s->transport != NULL)
        s->transport->close(s->transport);
    committer_close(s->committer);
    local_free(s->local);
    resolver_free(s->resolver);
    todo_free(s->todo);
    hosts_close(s->hosts);
    mem_free(s->flights);
    return ok && committed;
}

bool stage_run(const struct stage_params *p, struct catalog *c, struct spool *spool,
               struct stage_result *out, struct err *e)
{
    *out = (struct stage_result){0};
    struct stage s = {.p = p, .result = out, .catalog = c};
    s.world = p->world != NULL ? p->world : &world_real;
    s.now_ns = stage_now_ns(&s);
    uint64_t started_ns = s.now_ns;
    stage_watch_begin(&s);
    progress_init(&s.progress, "fetch", "rows", 0);
    if (!spool_clean(spool, e) || !stage_import(&s, !p->watch, e) ||
        !committer_recover(c, spool, &out->n_recovered, e))
        return false;
    s.n_ended += out->n_recovered;
    if (out->n_recovered > 0)
        log_info("previews found in the spool", "n=%" PRIu64, out->n_recovered);
    bool ok = open_parts(&s, spool, e) && loop(&s, e);
    ok = close_parts(&s, ok, e);
    s.progress.done = s.n_ended;
    progress_finish(&s.progress, stage_now_ns(&s));
    out->seconds = (double)(stage_now_ns(&s) - started_ns) / (double)NS_PER_S;
    return ok;
}
