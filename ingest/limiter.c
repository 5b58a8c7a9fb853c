#include "ingest/limiter.h"

#include "base/mem.h"

bool limiter_init(struct limiter *l, const struct limiter_rate *rates, size_t n_rates,
                  struct err *e)
{
    *l = (struct limiter){0};
    for (size_t i = 0; i < n_rates; i++) {
        if (rates[i].n == 0)
            continue;
        if (l->n_rates == LIMITER_RATES_MAX || rates[i].n > LIMITER_PERMITS_MAX ||
            rates[i].window_ns == 0) {
            limiter_release(l);
            return err_set(e, ERR_USAGE,
                           "a limit of %u requests in %.3f s: at most %d requests, windows above 0 "
                           "and %d limits a host are possible",
                           rates[i].n, (double)rates[i].window_ns / 1e9, LIMITER_PERMITS_MAX,
                           LIMITER_RATES_MAX);
        }
        l->parts[l->n_rates++] = (struct limiter_part){
            .rate = rates[i],
            .n_free = rates[i].n,
            .returns = mem_alloc(rates[i].n, sizeof(uint64_t)),
        };
    }
    return true;
}

void limiter_release(struct limiter *l)
{
    for (size_t i = 0; i < l->n_rates; i++)
        mem_free(l->parts[i].returns);
    *l = (struct limiter){0};
}

static uint64_t *return_at(struct limiter_part *p, size_t i)
{
    size_t at = p->head + i;
    return &p->returns[at < p->rate.n ? at : at - p->rate.n];
}

/* Completions come in order but for abandoned requests, which are few; so the walk is short. */
static void push_return(struct limiter_part *p, uint64_t due_ns)
{
    assert(p->n_free + p->n_returns < p->rate.n);
    size_t i = p->n_returns++;
    for (; i > 0 && *return_at(p, i - 1) > due_ns; i--)
        *return_at(p, i) = *return_at(p, i - 1);
    *return_at(p, i) = due_ns;
}

static void take_returns(struct limiter_part *p, uint64_t now_ns)
{
    while (p->n_returns > 0 && *return_at(p, 0) <= now_ns) {
        p->head = p->head + 1 < p->rate.n ? p->head + 1 : 0;
        p->n_returns--;
        p->n_free++;
    }
}

void limiter_hold_all(struct limiter *l, uint64_t now_ns)
{
    for (size_t i = 0; i < l->n_rates; i++) {
        struct limiter_part *p = &l->parts[i];
        for (; p->n_free > 0; p->n_free--) {
            size_t at = p->n_returns++;
            *return_at(p, at) = now_ns + LIMITER_GRACE_NS + p->rate.window_ns;
        }
    }
}

bool limiter_start(struct limiter *l, uint64_t now_ns)
{
    bool has_all = true;
    for (size_t i = 0; i < l->n_rates; i++) {
        take_returns(&l->parts[i], now_ns);
        has_all = has_all && l->parts[i].n_free > 0;
    }
    for (size_t i = 0; has_all && i < l->n_rates; i++)
        l->parts[i].n_free--;
    return has_all;
}

void limiter_finish(struct limiter *l, uint64_t now_ns)
{
    for (size_t i = 0; i < l->n_rates; i++)
        push_return(&l->parts[i], now_ns + l->parts[i].rate.window_ns);
}

void limiter_abandon(struct limiter *l, uint64_t now_ns)
{
    limiter_finish(l, now_ns + LIMITER_GRACE_NS);
}

void limiter_cancel(struct limiter *l)
{
    for (size_t i = 0; i < l->n_rates; i++) {
        assert(l->parts[i].n_free + l->parts[i].n_returns < l->parts[i].rate.n);
        l->parts[i].n_free++;
    }
}

uint64_t limiter_next_ns(struct limiter *l, uint64_t now_ns)
{
    uint64_t next_ns = now_ns;
    for (size_t i = 0; i < l->n_rates; i++) {
        struct limiter_part *p = &l->parts[i];
        take_returns(p, now_ns);
        if (p->n_free == 0)
            next_ns = p->n_returns == 0 ? UINT64_MAX : u64_max(next_ns, *return_at(p, 0));
    }
    return next_ns;
}
