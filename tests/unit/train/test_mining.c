/*
 * Losses over a whole batch, each against its definition written the slow way, and its gradient
 * against central differences of the loss.
 */
#include "base/rng.h"
#include "tests/test.h"
#include "train/loss.h"
#include "train/mining.h"

enum { N = 4, DIM = 5, COUNT = 3 * N * DIM };
#define MARGIN 0.7
#define TEMPERATURE 0.2

/* anchors 0 and 2 are one work; so are anchor 1 and the first negative, and the last two negatives,
 * which are a pair where negatives come in pairs */
static const uint64_t groups[3 * N] = {1, 2, 1, 4, 1, 2, 1, 4, 2, 5, 6, 6};
static double rows[COUNT];
static bool pairs;

static void draw_rows(void)
{
    struct rng r;
    rng_init(&r, 1, 2, 4);
    for (size_t i = 0; i < 3 * N; i++) {
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
    return a >= 2 * N ? (a % 2 == 0 ? a + 1 : a - 1) : a < N ? a + N : a - N;
}

static bool is_anchor(size_t a)
{
    return a < 2 * N || (pairs && a >= 2 * N + 2);
}

static size_t n_anchors(void)
{
    return pairs ? 2 * N + 2 : 2 * N;
}

static double distance(size_t a, size_t k)
{
    return triplet_distance(rows + a * DIM, rows + k * DIM, DIM);
}

static double all_by_definition(void)
{
    double sum = 0.0, n_active = 0.0;
    for (size_t a = 0; a < 3 * N; a++)
        for (size_t k = 0; is_anchor(a) && k < 3 * N; k++) {
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
    for (size_t a = 0; a < 3 * N; a++) {
        if (!is_anchor(a))
            continue;
        double positive = distance(a, partner(a)), nearest = INFINITY, farthest = 0.0;
        for (size_t k = 0; k < 3 * N; k++) {
            if (groups[k] == groups[a])
                continue;
            if (!only_beyond_partner || distance(a, k) > positive)
                nearest = fmin(nearest, distance(a, k));
            farthest = fmax(farthest, distance(a, k));
        }
        sum += fmax(0.0, positive - (isfinite(nearest) ? nearest : farthest) + MARGIN);
    }
    return sum / (double)n_anchors();
}

static double ntxent_by_definition(void)
{
    double sum = 0.0;
    for (size_t a = 0; a < 3 * N; a++) {
        if (!is_anchor(a))
            continue;
        double below = 0.0, above = 0.0;
        for (size_t k = 0; k < 3 * N; k++) {
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
    return sum / (double)n_anchors();
}

enum which { ALL, SEMI_HARD, HARDEST, NTXENT, N_LOSSES };

static double loss_of(int which, double *grad)
{
    static const enum mining mining[] = {MINE_ALL, MINE_SEMI_HARD, MINE_HARDEST};
    struct batch_rows b = {rows, groups, N, DIM, pairs};
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

/* Every partner is the farthest row: no negative lies beyond it, and the farthest one is taken. */
static void test_semi_hard_without_one(void)
{
    double far[6] = {0.0, 9.0, 1.0}, grad[6];
    uint64_t two[3] = {1, 1, 2};
    struct batch_rows b = {far, two, 1, 1, true};
    /* anchor 0: 9 - 1 + 1; anchor 1: 9 - 8 + 1 */
    CHECK_NEAR(triplet_loss_mined(&b, MINE_SEMI_HARD, 1.0, grad), (9.0 + 2.0) / 2.0, 1e-5);
}

static void test_one_work(void)
{
    uint64_t one[6] = {1, 1, 1, 1, 1, 1};
    double zeros[12] = {0}, grad[12];
    struct batch_rows b = {zeros, one, 2, 2, true};
    for (int mining = MINE_ALL; mining <= MINE_HARDEST; mining++) {
        CHECK_NEAR(triplet_loss_mined(&b, (enum mining)mining, 1.0, grad), 0.0, 0.0);
        for (size_t i = 0; i < 12; i++)
            CHECK_NEAR(grad[i], 0.0, 0.0);
    }
    CHECK_NEAR(ntxent_loss(&b, 0.1, grad), 0.0, 1e-15);
}

int main(void)
{
    RUN(test_definitions);
    RUN(test_gradients);
    pairs = true;
    RUN(test_definitions);
    RUN(test_gradients);
    RUN(test_semi_hard_without_one);
    RUN(test_one_work);
    return test_done();
}
