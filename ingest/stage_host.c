#include "base/log.h"
#include "ingest/session.h"
#include "ingest/stage_inside.h"

enum { PAUSE_LOGGED_MS = 1000 };

static void log_pause(const struct host_group *g, const char *why, unsigned status,
                      uint64_t pause_ms)
{
    if (pause_ms >= PAUSE_LOGGED_MS)
        log_info("host pauses", "host=%s why=%s status=%u seconds=%.1f level=%u of=%u", g->name,
                 why, status, (double)pause_ms / 1000, g->pace.level, g->pace.max);
}

static void tell_throttled(struct stage *s, size_t group_i, unsigned status, uint64_t advice_ms,
                           uint64_t least_ms)
{
    struct host_group *g = hosts_group(s->hosts, group_i);
    bool was_paused = s->now_ns < g->paused_until_ns;
    s->result->throttled++;
    committer_count(s->committer, 0, 1, 0);
    uint64_t pause_ms = hosts_throttled(s->hosts, group_i, advice_ms, least_ms, s->now_ns);
    if (!was_paused)
        log_pause(g, "throttled", status, pause_ms);
}

static bool is_hosts_failure(const struct fetch_answer *a)
{
    return a->net != NET_OK || a->status >= 500;
}

uint64_t stage_tell_host(struct stage *s, size_t group_i, const struct fetch_answer *a,
                         enum retry_action action, uint64_t least_pause_ms)
{
    struct host_group *g = hosts_group(s->hosts, group_i);
    struct ratelimit said;
    ratelimit_read(&a->limits, stage_wall_ms(s) / 1000, &said);
    if (a->net == NET_OK)
        hosts_published(s->hosts, group_i, &said, s->now_ns);
    if (action == RETRY_THROTTLED)
        tell_throttled(s, group_i, a->status, said.retry_after_ms, least_pause_ms);
    else if (action == RETRY_UNREACHABLE)
        log_pause(g, "unreachable", 0, hosts_unreachable(s->hosts, group_i, s->now_ns));
    else if (action == RETRY_AGAIN && is_hosts_failure(a))
        log_pause(g, "failing", a->status, hosts_failed(s->hosts, group_i, s->now_ns));
    else if (a->net == NET_OK)
        hosts_answered(s->hosts, group_i, s->now_ns);
    return said.retry_after_ms;
}

void stage_tell_odd_body(struct stage *s, size_t group_i)
{
    uint64_t pause_ms = hosts_odd(s->hosts, group_i, s->now_ns);
    log_pause(hosts_group(s->hosts, group_i), "pages_for_audio", 200, pause_ms);
}

bool stage_remember_hosts(struct stage *s, struct err *e)
{
    uint8_t note[HOSTS_NOTE_BYTES_MAX];
    if (!hosts_has_news(s->hosts))
        return true;
    size_t n = hosts_remember(s->hosts, s->now_ns, stage_wall_ms(s), note);
    return session_write_hosts(s->catalog, (struct span){note, n}, e);
}
