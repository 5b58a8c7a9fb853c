#include "ingest/hosts.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "ingest/ratelimit.h"
#include "ingest/url.h"

#include <stdio.h>
#include <string.h>

enum { RNG_HOST_PAUSE = 0x504F5348 /* "HOSP" */ };
#define PAUSE_MAX_MS UINT64_C(300000)

struct hosts {
    struct hosts_params params;
    size_t n_groups;
    struct host_group *groups[HOSTS_MAX];
    uint64_t n_draws;
};

/* ---------------------------------------------------------------- groups */

static struct limiter_rate rate_of(const struct conf_rate *rate)
{
    return (struct limiter_rate){rate->n, (uint64_t)(rate->window_s * 1e9 + 0.5)};
}

/* The rule's name and rate; the host's own name when only the default fits. */
static const char *find_rule(const struct hosts *h, const char *host, struct limiter_rate *out)
{
    const struct conf_rate_list *limits = h->params.limits;
    const char *best = NULL;
    *out = (struct limiter_rate){0};
    for (size_t i = 0; i < limits->n; i++) {
        const char *name = limits->items[i].name;
        if (strcmp(name, "default") == 0) {
            if (best == NULL)
                *out = rate_of(&limits->items[i].limit.rate);
        } else if (host_has_suffix(host, name) && (best == NULL || strlen(name) > strlen(best))) {
            best = name;
            *out = rate_of(&limits->items[i].limit.rate);
        }
    }
    return best == NULL ? host : best;
}

/* What an earlier run sent last may still count at the host for a window and the grace. */
static void hold_group(const struct hosts *h, struct host_group *g)
{
    if (h->params.hold)
        limiter_hold_all(&g->limiter, h->params.held_since_ns);
}

size_t hosts_find(struct hosts *h, const char *host)
{
    struct limiter_rate rate;
    const char *name = find_rule(h, host, &rate);
    for (size_t i = 0; i < h->n_groups; i++)
        if (strcmp(h->groups[i]->name, name) == 0)
            return i;
    if (h->n_groups == HOSTS_MAX)
        return HOSTS_MAX - 1;
    struct host_group *g = mem_zalloc(1, sizeof *g);
    struct err e = {0};
    /* Rates were checked when the hosts were opened. */
    bool ok = limiter_init(&g->limiter, &rate, 1, &e);
    assert(ok);
    snprintf(g->name, sizeof g->name, "%s", name);
    g->window_ns = rate.n == 0 ? 0 : rate.window_ns;
    hold_group(h, g);
    h->groups[h->n_groups] = g;
    return h->n_groups++;
}

struct host_group *hosts_group(struct hosts *h, size_t group_i)
{
    assert(group_i < h->n_groups);
    return h->groups[group_i];
}

size_t hosts_count(const struct hosts *h)
{
    return h->n_groups;
}

bool hosts_open(const struct hosts_params *p, struct hosts **out, struct err *e)
{
    for (size_t i = 0; i < p->limits->n; i++) {
        struct limiter probe;
        struct limiter_rate rate = rate_of(&p->limits->items[i].limit.rate);
        if (!limiter_init(&probe, &rate, 1, e))
            return err_wrap(e, "fetch.limit.%s", p->limits->items[i].name);
        limiter_release(&probe);
    }
    struct hosts *h = mem_zalloc(1, sizeof *h);
    h->params = *p;
    *out = h;
    return true;
}

void hosts_close(struct hosts *h)
{
    if (h == NULL)
        return;
    for (size_t i = 0; i < h->n_groups; i++) {
        limiter_release(&h->groups[i]->limiter);
        mem_free(h->groups[i]);
    }
    mem_free(h);
}

/* ---------------------------------------------------------------- starting */

static bool is_blocked(const struct host_group *g, uint64_t now_ns)
{
    return now_ns < g->paused_until_ns || (g->is_suspect && g->n_in_flight > 0);
}

bool hosts_start(struct hosts *h, size_t group_i, uint64_t now_ns)
{
    struct host_group *g = hosts_group(h, group_i);
    return !is_blocked(g, now_ns) && limiter_start(&g->limiter, now_ns);
}

uint64_t hosts_next_ns(struct hosts *h, size_t group_i, uint64_t now_ns)
{
    struct host_group *g = hosts_group(h, group_i);
    if (g->is_suspect && g->n_in_flight > 0)
        return UINT64_MAX;
    return u64_max(limiter_next_ns(&g->limiter, now_ns), g->paused_until_ns);
}

/* ---------------------------------------------------------------- trouble */

/* Half of the backoff for certain, half by jitter, so that a pause is one. */
static uint64_t draw_pause_ms(struct hosts *h, const struct host_group *g, uint64_t max_ms)
{
    uint64_t most_ms = h->params.backoff_ms;
    for (uint32_t i = 0; i < g->n_pauses && most_ms < max_ms; i++)
        most_ms *= 2;
    most_ms = u64_min(most_ms, max_ms);
    struct rng r;
    rng_init(&r, h->params.seed, RNG_HOST_PAUSE, h->n_draws++);
    return most_ms / 2 + rng_below(&r, most_ms / 2 + 1);
}

/* Answers to what was in flight when the pause began belong to it and do not lengthen it, unless
 * the host itself asks for more. */
static uint64_t pause(struct hosts *h, struct host_group *g, uint64_t least_ms, uint64_t max_ms,
                      uint64_t now_ns)
{
    uint64_t pause_ms = least_ms;
    if (now_ns >= g->paused_until_ns) {
        pause_ms = u64_max(pause_ms, draw_pause_ms(h, g, max_ms));
        g->n_pauses++;
    }
    g->paused_until_ns = u64_max(g->paused_until_ns, now_ns + pause_ms * NS_PER_MS);
    return (g->paused_until_ns - now_ns) / NS_PER_MS;
}

uint64_t hosts_throttled(struct hosts *h, size_t group_i, uint64_t advice_ms, uint64_t now_ns)
{
    struct host_group *g = hosts_group(h, group_i);
    assert(advice_ms <= RATELIMIT_WAIT_MAX_MS);
    uint64_t window_ms = u64_min(g->window_ns / NS_PER_MS, PAUSE_MAX_MS);
    uint64_t least_ms = advice_ms > 0 ? advice_ms : window_ms;
    g->is_suspect = true; /* after the pause one request asks whether it is over */
    return pause(h, g, least_ms, advice_ms > 0 ? 0 : PAUSE_MAX_MS, now_ns);
}

uint64_t hosts_unreachable(struct hosts *h, size_t group_i, uint64_t now_ns)
{
    struct host_group *g = hosts_group(h, group_i);
    g->is_suspect = true;
    return pause(h, g, 0, h->params.backoff_max_ms, now_ns);
}

void hosts_answered(struct hosts *h, size_t group_i)
{
    struct host_group *g = hosts_group(h, group_i);
    g->is_suspect = false;
    g->n_answered++;
    g->n_pauses = 0;
}
