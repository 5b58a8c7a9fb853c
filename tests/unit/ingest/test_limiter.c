/*
 * The limiter against simulated servers: fixed window, sliding log and token bucket, with delays
 * both ways that jitter by up to 500 ms, 1 to 64 requests in flight, requests that are given up,
 * restarts, and a host that refuses now and then. Not one violation, and at least 99 % of what the
 * permits and the network allow, N / (W + round trip); 98 % of the limit itself at 50 per 5 s and
 * 100 ms.
 */
#include "ingest/limiter.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "tests/test.h"

#include <stdlib.h>

enum { IN_FLIGHT_MAX = 64, ARRIVALS_MAX = 200000 };

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
    uint64_t jitter_ns; /* each way takes up to so much longer, uniformly */
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
    return net->rtt_ns / 2 + rng_below(r, net->jitter_ns + 1);
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

struct plan {
    size_t n_in_flight;
    uint64_t restart_ns; /* about so often; 0: never */
    uint64_t refusal_ns; /* about so often the level falls, and rises again later; 0: never */
    uint64_t duration_ns;
    uint64_t seed;
};

/* kill -9: what was sent still arrives, and we have forgotten it. */
static void restart(struct client *c, struct limiter_rate rate, uint64_t now_ns)
{
    struct err e = {0};
    limiter_release(&c->limiter);
    CHECK_OK(limiter_init(&c->limiter, &rate, 1, &e), &e);
    limiter_hold_all(&c->limiter, now_ns);
    c->n_in_flight = 0;
}

/* True once in about `every_ns`. */
static bool is_time(struct rng *r, uint64_t *next_ns, uint64_t every_ns, uint64_t now_ns)
{
    if (every_ns == 0 || now_ns < *next_ns)
        return false;
    *next_ns = now_ns + every_ns / 2 + rng_below(r, every_ns);
    return true;
}

/* Returns requests/s that arrived after the first two windows. */
static double simulate(struct server *s, const struct network *net, const struct plan *plan)
{
    struct err e = {0};
    struct limiter_rate rate = {s->n, s->window_ns};
    struct client c = {.n_in_flight_max = plan->n_in_flight};
    struct rng r;
    rng_init(&r, plan->seed, 1, 0);
    CHECK_OK(limiter_init(&c.limiter, &rate, 1, &e), &e);
    uint64_t now_ns = NS_PER_S, restart_ns = plan->restart_ns, refusal_ns = plan->refusal_ns;
    uint64_t end_ns = now_ns + plan->duration_ns, from_ns = now_ns + 2 * s->window_ns;
    while (now_ns < end_ns) {
        if (is_time(&r, &restart_ns, plan->restart_ns, now_ns))
            restart(&c, rate, now_ns);
        if (is_time(&r, &refusal_ns, plan->refusal_ns, now_ns))
            limiter_set_level(&c.limiter, 1 + (uint32_t)rng_below(&r, rate.n));
        receive(&c, now_ns);
        while (c.n_in_flight < c.n_in_flight_max && limiter_start(&c.limiter, now_ns))
            send_one(&c, s, net, &r, now_ns);
        now_ns = next_event_ns(&c, now_ns);
    }
    limiter_release(&c.limiter);
    size_t n = 0;
    for (size_t i = 0; i < s->n_arrivals; i++)
        n += s->arrivals[i] >= from_ns && s->arrivals[i] < end_ns;
    return (double)n / ((double)(end_ns - from_ns) / 1e9);
}

static const struct limiter_rate rates[] = {
    {50, 5 * NS_PER_S}, {20, 60 * NS_PER_S}, {1, NS_PER_S}, {20, NS_PER_S}, {7, 3 * NS_PER_S},
};

static void test_never_over_the_limit(void)
{
    static const uint64_t jitters_ms[] = {0, 100, 500};
    static const size_t parallel[] = {1, 8, 64};
    struct server *s = mem_zalloc(1, sizeof *s);
    size_t n_violations = 0, n_requests = 0;
    for (size_t i = 0; i < ARRAY_LEN(rates) * ARRAY_LEN(jitters_ms) * ARRAY_LEN(parallel); i++)
        for (uint64_t trouble = 0; trouble < 4; trouble++) {
            const struct limiter_rate *rate = &rates[i % ARRAY_LEN(rates)];
            struct network net = {100 * NS_PER_MS, jitters_ms[i / 5 % 3] * NS_PER_MS, 0.05};
            struct plan plan = {
                .n_in_flight = parallel[i / 15],
                .restart_ns = trouble % 2 * 7 * NS_PER_S,
                .refusal_ns = trouble / 2 * 11 * NS_PER_S,
                .duration_ns = 300 * NS_PER_S,
                .seed = i * 4 + trouble,
            };
            *s = (struct server){.n = rate->n, .window_ns = rate->window_ns};
            simulate(s, &net, &plan);
            n_violations += count_violations(s);
            n_requests += s->n_arrivals;
        }
    CHECK_U64(n_violations, 0);
    CHECK(n_requests > 100000); /* the runs did send something */
    printf("# %zu requests, %zu violations\n", n_requests, n_violations);
    mem_free(s);
}

/* The permits are used: a limiter that is safe because it is slow would fail here. Where so few may
 * be in flight that they are what binds, or nearly so, permits say nothing. */
static void test_uses_what_the_permits_allow(void)
{
    static const uint64_t jitters_ms[] = {0, 100, 500};
    static const size_t parallel[] = {1, 8, 64};
    struct server *s = mem_zalloc(1, sizeof *s);
    double worst = 2;
    size_t n_cases = 0;
    for (size_t i = 0; i < ARRAY_LEN(rates) * ARRAY_LEN(jitters_ms) * ARRAY_LEN(parallel); i++) {
        const struct limiter_rate *rate = &rates[i % ARRAY_LEN(rates)];
        struct network net = {100 * NS_PER_MS, jitters_ms[i / 5 % 3] * NS_PER_MS, 0};
        struct plan plan = {
            .n_in_flight = parallel[i / 15], .duration_ns = 3600 * NS_PER_S, .seed = i};
        double rtt_s = (double)(net.rtt_ns + net.jitter_ns) / 1e9;
        double best = rate->n / ((double)rate->window_ns / 1e9 + rtt_s);
        if (best > 0.7 * (double)plan.n_in_flight / rtt_s)
            continue;
        *s = (struct server){.n = rate->n, .window_ns = rate->window_ns};
        worst = fmin(worst, simulate(s, &net, &plan) / best);
        n_cases++;
        CHECK_U64(count_violations(s), 0);
    }
    printf("# %zu cases, at worst %.2f %% of N / (W + round trip)\n", n_cases, 100 * worst);
    CHECK(n_cases >= 30);
    CHECK(worst >= 0.99);
    mem_free(s);
}

/* The servers do notice: a limiter with too many permits is caught by each of the three. */
static void test_servers_count(void)
{
    struct server *s = mem_zalloc(1, sizeof *s);
    struct network net = {100 * NS_PER_MS, 100 * NS_PER_MS, 0};
    struct plan plan = {.n_in_flight = IN_FLIGHT_MAX, .duration_ns = 600 * NS_PER_S, .seed = 1};
    *s = (struct server){.n = 60, .window_ns = 5 * NS_PER_S};
    simulate(s, &net, &plan);
    s->n = 50;
    qsort(s->arrivals, s->n_arrivals, sizeof s->arrivals[0], compare_times);
    CHECK(count_sliding_log(s) > 0);
    CHECK(count_token_bucket(s) > 0);
    CHECK(count_fixed_window(s, 0) > 0);
    mem_free(s);
}

/* N / (W + round trip) is 98.0 % of N / W here. */
static void test_uses_the_limit(void)
{
    struct server *s = mem_zalloc(1, sizeof *s);
    struct network net = {100 * NS_PER_MS, 0, 0};
    struct plan plan = {.n_in_flight = 16, .duration_ns = 3600 * NS_PER_S, .seed = 3};
    *s = (struct server){.n = 50, .window_ns = 5 * NS_PER_S};
    double rate = simulate(s, &net, &plan);
    printf("# %.3f requests/s of 10: %.1f %%\n", rate, rate * 10);
    CHECK(rate >= 9.8);
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

static size_t count_starts(struct limiter *l, uint64_t now_ns)
{
    size_t n = 0;
    while (n < 1000 && limiter_start(l, now_ns))
        n++;
    return n;
}

static void test_gap(void)
{
    struct err e = {0};
    struct limiter_rate rate = {20, 60 * NS_PER_S};
    struct limiter l;
    CHECK_OK(limiter_init(&l, &rate, 1, &e), &e);
    limiter_set_gap(&l, 3 * NS_PER_S);
    for (uint64_t i = 0; i < 20; i++) {
        uint64_t now_ns = NS_PER_S + i * 3 * NS_PER_S;
        CHECK_U64(count_starts(&l, now_ns), 1);
        limiter_finish(&l, now_ns);
        CHECK_U64(count_starts(&l, now_ns + 3 * NS_PER_S - 1), 0);
        CHECK_U64(limiter_next_ns(&l, now_ns), i < 19 ? now_ns + 3 * NS_PER_S : 61 * NS_PER_S);
    }
    limiter_release(&l);
}

static void test_level(void)
{
    struct err e = {0};
    struct limiter_rate two[] = {{10, NS_PER_S}, {100, 60 * NS_PER_S}};
    struct limiter l;
    CHECK_OK(limiter_init(&l, two, 2, &e), &e);
    limiter_set_level(&l, 3);
    CHECK_U64(count_starts(&l, 0), 3);
    limiter_set_level(&l, 5);
    CHECK_U64(count_starts(&l, 0), 2);
    limiter_set_level(&l, 2); /* five are out: three have to come back before one may go */
    for (uint64_t i = 1; i <= 5; i++)
        limiter_finish(&l, i);
    CHECK_U64(limiter_next_ns(&l, 5), NS_PER_S + 4);
    CHECK_U64(count_starts(&l, NS_PER_S + 3), 0);
    CHECK_U64(count_starts(&l, NS_PER_S + 5), 2);
    limiter_set_level(&l, 1); /* a tenth of the second rate as well */
    CHECK_U64(l.parts[1].n_allowed, 10);
    limiter_release(&l);
}

/* A host says "100 in 60 s, 40 remain" when three requests are on the way and two came back. */
static void test_a_rate_joins(void)
{
    struct err e = {0};
    struct limiter_rate rate = {10, NS_PER_S}, policy = {100, 60 * NS_PER_S};
    struct limiter l;
    CHECK_OK(limiter_init(&l, &rate, 1, &e), &e);
    for (int i = 0; i < 5; i++)
        CHECK(limiter_start(&l, 0));
    limiter_finish(&l, 0);
    limiter_finish(&l, 0);
    CHECK(limiter_add_rate(&l, policy, 40, UINT64_MAX, 0));
    for (int i = 0; i < 3; i++)
        limiter_finish(&l, 0);
    size_t n = 0;
    uint64_t now_ns = 0;
    for (; now_ns < 50 * NS_PER_S; now_ns += NS_PER_S)
        for (size_t k = count_starts(&l, now_ns); k > 0; k--, n++)
            limiter_finish(&l, now_ns);
    CHECK_U64(n, 40);
    CHECK_U64(limiter_next_ns(&l, now_ns), 60 * NS_PER_S);
    limiter_release(&l);
    /* Into a limiter without any, which had more on the way than the rate has permits. */
    struct limiter_rate few = {2, NS_PER_S};
    CHECK_OK(limiter_init(&l, NULL, 0, &e), &e);
    for (int i = 0; i < 5; i++)
        CHECK(limiter_start(&l, 0));
    CHECK(limiter_add_rate(&l, few, 2, UINT64_MAX, 0));
    for (uint64_t i = 1; i <= 5; i++) {
        CHECK(!limiter_start(&l, i));
        limiter_finish(&l, i);
    }
    CHECK(!limiter_start(&l, NS_PER_S + 3));
    CHECK_U64(count_starts(&l, NS_PER_S + 4), 1);
    for (size_t i = l.n_rates; i < LIMITER_RATES_MAX; i++)
        CHECK(limiter_add_rate(&l, few, 2, UINT64_MAX, 0));
    CHECK(!limiter_add_rate(&l, few, 2, UINT64_MAX, 0));
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
    RUN(test_uses_what_the_permits_allow);
    RUN(test_uses_the_limit);
    RUN(test_several_rates);
    RUN(test_abandoned_requests_come_back_in_order);
    RUN(test_gap);
    RUN(test_level);
    RUN(test_a_rate_joins);
    RUN(test_no_limit_and_bad_limits);
    return test_done();
}
