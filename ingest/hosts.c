#include "ingest/hosts.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "ingest/hosts_inside.h"
#include "ingest/url.h"

#include <stdio.h>
#include <string.h>

enum {
    RNG_HOST_PAUSE = 0x504F5348, /* "HOSP" */
    ODD_IN_A_ROW = 5,
    BREAKER_BACKOFFS =
        30, /* the breaker's first pause, in first backoffs; the longest is 20 of it */
};
#define PAUSE_MAX_MS UINT64_C(1800000) /* without advice: iTunes lets go after half an hour */
#define UNLIMITED_QUIET_NS (10 * NS_PER_S)

/* ---------------------------------------------------------------- groups */

struct rule {
    const char *name;
    const struct conf_limit *limit; /* NULL: none */
};

static struct limiter_rate rate_of(const struct conf_rate *rate)
{
    return (struct limiter_rate){rate->n, (uint64_t)(rate->window_s * 1e9 + 0.5)};
}

static bool limiter_of(const struct conf_limit *limit, struct limiter *out, struct err *e)
{
    struct limiter_rate rates[1 + CONF_RATES_ALSO] = {rate_of(&limit->rate)};
    for (size_t i = 0; i < CONF_RATES_ALSO; i++)
        rates[1 + i] = rate_of(&limit->also[i]);
    if (!limiter_init(out, rates, ARRAY_LEN(rates), e))
        return false;
    limiter_set_gap(out, (uint64_t)(limit->gap_s * 1e9 + 0.5));
    return true;
}

/* The rule's name and limit; the host's own name when only the default fits. */
static struct rule find_rule(const struct hosts *h, const char *host)
{
    const struct conf_rate_list *limits = h->params.limits;
    struct rule best = {.name = NULL};
    for (size_t i = 0; i < limits->n; i++) {
        const char *name = limits->items[i].name;
        if (strcmp(name, "default") == 0) {
            if (best.name == NULL)
                best.limit = &limits->items[i].limit;
        } else if (host_has_suffix(host, name) &&
                   (best.name == NULL || strlen(name) > strlen(best.name))) {
            best = (struct rule){name, &limits->items[i].limit};
        }
    }
    if (best.name == NULL)
        best.name = host;
    return best;
}

static void group_init(struct hosts *h, struct host_group *g, const struct rule *rule)
{
    struct err e = {0};
    snprintf(g->name, sizeof g->name, "%s", rule->name);
    /* Limits were checked when the hosts were opened. */
    bool ok = rule->limit == NULL || limiter_of(rule->limit, &g->limiter, &e);
    assert(ok);
    g->has_rate = g->limiter.n_rates > 0;
    g->window_ns = g->has_rate ? g->limiter.parts[0].rate.window_ns : 0;
    pace_init(&g->pace, g->has_rate ? g->limiter.parts[0].rate.n : (uint32_t)h->params.n_in_flight,
              g->has_rate ? 2 * g->window_ns : UNLIMITED_QUIET_NS);
    /* What an earlier run sent last may still count at the host for a window and the grace. */
    if (h->params.hold)
        limiter_hold_all(&g->limiter, h->params.held_since_ns);
    hosts_recall_group(h, g);
}

size_t hosts_find(struct hosts *h, const char *host)
{
    struct rule rule = find_rule(h, host);
    for (size_t i = 0; i < h->n_groups; i++)
        if (strcmp(h->groups[i]->name, rule.name) == 0)
            return i;
    if (h->n_groups == HOSTS_MAX)
        return HOSTS_MAX - 1;
    struct host_group *g = mem_zalloc(1, sizeof *g);
    group_init(h, g, &rule);
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
    assert(p->n_in_flight >= 1 && p->n_in_flight <= LIMITER_PERMITS_MAX);
    for (size_t i = 0; i < p->limits->n; i++) {
        struct limiter probe;
        if (!limiter_of(&p->limits->items[i].limit, &probe, e))
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

/* Nothing may start before something in flight ends. */
static bool is_full(const struct host_group *g)
{
    return (g->is_suspect && g->n_in_flight > 0) ||
           (!g->has_rate && g->n_in_flight >= g->pace.level);
}

bool hosts_start(struct hosts *h, size_t group_i, uint64_t now_ns)
{
    struct host_group *g = hosts_group(h, group_i);
    if (now_ns < g->paused_until_ns || is_full(g) || !limiter_start(&g->limiter, now_ns))
        return false;
    retry_budget_request(&g->budget);
    g->n_sent++;
    return true;
}

uint64_t hosts_next_ns(struct hosts *h, size_t group_i, uint64_t now_ns)
{
    struct host_group *g = hosts_group(h, group_i);
    if (is_full(g))
        return UINT64_MAX;
    return u64_max(limiter_next_ns(&g->limiter, now_ns), g->paused_until_ns);
}

/* ---------------------------------------------------------------- trouble */

/* Half of the backoff for certain, half by jitter, so that a pause is one. */
static uint64_t draw_pause_ms(struct hosts *h, uint32_t n_before, uint64_t first_ms,
                              uint64_t max_ms)
{
    uint64_t most_ms = first_ms;
    for (uint32_t i = 0; i < n_before && most_ms < max_ms; i++)
        most_ms *= 2;
    most_ms = u64_min(most_ms, max_ms);
    struct rng r;
    rng_init(&r, h->params.seed, RNG_HOST_PAUSE, h->n_draws++);
    return most_ms / 2 + rng_below(&r, most_ms / 2 + 1);
}

static uint64_t pause_until(struct host_group *g, uint64_t until_ns, uint64_t now_ns)
{
    uint64_t from_ns = u64_max(g->paused_until_ns, now_ns);
    if (until_ns > from_ns) {
        g->paused_ms += (until_ns - from_ns) / NS_PER_MS;
        g->paused_until_ns = until_ns;
    }
    return g->paused_until_ns > now_ns ? (g->paused_until_ns - now_ns) / NS_PER_MS : 0;
}

/* Answers to what was in flight when the pause began belong to it and do not lengthen it, unless
 * the host itself asks for more. */
static uint64_t pause(struct hosts *h, struct host_group *g, uint64_t least_ms, uint64_t max_ms,
                      uint64_t now_ns)
{
    uint64_t pause_ms = least_ms;
    if (now_ns >= g->paused_until_ns) {
        uint64_t first_ms = u64_max(h->params.backoff_ms, max_ms == 0 ? 0 : least_ms);
        pause_ms = u64_max(pause_ms, draw_pause_ms(h, g->n_pauses, first_ms, max_ms));
        g->n_pauses++;
    }
    return pause_until(g, now_ns + pause_ms * NS_PER_MS, now_ns);
}

static void set_level(struct host_group *g)
{
    if (g->has_rate)
        limiter_set_level(&g->limiter, g->pace.level);
}

uint64_t hosts_throttled(struct hosts *h, size_t group_i, uint64_t advice_ms, uint64_t least_ms,
                         uint64_t now_ns)
{
    struct host_group *g = hosts_group(h, group_i);
    assert(advice_ms <= RATELIMIT_WAIT_MAX_MS);
    g->n_throttled++;
    if (now_ns >= g->paused_until_ns && !g->is_suspect) { /* else: the same storm */
        size_t in_use = g->has_rate ? g->pace.level : g->n_in_flight + 1;
        pace_refused(&g->pace, (uint32_t)in_use, now_ns);
        set_level(g);
    }
    g->is_suspect = h->has_news = true; /* after the pause one request asks whether it is over */
    if (advice_ms > 0)
        return pause(h, g, advice_ms, 0, now_ns);
    uint64_t window_ms = u64_max(least_ms, g->window_ns / NS_PER_MS);
    return pause(h, g, u64_min(window_ms, PAUSE_MAX_MS), PAUSE_MAX_MS, now_ns);
}

uint64_t hosts_unreachable(struct hosts *h, size_t group_i, uint64_t now_ns)
{
    struct host_group *g = hosts_group(h, group_i);
    g->is_suspect = true;
    return pause(h, g, 0, h->params.backoff_max_ms, now_ns);
}

uint64_t hosts_failed(struct hosts *h, size_t group_i, uint64_t now_ns)
{
    struct host_group *g = hosts_group(h, group_i);
    if (!breaker_note(&g->breaker, true))
        return 0;
    uint64_t first_ms = BREAKER_BACKOFFS * h->params.backoff_ms;
    uint64_t pause_ms = draw_pause_ms(h, g->breaker.n_trips - 1, first_ms, 20 * first_ms);
    g->is_suspect = true;
    return pause_until(g, now_ns + pause_ms * NS_PER_MS, now_ns);
}

void hosts_answered(struct hosts *h, size_t group_i, uint64_t now_ns)
{
    struct host_group *g = hosts_group(h, group_i);
    (void)breaker_note(&g->breaker, false);
    g->is_suspect = false;
    g->n_answered++;
    g->n_pauses = 0;
    g->n_odd = 0;
    if (pace_answered(&g->pace, now_ns)) {
        set_level(g);
        h->has_news = true;
    }
}

uint64_t hosts_odd(struct hosts *h, size_t group_i, uint64_t now_ns)
{
    struct host_group *g = hosts_group(h, group_i);
    if (++g->n_odd < ODD_IN_A_ROW)
        return 0;
    g->n_odd = 0;
    return hosts_throttled(h, group_i, 0, 0, now_ns);
}

uint64_t hosts_retry_wait_ms(struct hosts *h, size_t group_i, uint64_t now_ns)
{
    return retry_budget_spend(&hosts_group(h, group_i)->budget, now_ns);
}

/* ---------------------------------------------------------------- published limits */

/* A rate with no more permits in no less time keeps the policy already. */
static bool is_kept(const struct limiter *l, const struct limiter_rate *policy)
{
    for (size_t i = 0; i < l->n_rates; i++)
        if (l->parts[i].rate.n <= policy->n && l->parts[i].rate.window_ns >= policy->window_ns)
            return true;
    return false;
}

void hosts_published(struct hosts *h, size_t group_i, const struct ratelimit *said, uint64_t now_ns)
{
    struct host_group *g = hosts_group(h, group_i);
    uint64_t full_ns = said->reset_ms > 0 ? now_ns + said->reset_ms * NS_PER_MS : UINT64_MAX;
    for (size_t i = 0; i < said->n_policies; i++) {
        const struct limiter_rate *policy = &said->policies[i];
        uint64_t n_free = said->has_remaining ? said->remaining : 0;
        /* A limiter that is full already keeps more rates than hosts publish. */
        if (!is_kept(&g->limiter, policy))
            (void)!limiter_add_rate(&g->limiter, *policy, n_free, full_ns, now_ns);
    }
    if (said->has_remaining && said->remaining == 0) {
        uint64_t wait_ms = said->reset_ms > 0 ? said->reset_ms : g->window_ns / NS_PER_MS;
        (void)pause_until(g, now_ns + wait_ms * NS_PER_MS, now_ns);
        h->has_news = h->has_news || wait_ms > 1000;
    }
}
