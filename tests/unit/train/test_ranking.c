/* Figures on cases that can be counted by hand. */
#include "tests/test.h"
#include "train/ranking.h"

/* Query 0 of group 1; versions are items 2 and 4; order by distance: 3 (other), 2, 1 (other), 4. */
static void test_by_hand(void)
{
    float distances[5] = {0.0f, 0.6f, 0.5f, 0.4f, 0.7f};
    uint64_t groups[5] = {1, 9, 1, 8, 1};
    struct ranking r;
    ranking_of(distances, groups, 5, 0, 1, &r);
    CHECK_NEAR(r.first_rank, 2.0, 0.0);
    CHECK_NEAR(r.precision_1, 0.0, 0.0);
    CHECK_NEAR(r.precision_10, 0.2, 1e-12);
    CHECK_NEAR(r.average_precision, (1.0 / 2.0 + 2.0 / 4.0) / 2.0, 1e-12);
    CHECK_NEAR(r.auc, 1.0 / 4.0, 1e-12);
    CHECK(r.two_choice == 0.0 || r.two_choice == 0.5);
}

static void test_perfect_and_ties(void)
{
    float distances[4] = {0.0f, 0.1f, 0.5f, 0.5f};
    uint64_t groups[4] = {1, 1, 2, 3};
    struct ranking r;
    ranking_of(distances, groups, 4, 0, 1, &r);
    CHECK_NEAR(r.auc, 1.0, 0.0);
    CHECK_NEAR(r.two_choice, 1.0, 0.0);
    CHECK_NEAR(r.average_precision, 1.0, 0.0);
    CHECK_NEAR(r.precision_1, 1.0, 0.0);
    float equal[4] = {0.0f, 0.5f, 0.5f, 0.5f};
    ranking_of(equal, groups, 4, 0, 1, &r);
    CHECK_NEAR(r.auc, 0.5, 0.0);
    CHECK_NEAR(r.two_choice, 0.5, 0.0);
}

static void test_no_version(void)
{
    float distances[3] = {0.0f, 0.1f, 0.5f};
    uint64_t groups[3] = {1, 2, 3}, same[3] = {1, 1, 1};
    struct ranking r;
    ranking_of(distances, groups, 3, 0, 1, &r);
    CHECK(isnan(r.auc) && isnan(r.average_precision));
    ranking_of(distances, same, 3, 0, 1, &r);
    CHECK(isnan(r.auc)); /* nothing to confuse it with */
}

static void test_intervals(void)
{
    enum { N = 400 };
    double values[N];
    uint64_t groups[N];
    for (size_t i = 0; i < N; i++) {
        values[i] = i % 4 == 0 ? 1.0 : 0.0;
        groups[i] = i; /* independent */
    }
    struct figure f = figure_mean(values, groups, N, 1);
    double sigma = sqrt(0.25 * 0.75 / N);
    CHECK_NEAR(f.value, 0.25, 1e-12);
    /* 1,000 draws know the 2.5 % point to about 0.1 sigma */
    CHECK_NEAR(f.lo, 0.25 - 1.96 * sigma, 0.4 * sigma);
    CHECK_NEAR(f.hi, 0.25 + 1.96 * sigma, 0.4 * sigma);
    /* whole works drawn: ten of forty equal queries each are known far worse */
    for (size_t i = 0; i < N; i++) {
        groups[i] = i / 40;
        values[i] = (double)(i / 40 % 2);
    }
    f = figure_mean(values, groups, N, 1);
    CHECK(f.hi - f.lo > 0.4);
    values[0] = (double)NAN; /* not counted */
    f = figure_mean(values, groups, N, 1);
    CHECK_NEAR(f.value, 200.0 / 399.0, 1e-12);
    f = figure_mean(values, groups, 0, 1);
    CHECK(isnan(f.value));
}

/* 49 of 77, the ancestor's covers: p = 0.011; all of 5: 1/32. */
static void test_binomial(void)
{
    CHECK_NEAR(binomial_p(49, 77), 0.0112, 5e-4);
    CHECK_NEAR(binomial_p(5, 5), 1.0 / 32.0, 1e-12);
    CHECK_NEAR(binomial_p(0, 9), 1.0, 1e-12);
    CHECK_NEAR(binomial_p(5, 9), 0.5, 1e-12);
}

int main(void)
{
    RUN(test_binomial);
    RUN(test_by_hand);
    RUN(test_perfect_and_ties);
    RUN(test_no_version);
    RUN(test_intervals);
    return test_done();
}
