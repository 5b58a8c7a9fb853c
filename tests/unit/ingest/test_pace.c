/* What hosts teach: levels that settle, breakers, retry budgets, and what is kept across runs. */
#include "ingest/hosts.h"

#include "base/clock.h"
#include "tests/test.h"

static struct err e;
static const struct conf_rate_list limits = {
    .n = 3,
    .items = {{"default", {.rate = {0}}},
              {"api.example", {.rate = {50, 5}}},
              {"slow.example", {.rate = {20, 60}, .also = {{100, 3600}}, .gap_s = 3}}},
};

static struct hosts *open_hosts(void)
{
    struct hosts_params p = {.limits = &limits,
                             .seed = 1,
                             .backoff_ms = 1000,
                             .backoff_max_ms = 60000,
                             .n_in_flight = 16};
    struct hosts *h = NULL;
    CHECK_OK(hosts_open(&p, &h, &e), &e);
    return h;
}

/* A host that takes `most` requests in any 5 s and refuses the rest: the level settles below that,
 * and the host refuses a handful of times in two hours, where plain AIMD would ask for it on and
 * on. */
static void test_the_level_settles(void)
{
    enum { MOST = 33 };
    struct pace p;
    uint64_t now_ns = NS_PER_S, n_refused = 0;
    pace_init(&p, 50, 10 * NS_PER_S);
    for (int window = 0; window < 2 * 720; window++, now_ns += 5 * NS_PER_S) {
        if (p.level > MOST) {
            pace_refused(&p, p.level, now_ns);
            n_refused++;
        } else {
            (void)pace_answered(&p, now_ns);
        }
    }
    printf("# refused %d times in two hours, level %u of %d\n", (int)n_refused, p.level, MOST);
    CHECK(n_refused <= 16); /* a few to begin with, then once in ten minutes */
    CHECK(p.level >= MOST - 2 && p.level <= MOST);
}

static void test_pace_steps(void)
{
    struct pace p;
    pace_init(&p, 50, 10 * NS_PER_S);
    CHECK(!pace_answered(&p, 20 * NS_PER_S)); /* at its best */
    pace_refused(&p, 50, 20 * NS_PER_S);
    CHECK_U64(p.level, 35);
    CHECK_U64(p.ceiling, 49);
    CHECK(!pace_answered(&p, 29 * NS_PER_S));
    CHECK(pace_answered(&p, 30 * NS_PER_S));
    CHECK_U64(p.level, 38);
    for (uint64_t t = 40; t < 400; t += 10)
        (void)pace_answered(&p, t * NS_PER_S);
    CHECK_U64(p.level, 49);
    CHECK(!pace_answered(&p, 619 * NS_PER_S));
    CHECK(pace_answered(&p, 620 * NS_PER_S));
    CHECK_U64(p.level, 50);
    pace_refused(&p, 1, 630 * NS_PER_S); /* one request was one too many */
    CHECK(p.level == 1 && p.ceiling == 1);
    pace_recall(&p, 80, 70, 0, 0);
    CHECK(p.level == 50 && p.ceiling == 50);
}

static void test_breaker(void)
{
    struct breaker b = {0};
    for (int i = 0; i < 19; i++)
        CHECK(!breaker_note(&b, true)); /* too few to tell */
    CHECK(breaker_note(&b, true));
    CHECK(b.is_open && b.n_trips == 1);
    CHECK(breaker_note(&b, true)); /* the one that asked failed too */
    CHECK_U64(b.n_trips, 2);
    CHECK(!breaker_note(&b, false));
    for (int i = 0; i < 100; i++)
        CHECK(!breaker_note(&b, i % 3 == 0));
    CHECK_U64(b.n_trips, 0);
    int n_trips = 0;
    for (int i = 0; i < 40; i++)
        n_trips += breaker_note(&b, i % 5 < 3);
    CHECK(n_trips >= 1);
}

static void test_retry_budget(void)
{
    struct retry_budget b = {0};
    uint64_t now_ns = NS_PER_S, wait_ms = 0;
    for (int i = 0; i < 10; i++)
        CHECK_U64(retry_budget_spend(&b, now_ns), 0); /* a second's worth */
    for (int i = 0; i < 20; i++)
        wait_ms = retry_budget_spend(&b, now_ns);
    CHECK(wait_ms >= 2000 && wait_ms <= 2001); /* 20 owed at 10 a second */
    for (int i = 0; i < 100; i++)
        retry_budget_request(&b); /* earns 20 */
    CHECK(retry_budget_spend(&b, now_ns) <= 101);
    CHECK_U64(retry_budget_spend(&b, now_ns + 10 * NS_PER_S), 0);
}

/* Half of the answers are 500: the group pauses for longer each time, one request asks, and the
 * first good answer ends it. */
static void test_a_failing_host_is_left_alone(void)
{
    struct hosts *h = open_hosts();
    size_t g = hosts_find(h, "broken.example");
    uint64_t now_ns = NS_PER_S, pause_ms = 0;
    for (int i = 0; i < 40 && pause_ms == 0; i++) {
        CHECK(hosts_start(h, g, now_ns));
        if (i % 2 == 0)
            hosts_answered(h, g, now_ns);
        else
            pause_ms = hosts_failed(h, g, now_ns);
    }
    CHECK(pause_ms >= 15000 && pause_ms <= 30000);
    CHECK(!hosts_start(h, g, now_ns + pause_ms * NS_PER_MS - 1));
    for (int i = 0; i < 8; i++) {
        now_ns += pause_ms * NS_PER_MS;
        CHECK(hosts_start(h, g, now_ns));
        pause_ms = hosts_failed(h, g, now_ns);
        CHECK(pause_ms >= 15000 && pause_ms <= 600000);
    }
    CHECK(pause_ms >= 300000);
    now_ns += pause_ms * NS_PER_MS;
    CHECK(hosts_start(h, g, now_ns));
    hosts_answered(h, g, now_ns);
    CHECK_U64(hosts_failed(h, g, now_ns), 0);
    hosts_close(h);
}

/* Without a limit the number of requests at a time is what a refusal takes back. */
static void test_parallelism_of_a_host_without_a_limit(void)
{
    struct hosts *h = open_hosts();
    size_t g = hosts_find(h, "cdn.example");
    struct host_group *group = hosts_group(h, g);
    uint64_t now_ns = NS_PER_S;
    for (; group->n_in_flight < 16; group->n_in_flight++)
        CHECK(hosts_start(h, g, now_ns));
    CHECK(!hosts_start(h, g, now_ns));
    CHECK_U64(hosts_next_ns(h, g, now_ns), UINT64_MAX);
    group->n_in_flight = 9;
    uint64_t pause_ms = hosts_throttled(h, g, 0, 0, now_ns); /* the tenth was refused */
    CHECK(pause_ms >= 500 && pause_ms <= 1000);
    CHECK_U64(group->pace.level, 7);
    CHECK_U64(group->pace.ceiling, 9);
    now_ns += pause_ms * NS_PER_MS;
    group->n_in_flight = 0;
    hosts_answered(h, g, now_ns);
    for (; group->n_in_flight < 7; group->n_in_flight++)
        CHECK(hosts_start(h, g, now_ns));
    CHECK(!hosts_start(h, g, now_ns));
    hosts_close(h);
}

/* iTunes: refusals without a word, for up to half an hour. */
static void test_pauses_without_advice(void)
{
    struct hosts *h = open_hosts();
    size_t g = hosts_find(h, "slow.example");
    uint64_t now_ns = NS_PER_S, last_ms = 0;
    for (int i = 0; i < 8; i++) {
        last_ms = hosts_throttled(h, g, 0, 0, now_ns);
        CHECK(last_ms >= 60000 && last_ms <= 1800000);
        now_ns += last_ms * NS_PER_MS;
    }
    CHECK(last_ms >= 900000);
    CHECK_U64(hosts_group(h, g)->pace.level, 14); /* one storm, one step */
    hosts_close(h);
}

static void test_pages_for_audio(void)
{
    struct hosts *h = open_hosts();
    size_t g = hosts_find(h, "cdn.example");
    for (int i = 0; i < 4; i++)
        CHECK_U64(hosts_odd(h, g, NS_PER_S), 0);
    CHECK(hosts_odd(h, g, NS_PER_S) > 0);
    hosts_close(h);
}

static void test_published_limits(void)
{
    struct hosts *h = open_hosts();
    size_t g = hosts_find(h, "cdn.example");
    struct ratelimit said = {.has_remaining = true,
                             .remaining = 2,
                             .reset_ms = 30000,
                             .n_policies = 1,
                             .policies = {{3, 60 * NS_PER_S}}};
    struct limiter *l = &hosts_group(h, g)->limiter;
    CHECK(hosts_start(h, g, NS_PER_S));
    limiter_finish(l, NS_PER_S);
    for (int i = 0; i < 3; i++) {
        hosts_published(h, g, &said, NS_PER_S);
        CHECK_U64(l->n_rates, 1); /* the same again changes nothing */
    }
    CHECK(hosts_start(h, g, NS_PER_S) && hosts_start(h, g, NS_PER_S));
    CHECK(!hosts_start(h, g, NS_PER_S));
    /* Nothing remains: nobody asks before the reset, and the level stays. */
    size_t api = hosts_find(h, "api.example");
    said = (struct ratelimit){.has_remaining = true, .reset_ms = 30000};
    hosts_published(h, api, &said, NS_PER_S);
    CHECK(!hosts_start(h, api, 31 * NS_PER_S - 1));
    CHECK(hosts_start(h, api, 31 * NS_PER_S));
    CHECK_U64(hosts_group(h, api)->pace.level, 50);
    /* What is configured is stricter: it stays alone. */
    said = (struct ratelimit){.n_policies = 1, .policies = {{100, 5 * NS_PER_S}}};
    hosts_published(h, api, &said, 31 * NS_PER_S);
    CHECK_U64(hosts_group(h, api)->limiter.n_rates, 1);
    hosts_close(h);
}

/* ---------------------------------------------------------------- across runs */

static const int64_t wall_ms = INT64_C(1798761600000);

static void test_memory(void)
{
    uint8_t note[HOSTS_NOTE_BYTES_MAX];
    struct hosts *h = open_hosts();
    size_t g = hosts_find(h, "api.example"), other = hosts_find(h, "cdn.example");
    CHECK(!hosts_has_news(h));
    (void)hosts_throttled(h, g, 120000, 0, 500 * NS_PER_S);
    hosts_answered(h, other, 500 * NS_PER_S);
    CHECK(hosts_has_news(h));
    size_t n = hosts_remember(h, 510 * NS_PER_S, wall_ms, note);
    CHECK(!hosts_has_news(h));
    hosts_close(h);

    /* Another boot, with another clock, a minute later. */
    h = open_hosts();
    hosts_recall(h, (struct span){note, n}, 7 * NS_PER_S, wall_ms + 60000);
    g = hosts_find(h, "api.example");
    CHECK_U64(hosts_group(h, g)->pace.level, 35);
    CHECK_U64(hosts_group(h, g)->pace.ceiling, 49);
    CHECK_U64(hosts_next_ns(h, g, 7 * NS_PER_S), 57 * NS_PER_S); /* 50 of the 120 s are left */
    size_t n_started = 0;
    while (n_started < 100 && hosts_start(h, g, 57 * NS_PER_S))
        n_started++;
    CHECK_U64(n_started, 35);
    CHECK_U64(hosts_group(h, hosts_find(h, "cdn.example"))->pace.level, 16);
    hosts_close(h);

    /* A host that is not met is not forgotten, and after a day every one is. */
    h = open_hosts();
    hosts_recall(h, (struct span){note, n}, 7 * NS_PER_S, wall_ms + 60000);
    CHECK_U64(hosts_remember(h, 8 * NS_PER_S, wall_ms + 61000, note), n);
    CHECK_U64(hosts_remember(h, 8 * NS_PER_S, wall_ms + INT64_C(2) * 86400000, note), 1);
    hosts_close(h);
}

static void test_memory_trusts_nothing(void)
{
    uint8_t note[HOSTS_NOTE_BYTES_MAX];
    struct hosts *h = open_hosts();
    (void)hosts_throttled(h, hosts_find(h, "api.example"), 120000, 0, 500 * NS_PER_S);
    size_t n = hosts_remember(h, 510 * NS_PER_S, wall_ms, note);
    hosts_close(h);
    for (size_t i = 0; i < n; i++)
        for (int bit = 0; bit < 8; bit++) {
            note[i] ^= (uint8_t)(1 << bit);
            h = open_hosts();
            hosts_recall(h, (struct span){note, n}, 7 * NS_PER_S, wall_ms);
            struct host_group *g = hosts_group(h, hosts_find(h, "api.example"));
            CHECK(g->pace.level >= 1 && g->pace.level <= g->pace.ceiling && g->pace.ceiling <= 50);
            CHECK(g->paused_until_ns <= 7 * NS_PER_S + RATELIMIT_WAIT_MAX_MS * NS_PER_MS);
            hosts_close(h);
            note[i] ^= (uint8_t)(1 << bit);
        }
    for (size_t len = 0; len < n; len++) {
        h = open_hosts();
        hosts_recall(h, (struct span){note, len}, 7 * NS_PER_S, wall_ms);
        CHECK_U64(hosts_group(h, hosts_find(h, "api.example"))->pace.level, 50);
        hosts_close(h);
    }
}

int main(void)
{
    RUN(test_the_level_settles);
    RUN(test_pace_steps);
    RUN(test_breaker);
    RUN(test_retry_budget);
    RUN(test_a_failing_host_is_left_alone);
    RUN(test_parallelism_of_a_host_without_a_limit);
    RUN(test_pauses_without_advice);
    RUN(test_pages_for_audio);
    RUN(test_published_limits);
    RUN(test_memory);
    RUN(test_memory_trusts_nothing);
    return test_done();
}
