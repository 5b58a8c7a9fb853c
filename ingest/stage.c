/*
 * Who owns an item: `todo` while it is queued, a flight while a request for it is on the way, the
 * committer while its outcome is not durable. It passes from one to the next and is settled in the
 * end; then its row may be taken again.
 *
 * Permits: a flight holds one for each request that it sent, of the group of the row's link and,
 * after a redirect to another group, of that one too. They go back to the limiter when the answer
 * begins, or with a grace when there is none (limiter.h has the proof that this is enough).
 */
#include "ingest/stage.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/progress.h"
#include "ingest/committer.h"
#include "ingest/hosts.h"
#include "ingest/retry.h"
#include "ingest/row.h"
#include "ingest/session.h"
#include "ingest/sniff.h"
#include "ingest/todo.h"
#include "ingest/url.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum {
    AHEAD_LEAST = 32,
    COLLECT_MAX = 64,
    FAILURES_LOGGED = 20,
    POLL_MAX_MS = 250, /* so that the progress line lives */
    PAUSE_LOGGED_MS = 1000,
    BUSY_TRIES = 3,      /* answers 503 to one row that are still the host's fault */
    THROTTLE_TRIES = 20, /* answers 429 to one row, while others succeed */
};
#define WAITING_BYTES_MAX (UINT64_C(24) << 20)
#define DRAIN_NS (5 * NS_PER_S)
#define WATCH_NS (2 * NS_PER_S)
#define PARKED_NS (10 * NS_PER_S)

struct flight {
    struct todo_item *item; /* NULL: free */
    uint32_t n_permits;     /* sent and not answered */
    bool is_sent;
};

struct watched_file {
    int64_t size, mtime_s, mtime_ns;
};

struct stage {
    const struct stage_params *p;
    struct stage_result *result;
    struct catalog *catalog;
    struct hosts *hosts;
    struct todo *todo;
    struct committer *committer;
    struct fetcher *fetcher;
    struct flight *flights; /* p->fetch.n_in_flight */
    size_t next_group_i;    /* whose turn it is */
    uint64_t now_ns, last_request_ns, drain_ns, watch_ns;
    bool has_session;
    bool is_refill_due;
    uint64_t n_ended, n_rows;
    struct watched_file csv;
    struct progress progress;
    struct err error; /* of a hook */
};

static int64_t wall_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---------------------------------------------------------------- outcomes */

static void push_outcome(struct stage *s, struct todo_item *item, enum row_state state,
                         const char *cause, int64_t not_before_ms, struct buf *body)
{
    struct outcome o = {
        .item = item, .state = state, .attempts = item->attempts, .not_before_ms = not_before_ms};
    row_set_text(o.cause, sizeof o.cause, cause);
    if (body != NULL) {
        o.body = *body;
        *body = (struct buf){0};
    }
    committer_push(s->committer, &o);
}

static void end_item(struct stage *s, struct todo_item *item, enum row_state state,
                     const char *cause, const char *detail)
{
    if (++s->result->n_failed <= FAILURES_LOGGED)
        log_warn("row ends without a preview", "row=%" PRIu64 " id=\"%s\" state=%s cause=%s%s%s%s",
                 item->due.row, item->track_id, row_state_name(state), cause,
                 detail[0] != '\0' ? " why=\"" : "", detail, detail[0] != '\0' ? "\"" : "");
    push_outcome(s, item, state, cause, 0, NULL);
}

static void charge_item(struct stage *s, struct todo_item *item, const struct retry_verdict *v,
                        const char *cause, uint64_t least_ms, const char *detail)
{
    uint64_t budget =
        v->attempts_max == 0 ? s->p->attempts : u64_min(s->p->attempts, v->attempts_max);
    if (++item->attempts >= budget) {
        end_item(s, item, v->end, cause, detail);
        return;
    }
    uint64_t delay_ms = retry_delay_ms(s->p->seed, item->due.row, item->attempts, s->p->backoff_ms,
                                       s->p->backoff_max_ms);
    log_debug("row waits", "row=%" PRIu64 " cause=%s attempt=%u wait_ms=%" PRIu64 " why=\"%s\"",
              item->due.row, cause, item->attempts, u64_max(delay_ms, least_ms), detail);
    s->result->n_retries++;
    push_outcome(s, item, ROW_WAIT, cause, wall_ms() + (int64_t)u64_max(delay_ms, least_ms), NULL);
}

/* A throttle is the host's and never the row's, with one exception: when one link is refused time
 * and again while the host serves others, or says 503 for it again and again, it is that link. */
static bool is_row_to_blame(const struct todo_item *item, const struct host_group *g,
                            unsigned status)
{
    if (status == 503)
        return item->n_throttled > BUSY_TRIES;
    return item->n_throttled > THROTTLE_TRIES && g->n_answered > item->n_answered_before;
}

static void throttle(struct stage *s, struct todo_item *item, const struct retry_verdict *v,
                     unsigned status, uint64_t advice_ms)
{
    struct host_group *g = hosts_group(s->hosts, item->target_group_i);
    s->result->throttled++;
    committer_count(s->committer, 0, 1, 0);
    if (item->n_throttled++ == 0)
        item->n_answered_before = g->n_answered;
    bool was_paused = s->now_ns < g->paused_until_ns;
    uint64_t pause_ms = hosts_throttled(s->hosts, item->target_group_i, advice_ms, s->now_ns);
    if (!was_paused && pause_ms >= PAUSE_LOGGED_MS)
        log_info("host pauses", "host=%s status=%u seconds=%.1f", g->name, status,
                 (double)pause_ms / 1000);
    if (is_row_to_blame(item, g, status))
        charge_item(s, item, v, v->cause, advice_ms, "");
    else
        todo_untake(s->todo, item);
}

static void redirect(struct stage *s, struct todo_item *item, const char *target)
{
    char url[URL_BYTES_MAX], host[HOST_BYTES_MAX];
    if (item->n_redirects++ >= s->p->max_redirects) {
        end_item(s, item, ROW_DEAD, "redirects", target);
        return;
    }
    if (url_normalize(target, s->p->fetch.allow_http, url) != URL_OK) {
        end_item(s, item, ROW_DEAD, "redirect_refused", target);
        return;
    }
    url_host(url, host);
    mem_free(item->url);
    item->url = mem_strdup(url);
    item->target_group_i = hosts_find(s->hosts, host);
    todo_untake(s->todo, item);
}

static void apply_answer(struct stage *s, struct todo_item *item, struct fetch_answer *a)
{
    enum sniff_verdict sniff = a->status == 200 ? sniff_body(buf_span(&a->body)) : SNIFF_EMPTY;
    struct retry_verdict v = retry_classify(a->net, a->status, sniff);
    uint64_t advice_ms = 0;
    (void)retry_after_parse(a->retry_after, a->date, wall_ms() / 1000, &advice_ms);
    committer_count(s->committer, 0, 0, a->n_bytes);
    s->result->bytes += a->n_bytes;
    if (a->net == NET_OK && v.action != RETRY_THROTTLED)
        hosts_answered(s->hosts, item->target_group_i);
    if (a->redirect[0] != '\0') {
        redirect(s, item, a->redirect);
        return;
    }
    switch (v.action) {
    case RETRY_DONE:
        item->attempts++;
        s->result->n_fetched++;
        push_outcome(s, item, ROW_DONE, "", 0, &a->body);
        break;
    case RETRY_THROTTLED:
        throttle(s, item, &v, a->status, advice_ms);
        break;
    case RETRY_UNREACHABLE:
        hosts_unreachable(s->hosts, item->target_group_i, s->now_ns);
        charge_item(s, item, &v, v.cause, 0, a->detail);
        break;
    case RETRY_AGAIN:
        charge_item(s, item, &v, v.cause, advice_ms, a->detail);
        break;
    case RETRY_NEVER:
        item->attempts++;
        end_item(s, item, v.end, v.cause, a->detail);
        break;
    case RETRY_WITHDRAWN:
        todo_untake(s->todo, item);
        break;
    }
}

/* ---------------------------------------------------------------- permits and hooks */

static bool take_permits(struct stage *s, const struct todo_item *item)
{
    if (!hosts_start(s->hosts, item->group_i, s->now_ns))
        return false;
    if (item->target_group_i == item->group_i ||
        hosts_start(s->hosts, item->target_group_i, s->now_ns))
        return true;
    limiter_cancel(&hosts_group(s->hosts, item->group_i)->limiter);
    return false;
}

static void return_permits(struct stage *s, struct flight *f,
                           void (*give_back)(struct limiter *, uint64_t))
{
    uint64_t now_ns = clock_now_ns();
    const struct todo_item *item = f->item;
    for (; f->n_permits > 0; f->n_permits--) {
        give_back(&hosts_group(s->hosts, item->group_i)->limiter, now_ns);
        if (item->target_group_i != item->group_i)
            give_back(&hosts_group(s->hosts, item->target_group_i)->limiter, now_ns);
    }
    s->last_request_ns = now_ns;
}

static void cancel_permit(struct limiter *l, uint64_t now_ns)
{
    (void)now_ns;
    limiter_cancel(l);
}

static void count_in_flight(struct stage *s, const struct todo_item *item, int change)
{
    hosts_group(s->hosts, item->group_i)->n_in_flight += (size_t)change;
    if (item->target_group_i != item->group_i)
        hosts_group(s->hosts, item->target_group_i)->n_in_flight += (size_t)change;
}

static bool on_send(void *arg, void *exchange)
{
    struct stage *s = arg;
    struct flight *f = exchange;
    if (f->is_sent) { /* sent again on a new connection: that is another request */
        s->now_ns = clock_now_ns();
        if (!take_permits(s, f->item))
            return false;
        f->n_permits++;
    }
    f->is_sent = true;
    s->result->requests++;
    committer_count(s->committer, 1, 0, 0);
    return true;
}

static void on_answer(void *arg, void *exchange)
{
    return_permits(arg, exchange, limiter_finish);
}

static void on_done(void *arg, void *exchange, struct fetch_answer *answer)
{
    struct stage *s = arg;
    struct flight *f = exchange;
    struct todo_item *item = f->item;
    s->now_ns = clock_now_ns();
    count_in_flight(s, item, -1);
    return_permits(s, f, f->is_sent ? limiter_abandon : cancel_permit);
    *f = (struct flight){0};
    apply_answer(s, item, answer);
}

/* ---------------------------------------------------------------- starting */

static bool start_item(struct stage *s, size_t group_i, struct err *e)
{
    struct flight *f = s->flights;
    if (!s->has_session && !session_mark_open(s->catalog, e))
        return false;
    s->has_session = true;
    while (f->item != NULL)
        f++;
    f->item = todo_take(s->todo, group_i);
    f->n_permits = 1;
    count_in_flight(s, f->item, 1);
    return fetcher_start(s->fetcher, f->item->url, f, e);
}

static bool may_start(struct stage *s)
{
    return s->drain_ns == 0 && fetcher_in_flight(s->fetcher) < s->p->fetch.n_in_flight &&
           todo_queued(s->todo) > 0 && committer_room(s->committer) == ROOM_OK;
}

/* Groups take turns, one request each, until none can start. */
static bool start_some(struct stage *s, struct err *e)
{
    size_t n_groups = hosts_count(s->hosts), n_idle = 0;
    while (n_idle < n_groups && may_start(s)) {
        size_t group_i = s->next_group_i = (s->next_group_i + 1) % n_groups;
        struct todo_item *item = todo_peek(s->todo, group_i);
        n_idle++;
        if (item == NULL || !take_permits(s, item))
            continue;
        n_idle = 0;
        if (!start_item(s, group_i, e))
            return false;
    }
    return true;
}

static uint64_t next_start_ns(struct stage *s)
{
    uint64_t next_ns = UINT64_MAX;
    for (size_t i = 0; i < hosts_count(s->hosts); i++) {
        const struct todo_item *item = todo_peek(s->todo, i);
        if (item == NULL)
            continue;
        uint64_t group_ns = hosts_next_ns(s->hosts, i, s->now_ns);
        if (item->target_group_i != i)
            group_ns = u64_max(group_ns, hosts_next_ns(s->hosts, item->target_group_i, s->now_ns));
        next_ns = u64_min(next_ns, group_ns);
    }
    return next_ns;
}

/* ---------------------------------------------------------------- the loop */

static void collect(struct stage *s)
{
    struct outcome outcomes[COLLECT_MAX];
    size_t n;
    while ((n = committer_collect(s->committer, outcomes, COLLECT_MAX)) > 0)
        for (size_t i = 0; i < n; i++) {
            bool waits = outcomes[i].state == ROW_WAIT;
            s->n_ended += !waits;
            todo_settle(s->todo, outcomes[i].item, waits, outcomes[i].not_before_ms);
        }
}

static struct watched_file look_at_file(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return (struct watched_file){.size = -1};
    return (struct watched_file){st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec};
}

static bool is_same_file(struct watched_file a, struct watched_file b)
{
    return a.size == b.size && a.mtime_s == b.mtime_s && a.mtime_ns == b.mtime_ns;
}

/* `is_settled`: the file did not change between two looks, so its last line is whole. */
static bool import(struct stage *s, bool is_settled, struct err *e)
{
    const struct plan_params p = {.csv_path = s->p->csv_path,
                                  .allow_http = s->p->fetch.allow_http,
                                  .leave_open_tail = !is_settled};
    struct catalog_totals totals;
    struct plan_result r;
    if (!plan_import(s->catalog, &p, &r, e) || !catalog_totals(s->catalog, &totals, e))
        return false;
    s->result->plan.unchanged = r.unchanged;
    s->result->plan.n_records = r.unchanged ? s->result->plan.n_records : r.n_records;
    s->result->plan.n_new += r.n_new;
    s->result->plan.n_changed += r.n_changed;
    s->result->plan.n_bad += r.n_bad;
    s->result->plan.n_duplicate += r.n_duplicate;
    s->result->plan.n_no_link += r.n_no_link;
    s->n_rows = totals.rows;
    s->n_ended = 0;
    for (size_t i = 0; i < ROW_STATES; i++)
        s->n_ended += row_state_is_final((enum row_state)i) ? totals.states[i] : 0;
    s->progress.total = s->n_rows;
    if (!r.unchanged)
        log_info("catalogue read",
                 "csv=\"%s\" records=%" PRIu64 " new=%" PRIu64 " changed=%" PRIu64 " bad=%" PRIu64
                 " duplicate=%" PRIu64 " no_link=%" PRIu64,
                 s->p->csv_path, r.n_records, r.n_new, r.n_changed, r.n_bad, r.n_duplicate,
                 r.n_no_link);
    return true;
}

static bool watch_csv(struct stage *s, struct err *e)
{
    struct err unreadable = {0};
    if (s->now_ns < s->watch_ns)
        return true;
    s->watch_ns = s->now_ns + WATCH_NS;
    struct watched_file seen = look_at_file(s->p->csv_path);
    bool is_settled = is_same_file(seen, s->csv);
    s->csv = seen;
    if (seen.size < 0)
        return true; /* being replaced: it comes back */
    if (!import(s, is_settled, &unreadable)) {
        if (unreadable.kind == ERR_FATAL) {
            *e = unreadable;
            return false;
        }
        log_warn("the CSV cannot be used now", "why=\"%s\"", unreadable.msg);
        return true;
    }
    if (!s->result->plan.unchanged)
        todo_rewind(s->todo);
    return true;
}

static const char *room_name(enum committer_room room)
{
    switch (room) {
    case ROOM_SPOOL_FULL:
        return " paused=spool_full";
    case ROOM_DISK_LOW:
        return " paused=disk_low";
    default:
        return "";
    }
}

static uint64_t poll_timeout_ms(struct stage *s, bool has_more)
{
    uint64_t timeout_ms = POLL_MAX_MS;
    bool is_full = fetcher_in_flight(s->fetcher) == s->p->fetch.n_in_flight;
    if (has_more && !is_full)
        return 0;
    if (!is_full && s->drain_ns == 0 && committer_room(s->committer) == ROOM_OK) {
        uint64_t next_ns = next_start_ns(s);
        /* Rounded up: waking early would spin. */
        if (next_ns != UINT64_MAX)
            timeout_ms = u64_min(timeout_ms,
                                 next_ns <= s->now_ns ? 0 : (next_ns - s->now_ns) / NS_PER_MS + 1);
        int64_t due_ms = todo_next_due_ms(s->todo), now_ms = wall_ms();
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
    if (fetcher_in_flight(s->fetcher) > 0)
        return false;
    if (s->drain_ns != 0)
        return true;
    /* Queued, and their hosts pause for long: another run's business. */
    bool is_parked = s->p->once && todo_taken(s->todo) == todo_queued(s->todo) &&
                     todo_queued(s->todo) > 0 && next_start_ns(s) > s->now_ns + PARKED_NS;
    if (is_parked)
        return true;
    if (todo_taken(s->todo) > 0)
        return false;
    int64_t due_ms = todo_next_due_ms(s->todo);
    return (due_ms == INT64_MAX && !s->p->watch) || (s->p->once && due_ms > wall_ms());
}

static void drain(struct stage *s)
{
    if (s->drain_ns == 0 && is_stop_requested(s)) {
        s->result->is_stopped = true;
        s->drain_ns = s->now_ns + DRAIN_NS;
        log_info("stopping", "in_flight=%zu", fetcher_in_flight(s->fetcher));
    }
    if (s->drain_ns != 0 && s->now_ns >= s->drain_ns)
        fetcher_cancel_all(s->fetcher);
}

static bool loop(struct stage *s, struct err *e)
{
    const int wake_fds[] = {committer_fd(s->committer), s->p->stop_fd};
    for (;;) {
        bool has_more = false;
        s->now_ns = clock_now_ns();
        committer_fd_clear(s->committer);
        collect(s);
        drain(s);
        if (!committer_check(s->committer, e) || (s->p->watch && !watch_csv(s, e)))
            return false;
        if (s->drain_ns == 0 &&
            (!todo_refill(s->todo, wall_ms(), &has_more, e) || !start_some(s, e)))
            return false;
        if (is_finished(s) && !has_more)
            return true;
        progress_update(&s->progress, s->now_ns, s->n_ended,
                        "requests=%" PRIu64 " throttled=%" PRIu64 " in_flight=%zu failed=%" PRIu64
                        "%s",
                        s->result->requests, s->result->throttled, fetcher_in_flight(s->fetcher),
                        s->result->n_failed, room_name(committer_room(s->committer)));
        size_t n_fds = s->p->stop_fd >= 0 && s->drain_ns == 0 ? 2 : 1;
        if (!fetcher_poll(s->fetcher, wake_fds, n_fds, poll_timeout_ms(s, has_more), e))
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
        .hold = session.hold,
        .held_since_ns = session.held_since_ns,
    };
    if (!hosts_open(&hosts, &s->hosts, e))
        return false;
    s->todo = todo_new(s->catalog, s->hosts, AHEAD_LEAST + 2 * p->fetch.n_in_flight);
    const struct committer_params committer = {
        .catalog = s->catalog,
        .spool = spool,
        .dataset_dir = p->dataset_dir,
        .high_water_bytes = p->high_water_bytes,
        .disk_floor_bytes = p->disk_floor_bytes,
        .max_waiting_bytes = WAITING_BYTES_MAX,
        .max_outcomes = todo_items_max(s->todo),
    };
    const struct fetch_hooks hooks = {
        .arg = s, .on_send = on_send, .on_answer = on_answer, .on_done = on_done};
    s->flights = mem_zalloc(p->fetch.n_in_flight, sizeof *s->flights);
    return committer_open(&committer, &s->committer, e) &&
           fetcher_open(&p->fetch, &hooks, &s->fetcher, e);
}

/* Whatever ended the loop: what was fetched is committed, and the time of the last request kept. */
static bool close_parts(struct stage *s, bool ok, struct err *e)
{
    struct err later = {0};
    if (s->fetcher != NULL)
        fetcher_cancel_all(s->fetcher);
    bool committed = s->committer == NULL || committer_finish(s->committer, &later);
    if (s->committer != NULL)
        collect(s);
    if (committed && s->has_session)
        committed = session_mark_closed(s->catalog, s->last_request_ns, &later);
    if (ok && !committed)
        *e = later;
    fetcher_close(s->fetcher);
    committer_close(s->committer);
    todo_free(s->todo);
    hosts_close(s->hosts);
    mem_free(s->flights);
    return ok && committed;
}

bool stage_run(const struct stage_params *p, struct catalog *c, struct spool *spool,
               struct stage_result *out, struct err *e)
{
    *out = (struct stage_result){0};
    struct stage s = {.p = p, .result = out, .catalog = c, .now_ns = clock_now_ns()};
    uint64_t started_ns = s.now_ns;
    s.csv = look_at_file(p->csv_path);
    s.watch_ns = s.now_ns + WATCH_NS;
    progress_init(&s.progress, "fetch", "rows", 0);
    if (!spool_clean(spool, e) || !import(&s, !p->watch, e) ||
        !committer_recover(c, spool, &out->n_recovered, e))
        return false;
    s.n_ended += out->n_recovered;
    if (out->n_recovered > 0)
        log_info("previews found in the spool", "n=%" PRIu64, out->n_recovered);
    bool ok = open_parts(&s, spool, e) && loop(&s, e);
    ok = close_parts(&s, ok, e);
    s.progress.done = s.n_ended;
    progress_finish(&s.progress, clock_now_ns());
    out->seconds = (double)(clock_now_ns() - started_ns) / (double)NS_PER_S;
    return ok;
}
