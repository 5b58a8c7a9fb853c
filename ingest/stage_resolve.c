#include "base/log.h"
#include "ingest/again.h"
#include "ingest/stage_inside.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void on_resolved(void *arg, struct todo_item *item, enum row_state state, const char *cause)
{
    struct stage *s = arg;
    s->result->n_resolved += state == ROW_RESOLVED;
    s->result->n_failed += state != ROW_RESOLVED;
    log_debug("row is resolved", "row=%" PRIu64 " state=%s cause=%s score=%u", item->due.row,
              row_state_name(state), cause, item->match_permille);
    stage_push_outcome(s, item, state, cause, 0, NULL);
}

bool stage_open_resolver(struct stage *s, struct err *e)
{
    const struct stage_params *p = s->p;
    if (p->n_sources == 0)
        return true;
    struct resolver_params params = {
        .catalog = s->catalog,
        .todo = s->todo,
        .n_sources = p->n_sources,
        .country = p->country,
        .pages_max = (uint32_t)p->resolve_pages,
        .tries_max = (uint32_t)p->attempts,
        .allow_http = p->fetch.allow_http,
        .seed = p->seed,
        .backoff_ms = p->backoff_ms,
        .backoff_max_ms = p->backoff_max_ms,
        .on_resolved = on_resolved,
        .arg = s,
    };
    for (size_t i = 0; i < p->n_sources; i++) {
        enum source_id id = p->sources[i];
        char url[URL_BYTES_MAX], host[HOST_BYTES_MAX];
        size_t len = strlen(p->source_bases[id]);
        if (url_normalize(p->source_bases[id], p->fetch.allow_http, url) != URL_OK ||
            len > SOURCE_BASE_BYTES_MAX || p->source_bases[id][len - 1] == '/')
            return err_set(
                e, ERR_USAGE,
                "resolve.%s_url is '%s', want https://HOST of at most %d bytes without a "
                "slash at its end",
                source_get(id)->name, p->source_bases[id], SOURCE_BASE_BYTES_MAX);
        url_host(url, host);
        params.sources[i] = id;
        params.bases[id] = p->source_bases[id];
        s->source_groups[id] = hosts_find(s->hosts, host);
    }
    s->resolver = resolver_new(&params);
    return stage_count_artists(s, e);
}

struct artists {
    uint64_t n, last_key;
};

static bool count_artist(void *arg, const struct catalog_row *row)
{
    struct artists *a = arg;
    a->n += a->n == 0 || row->artist_key != a->last_key;
    a->last_key = row->artist_key;
    return true;
}

bool stage_count_artists(struct stage *s, struct err *e)
{
    struct artists a = {0};
    if (s->resolver == NULL)
        return true;
    if (!catalog_each_need(s->catalog, (struct catalog_need){0}, count_artist, &a, e))
        return false;
    s->n_left[s->source_groups[s->p->sources[0]]] += a.n;
    return true;
}

uint8_t stage_source_bits(const struct stage *s)
{
    uint8_t bits = 0;
    for (size_t i = 0; i < s->p->n_sources; i++)
        bits |= (uint8_t)(1U << s->p->sources[i]);
    return bits;
}

bool stage_find_needs(struct stage *s, struct err *e)
{
    uint8_t sources = stage_source_bits(s);
    struct catalog_totals t;
    uint64_t n = 0;
    if (!catalog_totals(s->catalog, &t, e))
        return false;
    bool may_change = sources == 0
                          ? t.states[ROW_NEED] > 0
                          : t.states[ROW_NO_MATCH] + t.states[ROW_GONE] + t.states[ROW_DEAD] > 0;
    if (may_change && !again_by_source(s->catalog, sources, &n, e))
        return false;
    if (n > 0 && sources != 0)
        log_info("rows need a link", "n=%" PRIu64, n);
    if (s->resolver != NULL)
        resolver_rewind(s->resolver);
    return true;
}

/* ---------------------------------------------------------------- asking */

static bool start_query(struct stage *s, struct resolve_job *job, size_t group_i, struct err *e)
{
    char url[URL_BYTES_MAX];
    const struct flight what = {.job = job, .group_i = group_i, .target_group_i = group_i};
    resolver_request(s->resolver, job, url);
    s->result->n_queries++;
    return stage_send(s, &what, url, e);
}

bool stage_start_queries(struct stage *s, struct err *e)
{
    if (s->resolver == NULL)
        return true;
    if (!resolver_refill(s->resolver, e))
        return false;
    for (size_t i = 0; i < s->p->n_sources; i++) {
        enum source_id id = s->p->sources[i];
        size_t group_i = s->source_groups[id];
        struct resolve_job *job;
        while (stage_may_send(s) && (job = resolver_ready(s->resolver, id, s->now_ns)) != NULL &&
               hosts_start(s->hosts, group_i, s->now_ns))
            if (!start_query(s, job, group_i, e))
                return false;
    }
    return true;
}

uint64_t stage_next_query_ns(struct stage *s)
{
    uint64_t next_ns = UINT64_MAX;
    for (size_t i = 0; s->resolver != NULL && i < s->p->n_sources; i++) {
        enum source_id id = s->p->sources[i];
        uint64_t job_ns = resolver_next_ns(s->resolver, id);
        if (job_ns != UINT64_MAX)
            next_ns = u64_min(
                next_ns, u64_max(job_ns, hosts_next_ns(s->hosts, s->source_groups[id], s->now_ns)));
    }
    return next_ns;
}

/* ---------------------------------------------------------------- answers */

static void fail_query(struct stage *s, struct resolve_job *job, const char *what)
{
    char cause[CATALOG_CAUSE_BYTES];
    snprintf(cause, sizeof cause, "source_%.24s", what);
    resolver_failed(s->resolver, job, cause, s->now_ns);
}

/* No answer: the row's table says what that means for the host. */
static void apply_silence(struct stage *s, struct resolve_job *job, size_t group_i,
                          const struct fetch_answer *a)
{
    struct retry_verdict v = retry_classify(a->net, 0, SNIFF_EMPTY);
    (void)stage_tell_host(s, group_i, a, v.action, 0);
    if (v.action == RETRY_WITHDRAWN)
        resolver_unsent(s->resolver, job);
    else
        fail_query(s, job, v.cause);
}

void stage_apply_page(struct stage *s, struct resolve_job *job, const struct fetch_answer *a)
{
    enum source_id id = resolve_job_source(job, s->resolver);
    const struct source *source = source_get(id);
    size_t group_i = s->source_groups[id];
    struct source_page page;
    committer_count(s->committer, 0, 0, a->n_bytes);
    s->result->bytes += a->n_bytes;
    if (a->net != NET_OK) {
        apply_silence(s, job, group_i, a);
        return;
    }
    int64_t server_s;
    if (ratelimit_server_s(&a->limits, &server_s))
        s->skew_s = server_s - stage_wall_ms(s) / 1000;
    enum source_verdict verdict = source_read(source, a->status, buf_span(&a->body), &page);
    if (verdict == SOURCE_THROTTLED) {
        (void)stage_tell_host(s, group_i, a, RETRY_THROTTLED, source->least_pause_ms);
        resolver_unsent(s->resolver, job);
    } else if (verdict == SOURCE_REFUSED) {
        log_warn("a source is not asked any more", "source=%s why=\"%s\"", source->name, page.why);
        (void)stage_tell_host(s, group_i, a, RETRY_NEVER, 0);
        resolver_unsent(s->resolver, job);
        resolver_give_up_source(s->resolver, id);
    } else if (verdict == SOURCE_BROKEN) {
        (void)stage_tell_host(s, group_i, a, RETRY_AGAIN, 0);
        if (a->status < 500)
            stage_tell_odd_body(s, group_i);
        char status[16];
        snprintf(status, sizeof status, "http_%u", a->status);
        fail_query(s, job, a->status == 200 ? "broken" : status);
    } else {
        (void)stage_tell_host(s, group_i, a, RETRY_DONE, 0);
        s->n_left[group_i] -= s->n_left[group_i] > 0;
        resolver_take_page(s->resolver, job, &page);
    }
    source_page_release(&page);
}
