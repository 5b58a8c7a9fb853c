#include "ingest/latency.h"
#include "tests/test.h"

static const double NEAR = 0.0626; /* half a bucket of an eighth of an octave */

static void test_quantiles(void)
{
    struct latency l = {0};
    CHECK_NEAR(latency_quantile_ms(&l, 0.5), 0, 0);
    for (uint64_t us = 1000; us <= 100000; us += 10) /* even between 1 and 100 ms */
        latency_add(&l, us);
    CHECK_U64(latency_count(&l), 9901);
    CHECK_NEAR(latency_quantile_ms(&l, 0.5), 50.5, 50.5 * NEAR);
    CHECK_NEAR(latency_quantile_ms(&l, 0.9), 90.1, 90.1 * NEAR);
    CHECK_NEAR(latency_quantile_ms(&l, 0.99), 99.0, 99.0 * NEAR);
    CHECK_NEAR(latency_quantile_ms(&l, 0), 1.0, 1.0 * NEAR);
    CHECK_NEAR(latency_quantile_ms(&l, 1), 100.0, 100.0 * NEAR);
}

/* One value is found again over the whole range. */
static void test_range(void)
{
    for (uint64_t us = 16; us < UINT64_C(200000000); us = us * 9 / 8 + 1) {
        struct latency l = {0};
        latency_add(&l, us);
        CHECK_NEAR(latency_quantile_ms(&l, 0.5), (double)us / 1000, (double)us / 1000 * NEAR);
    }
}

static void test_extremes(void)
{
    struct latency l = {0};
    latency_add(&l, 0);
    latency_add(&l, 15);
    latency_add(&l, UINT64_MAX);
    CHECK_U64(l.counts[0], 2);
    CHECK_U64(l.counts[LATENCY_BUCKETS - 1], 1);
    l.counts[0] = UINT32_MAX;
    latency_add(&l, 1);
    CHECK_U64(l.counts[0], UINT32_MAX);
}

int main(void)
{
    RUN(test_quantiles);
    RUN(test_range);
    RUN(test_extremes);
    return test_done();
}
