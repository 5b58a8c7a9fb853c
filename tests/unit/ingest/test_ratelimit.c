/* What hosts say about their limits, by the letter and by accident. */
#include "ingest/ratelimit.h"

#include "base/clock.h"
#include "tests/test.h"

static const int64_t wall_s = 784111777; /* Sun, 06 Nov 1994 08:49:37 GMT */

static void check_after(const char *value, const char *date, bool want, uint64_t want_ms)
{
    uint64_t ms = 1;
    CHECK_U64(retry_after_parse(value, date, wall_s, &ms), want);
    CHECK_U64(ms, want_ms);
}

static void test_retry_after(void)
{
    check_after("120", "", true, 120000);
    check_after("0", "", false, 0);
    check_after("", "", false, 0);
    check_after(NULL, NULL, false, 0);
    check_after("in a little while", "", false, 0);
    check_after("-5", "", false, 0);
    check_after("1.5", "", false, 0);
    check_after("999999999999999999999999", "", true, RATELIMIT_WAIT_MAX_MS);
    check_after("86401", "", true, RATELIMIT_WAIT_MAX_MS);
    check_after("Sun, 06 Nov 1994 08:50:37 GMT", "", true, 60000);
    check_after("Sunday, 06-Nov-94 08:50:37 GMT", "", true, 60000);
    check_after("Sun Nov  6 08:50:37 1994", "", true, 60000);
    check_after("Sun, 06 Nov 1994 08:48:37 GMT", "", false, 0);
    check_after("Sun, 06 Nov 2094 08:48:37 GMT", "", true, RATELIMIT_WAIT_MAX_MS);
    /* The server's clock is an hour ahead of ours, and so is its date. */
    check_after("Sun, 06 Nov 1994 09:49:47 GMT", "Sun, 06 Nov 1994 09:49:37 GMT", true, 10000);
    check_after("Sun, 06 Nov 1994 08:50:37 GMT", "nonsense", true, 60000);
}

/* Header lines, each with its end, into what they mean. */
static struct ratelimit read_lines(const char *lines)
{
    struct ratelimit_fields fields;
    struct ratelimit out;
    ratelimit_reset(&fields);
    while (*lines != '\0') {
        size_t n = strcspn(lines, "\n");
        n += lines[n] == '\n';
        ratelimit_take_line(&fields, lines, n);
        lines += n;
    }
    ratelimit_read(&fields, wall_s, &out);
    return out;
}

static void check_remaining(const char *lines, uint64_t remaining, uint64_t reset_ms)
{
    struct ratelimit r = read_lines(lines);
    CHECK(r.has_remaining);
    CHECK_U64(r.remaining, remaining);
    CHECK_U64(r.reset_ms, reset_ms);
}

static void check_policy(const char *lines, uint32_t n, uint64_t window_s)
{
    struct ratelimit r = read_lines(lines);
    CHECK(r.n_policies >= 1);
    CHECK_U64(r.policies[0].n, n);
    CHECK_U64(r.policies[0].window_ns, window_s * NS_PER_S);
}

static void check_nothing(const char *lines)
{
    struct ratelimit r = read_lines(lines);
    bool is_nothing = !r.has_remaining && r.n_policies == 0 && r.retry_after_ms == 0;
    if (!is_nothing)
        printf("# %.120s\n", lines);
    CHECK(is_nothing);
}

static void test_x_ratelimit(void)
{
    check_remaining(
        "X-RateLimit-Limit: 60\r\nX-RateLimit-Remaining: 7\r\nX-RateLimit-Reset: 30\r\n", 7, 30000);
    check_remaining("x-ratelimit-remaining:0\nx-ratelimit-reset:1.2\n", 0, 2000);
    /* A time of day, against the server's own clock when it has one. */
    check_remaining("X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 1000000090\n"
                    "Date: Sun, 09 Sep 2001 01:46:40 GMT\n",
                    0, 90000);
    check_remaining("X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 4000000000\n", 0,
                    RATELIMIT_WAIT_MAX_MS);
    check_remaining("X-RateLimit-Remaining: 3\n", 3, 0);
    check_nothing("X-RateLimit-Reset: 10\n");
}

static void test_draft_06(void)
{
    const char *lines = "RateLimit-Limit: 100, 100;w=60;burst=1000;comment=\"sliding window\"\n"
                        "RateLimit-Remaining: 50\nRateLimit-Reset: 5\n";
    check_remaining(lines, 50, 5000);
    check_policy(lines, 100, 60);
    CHECK_U64(read_lines("RateLimit-Limit: 10\n").n_policies, 0); /* of which window? */
    struct ratelimit two = read_lines("RateLimit-Limit: 10, 10;w=1, 50;w=60, 1000;w=3600\n");
    CHECK_U64(two.n_policies, RATELIMIT_POLICIES_MAX);
    CHECK_U64(two.policies[1].n, 50);
}

static void test_draft_07(void)
{
    const char *lines = "RateLimit: limit=100, remaining=0, reset=5\nRateLimit-Policy: 100;w=10\n";
    check_remaining(lines, 0, 5000);
    check_policy(lines, 100, 10);
}

static void test_draft_08_and_later(void)
{
    const char *lines = "RateLimit: \"burst\";r=20;t=3, \"daily\";r=3;t=3600;pk=:cHNk:\n"
                        "RateLimit-Policy: \"burst\";q=100;w=60,\"daily\";q=5000;w=86400;pk=:c=:\n";
    check_remaining(lines, 3, 3600000); /* what is tightest counts */
    check_policy(lines, 100, 60);
    check_remaining("RateLimit: default;r=0;t=30 \r\n", 0, 30000);
    check_remaining("RateLimit: \"a\";r=0, \"b\";r=0;t=7\n", 0, 7000);
    CHECK_U64(read_lines("RateLimit-Policy: \"b\";q=100;w=60;qu=\"content-bytes\"\n").n_policies,
              0);
    check_policy("RateLimit-Policy: \"b\";q=100;w=60;qu=\"requests\"\n", 100, 60);
}

/* What is malformed is as if it were not there, and no number is believed beyond its limit. */
static void test_nonsense_is_ignored(void)
{
    static const char *const lines[] = {
        "RateLimit: \"unended;r=1;t=2\n",
        "RateLimit: a;r=1,\n",
        "RateLimit: a;r=1;t=\n",
        "RateLimit: r=1;t=2;;\n",
        "RateLimit: \xff\xfe\n",
        "RateLimit: a;r=-1;t=1\n",
        "RateLimit-Policy: 100;w=0\n",
        "RateLimit-Policy: 0;w=60\n",
        "RateLimit-Policy: 100;w=86401\n",
        "RateLimit-Policy: 65537;w=1\n",
        "RateLimit-Policy: -5;w=60\n",
        "RateLimit-Policy: 100; w = 60\n",
        "RateLimit-Remaining: many\n",
        "RateLimit-Remaining: 1 2\n",
        "X-RateLimit-Remaining: 1,5\n",
        "RateLimit-Remaining:\n",
        "RateLimit: 99999999999999999999\n",
        "RateLimits: a;r=1;t=2\n",
        "Retry-After: soon\n",
        "Retry-After: -1\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        check_nothing(lines[i]);
    check_remaining("RateLimit: a;r=0;t=999999999999999\n", 0, RATELIMIT_WAIT_MAX_MS);
    char lengthy[400] = "RateLimit: a;r=0;t=1;x=";
    memset(lengthy + strlen(lengthy), '1', 300);
    check_nothing(lengthy);
}

/* Retry-After goes before the rest; that is the caller's choice, both are told. */
static void test_both(void)
{
    struct ratelimit r =
        read_lines("Retry-After: 3\nRateLimit-Remaining: 0\nRateLimit-Reset: 60\n");
    CHECK_U64(r.retry_after_ms, 3000);
    CHECK_U64(r.reset_ms, 60000);
}

int main(void)
{
    RUN(test_retry_after);
    RUN(test_x_ratelimit);
    RUN(test_draft_06);
    RUN(test_draft_07);
    RUN(test_draft_08_and_later);
    RUN(test_nonsense_is_ignored);
    RUN(test_both);
    return test_done();
}
