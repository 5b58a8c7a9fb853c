/*
 * The loss against numbers computed by hand from PyTorch's formula (docs of
 * torch.nn.TripletMarginLoss), in float64 on paper.
 */
#include "base/rng.h"
#include "tests/test.h"
#include "train/loss.h"

/* d(a,p): a - p + eps = (-3 + 1e-6, -4 + 1e-6): sqrt(25 - 14e-6 + 2e-12) = 4.9999986
 * d(a,n): a - n + eps = (1e-6, -1 + 1e-6): 1 - 1e-6 (+ 5e-13) */
static void test_distance_by_hand(void)
{
    double a[2] = {0, 0}, p[2] = {3, 4}, n[2] = {0, 1}, same[4] = {1, 2, 3, 4};
    CHECK_NEAR(triplet_distance(a, p, 2), 4.9999986, 1e-11);
    CHECK_NEAR(triplet_distance(a, n, 2), 0.9999990000005, 1e-12);
    /* the sign of eps matters: the other way round it is longer */
    CHECK_NEAR(triplet_distance(p, a, 2), 5.0000014, 1e-11);
    CHECK_NEAR(triplet_distance(same, same, 4), 2e-6, 1e-18);
}

static void test_loss_by_hand(void)
{
    /* two triplets in two dimensions: one active (4.9999986 - 0.999999 + 1), one not (0.5 away from
     * its positive, 3 from its negative) */
    double rows[12] = {0, 0, 0, 0, 3, 4, 0.5, 0, 0, 1, 0, 3};
    struct triplet_stats s;
    triplet_loss(rows, 2, 2, 1.0, NULL, &s);
    CHECK_NEAR(s.loss, (4.9999986 - 0.9999990000005 + 1.0) / 2.0, 1e-11);
    CHECK_NEAR(s.active_share, 0.5, 0.0);
    CHECK_NEAR(s.mean_positive, (4.9999986 + 0.499999) / 2.0, 1e-9);
    CHECK_NEAR(s.mean_negative, (0.999999 + 2.999999) / 2.0, 1e-9);
}

static void test_gradient_by_hand(void)
{
    /* one triplet: grad a = (a-p+eps)/d(a,p) - (a-n+eps)/d(a,n) = (-0.6, -0.8) - (0, -1) */
    double rows[6] = {0, 0, 3, 4, 0, 1}, grad[6];
    struct triplet_stats s;
    triplet_loss(rows, 1, 2, 1.0, grad, &s);
    double want[6] = {-0.6, 0.2, 0.6, 0.8, 0.0, -1.0};
    for (size_t i = 0; i < 6; i++)
        CHECK_NEAR(grad[i], want[i], 2e-6);
}

/* Central differences, away from the hinge. */
static void test_gradient_differences(void)
{
    enum { N = 5, DIM = 7, COUNT = 3 * N * DIM };
    double rows[COUNT], grad[COUNT];
    struct rng r;
    rng_init(&r, 1, 2, 3);
    for (size_t i = 0; i < COUNT; i++)
        rows[i] = rng_normal(&r);
    struct triplet_stats s, up, down;
    triplet_loss(rows, N, DIM, 0.7, grad, &s);
    CHECK(s.active_share > 0.0 && s.active_share < 1.0);
    for (size_t i = 0; i < COUNT; i++) {
        double before = rows[i], h = 1e-6;
        rows[i] = before + h;
        triplet_loss(rows, N, DIM, 0.7, NULL, &up);
        rows[i] = before - h;
        triplet_loss(rows, N, DIM, 0.7, NULL, &down);
        rows[i] = before;
        CHECK_NEAR((up.loss - down.loss) / (2 * h), grad[i], 1e-8);
    }
}

static void test_stats_agree(void)
{
    double rows[12] = {0, 0, 0, 0, 3, 4, 0.5, 0, 0, 1, 0, 3};
    double positive[2], negative[2];
    for (size_t i = 0; i < 2; i++) {
        positive[i] = triplet_distance(rows + 2 * i, rows + 4 + 2 * i, 2);
        negative[i] = triplet_distance(rows + 2 * i, rows + 8 + 2 * i, 2);
    }
    struct triplet_stats a, b;
    triplet_loss(rows, 2, 2, 1.0, NULL, &a);
    triplet_stats_from(positive, negative, 2, 1.0, &b);
    CHECK_NEAR(a.loss, b.loss, 1e-15);
    CHECK_NEAR(a.active_share, b.active_share, 0.0);
    CHECK_NEAR(a.mean_positive, b.mean_positive, 1e-15);
    CHECK_NEAR(a.mean_negative, b.mean_negative, 1e-15);
}

int main(void)
{
    RUN(test_distance_by_hand);
    RUN(test_loss_by_hand);
    RUN(test_gradient_by_hand);
    RUN(test_gradient_differences);
    RUN(test_stats_agree);
    return test_done();
}
