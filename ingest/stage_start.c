#include "ingest/session.h"
#include "ingest/stage_inside.h"

/* A signed link is not asked for when it has less to live than a slow request may take to arrive.
 */
enum { EXPIRY_MARGIN_S = 5 };

/* ---------------------------------------------------------------- permits and hooks */

static bool take_permits(struct stage *s, size_t group_i, size_t target_group_i)
{
    bool has_two = target_group_i != group_i;
    if (has_two && hosts_next_ns(s->hosts, target_group_i, s->now_ns) > s->now_ns)
        return false;
    return hosts_start(s->hosts, group_i, s->now_ns) &&
           (!has_two || hosts_start(s->hosts, target_group_i, s->now_ns));
}

static void return_permits(struct stage *s, struct flight *f,
                           void (*give_back)(struct limiter *, uint64_t))
{
    uint64_t now_ns = stage_now_ns(s);
    for (; f->n_permits > 0; f->n_permits--) {
        give_back(&hosts_group(s->hosts, f->group_i)->limiter, now_ns);
        if (f->target_group_i != f->group_i)
            give_back(&hosts_group(s->hosts, f->target_group_i)->limiter, now_ns);
    }
    s->last_request_ns = now_ns;
}

static void cancel_permit(struct limiter *l, uint64_t now_ns)
{
    (void)now_ns;
    limiter_cancel(l);
}

static void count_in_flight(struct stage *s, const struct flight *f, int change)
{
    hosts_group(s->hosts, f->group_i)->n_in_flight += (size_t)change;
    if (f->target_group_i != f->group_i)
        hosts_group(s->hosts, f->target_group_i)->n_in_flight += (size_t)change;
}

static bool on_send(void *arg, void *exchange)
{
    struct stage *s = arg;
    struct flight *f = exchange;
    if (f->is_sent) { /* sent again on a new connection: that is another request */
        s->now_ns = stage_now_ns(s);
        if (!take_permits(s, f->group_i, f->target_group_i))
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

static bool on_body(void *arg, void *exchange, struct span body)
{
    struct flight *f = exchange;
    (void)arg;
    if (f->job != NULL)
        return body.len <= SOURCE_BODY_BYTES_MAX;
    return verify_more(&f->verify, body);
}

/* A song that is shorter than a preview is all of it. */
static enum sniff_verdict judge(const struct stage *s, struct flight *f,
                                const struct fetch_answer *a)
{
    struct verify_facts facts = {.has_length = a->has_length, .expected_ms = s->p->preview_ms};
    if (f->item->duration_ms > 0)
        facts.expected_ms = u64_min(facts.expected_ms, f->item->duration_ms);
    return a->net == NET_OK && a->status == 200 ? verify_end(&f->verify, buf_span(&a->body), &facts)
                                                : SNIFF_EMPTY;
}

static void on_done(void *arg, void *exchange, struct fetch_answer *answer)
{
    struct stage *s = arg;
    struct flight *f = exchange;
    struct todo_item *item = f->item;
    struct resolve_job *job = f->job;
    s->now_ns = stage_now_ns(s);
    count_in_flight(s, f, -1);
    return_permits(s, f, f->is_sent ? limiter_abandon : cancel_permit);
    enum sniff_verdict sniff = item != NULL ? judge(s, f, answer) : SNIFF_EMPTY;
    if (answer->net == NET_OK) {
        latency_add(&s->latency, (s->now_ns - f->started_ns) / 1000);
        latency_add(&s->result->latency, (s->now_ns - f->started_ns) / 1000);
    }
    *f = (struct flight){0};
    if (item != NULL)
        stage_apply_answer(s, item, answer, sniff);
    else
        stage_apply_page(s, job, answer);
}

const struct fetch_hooks stage_hooks = {
    .on_send = on_send, .on_answer = on_answer, .on_body = on_body, .on_done = on_done};

/* ---------------------------------------------------------------- starting */

bool stage_send(struct stage *s, const struct flight *what, const char *url, struct err *e)
{
    struct flight *f = s->flights;
    if (!s->has_session && !session_mark_open(s->catalog, e))
        return false;
    s->has_session = true;
    while (f->item != NULL || f->job != NULL)
        f++;
    *f = *what;
    f->n_permits = 1;
    f->started_ns = stage_now_ns(s);
    count_in_flight(s, f, 1);
    return s->transport->start(s->transport, url, f, e);
}

static bool start_item(struct stage *s, size_t group_i, struct err *e)
{
    struct todo_item *item = todo_take(s->todo, group_i);
    const struct flight what = {
        .item = item, .group_i = item->group_i, .target_group_i = item->target_group_i};
    return stage_send(s, &what, item->url, e);
}

bool stage_may_send(struct stage *s)
{
    return s->drain_ns == 0 && s->transport->in_flight(s->transport) < s->p->fetch.n_in_flight &&
           committer_room(s->committer) == ROOM_OK;
}

/* Items that need no request: true when this was one, and it is gone from its queue. */
static bool settle_without_request(struct stage *s, const struct todo_item *item, size_t group_i)
{
    if (local_is_link(item->url)) {
        stage_take_file(s, todo_take(s->todo, group_i));
        return true;
    }
    if (item->expires_s == 0 || stage_link_clock_s(s) < item->expires_s - EXPIRY_MARGIN_S)
        return false;
    stage_drop_expired(s, todo_take(s->todo, group_i));
    return true;
}

bool stage_start_some(struct stage *s, struct err *e)
{
    size_t n_groups = hosts_count(s->hosts), n_idle = 0;
    while (n_idle < n_groups && todo_queued(s->todo) > 0 && stage_may_send(s)) {
        size_t group_i = s->next_group_i = (s->next_group_i + 1) % n_groups;
        struct todo_item *item = todo_peek(s->todo, group_i);
        n_idle++;
        if (item == NULL)
            continue;
        bool is_settled = settle_without_request(s, item, group_i);
        if (!is_settled && !take_permits(s, item->group_i, item->target_group_i))
            continue;
        n_idle = 0;
        if (!is_settled && !start_item(s, group_i, e))
            return false;
    }
    return true;
}

uint64_t stage_next_start_ns(struct stage *s)
{
    uint64_t next_ns = stage_next_query_ns(s);
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
