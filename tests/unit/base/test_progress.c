#include "base/clock.h"
#include "base/progress.h"

#include "tests/test.h"

/* A fake clock: ten items a second, then a stall. */
static void test_rate_and_eta_follow_the_clock(void)
{
    struct progress p;
    progress_init(&p, "test", "items", 1000);
    CHECK(progress_eta_s(&p) < 0);
    uint64_t now = 5 * NS_PER_S;
    for (uint64_t i = 0; i <= 100; i++, now += NS_PER_S / 10)
        progress_update(&p, now, i, "%s", "");
    CHECK_NEAR(p.rate_per_s, 10, 0.5);
    CHECK_NEAR(progress_eta_s(&p), 90, 5);
    progress_update(&p, now + 60 * NS_PER_S, 100, "%s", "");
    CHECK_NEAR(p.rate_per_s, 0, 0.2);
}

/* Work already done before the start is not counted as speed. */
static void test_a_resumed_run_starts_from_what_is_done(void)
{
    struct progress p;
    progress_init(&p, "test", "items", 1000);
    progress_update(&p, NS_PER_S, 900, "%s", "");
    progress_update(&p, 2 * NS_PER_S, 905, "%s", "");
    CHECK_NEAR(p.rate_per_s, 5, 1e-9);
    CHECK_NEAR(progress_eta_s(&p), 19, 1e-9);
}

int main(void)
{
    RUN(test_rate_and_eta_follow_the_clock);
    RUN(test_a_resumed_run_starts_from_what_is_done);
    return test_done();
}
