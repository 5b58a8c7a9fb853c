/*
 * The limiter against simulated servers: fixed window, sliding log and token bucket, with jittered
 * delays both ways, many requests in flight and restarts. Not one violation, and at 50 per 5 s with
 * a round trip of 100 ms at least 97 % of the limit.
 */
#include "ingest/limiter.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "tests/test.h"

#include <stdlib.h>

enum { IN_FLIGHT_MAX = 32, ARRIVALS_MAX = 200000 };

/* ---------------------------------------------------------------- servers */

struct server {
    uint32_t n;
    uint64_t window_ns;
    uint64_t arrivals[ARRIVALS_MAX]; /* sorted before counting */
    size_t n_arrivals;
};

static int compare_times(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static size_t count_sliding_log(const struct server *s)
{
    size_t n_violations = 0;
    for (size_t i = s->n; i < s->n_arrivals; i++)
        n_violations += s->arrivals[i] - s->arrivals[i - s->n] < s->window_ns;
    return n_violations;
}

static size_t count_fixed_window(const struct server *s, uint64_t phase_ns)
{
    size_t n_violations = 0, n = 0;
    uint64_t window = UINT64_MAX;
    for (size_t i = 0; i < s->n_arrivals; i++) {
        uint64_t w = (s->arrivals[i] + phase_ns) / s->window_ns;
        n = w == window ? n + 1 : 1;
        window = w;
        n_violations += n > s->n;
    }
    return n_violations;
}

/* Tokens in units of 1/window_ns, so that the arithmetic is exact. */
static size_t count_token_bucket(const struct server *s)
{
    uint64_t cap = s->n * s->window_ns, tokens = cap, last_ns = 0;
    size_t n_violations = 0;
    for (size_t i = 0; i < s->n_arrivals; i++) {
        uint64_t gained_ns = u64_min(s->arrivals[i] - last_ns, s->window_ns);
        tokens = u64_min(cap, tokens + gained_ns * s->n);
        last_ns = s->arrivals[i];
        if (tokens < s->window_ns)
            n_violations++;
        else
            tokens -= s->window_ns;
    }
    return n_violations;
}

static size_t count_violations(struct server *s)
{
    qsort(s->arrivals, s->n_arrivals, sizeof s->arrivals[0], compare_times);
    size_t n = count_sliding_log(s) + count_token_bucket(s);
    for (uint64_t phase = 0; phase < 8; phase++)
        n += count_fixed_window(s, phase * s->window_ns / 8);
    return n;
}

/* ---------------------------------------------------------------- a client */

struct network {
    uint64_t rtt_ns;
    double jitter; /* 0..1: a delay is uniform in rtt/2 * (1 -+ jitter) */
    double abort_share;
};

struct client {
    struct limiter limiter;
    size_t n_in_flight, n_in_flight_max;
    struct {
        uint64_t answered_ns;
        bool is_abandoned;
    } flights[IN_FLIGHT_MAX];
};

static uint64_t one_way_ns(struct rng *r, const struct network *net)
{
    double half = (double)net->rtt_ns / 2;
    return (uint64_t)(half * rng_range(r, 1 - net->jitter, 1 + net->jitter));
}

static void send_one(struct client *c, struct server *s, const struct network *net, struct rng *r,
                     uint64_t now_ns)
{
    uint64_t arrival_ns = now_ns + one_way_ns(r, net);
    if (s->n_arrivals < ARRIVALS_MAX)
        s->arrivals[s->n_arrivals++] = arrival_ns;
    /* Given up early: before the answer, maybe before the request arrived. */
    bool is_abandoned = rng_uniform(r) < net->abort_share;
    c->flights[c->n_in_flight].is_abandoned = is_abandoned;
    c->flights[c->n_in_flight++].answered_ns =
        is_abandoned ? now_ns + rng_below(r, net->rtt_ns) : arrival_ns + one_way_ns(r, net);
}

static void receive(struct client *c, uint64_t now_ns)
{
    for (size_t i = 0; i < c->n_in_flight;) {
        if (c->flights[i].answered_ns > now_ns) {
            i++;
            continue;
        }
        if (c->flights[i].is_abandoned)
            limiter_abandon(&c->limiter, now_ns);
        else
            limiter_finish(&c->limiter, now_ns);
        c->flights[i] = c->flights[--c->n_in_flight];
    }
}

static uint64_t next_event_ns(struct client *c, uint64_t now_ns)
{
    uint64_t next_ns =
        c->n_in_flight < c->n_in_flight_max ? limiter_next_ns(&c->limiter, now_ns) : UINT64_MAX;
    for (size_t i = 0; i < c->n_in_flight; i++)
        next_ns = u64_min(next_ns, c->flights[i].answered_ns);
    return u64_max(next_ns, now_ns + 1);
}

/* Runs for `duration_ns`; restarts after `restart_ns` each time, 0 for never. Returns requests/s.
 */
static double simulate(struct server *s, const struct network *net, size_t n_in_flight,
                       uint64_t restart_ns, uint64_t duration_ns, uint64_t seed)
{
    struct err e = {0};
    struct limiter_rate rate = {s->n, s->window_ns};
    struct client c = {.n_in_flight_max = n_in_flight};
    struct rng r;
    rng_init(&r, seed, 1, 0);
    CHECK_OK(limiter_init(&c.limiter, &rate, 1, &e), &e);
    uint64_t now_ns = NS_PER_S, next_restart_ns = restart_ns;
    uint64_t end_ns = now_ns + duration_ns;
    while (now_ns < end_ns) {
        if (restart_ns > 0 && now_ns >= next_restart_ns) {
            /* kill -9: what was sent still arrives, and we have forgotten it. */
            limiter_release(&c.limiter);
            CHECK_OK(limiter_init(&c.limiter, &rate, 1, &e), &e);
            limiter_hold_all(&c.limiter, now_ns);
            c.n_in_flight = 0;
            next_restart_ns = now_ns + restart_ns / 2 + rng_below(&r, restart_ns);
        }
        receive(&c, now_ns);
        while (c.n_in_flight < c.n_in_flight_max && limiter_start(&c.limiter, now_ns))
            send_one(&c, s, net, &r, now_ns);
        now_ns = next_event_ns(&c, now_ns);
    }
    limiter_release(&c.limiter);
    return (double)s->n_arrivals / ((double)duration_ns / 1e9);
}

static const struct limiter_rate rates[] = {
    {50, 5 * NS_PER_S}, {20, 60 * NS_PER_S}, {1, NS_PER_S}, {20, NS_PER_S}, {7, 3 * NS_PER_S},
};

static void test_never_over_the_limit(void)
{
    static const double jitters[] = {0, 0.5, 1};
    static const size_t parallel[] = {1, 8, IN_FLIGHT_MAX};
    struct server *s = mem_zalloc(1, sizeof *s);
    size_t n_violations = 0, n_requests = 0;
    for (size_t i = 0; i < ARRAY_LEN(rates); i++)
        for (size_t j = 0; j < ARRAY_LEN(jitters); j++)
            for (size_t k = 0; k < ARRAY_LEN(parallel); k++)
                for (uint64_t restarts = 0; restarts < 2; restarts++) {
                    struct network net = {200 * NS_PER_MS, jitters[j], 0.05};
                    *s = (struct server){.n = rates[i].n, .window_ns = rates[i].window_ns};
                    simulate(s, &net, parallel[k], restarts * 7 * NS_PER_S, 600 * NS_PER_S,
                             i * 100 + j * 10 + k);
                    n_violations += count_violations(s);
                    n_requests += s->n_arrivals;
                }
    CHECK_U64(n_violations, 0);
    CHECK(n_requests > 100000); /* the runs did send something */
    printf("# %zu requests, %zu violations\n", n_requests, n_violations);
    mem_free(s);
}

/* The servers do notice: a limiter with too many permits is caught by each of the three. */
static void test_servers_count(void)
{
    struct server *s = mem_zalloc(1, sizeof *s);
    struct network net = {100 * NS_PER_MS, 0.5, 0};
    *s = (struct server){.n = 60, .window_ns = 5 * NS_PER_S};
    simulate(s, &net, IN_FLIGHT_MAX, 0, 600 * NS_PER_S, 1);
    s->n = 50;
    qsort(s->arrivals, s->n_arrivals, sizeof s->arrivals[0], compare_times);
    CHECK(count_sliding_log(s) > 0);
    CHECK(count_token_bucket(s) > 0);
    CHECK(count_fixed_window(s, 0) > 0);
    mem_free(s);
}

/* N / (W + round trip) is 98.0 % of N / W here; the start-up burst is not counted in our favour. */
static void test_uses_the_limit(void)
{
    struct server *s = mem_zalloc(1, sizeof *s);
    struct network net = {100 * NS_PER_MS, 0, 0};
    *s = (struct server){.n = 50, .window_ns = 5 * NS_PER_S};
    double rate = simulate(s, &net, IN_FLIGHT_MAX, 0, 3600 * NS_PER_S, 3);
    printf("# %.2f requests/s of 10: %.1f %%\n", rate, rate * 10);
    CHECK(rate >= 9.7);
    CHECK(rate <= 10);
    mem_free(s);
}

static void test_several_rates(void)
{
    struct err e = {0};
    struct limiter_rate two[] = {{2, NS_PER_S}, {3, 10 * NS_PER_S}};
    struct limiter l;
    CHECK_OK(limiter_init(&l, two, 2, &e), &e);
    CHECK(limiter_start(&l, 0) && limiter_start(&l, 0));
    CHECK(!limiter_start(&l, 0));
    CHECK_U64(limiter_next_ns(&l, 0), UINT64_MAX);
    limiter_finish(&l, 100);
    limiter_finish(&l, 200);
    CHECK_U64(limiter_next_ns(&l, 200), NS_PER_S + 100);
    CHECK(!limiter_start(&l, NS_PER_S + 99));
    CHECK(limiter_start(&l, NS_PER_S + 100));
    /* The second rate has no permit left though the first one has. */
    CHECK(!limiter_start(&l, 2 * NS_PER_S));
    limiter_cancel(&l);
    CHECK(limiter_start(&l, 2 * NS_PER_S));
    limiter_finish(&l, 3 * NS_PER_S);
    CHECK_U64(limiter_next_ns(&l, 4 * NS_PER_S), 10 * NS_PER_S + 100);
    limiter_release(&l);
    limiter_release(&l);
}

static void test_abandoned_requests_come_back_in_order(void)
{
    struct err e = {0};
    struct limiter_rate rate = {3, NS_PER_S};
    struct limiter l;
    CHECK_OK(limiter_init(&l, &rate, 1, &e), &e);
    for (int i = 0; i < 3; i++)
        CHECK(limiter_start(&l, 0));
    limiter_abandon(&l, 0);   /* back at grace + W */
    limiter_finish(&l, 1000); /* back at W + 1000 */
    limiter_finish(&l, 2000);
    CHECK_U64(limiter_next_ns(&l, 2000), NS_PER_S + 1000);
    CHECK(limiter_start(&l, NS_PER_S + 2000) && limiter_start(&l, NS_PER_S + 2000));
    CHECK(!limiter_start(&l, LIMITER_GRACE_NS + NS_PER_S - 1));
    CHECK(limiter_start(&l, LIMITER_GRACE_NS + NS_PER_S));
    limiter_release(&l);
}

static void test_no_limit_and_bad_limits(void)
{
    struct err e = {0};
    struct limiter l;
    struct limiter_rate off = {0, 0}, many = {LIMITER_PERMITS_MAX + 1, NS_PER_S}, never = {1, 0};
    CHECK_OK(limiter_init(&l, &off, 1, &e), &e);
    for (int i = 0; i < 1000; i++)
        CHECK(limiter_start(&l, 5));
    CHECK_U64(limiter_next_ns(&l, 5), 5);
    limiter_release(&l);
    CHECK(!limiter_init(&l, &many, 1, &e));
    CHECK_U64(e.kind, ERR_USAGE);
    CHECK(strstr(e.msg, "65537") != NULL);
    CHECK(!limiter_init(&l, &never, 1, &e));
}

int main(void)
{
    RUN(test_never_over_the_limit);
    RUN(test_servers_count);
    RUN(test_uses_the_limit);
    RUN(test_several_rates);
    RUN(test_abandoned_requests_come_back_in_order);
    RUN(test_no_limit_and_bad_limits);
    return test_done();
}
