/*
 * Optimizers, clipping and schedules against numbers computed by hand from PyTorch's formulas (docs
 * of torch.optim and torch.nn.utils.clip_grad_norm_).
 */
#include "base/mem.h"
#include "tests/test.h"
#include "train/optim.h"
#include "train/schedule.h"

/* w = 1, gradient 0.5, lr 0.1, no decay. Step 1: m = 0.05, v = 0.00025; m / 0.1 = 0.5,
 * sqrt(v / 0.001) = 0.5, so w = 0.9. Step 2, gradient -0.25: m = 0.02, v = 0.00031225;
 * m / (1 - 0.81) = 0.105263158, sqrt(v / 0.001999) = 0.395225889; w = 0.9 - 0.1 * 0.266336695 */
static void test_adam_by_hand(void)
{
    struct optim a;
    optim_init(&a, OPTIM_ADAM, 1);
    float w = 1.0f, g = 0.5f;
    optim_step(&a, &w, &g, 0.1, 0.0);
    CHECK_NEAR(w, 0.9, 1e-7);
    g = -0.25f;
    optim_step(&a, &w, &g, 0.1, 0.0);
    CHECK_NEAR(w, 0.9 - 0.1 * (0.02 / 0.19) / sqrt(0.00031225 / 0.001999), 1e-7);
    CHECK_U64(a.n_steps, 2);
    optim_release(&a);
    optim_release(&a);
}

/* Decay is part of the gradient: w = 2, gradient 0, decay 0.25 is gradient 0.5. */
static void test_adam_decay(void)
{
    struct optim a;
    optim_init(&a, OPTIM_ADAM, 1);
    float w = 2.0f, g = 0.0f;
    optim_step(&a, &w, &g, 0.1, 0.25);
    CHECK_NEAR(w, 1.9, 1e-6);
    CHECK_NEAR(a.m[0], 0.05, 1e-8);
    optim_release(&a);
}

/* Decoupled: w = 2, gradient 0, decay 0.25, rate 0.1: w *= 0.975 and no moment. */
static void test_adamw_decay(void)
{
    struct optim a;
    optim_init(&a, OPTIM_ADAMW, 1);
    float w = 2.0f, g = 0.0f;
    optim_step(&a, &w, &g, 0.1, 0.25);
    CHECK_NEAR(w, 1.95, 1e-6);
    CHECK_NEAR(a.m[0], 0.0, 0.0);
    g = 0.5f;
    optim_step(&a, &w, &g, 0.1, 0.0);
    CHECK_NEAR(w, 1.95 - 0.1 * (0.05 / 0.19) / sqrt(0.00025 / 0.001999), 1e-6);
    optim_release(&a);
}

/* w = 1, g = 0.5, decay 0.5: buffer 1, w = 0.9. Then g = 0: 0.9 * 1 + 0.5 * 0.9 = 1.35. */
static void test_sgd_by_hand(void)
{
    struct optim a;
    optim_init(&a, OPTIM_SGD, 1);
    float w = 1.0f, g = 0.5f;
    optim_step(&a, &w, &g, 0.1, 0.5);
    CHECK_NEAR(w, 0.9, 1e-7);
    g = 0.0f;
    optim_step(&a, &w, &g, 0.1, 0.5);
    CHECK_NEAR(a.m[0], 1.35, 1e-6);
    CHECK_NEAR(w, 0.9 - 0.135, 1e-6);
    optim_release(&a);
}

/* Weights in blocks and at the ragged end are treated alike. */
static void test_every_weight_steps(void)
{
    enum { N = 203 };
    for (int kind = OPTIM_ADAM; kind <= OPTIM_SGD; kind++) {
        struct optim a;
        float w[N], g[N];
        optim_init(&a, (enum optim_kind)kind, N);
        for (size_t i = 0; i < N; i++) {
            w[i] = 1.0f;
            g[i] = 0.25f;
        }
        optim_step(&a, w, g, 0.1, 0.01);
        CHECK(w[0] < 1.0f);
        for (size_t i = 1; i < N; i++)
            CHECK(w[i] == w[0]);
        optim_release(&a);
    }
}

static void test_clip_by_hand(void)
{
    float g[4] = {3.0f, 0.0f, -4.0f, 0.0f};
    CHECK_NEAR(gradient_clip(g, 4, 0.0), 5.0, 0.0);
    CHECK_NEAR(gradient_clip(g, 4, 10.0), 5.0, 0.0);
    CHECK_NEAR(g[0], 3.0, 0.0);
    CHECK_NEAR(gradient_clip(g, 4, 1.0), 5.0, 0.0);
    CHECK_NEAR(g[0], 0.6, 1e-6);
    CHECK_NEAR(g[2], -0.8, 1e-6);
}

static void test_schedules(void)
{
    struct schedule constant = {SCHEDULE_CONSTANT, 4, 0}, linear = {SCHEDULE_LINEAR, 0, 10},
                    cosine = {SCHEDULE_COSINE, 2, 12};
    CHECK_NEAR(schedule_factor(&constant, 0), 0.25, 0.0);
    CHECK_NEAR(schedule_factor(&constant, 3), 1.0, 0.0);
    CHECK_NEAR(schedule_factor(&constant, 1000), 1.0, 0.0);
    CHECK_NEAR(schedule_factor(&linear, 0), 1.0, 0.0);
    CHECK_NEAR(schedule_factor(&linear, 5), 0.5, 1e-15);
    CHECK_NEAR(schedule_factor(&linear, 9), 0.1, 1e-15);
    CHECK_NEAR(schedule_factor(&linear, 10), 0.0, 0.0);
    CHECK_NEAR(schedule_factor(&cosine, 1), 1.0, 0.0);
    CHECK_NEAR(schedule_factor(&cosine, 2), 1.0, 0.0);
    CHECK_NEAR(schedule_factor(&cosine, 7), 0.5, 1e-15);
    CHECK_NEAR(schedule_factor(&cosine, 11), 0.5 * (1.0 + cos(0.9 * 3.14159265358979323846)),
               1e-15);
}

int main(void)
{
    RUN(test_adam_by_hand);
    RUN(test_adam_decay);
    RUN(test_adamw_decay);
    RUN(test_sgd_by_hand);
    RUN(test_every_weight_steps);
    RUN(test_clip_by_hand);
    RUN(test_schedules);
    return test_done();
}
