/*
 * The loss and the optimizer against numbers computed by hand from PyTorch's formulas (docs of
 * torch.nn.TripletMarginLoss and torch.optim.Adam), in float64 on paper.
 */
#include "base/rng.h"
#include "tests/test.h"
#include "train/loss.h"
#include "train/optim.h"

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

/* Against the definition, written the slow way, and its central differences. */
static double all_by_definition(const double *rows, const uint64_t *groups, size_t n, size_t dim,
                                double margin)
{
    double sum = 0.0;
    size_t n_active = 0;
    for (size_t a = 0; a < 2 * n; a++) {
        size_t p = a < n ? a + n : a - n;
        for (size_t k = 0; k < 3 * n; k++) {
            double hinge = triplet_distance(rows + a * dim, rows + p * dim, dim) -
                           triplet_distance(rows + a * dim, rows + k * dim, dim) + margin;
            if (groups[k] != groups[a] && hinge > 0.0) {
                sum += hinge;
                n_active++;
            }
        }
    }
    return n_active > 0 ? sum / (double)n_active : 0.0;
}

static void test_all_negatives(void)
{
    enum { N = 4, DIM = 5, COUNT = 3 * N * DIM };
    /* anchors 0 and 2 are one work; so are anchor 1 and the first negative */
    uint64_t groups[3 * N] = {1, 2, 1, 4, 1, 2, 1, 4, 2, 5, 6, 7};
    double rows[COUNT], grad[COUNT], scratch[COUNT], loss, up, down;
    struct rng r;
    rng_init(&r, 1, 2, 4);
    for (size_t i = 0; i < COUNT; i++)
        rows[i] = rng_normal(&r);
    triplet_loss_all(rows, groups, N, DIM, 0.7, grad, &loss);
    CHECK(loss > 0.0);
    CHECK_NEAR(loss, all_by_definition(rows, groups, N, DIM, 0.7), 1e-13);
    for (size_t i = 0; i < COUNT; i++) {
        double before = rows[i], h = 1e-7;
        rows[i] = before + h;
        triplet_loss_all(rows, groups, N, DIM, 0.7, scratch, &up);
        rows[i] = before - h;
        triplet_loss_all(rows, groups, N, DIM, 0.7, scratch, &down);
        rows[i] = before;
        CHECK_NEAR((up - down) / (2 * h), grad[i], 1e-7);
    }
}

static void test_all_negatives_of_one_work(void)
{
    uint64_t groups[6] = {1, 1, 1, 1, 1, 1};
    double rows[12] = {0}, grad[12], loss = 1.0;
    triplet_loss_all(rows, groups, 2, 2, 1.0, grad, &loss);
    CHECK_NEAR(loss, 0.0, 0.0);
    for (size_t i = 0; i < 12; i++)
        CHECK_NEAR(grad[i], 0.0, 0.0);
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

/* w = 1, gradient 0.5, lr 0.1, no decay. Step 1: m = 0.05, v = 0.00025; m / 0.1 = 0.5,
 * sqrt(v / 0.001) = 0.5, so w = 0.9. Step 2, gradient -0.25: m = 0.02, v = 0.00031225;
 * m / (1 - 0.81) = 0.105263158, sqrt(v / 0.001999) = 0.395225889; w = 0.9 - 0.1 * 0.266336695 */
static void test_adam_by_hand(void)
{
    struct adam a;
    adam_init(&a, 1);
    float w = 1.0f, g = 0.5f;
    adam_step(&a, &w, &g, 0.1, 0.0);
    CHECK_NEAR(w, 0.9, 1e-7);
    g = -0.25f;
    adam_step(&a, &w, &g, 0.1, 0.0);
    CHECK_NEAR(w, 0.9 - 0.1 * (0.02 / 0.19) / sqrt(0.00031225 / 0.001999), 1e-7);
    CHECK_U64(a.n_steps, 2);
    adam_release(&a);
    adam_release(&a);
}

/* Decay is part of the gradient: w = 2, gradient 0, decay 0.25 is gradient 0.5. */
static void test_adam_decay(void)
{
    struct adam a;
    adam_init(&a, 1);
    float w = 2.0f, g = 0.0f;
    adam_step(&a, &w, &g, 0.1, 0.25);
    CHECK_NEAR(w, 1.9, 1e-6);
    CHECK_NEAR(a.m[0], 0.05, 1e-8);
    adam_release(&a);
}

int main(void)
{
    RUN(test_distance_by_hand);
    RUN(test_loss_by_hand);
    RUN(test_gradient_by_hand);
    RUN(test_gradient_differences);
    RUN(test_all_negatives);
    RUN(test_all_negatives_of_one_work);
    RUN(test_stats_agree);
    RUN(test_adam_by_hand);
    RUN(test_adam_decay);
    return test_done();
}
