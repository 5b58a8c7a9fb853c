#include "base/log.h"
#include "base/mem.h"
#include "ingest/retry.h"
#include "ingest/row.h"
#include "ingest/spare.h"
#include "ingest/stage_inside.h"
#include "ingest/title.h"
#include "ingest/url.h"

#include <inttypes.h>
#include <string.h>

enum {
    FAILURES_LOGGED = 20,
    BUSY_TRIES = 3,      /* answers 503 to one row that are still the host's fault */
    THROTTLE_TRIES = 20, /* answers 429 to one row, while others succeed */
};

void stage_push_outcome(struct stage *s, struct todo_item *item, enum row_state state,
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

/* Another link may be better than this one: a source that gave it is not asked again. */
static bool resolve_instead(struct stage *s, struct todo_item *item, const char *cause)
{
    if (s->resolver == NULL || item->name[0] == '\0' || item->artist[0] == '\0')
        return false;
    if (item->source != SOURCE_NONE)
        item->sources_tried |= (uint8_t)(1U << item->source);
    uint8_t sources = stage_source_bits(s);
    if ((item->sources_tried & sources) == sources)
        return false;
    item->attempts = 0;
    item->artist_key = title_artist_key(item->artist);
    stage_push_outcome(s, item, ROW_NEED, cause, 0, NULL);
    return true;
}

/* The CSV may hold another link for the same song. */
static bool fetch_spare(struct stage *s, struct todo_item *item)
{
    bool is_counted = item->source == SOURCE_NONE;
    if (!spare_take(s->catalog, item))
        return false;
    s->n_left[item->group_i] -= is_counted && s->n_left[item->group_i] > 0;
    stage_push_outcome(s, item, ROW_RESOLVED, "", 0, NULL);
    return true;
}

static void end_item(struct stage *s, struct todo_item *item, enum row_state state,
                     const char *cause, const char *detail)
{
    if (fetch_spare(s, item) || resolve_instead(s, item, cause))
        return;
    if (++s->result->n_failed <= FAILURES_LOGGED)
        log_warn("row ends without a preview", "row=%" PRIu64 " id=\"%s\" state=%s cause=%s%s%s%s",
                 item->due.row, item->track_id, row_state_name(state), cause,
                 detail[0] != '\0' ? " why=\"" : "", detail, detail[0] != '\0' ? "\"" : "");
    stage_push_outcome(s, item, state, cause, 0, NULL);
}

void stage_drop_expired(struct stage *s, struct todo_item *item)
{
    bool is_sourced = s->resolver != NULL && item->source != SOURCE_NONE;
    if (is_sourced && ++item->attempts < s->p->attempts)
        stage_push_outcome(s, item, ROW_NEED, "expired", 0, NULL); /* its source has a fresh one */
    else
        end_item(s, item, ROW_GONE, "expired", "");
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
    least_ms = u64_max(least_ms, hosts_retry_wait_ms(s->hosts, item->target_group_i, s->now_ns));
    log_debug("row waits", "row=%" PRIu64 " cause=%s attempt=%u wait_ms=%" PRIu64 " why=\"%s\"",
              item->due.row, cause, item->attempts, u64_max(delay_ms, least_ms), detail);
    s->result->n_retries++;
    stage_push_outcome(s, item, ROW_WAIT, cause,
                       stage_wall_ms(s) + (int64_t)u64_max(delay_ms, least_ms), NULL);
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
    const struct host_group *g = hosts_group(s->hosts, item->target_group_i);
    if (item->n_throttled++ == 0)
        item->n_answered_before = g->n_answered;
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

void stage_take_file(struct stage *s, struct todo_item *item)
{
    struct outcome o = {
        .item = item, .state = ROW_DONE, .attempts = ++item->attempts, .is_local = true};
    committer_push(s->committer, &o);
}

/* Of a link that a source gave: it will not come back to life, and there may be another. */
static bool is_dead_link(const struct fetch_answer *a)
{
    return a->net == NET_OK &&
           (a->status == 401 || a->status == 403 || a->status == 404 || a->status == 410);
}

void stage_apply_answer(struct stage *s, struct todo_item *item, struct fetch_answer *a,
                        enum sniff_verdict sniff)
{
    struct retry_verdict v = retry_classify(a->net, a->status, sniff);
    uint64_t advice_ms = stage_tell_host(s, item->target_group_i, a, v.action, 0);
    if (sniff == SNIFF_HTML || sniff == SNIFF_JSON || sniff == SNIFF_XML)
        stage_tell_odd_body(s, item->target_group_i);
    committer_count(s->committer, 0, 0, a->n_bytes);
    s->result->bytes += a->n_bytes;
    if (a->redirect[0] != '\0') {
        redirect(s, item, a->redirect);
        return;
    }
    if (item->source != SOURCE_NONE && is_dead_link(a)) {
        if (item->expires_s != 0 && stage_link_clock_s(s) >= item->expires_s)
            stage_drop_expired(s, item);
        else
            end_item(s, item, ROW_GONE, v.cause, a->detail);
        return;
    }
    switch (v.action) {
    case RETRY_DONE:
        item->attempts++;
        s->result->n_fetched++;
        stage_push_outcome(s, item, ROW_DONE, "", 0, &a->body);
        break;
    case RETRY_THROTTLED:
        throttle(s, item, &v, a->status, advice_ms);
        break;
    case RETRY_UNREACHABLE:
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
