/*
 * Losses over a whole batch, each against its definition written the slow way, and its gradient
 * against central differences of the loss.
 */
#include "base/rng.h"
#include "tests/test.h"
#include "train/loss.h"
#include "train/mining.h"

enum { N = 6, DIM = 5, ROWS = 2 * N, COUNT = ROWS * DIM };
#define MARGIN 0.7
#define TEMPERATURE 0.2

/* originals 0 and 2 are one work */
static const uint64_t groups[ROWS] = {1, 2, 1, 4, 5, 6, 1, 2, 1, 4, 5, 6};
static double rows[COUNT];

static void draw_rows(void)
{
    struct rng r;
    rng_init(&r, 1, 2, 4);
    for (size_t i = 0; i < ROWS; i++) {
        double sum = 0.0;
        for (size_t d = 0; d < DIM; d++) {
            rows[i * DIM + d] = rng_normal(&r);
            sum += rows[i * DIM + d] * rows[i * DIM + d];
        }
        for (size_t d = 0; d < DIM; d++)
            rows[i * DIM + d] /= sqrt(sum);
    }
}

static size_t partner(size_t a)
{
    return a < N ? a + N : a - N;
}

static double distance(size_t a, size_t k)
{
    return triplet_distance(rows + a * DIM, rows + k * DIM, DIM);
}

static double all_by_definition(void)
{
    double sum = 0.0, n_active = 0.0;
    for (size_t a = 0; a < ROWS; a++)
        for (size_t k = 0; k < ROWS; k++) {
            double hinge = distance(a, partner(a)) - distance(a, k) + MARGIN;
            if (groups[k] != groups[a] && hinge > 0.0) {
                sum += hinge;
                n_active += 1.0;
            }
        }
    return sum / n_active;
}

static double hardest_by_definition(bool only_beyond_partner)
{
    double sum = 0.0;
    for (size_t a = 0; a < ROWS; a++) {
        double positive = distance(a, partner(a)), nearest = INFINITY, farthest = 0.0;
        for (size_t k = 0; k < ROWS; k++) {
            if (groups[k] == groups[a])
                continue;
            if (!only_beyond_partner || distance(a, k) > positive)
                nearest = fmin(nearest, distance(a, k));
            farthest = fmax(farthest, distance(a, k));
        }
        sum += fmax(0.0, positive - (isfinite(nearest) ? nearest : farthest) + MARGIN);
    }
    return sum / ROWS;
}

static double ntxent_by_definition(void)
{
    double sum = 0.0;
    for (size_t a = 0; a < ROWS; a++) {
        double below = 0.0, above = 0.0;
        for (size_t k = 0; k < ROWS; k++) {
            double s = 0.0;
            for (size_t d = 0; d < DIM; d++)
                s += rows[a * DIM + d] * rows[k * DIM + d];
            if (k == partner(a))
                above = exp(s / TEMPERATURE);
            if (k == partner(a) || groups[k] != groups[a])
                below += exp(s / TEMPERATURE);
        }
        sum -= log(above / below);
    }
    return sum / ROWS;
}

enum which { ALL, SEMI_HARD, HARDEST, NTXENT, N_LOSSES };

static double loss_of(int which, double *grad)
{
    static const enum mining mining[] = {MINE_ALL, MINE_SEMI_HARD, MINE_HARDEST};
    struct batch_rows b = {rows, groups, N, DIM};
    return which == NTXENT ? ntxent_loss(&b, TEMPERATURE, grad)
                           : triplet_loss_mined(&b, mining[which], MARGIN, grad);
}

static void test_definitions(void)
{
    double grad[COUNT];
    draw_rows();
    CHECK(all_by_definition() > 0.0);
    CHECK_NEAR(loss_of(ALL, grad), all_by_definition(), 1e-13);
    CHECK_NEAR(loss_of(SEMI_HARD, grad), hardest_by_definition(true), 1e-13);
    CHECK_NEAR(loss_of(HARDEST, grad), hardest_by_definition(false), 1e-13);
    CHECK(hardest_by_definition(false) > hardest_by_definition(true));
    CHECK_NEAR(loss_of(NTXENT, grad), ntxent_by_definition(), 1e-12);
}

static void test_gradients(void)
{
    double grad[COUNT], scratch[COUNT];
    draw_rows();
    for (int which = 0; which < N_LOSSES; which++) {
        loss_of(which, grad);
        for (size_t i = 0; i < COUNT; i++) {
            double before = rows[i], h = 1e-6;
            rows[i] = before + h;
            double up = loss_of(which, scratch);
            rows[i] = before - h;
            double down = loss_of(which, scratch);
            rows[i] = before;
            CHECK_NEAR((up - down) / (2 * h), grad[i], 1e-6);
        }
    }
}

/* The partner of row 0 is the farthest of all: no negative lies beyond it, and the farthest one is
 * taken. */
static void test_semi_hard_without_one(void)
{
    double far[4] = {0.0, 1.5, 9.0, 2.0}, grad[4];
    uint64_t two[4] = {1, 2, 1, 2};
    struct batch_rows b = {far, two, 2, 1};
    /* 0: 9 - 2 + 1; its partner: 9 - 7.5 + 1; the others find one far enough */
    CHECK_NEAR(triplet_loss_mined(&b, MINE_SEMI_HARD, 1.0, grad), (8.0 + 2.5) / 4.0, 1e-5);
}

static void test_one_work(void)
{
    uint64_t one[6] = {1, 1, 1, 1, 1, 1};
    double zeros[12] = {0}, grad[12];
    struct batch_rows b = {zeros, one, 3, 2};
    struct triplet_stats s;
    for (int mining = MINE_ALL; mining <= MINE_HARDEST; mining++) {
        CHECK_NEAR(triplet_loss_mined(&b, (enum mining)mining, 1.0, grad), 0.0, 0.0);
        for (size_t i = 0; i < 12; i++)
            CHECK_NEAR(grad[i], 0.0, 0.0);
    }
    CHECK_NEAR(ntxent_loss(&b, 0.1, grad), 0.0, 1e-15);
    triplet_stats_of_batch(&b, 1.0, 1, 1, &s);
    CHECK_U64(s.n_triplets, 0);
    CHECK_NEAR(s.loss, 0.0, 0.0);
}

/* What is reported: every original of another group is a negative equally often, no positive ever,
 * and the draw depends on seed and batch alone. Over a margin this wide all triplets count. */
static void test_reported(void)
{
    enum { DRAWS = 4000 };
    struct batch_rows b = {rows, groups, N, DIM};
    struct triplet_stats s, again, other;
    double want = 0.0, positive = 0.0, sum = 0.0;
    size_t n_alike = 0;
    draw_rows();
    for (size_t d = 0; d < DIM; d++) /* a work's own clips are no negatives of it: it would show */
        rows[2 * DIM + d] += 100.0;
    for (size_t i = 0; i < N; i++) {
        double of_one = 0.0, n = 0.0;
        for (size_t k = 0; k < N; k++)
            if (groups[k] != groups[i]) {
                of_one += distance(i, k);
                n += 1.0;
            }
        want += of_one / n / N;
        positive += distance(i, i + N) / N;
    }
    for (uint64_t batch = 0; batch < DRAWS; batch++) {
        triplet_stats_of_batch(&b, 1000.0, 7, batch, &s);
        triplet_stats_of_batch(&b, 1000.0, 7, batch, &again);
        triplet_stats_of_batch(&b, 1000.0, 8, batch, &other);
        CHECK(s.n_triplets == N && s.loss == again.loss);
        CHECK_NEAR(s.mean_positive, positive, 1e-12);
        CHECK_NEAR(s.loss, s.mean_positive - s.mean_negative + 1000.0, 1e-9);
        n_alike += s.loss == other.loss;
        sum += s.mean_negative;
    }
    CHECK(n_alike < DRAWS / 10);
    /* Distances to row 2 are 224, others below 2: a draw's mean deviates by about 30 */
    CHECK_NEAR(sum / DRAWS, want, 5.0 * 30.0 / sqrt(DRAWS));
}

int main(void)
{
    RUN(test_definitions);
    RUN(test_gradients);
    RUN(test_semi_hard_without_one);
    RUN(test_one_work);
    RUN(test_reported);
    return test_done();
}
