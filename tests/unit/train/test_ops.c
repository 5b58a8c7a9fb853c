/*
 * Every operation twice: the reference back end against central differences in float64, and the
 * fast back end against the reference. The "loss" is the inner product of the output with fixed
 * random numbers, so that every output element counts.
 */
#include "base/mem.h"
#include "base/rng.h"
#include "tests/test.h"
#include "train/model.h"
#include "train/tape.h"

enum { THREADS = 1, RNG_TEST = 99 };

/* Central differences with h = 2^-18 in float64: truncation is far below 1e-9, rounding about
 * 1e-10; the gradient itself is stored in float32, 6e-8. So small a step also makes it unlikely
 * that a ReLU or a maximum changes sides between the two points. */
#define FD_STEP 0x1p-18f
#define FD_TOLERANCE 5e-7

/* float32 kernels with other orders of summation: 1e-5 of the largest element of the tensor. */
#define DNN_TOLERANCE 1e-5

typedef int32_t build_fn(struct net *n);

static void fill(float *x, size_t n, uint64_t item)
{
    struct rng r;
    rng_init(&r, 7, RNG_TEST, item);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)rng_normal(&r);
}

struct run {
    struct net *net;
    float *x;
    double *weights, *y;
    size_t n_x, n_y;
    double loss;
};

static bool run_init(struct run *r, const struct backend *backend, build_fn *build, bool poison)
{
    struct err e = {0};
    *r = (struct run){.net = net_new(backend, THREADS, 3)};
    int32_t out = build(r->net);
    bool ok = net_finish(r->net, out, poison, &e);
    CHECK_OK(ok, &e);
    r->n_x = shape_count(net_shape(r->net, 0));
    r->n_y = shape_count(net_shape(r->net, out));
    r->x = mem_alloc_aligned(r->n_x, sizeof *r->x);
    r->weights = mem_alloc(r->n_y, sizeof *r->weights);
    r->y = mem_alloc(r->n_y, sizeof *r->y);
    fill(r->x, r->n_x, 1);
    struct rng g;
    rng_init(&g, 7, RNG_TEST, 2);
    for (size_t i = 0; i < r->n_y; i++)
        r->weights[i] = rng_normal(&g);
    struct params *p = net_params(r->net);
    for (size_t i = 0; i < p->n; i++) {
        float *value = p->value + p->items[i].offset;
        fill(value, p->items[i].count, 10 + i);
        if (strstr(p->items[i].name, "running_var") != NULL)
            for (size_t k = 0; k < p->items[i].count; k++)
                value[k] = 0.5f + fabsf(value[k]);
    }
    return ok;
}

static void run_release(struct run *r)
{
    net_free(r->net);
    mem_free(r->x);
    mem_free(r->weights);
    mem_free(r->y);
}

static double run_forward(struct run *r, enum net_mode mode)
{
    struct err e = {0};
    CHECK_OK(net_forward(r->net, r->x, mode, 5, &e), &e);
    net_output(r->net, r->y);
    r->loss = 0.0;
    for (size_t i = 0; i < r->n_y; i++)
        r->loss += r->weights[i] * r->y[i];
    return r->loss;
}

static void run_backward(struct run *r)
{
    struct err e = {0};
    CHECK_OK(net_backward(r->net, r->weights, &e), &e);
}

/* Central difference along one parameter. */
static double slope(struct run *r, float *value)
{
    float before = *value;
    *value = before + FD_STEP;
    double hi = (double)*value, up = run_forward(r, NET_TRAIN);
    *value = before - FD_STEP;
    double lo = (double)*value, down = run_forward(r, NET_TRAIN);
    *value = before;
    return (up - down) / (hi - lo);
}

static void check_finite_differences(build_fn *build)
{
    struct run r;
    if (run_init(&r, &backend_ref, build, false)) {
        struct params *p = net_params(r.net);
        run_forward(&r, NET_TRAIN);
        run_backward(&r);
        float *grad = mem_alloc(p->n_trainable, sizeof *grad);
        memcpy(grad, p->grad, p->n_trainable * sizeof *grad);
        double scale = 0.0, worst = 0.0;
        for (size_t i = 0; i < p->n_trainable; i++)
            scale = fmax(scale, fabs((double)grad[i]));
        CHECK(scale > 0.0);
        for (size_t i = 0; i < p->n_trainable; i++)
            worst = fmax(worst, fabs(slope(&r, &p->value[i]) - (double)grad[i]));
        CHECK_NEAR(worst / scale, 0.0, FD_TOLERANCE);
        mem_free(grad);
    }
    run_release(&r);
}

static void check_close(const char *name, const double *got, const double *want, size_t n)
{
    double scale = 1e-30, worst = 0.0;
    for (size_t i = 0; i < n; i++) {
        scale = fmax(scale, fabs(want[i]));
        worst = fmax(worst, fabs(got[i] - want[i]));
    }
    if (!(worst <= DNN_TOLERANCE * scale)) {
        printf("# %s: off by %g of %g\n", name, worst, scale);
        test_fail(__FILE__, __LINE__, "dnn near ref");
    }
}

static void check_tensor(const char *name, const float *got, const float *want, size_t n)
{
    double *a = mem_alloc(n, sizeof *a), *b = mem_alloc(n, sizeof *b);
    for (size_t i = 0; i < n; i++) {
        a[i] = (double)got[i];
        b[i] = (double)want[i];
    }
    check_close(name, a, b, n);
    mem_free(a);
    mem_free(b);
}

static void check_against_ref(const struct backend *backend, build_fn *build)
{
    struct run ref, dnn;
    bool ok = run_init(&ref, &backend_ref, build, false);
    ok = run_init(&dnn, backend, build, true) && ok;
    if (ok) {
        run_forward(&ref, NET_EVAL);
        run_forward(&dnn, NET_EVAL);
        check_close("output, eval", dnn.y, ref.y, ref.n_y);
        run_forward(&ref, NET_TRAIN);
        run_forward(&dnn, NET_TRAIN);
        check_close("output, train", dnn.y, ref.y, ref.n_y);
        run_backward(&ref);
        run_backward(&dnn);
        struct params *a = net_params(ref.net), *b = net_params(dnn.net);
        for (size_t i = 0; i < a->n; i++) {
            const struct param *p = &a->items[i];
            check_tensor(p->name, b->value + p->offset, a->value + p->offset, p->count);
            if (p->trainable)
                check_tensor(p->name, b->grad + p->offset, a->grad + p->offset, p->count);
        }
    }
    run_release(&ref);
    run_release(&dnn);
}

/* bfloat16 has 8 bits: each rounding is off by up to 2^-9, and where a ReLU's input is that near 0
 * its gradient changes sides. The direction of a tensor is what an optimizer needs. */
#define BF16_COSINE 0.999
#define BF16_LENGTH 0.02

static void check_direction(const char *name, const float *got, const float *want, size_t n)
{
    double dot = 0.0, a = 1e-60, b = 1e-60;
    for (size_t i = 0; i < n; i++) {
        dot += (double)got[i] * (double)want[i];
        a += (double)got[i] * (double)got[i];
        b += (double)want[i] * (double)want[i];
    }
    double cosine = dot / sqrt(a * b), length = sqrt(a / b);
    if (!(cosine > BF16_COSINE) || !(fabs(length - 1.0) < BF16_LENGTH)) {
        printf("# %s: cosine %.5f, length %.4f\n", name, cosine, length);
        test_fail(__FILE__, __LINE__, "bfloat16 near float32");
    }
}

static void check_bf16_against_dnn(build_fn *build)
{
    struct run dnn, half;
    bool ok = run_init(&dnn, &backend_dnn, build, false);
    ok = run_init(&half, &backend_dnn_bf16, build, true) && ok;
    if (ok) {
        run_forward(&dnn, NET_TRAIN);
        run_forward(&half, NET_TRAIN);
        run_backward(&dnn);
        run_backward(&half);
        struct params *a = net_params(dnn.net), *b = net_params(half.net);
        for (size_t i = 0; i < a->n; i++) {
            const struct param *p = &a->items[i];
            if (p->trainable && p->count > 1)
                check_direction(p->name, b->grad + p->offset, a->grad + p->offset, p->count);
        }
    }
    run_release(&dnn);
    run_release(&half);
}

/* ---------------------------------------------------------------- one small net an operation */

/* A convolution in front, so that gradients flow through the operation under test. */
static int32_t front(struct net *n, int32_t h, int32_t w, int32_t channels)
{
    struct window k = {{3, 3}, {1, 1}, {1, 1}};
    return net_conv(n, "front", net_input(n, (struct shape){3, h, w, 1}), &k, channels);
}

static int32_t build_conv(struct net *n)
{
    struct window k = {{3, 3}, {2, 2}, {1, 1}};
    return net_conv(n, "conv", front(n, 9, 7, 4), &k, 5);
}

static int32_t build_conv_stem(struct net *n)
{
    struct window k = {{7, 5}, {4, 2}, {3, 2}};
    return net_conv(n, "conv", net_input(n, (struct shape){2, 21, 16, 1}), &k, 16);
}

static int32_t build_conv_1x1(struct net *n)
{
    struct window k = {{1, 1}, {2, 2}, {0, 0}};
    return net_conv(n, "conv", front(n, 8, 6, 16), &k, 32);
}

static int32_t build_bn(struct net *n)
{
    return net_bn(n, "bn", front(n, 6, 5, 4), false);
}

static int32_t build_bn_relu(struct net *n)
{
    return net_bn(n, "bn", front(n, 6, 5, 16), true);
}

static int32_t build_relu(struct net *n)
{
    return net_relu(n, front(n, 5, 4, 3));
}

static int32_t build_add_relu(struct net *n)
{
    struct window k = {{3, 3}, {1, 1}, {1, 1}};
    int32_t x = front(n, 6, 5, 4);
    return net_add_relu(n, net_conv(n, "branch", x, &k, 4), x);
}

static int32_t build_maxpool(struct net *n)
{
    struct window k = {{3, 3}, {2, 2}, {1, 1}};
    return net_maxpool(n, front(n, 9, 8, 16), &k);
}

static int32_t build_average(struct net *n)
{
    return net_global_average(n, front(n, 7, 5, 70));
}

static int32_t build_linear(struct net *n)
{
    return net_linear(n, "fc", net_global_average(n, front(n, 6, 5, 12)), 9);
}

static int32_t build_l2norm(struct net *n)
{
    return net_l2norm(n, net_linear(n, "fc", net_global_average(n, front(n, 6, 5, 12)), 9));
}

static int32_t build_dropout(struct net *n)
{
    return net_dropout(n, front(n, 6, 5, 4), 0.4);
}

/* A tensor with three consumers: gradients are added twice. */
static int32_t build_shared(struct net *n)
{
    struct window k = {{3, 3}, {1, 1}, {1, 1}};
    int32_t x = net_bn(n, "bn", front(n, 6, 5, 16), true);
    int32_t a = net_conv(n, "a", x, &k, 16);
    int32_t b = net_maxpool(n, x, &k);
    int32_t y = net_add_relu(n, net_add_relu(n, a, b), x);
    return net_l2norm(n, net_linear(n, "fc", net_global_average(n, y), 8));
}

#define OP_TEST(name)                                                                              \
    static void test_##name##_differences(void)                                                    \
    {                                                                                              \
        check_finite_differences(build_##name);                                                    \
    }                                                                                              \
    static void test_##name##_dnn(void)                                                            \
    {                                                                                              \
        check_against_ref(&backend_dnn, build_##name);                                             \
    }                                                                                              \
    static void test_##name##_bf16(void)                                                           \
    {                                                                                              \
        check_bf16_against_dnn(build_##name);                                                      \
    }

OP_TEST(conv)
OP_TEST(conv_stem)
OP_TEST(conv_1x1)
OP_TEST(bn)
OP_TEST(bn_relu)
OP_TEST(relu)
OP_TEST(add_relu)
OP_TEST(maxpool)
OP_TEST(average)
OP_TEST(linear)
OP_TEST(l2norm)
OP_TEST(dropout)
OP_TEST(shared)

/* Convolutions that Winograd's kernel takes: behind each other, beside an identity (so that a
 * gradient is added to one that is begun), and in front of one with a stride, which it does not. */
static int32_t build_winograd(struct net *n)
{
    struct window k = {{3, 3}, {1, 1}, {1, 1}}, strided = {{3, 3}, {2, 2}, {1, 1}};
    int32_t x = net_bn(n, "bn0", front(n, 9, 7, 32), true);
    int32_t y = net_bn(n, "bn1", net_conv(n, "a", x, &k, 64), true);
    y = net_bn(n, "bn2", net_conv(n, "b", y, &k, 32), false);
    return net_conv(n, "c", net_add_relu(n, y, x), &strided, 32);
}

static void test_winograd_dnn(void)
{
    check_against_ref(&backend_dnn_winograd, build_winograd);
    struct run r;
    if (run_init(&r, &backend_dnn_winograd, build_winograd, false))
        CHECK(strstr(net_kernels(r.net), "convolution=winograd_4x4") != NULL);
    run_release(&r);
}

/* ---------------------------------------------------------------- properties */

static void test_dropout_share(void)
{
    struct run r;
    if (run_init(&r, &backend_ref, build_dropout, false)) {
        run_forward(&r, NET_TRAIN);
        size_t zeros = 0;
        for (size_t i = 0; i < r.n_y; i++)
            zeros += r.y[i] == 0.0;
        /* 360 draws at rate 0.4: within four standard deviations (0.026 each) */
        CHECK_NEAR((double)zeros / (double)r.n_y, 0.4, 0.104);
        run_forward(&r, NET_EVAL);
        zeros = 0;
        for (size_t i = 0; i < r.n_y; i++)
            zeros += r.y[i] == 0.0;
        CHECK_U64(zeros, 0);
    }
    run_release(&r);
}

/* Means and unbiased variances of one batch, by hand: values 1..4 in one channel give mean 2.5,
 * biased variance 1.25, unbiased 5/3. */
static int32_t build_running(struct net *n)
{
    struct window k = {{1, 1}, {1, 1}, {0, 0}};
    int32_t x = net_conv(n, "one", net_input(n, (struct shape){2, 1, 2, 1}), &k, 1);
    return net_bn(n, "bn", x, false);
}

static void check_running(const struct backend *backend)
{
    struct run r;
    if (run_init(&r, backend, build_running, false)) {
        struct params *p = net_params(r.net);
        for (size_t i = 0; i < 4; i++)
            r.x[i] = (float)(i + 1);
        p->value[params_find(p, "one.weight")->offset] = 1.0f;
        p->value[params_find(p, "bn.running_mean")->offset] = 0.0f;
        p->value[params_find(p, "bn.running_var")->offset] = 1.0f;
        run_forward(&r, NET_TRAIN);
        CHECK_NEAR(p->value[params_find(p, "bn.running_mean")->offset], 0.25, 1e-6);
        CHECK_NEAR(p->value[params_find(p, "bn.running_var")->offset], 0.9 + 0.1 * 5.0 / 3.0, 1e-6);
    }
    run_release(&r);
}

static void test_running_statistics(void)
{
    check_running(&backend_ref);
    check_running(&backend_dnn);
}

static int32_t build_pool_padding(struct net *n)
{
    struct window k = {{3, 3}, {2, 2}, {1, 1}}, one = {{1, 1}, {1, 1}, {0, 0}};
    int32_t x = net_conv(n, "one", net_input(n, (struct shape){1, 2, 2, 1}), &one, 1);
    return net_maxpool(n, x, &k);
}

/* Padding never wins a maximum, even among negative values. */
static void test_maxpool_padding(void)
{
    const struct backend *backends[] = {&backend_ref, &backend_dnn};
    for (size_t b = 0; b < 2; b++) {
        struct run r;
        if (run_init(&r, backends[b], build_pool_padding, false)) {
            net_params(r.net)->value[0] = 1.0f;
            for (size_t i = 0; i < 4; i++)
                r.x[i] = -1.0f - (float)i;
            run_forward(&r, NET_TRAIN);
            CHECK_NEAR(r.y[0], -1.0, 0.0);
        }
        run_release(&r);
    }
}

/* The whole model: reference against differences on a small picture, then dnn against reference. */
static int32_t build_model(struct net *n)
{
    struct window stem = {{7, 5}, {4, 2}, {3, 2}};
    int32_t x = net_conv(n, "conv1", net_input(n, (struct shape){6, 24, 16, 1}), &stem, 4);
    x = net_bn(n, "bn1", x, true);
    struct window k = {{3, 3}, {1, 1}, {1, 1}};
    int32_t y = net_bn(n, "b1", net_conv(n, "c1", x, &k, 4), true);
    y = net_bn(n, "b2", net_conv(n, "c2", y, &k, 4), false);
    x = net_add_relu(n, y, x);
    return net_l2norm(n, net_linear(n, "fc", net_global_average(n, x), 8));
}

static void test_model_differences(void)
{
    check_finite_differences(build_model);
}

static void test_model_dnn(void)
{
    check_against_ref(&backend_dnn, build_model);
}

static void test_same_bits_twice(void)
{
    struct run a, b;
    if (run_init(&a, &backend_dnn, build_model, false) &
        run_init(&b, &backend_dnn, build_model, true)) {
        run_forward(&a, NET_TRAIN);
        run_backward(&a);
        run_forward(&b, NET_TRAIN);
        run_backward(&b);
        const struct params *p = net_params(a.net), *q = net_params(b.net);
        CHECK(memcmp(p->grad, q->grad, p->n_trainable * sizeof(float)) == 0);
        CHECK(memcmp(p->value, q->value, p->n_floats * sizeof(float)) == 0);
    }
    run_release(&a);
    run_release(&b);
}

int main(void)
{
    RUN(test_conv_differences);
    RUN(test_conv_dnn);
    RUN(test_conv_bf16);
    RUN(test_conv_stem_differences);
    RUN(test_conv_stem_dnn);
    RUN(test_conv_stem_bf16);
    RUN(test_conv_1x1_differences);
    RUN(test_conv_1x1_dnn);
    RUN(test_conv_1x1_bf16);
    RUN(test_bn_differences);
    RUN(test_bn_dnn);
    RUN(test_bn_bf16);
    RUN(test_bn_relu_differences);
    RUN(test_bn_relu_dnn);
    RUN(test_bn_relu_bf16);
    RUN(test_relu_differences);
    RUN(test_relu_dnn);
    RUN(test_relu_bf16);
    RUN(test_add_relu_differences);
    RUN(test_add_relu_dnn);
    RUN(test_add_relu_bf16);
    RUN(test_maxpool_differences);
    RUN(test_maxpool_dnn);
    RUN(test_maxpool_bf16);
    RUN(test_average_differences);
    RUN(test_average_dnn);
    RUN(test_average_bf16);
    RUN(test_linear_differences);
    RUN(test_linear_dnn);
    RUN(test_linear_bf16);
    RUN(test_l2norm_differences);
    RUN(test_l2norm_dnn);
    RUN(test_l2norm_bf16);
    RUN(test_dropout_differences);
    RUN(test_dropout_dnn);
    RUN(test_dropout_bf16);
    RUN(test_shared_differences);
    RUN(test_shared_dnn);
    RUN(test_shared_bf16);
    RUN(test_model_differences);
    RUN(test_model_dnn);
    RUN(test_winograd_dnn);
    RUN(test_dropout_share);
    RUN(test_running_statistics);
    RUN(test_maxpool_padding);
    RUN(test_same_bits_twice);
    return test_done();
}
