#include "ingest/limiter.h"

#include "base/mem.h"

/* `n_out` may be above the rate when requests were on the way as it joined. */
static void part_init(struct limiter_part *p, struct limiter_rate rate, size_t n_out)
{
    *p = (struct limiter_part){
        .rate = rate,
        .n_out = (uint32_t)n_out,
        .n_allowed = rate.n,
        .n_slots = rate.n + n_out,
    };
    p->returns = mem_alloc(p->n_slots, sizeof(uint64_t));
}

static bool rate_is_possible(struct limiter_rate rate)
{
    return rate.n <= LIMITER_PERMITS_MAX && rate.window_ns > 0;
}

bool limiter_init(struct limiter *l, const struct limiter_rate *rates, size_t n_rates,
                  struct err *e)
{
    *l = (struct limiter){0};
    for (size_t i = 0; i < n_rates; i++) {
        if (rates[i].n == 0)
            continue;
        if (l->n_rates == LIMITER_RATES_MAX || !rate_is_possible(rates[i])) {
            limiter_release(l);
            return err_set(e, ERR_USAGE,
                           "a limit of %u requests in %.3f s: at most %d requests, windows above 0 "
                           "and %d limits a host are possible",
                           rates[i].n, (double)rates[i].window_ns / 1e9, LIMITER_PERMITS_MAX,
                           LIMITER_RATES_MAX);
        }
        part_init(&l->parts[l->n_rates++], rates[i], 0);
    }
    return true;
}

void limiter_release(struct limiter *l)
{
    for (size_t i = 0; i < l->n_rates; i++)
        mem_free(l->parts[i].returns);
    *l = (struct limiter){0};
}

void limiter_set_gap(struct limiter *l, uint64_t gap_ns)
{
    l->gap_ns = gap_ns;
}

void limiter_set_level(struct limiter *l, uint32_t level)
{
    if (l->n_rates == 0)
        return;
    uint64_t of = l->parts[0].rate.n;
    assert(level >= 1 && level <= of);
    for (size_t i = 0; i < l->n_rates; i++)
        l->parts[i].n_allowed = (uint32_t)u64_max(1, l->parts[i].rate.n * (uint64_t)level / of);
}

/* ---------------------------------------------------------------- returns */

static uint64_t *return_at(struct limiter_part *p, size_t i)
{
    size_t at = p->head + i;
    return &p->returns[at < p->n_slots ? at : at - p->n_slots];
}

/* Completions come in order but for abandoned requests, which are few; so the walk is short. */
static void push_return(struct limiter_part *p, uint64_t due_ns)
{
    assert(p->n_returns < p->n_out);
    size_t i = p->n_returns++;
    for (; i > 0 && *return_at(p, i - 1) > due_ns; i--)
        *return_at(p, i) = *return_at(p, i - 1);
    *return_at(p, i) = due_ns;
}

static void take_returns(struct limiter_part *p, uint64_t now_ns)
{
    while (p->n_returns > 0 && *return_at(p, 0) <= now_ns) {
        p->head = p->head + 1 < p->n_slots ? p->head + 1 : 0;
        p->n_returns--;
        p->n_out--;
    }
}

/* Takes what is free out, but for `n_spared`. */
static void hold_part(struct limiter_part *p, uint64_t n_spared, uint64_t until_ns)
{
    while (p->n_out + n_spared < p->rate.n) {
        p->n_out++;
        push_return(p, until_ns);
    }
}

static uint64_t forgotten_ns(const struct limiter_part *p, uint64_t now_ns)
{
    return now_ns + LIMITER_GRACE_NS + p->rate.window_ns;
}

void limiter_hold_all(struct limiter *l, uint64_t now_ns)
{
    for (size_t i = 0; i < l->n_rates; i++)
        hold_part(&l->parts[i], 0, forgotten_ns(&l->parts[i], now_ns));
    l->last_start_ns = now_ns;
}

bool limiter_add_rate(struct limiter *l, struct limiter_rate rate, uint64_t n_known_free,
                      uint64_t full_ns, uint64_t now_ns)
{
    if (l->n_rates == LIMITER_RATES_MAX || rate.n == 0 || !rate_is_possible(rate))
        return false;
    struct limiter_part *p = &l->parts[l->n_rates++];
    part_init(p, rate, l->n_on_the_way);
    hold_part(p, u64_min(n_known_free, rate.n), u64_min(full_ns, forgotten_ns(p, now_ns)));
    return true;
}

/* ---------------------------------------------------------------- permits */

static uint64_t gap_ends_ns(const struct limiter *l)
{
    return l->gap_ns == 0 || l->last_start_ns == 0 ? 0 : l->last_start_ns + l->gap_ns;
}

bool limiter_start(struct limiter *l, uint64_t now_ns)
{
    bool has_all = now_ns >= gap_ends_ns(l);
    for (size_t i = 0; i < l->n_rates; i++) {
        take_returns(&l->parts[i], now_ns);
        has_all = has_all && l->parts[i].n_out < l->parts[i].n_allowed;
    }
    for (size_t i = 0; has_all && i < l->n_rates; i++)
        l->parts[i].n_out++;
    if (has_all) {
        l->last_start_ns = now_ns;
        l->n_on_the_way++;
    }
    return has_all;
}

void limiter_finish(struct limiter *l, uint64_t now_ns)
{
    assert(l->n_on_the_way > 0);
    l->n_on_the_way--;
    for (size_t i = 0; i < l->n_rates; i++)
        push_return(&l->parts[i], now_ns + l->parts[i].rate.window_ns);
}

void limiter_abandon(struct limiter *l, uint64_t now_ns)
{
    limiter_finish(l, now_ns + LIMITER_GRACE_NS);
}

void limiter_cancel(struct limiter *l)
{
    assert(l->n_on_the_way > 0);
    l->n_on_the_way--;
    for (size_t i = 0; i < l->n_rates; i++) {
        assert(l->parts[i].n_returns < l->parts[i].n_out);
        l->parts[i].n_out--;
    }
}

/* When the n-th permit from now comes back, n from 1. */
static uint64_t nth_return_ns(struct limiter_part *p, size_t n)
{
    return n > p->n_returns ? UINT64_MAX : *return_at(p, n - 1);
}

uint64_t limiter_next_ns(struct limiter *l, uint64_t now_ns)
{
    uint64_t next_ns = u64_max(now_ns, gap_ends_ns(l));
    for (size_t i = 0; i < l->n_rates; i++) {
        struct limiter_part *p = &l->parts[i];
        take_returns(p, now_ns);
        if (p->n_out >= p->n_allowed)
            next_ns = u64_max(next_ns, nth_return_ns(p, p->n_out - p->n_allowed + 1));
    }
    return next_ns;
}
