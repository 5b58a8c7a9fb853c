/*
 * The network as it is trained: gradients of the whole, both back ends, first weights, learning by
 * heart; and the checkpoint that holds it.
 */
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "tests/test.h"
#include "tests/unit/train/synth.h"
#include "train/checkpoint.h"
#include "train/loss.h"

#include <stdlib.h>
#include <unistd.h>

enum { FRAMES = 40, MELS = 24, TRIPLETS = 2, SEED = 11 };

static const struct model_spec spec = {"cnn", FRAMES, MELS, 0.0, "all"};
static const struct model_spec resnet = {"resnet18", FRAMES, MELS, 0.0, "all"};

static struct net *build_model(const struct backend *backend, const struct model_spec *s,
                               size_t n_triplets)
{
    struct err e = {0};
    struct net *n = net_new(backend, 1, SEED);
    CHECK_OK(model_build(n, s, (int32_t)(3 * n_triplets), &e), &e);
    model_init(net_params(n), SEED);
    return n;
}

static struct net *build(const struct backend *backend, size_t n_triplets)
{
    return build_model(backend, &spec, n_triplets);
}

static float *pictures(size_t n)
{
    size_t count = n * FRAMES * MELS;
    float *x = mem_alloc_aligned(count, sizeof *x);
    struct rng r;
    rng_init(&r, SEED, 1, 2);
    for (size_t i = 0; i < count; i++)
        x[i] = (float)rng_normal(&r);
    return x;
}

static double loss_of(struct net *n, const float *x, size_t n_triplets, double *grad)
{
    struct err e = {0};
    struct triplet_stats s;
    double *rows = mem_alloc(3 * n_triplets * EMBEDDING_DIM, sizeof *rows);
    CHECK_OK(net_forward(n, x, NET_TRAIN, 0, &e), &e);
    net_output(n, rows);
    triplet_loss(rows, n_triplets, EMBEDDING_DIM, 1.0, grad, &s);
    mem_free(rows);
    return s.loss;
}

/* The slope of the loss along one weight. The step is small against ReLU kinks; float64 carries it.
 */
static double slope_at(struct net *n, const float *x, size_t at)
{
    struct params *p = net_params(n);
    float before = p->value[at];
    p->value[at] = before + 0x1p-20f;
    double hi = (double)p->value[at], up = loss_of(n, x, TRIPLETS, NULL);
    p->value[at] = before - 0x1p-20f;
    double lo = (double)p->value[at], down = loss_of(n, x, TRIPLETS, NULL);
    p->value[at] = before;
    return (up - down) / (hi - lo);
}

/* The loss through the whole network against central differences, at one place of every n-th
 * tensor. */
static void check_gradient(const struct model_spec *s, size_t every)
{
    struct net *n = build_model(&backend_ref, s, TRIPLETS);
    struct params *p = net_params(n);
    struct err e = {0};
    float *x = pictures(3 * TRIPLETS);
    double *grad = mem_alloc(3 * TRIPLETS * EMBEDDING_DIM, sizeof *grad);
    loss_of(n, x, TRIPLETS, grad);
    CHECK_OK(net_backward(n, grad, &e), &e);
    size_t n_checked = 0;
    for (size_t i = 0; i < p->n; i++) {
        const struct param *item = &p->items[i];
        if (!item->trainable || i % every != 0)
            continue;
        double scale = 0.0;
        for (size_t k = 0; k < item->count; k++)
            scale = fmax(scale, fabs((double)p->grad[item->offset + k]));
        size_t at = item->offset + hash64(item->name, strlen(item->name), 1) % item->count;
        double slope = slope_at(n, x, at);
        if (!(fabs(slope - (double)p->grad[at]) <= 1e-5 * scale + 1e-9)) {
            test_fail(__FILE__, __LINE__, item->name);
            printf("#   difference %.9g, gradient %.9g, largest %.3g\n", slope, (double)p->grad[at],
                   scale);
        }
        n_checked++;
    }
    printf("# %zu tensors of %s\n", n_checked, s->name);
    CHECK(n_checked >= 6);
    mem_free(grad);
    mem_free(x);
    net_free(n);
}

static void test_whole_gradient(void)
{
    check_gradient(&spec, 1);
}

/* Every eleventh tensor: convolutions and both halves of batch norms; fc is the same as in cnn. */
static void test_whole_gradient_resnet18(void)
{
    check_gradient(&resnet, 11);
}

/* float32 through thirty operations: each adds its rounding, and the l2norm and batch norms of tiny
 * pictures amplify it; 2e-4 of the tensor's largest gradient. */
#define NET_TOLERANCE 2e-4

static void check_dnn_is_ref(const struct model_spec *model)
{
    struct net *a = build_model(&backend_ref, model, TRIPLETS);
    struct net *b = build_model(&backend_dnn, model, TRIPLETS);
    struct params *p = net_params(a), *q = net_params(b);
    struct err e = {0};
    float *x = pictures(3 * TRIPLETS);
    double *grad = mem_alloc(3 * TRIPLETS * EMBEDDING_DIM, sizeof *grad);
    CHECK(memcmp(p->value, q->value, p->n_floats * sizeof(float)) == 0);
    CHECK_NEAR(loss_of(b, x, TRIPLETS, NULL), loss_of(a, x, TRIPLETS, grad), 1e-5);
    CHECK_OK(net_backward(a, grad, &e), &e);
    CHECK_OK(net_backward(b, grad, &e), &e);
    for (size_t i = 0; i < p->n; i++) {
        const struct param *item = &p->items[i];
        const float *want = item->trainable ? p->grad : p->value;
        const float *got = item->trainable ? q->grad : q->value;
        double scale = 1e-12, worst = 0.0;
        for (size_t k = item->offset; k < item->offset + item->count; k++) {
            scale = fmax(scale, fabs((double)want[k]));
            worst = fmax(worst, fabs((double)want[k] - (double)got[k]));
        }
        if (!(worst <= NET_TOLERANCE * scale)) {
            test_fail(__FILE__, __LINE__, item->name);
            printf("#   off by %.3g of %.3g\n", worst, scale);
        }
    }
    mem_free(grad);
    mem_free(x);
    net_free(a);
    net_free(b);
}

static void test_dnn_is_ref(void)
{
    check_dnn_is_ref(&spec);
}

static void test_dnn_is_ref_resnet18(void)
{
    check_dnn_is_ref(&resnet);
}

/* Songs and not noise: the embeddings of noise differ by little more than rounding. */
static float *songs(const struct model_spec *model, size_t n, uint64_t seed)
{
    struct synth_params p = {
        .seed = seed, .n_frames = (uint32_t)model->n_frames, .n_mels = (uint32_t)model->n_mels};
    size_t picture = (size_t)model->n_frames * (size_t)model->n_mels;
    float *x = mem_alloc_aligned(n * picture, sizeof *x);
    for (size_t i = 0; i < n; i++) {
        synth_picture(&p,
                      i < n / 3       ? i
                      : i < 2 * n / 3 ? i - n / 3
                                      : i,
                      i / (n / 3) == 1, x + i * picture);
        for (size_t k = 0; k < picture; k++)
            x[i * picture + k] = (x[i * picture + k] + 50.0f) / 15.0f;
    }
    return x;
}

/* Steps of Adam on one batch; the running statistics follow. */
static void teach(struct net *n, const float *x, size_t n_triplets, size_t n_steps)
{
    struct err e = {0};
    struct optim adam = {0};
    struct params *p = net_params(n);
    double *grad = mem_alloc(3 * n_triplets * EMBEDDING_DIM, sizeof *grad);
    optim_init(&adam, OPTIM_ADAM, p->n_trainable);
    for (size_t i = 0; i < n_steps; i++) {
        loss_of(n, x, n_triplets, grad);
        CHECK_OK(net_backward(n, grad, &e), &e);
        optim_step(&adam, p->value, p->grad, 1e-3, 0);
    }
    optim_release(&adam);
    mem_free(grad);
}

/* bfloat16 against float32 through a whole network. Each operation keeps its gradient's direction
 * to 0.999 (test_ops.c). Through all of a network every layer moves some ReLUs to their other side:
 * what is left is `least`, of all gradients as one vector. */
static void check_bf16(const struct model_spec *model, size_t n_steps, double least)
{
    enum { N = 8 };
    struct net *a = build_model(&backend_dnn, model, N);
    struct net *b = build_model(&backend_dnn_bf16, model, N);
    struct params *p = net_params(a), *q = net_params(b);
    struct err e = {0};
    float *seen = songs(model, 3 * N, SEED), *x = songs(model, 3 * N, SEED + 1);
    double *grad = mem_alloc(3 * N * EMBEDDING_DIM, sizeof *grad), whole[3] = {0};
    teach(a, seen, N, n_steps);
    params_copy(q, p);
    double loss = loss_of(a, x, N, grad);
    loss_of(b, x, N, NULL);
    CHECK_OK(net_backward(a, grad, &e), &e);
    CHECK_OK(net_backward(b, grad, &e), &e);
    for (size_t i = 0; i < p->n_trainable; i++) {
        whole[0] += (double)p->grad[i] * (double)p->grad[i];
        whole[1] += (double)p->grad[i] * (double)q->grad[i];
        whole[2] += (double)q->grad[i] * (double)q->grad[i];
    }
    double cosine = whole[1] / sqrt(whole[0] * whole[2]), length = sqrt(whole[2] / whole[0]);
    printf("# %s after %zu steps (loss %.3f): cosine %.4f, length %.4f\n", model->name, n_steps,
           loss, cosine, length);
    CHECK(cosine > least);
    CHECK_NEAR(length, 1.0, 0.03);
    mem_free(grad);
    mem_free(seen);
    mem_free(x);
    net_free(a);
    net_free(b);
}

static void test_bf16(void)
{
    static const struct model_spec cnn = {"cnn", 128, 64, 0.0, "all"};
    static const struct model_spec res = {"resnet18", 128, 64, 0.0, "all"};
    check_bf16(&cnn, 0, 0.9);
    check_bf16(&cnn, 40, 0.97);
    check_bf16(&res, 0, 0.9);
    check_bf16(&res, 8, 0.96);
}

static bool processor_has(const char *flag)
{
    struct buf text;
    struct err e = {0};
    buf_init(&text, 1 << 24);
    bool has = file_read_all("/proc/cpuinfo", &text, &e) && buf_terminate(&text, &e) &&
               strstr((const char *)text.data, flag) != NULL;
    buf_release(&text);
    return has;
}

/* Where there is AMX, every convolution and the fully connected layer's activations run on it. */
static void test_amx_kernels(void)
{
    if (!processor_has(" amx_bf16")) {
        printf("# no AMX here: nothing to check\n");
        return;
    }
    static const struct model_spec res = {"resnet18", 431, 128, 0.0, "all"};
    struct net *n = build_model(&backend_dnn_bf16, &res, TRIPLETS);
    size_t checked = 0;
    for (const char *at = net_kernels(n); (at = strstr(at, "convolution=")) != NULL; at++) {
        size_t len = strcspn(at, " ");
        char name[128];
        snprintf(name, sizeof name, "%.*s", (int)len, at);
        if (strstr(name, "amx_bf16") == NULL)
            test_fail(__FILE__, __LINE__, name);
        checked++;
    }
    CHECK(checked >= 2);
    net_free(n);
}

/* The gradient of what is trained is right behind what is frozen, and the two back ends agree. */
static void test_frozen_gradient(void)
{
    static const struct model_spec from_layer3 = {"cnn", FRAMES, MELS, 0.0, "layer3+"};
    static const struct model_spec from_layer4 = {"resnet18", FRAMES, MELS, 0.0, "layer4"};
    static const struct model_spec only_fc = {"resnet18", FRAMES, MELS, 0.0, "fc"};
    check_gradient(&from_layer3, 1);
    check_dnn_is_ref(&from_layer3);
    check_dnn_is_ref(&from_layer4);
    check_dnn_is_ref(&only_fc);
}

static bool is_before_layer4(const char *name)
{
    return strncmp(name, "layer4", 6) != 0 && strncmp(name, "fc", 2) != 0;
}

/* Steps move layer4 and fc and leave the rest, running statistics included, bit for bit. */
static void test_frozen_stays(void)
{
    static const struct model_spec frozen = {"resnet18", FRAMES, MELS, 0.0, "layer4"};
    struct net *n = build_model(&backend_dnn, &frozen, TRIPLETS);
    struct params *p = net_params(n);
    struct err e = {0};
    CHECK_U64(p->n_trainable, 8459392); /* 8,393,728 of layer4 and 65,664 of fc */
    float *before = mem_alloc(p->n_floats, sizeof *before), *x = pictures(3 * TRIPLETS);
    memcpy(before, p->value, p->n_floats * sizeof *before);
    double *grad = mem_alloc(3 * TRIPLETS * EMBEDDING_DIM, sizeof *grad);
    struct optim adam;
    optim_init(&adam, OPTIM_ADAM, p->n_trainable);
    for (int step = 0; step < 3; step++) {
        loss_of(n, x, TRIPLETS, grad);
        CHECK_OK(net_backward(n, grad, &e), &e);
        optim_step(&adam, p->value, p->grad, 1e-3, 1e-2);
    }
    for (size_t i = 0; i < p->n; i++) {
        const struct param *item = &p->items[i];
        bool same = memcmp(before + item->offset, p->value + item->offset,
                           item->count * sizeof *before) == 0;
        if (same != is_before_layer4(item->name))
            test_fail(__FILE__, __LINE__, item->name);
        CHECK(item->n_batches == 0 || !is_before_layer4(item->name));
    }
    optim_release(&adam);
    mem_free(grad);
    mem_free(x);
    mem_free(before);
    net_free(n);
}

/* No activation of a frozen layer is kept for a backward pass. */
static void test_frozen_memory(void)
{
    static const struct model_spec frozen = {"resnet18", 256, 128, 0.0, "layer4"};
    static const struct model_spec whole = {"resnet18", 256, 128, 0.0, "all"};
    struct net *a = build_model(&backend_dnn, &frozen, 4);
    struct net *b = build_model(&backend_dnn, &whole, 4);
    printf("# a step needs %zu MB, %zu MB where all layers are trained\n", net_arena_bytes(a) >> 20,
           net_arena_bytes(b) >> 20);
    CHECK(2 * net_arena_bytes(a) < net_arena_bytes(b));
    net_free(a);
    net_free(b);
}

/* torchvision's resnet18: its 122 tensors (reference: its state_dict), one input channel, 128
 * outputs: 11,235,904 weights beside running statistics. */
static void test_resnet18_layout(void)
{
    static const struct {
        const char *name;
        uint32_t n_dims;
        int32_t dims[4];
    } some[] = {{"conv1.weight", 4, {64, 1, 7, 7}},
                {"bn1.running_var", 1, {64}},
                {"layer1.1.conv2.weight", 4, {64, 64, 3, 3}},
                {"layer2.0.conv1.weight", 4, {128, 64, 3, 3}},
                {"layer2.0.downsample.0.weight", 4, {128, 64, 1, 1}},
                {"layer4.0.downsample.1.running_mean", 1, {512}},
                {"layer4.1.bn2.bias", 1, {512}},
                {"fc.weight", 2, {EMBEDDING_DIM, 512}},
                {"fc.bias", 1, {EMBEDDING_DIM}}};
    struct net *n = build_model(&backend_ref, &resnet, 1);
    const struct params *p = net_params(n);
    size_t n_counters = 0;
    for (size_t i = 0; i < p->n; i++)
        n_counters += strstr(p->items[i].name, "running_mean") != NULL;
    CHECK_U64(p->n + n_counters, 122);
    CHECK_U64(p->n_trainable, 11235904);
    CHECK(params_find(p, "layer1.0.downsample.0.weight") == NULL);
    for (size_t i = 0; i < ARRAY_LEN(some); i++) {
        const struct param *item = params_find(p, some[i].name);
        if (item == NULL || item->n_dims != some[i].n_dims ||
            memcmp(item->dims, some[i].dims, sizeof item->dims) != 0)
            test_fail(__FILE__, __LINE__, some[i].name);
    }
    net_free(n);
}

/* Eight triplets can be learnt by heart, even of noise. */
static void test_overfits(void)
{
    enum { N = 8, STEPS = 150 };
    struct net *n = build(&backend_dnn, N);
    struct params *p = net_params(n);
    struct err e = {0};
    struct optim adam;
    optim_init(&adam, OPTIM_ADAM, p->n_trainable);
    float *x = pictures(3 * N);
    double *grad = mem_alloc(3 * N * EMBEDDING_DIM, sizeof *grad), first = 0.0, last = 0.0;
    for (int step = 0; step < STEPS; step++) {
        last = loss_of(n, x, N, grad);
        first = step == 0 ? last : first;
        CHECK_OK(net_backward(n, grad, &e), &e);
        optim_step(&adam, p->value, p->grad, 1e-3, 0.0);
    }
    printf("# loss %.4f to %.6f in %d steps\n", first, last, STEPS);
    CHECK(first > 0.7);
    CHECK(last < 0.01);
    mem_free(grad);
    mem_free(x);
    optim_release(&adam);
    net_free(n);
}

static void test_first_weights(void)
{
    struct net *n = build(&backend_ref, 1);
    const struct params *p = net_params(n);
    const struct param *conv = params_find(p, "layer3.0.conv2.weight");
    CHECK(conv != NULL && conv->count == 128 * 128 * 9);
    double squares = 0.0;
    for (size_t i = 0; i < conv->count; i++)
        squares += (double)p->value[conv->offset + i] * (double)p->value[conv->offset + i];
    /* variance 2 / (128 * 9), known to sqrt(2 / count) = 0.4 % */
    CHECK_NEAR(squares / (double)conv->count * (128.0 * 9.0) / 2.0, 1.0, 0.02);
    const struct param *fc = params_find(p, "fc.bias");
    for (size_t i = 0; i < fc->count; i++)
        CHECK(fabs((double)p->value[fc->offset + i]) <= 1.0 / sqrt(128.0));
    CHECK_NEAR(p->value[params_find(p, "bn1.weight")->offset], 1.0, 0.0);
    CHECK_NEAR(p->value[params_find(p, "bn1.running_var")->offset], 1.0, 0.0);
    CHECK_NEAR(p->value[params_find(p, "bn1.bias")->offset], 0.0, 0.0);
    net_free(n);
}

static void test_refuses_models(void)
{
    struct err e = {0};
    struct net *n = net_new(&backend_ref, 1, 1);
    struct model_spec s = {"resnet999", FRAMES, MELS, 0.0, "all"};
    CHECK(!model_build(n, &s, 3, &e));
    CHECK(strstr(e.msg, "resnet999") != NULL);
    s = (struct model_spec){"cnn", FRAMES, MELS, 0.0, "layer4"};
    CHECK(!model_build(n, &s, 3, &e));
    CHECK(strstr(e.msg, "\"layer4\"") != NULL && strstr(e.msg, "bands") != NULL);
    net_free(n);
    n = net_new(&backend_ref, 1, 1);
    s = (struct model_spec){"cnn", 4, MELS, 0.0, "all"};
    CHECK(!model_build(n, &s, 3, &e));
    net_free(n);
}

/* ---------------------------------------------------------------- checkpoints */

static char path[64];

static struct recipe make_recipe(void)
{
    return (struct recipe){.model = spec,
                           .spec_hash = 0x123456789abcdef0,
                           .root = 42,
                           .seed = SEED,
                           .batch = 8,
                           .steps_per_epoch = 3,
                           .threads = 1,
                           .learning_rate = 0.1,
                           .margin = 1.0,
                           .validation_share = 0.15};
}

static struct norm make_norm(void)
{
    struct norm norm = {.n_mels = MELS};
    for (size_t m = 0; m < MELS; m++) {
        norm.mean_db[m] = -40.0f - (float)m;
        norm.std_db[m] = 10.0f;
    }
    return norm;
}

static bool write_model(struct net *n, struct err *e)
{
    struct recipe recipe = make_recipe();
    struct norm norm = make_norm();
    struct checkpoint c = {.recipe = &recipe, .params = net_params(n), .norm = &norm};
    return checkpoint_write(&c, path, e);
}

static bool read_model(struct net *n, struct norm *norm, struct err *e)
{
    struct checkpoint_file f = {0};
    struct recipe recipe = {0};
    *e = (struct err){0};
    bool ok = checkpoint_open(path, &f, &recipe, e);
    if (ok) {
        struct recipe want = make_recipe();
        CHECK_OK(recipe_same(&recipe, &want, e), e);
        struct checkpoint into = {.recipe = &recipe, .params = net_params(n), .norm = norm};
        ok = checkpoint_read(&f, &into, e);
    }
    checkpoint_close(&f);
    checkpoint_close(&f);
    return ok;
}

static void test_checkpoint_round_trip(void)
{
    struct net *a = build(&backend_ref, 1), *b = net_new(&backend_ref, 1, 1);
    struct norm norm = {0}, want = make_norm();
    struct err e = {0};
    CHECK_OK(model_build(b, &spec, 3, &e), &e);
    float *x = pictures(3);
    loss_of(a, x, 1, NULL); /* one training batch */
    mem_free(x);
    CHECK_OK(write_model(a, &e), &e);
    CHECK_OK(read_model(b, &norm, &e), &e);
    const struct params *p = net_params(a), *q = net_params(b);
    for (size_t i = 0; i < q->n; i++)
        CHECK_U64(q->items[i].n_batches, strstr(q->items[i].name, "running_mean") != NULL);
    CHECK(memcmp(p->value, q->value, p->n_floats * sizeof(float)) == 0);
    CHECK(memcmp(norm.mean_db, want.mean_db, MELS * sizeof(float)) == 0);
    net_free(a);
    net_free(b);
}

static void test_checkpoint_with_nan(void)
{
    struct net *n = build(&backend_ref, 1);
    struct norm norm;
    struct err e = {0};
    struct params *p = net_params(n);
    p->value[params_find(p, "layer2.0.conv1.weight")->offset + 5] = NAN;
    CHECK_OK(write_model(n, &e), &e);
    CHECK(!read_model(n, &norm, &e));
    CHECK(strstr(e.msg, "layer2.0.conv1.weight: value 5 is not a finite number") != NULL);
    net_free(n);
}

static void test_checkpoint_of_another_network(void)
{
    struct net *n = build(&backend_ref, 1), *other = net_new(&backend_ref, 1, 1);
    struct norm norm;
    struct err e = {0};
    struct window k = {{3, 3}, {1, 1}, {1, 1}};
    int32_t x = net_input(other, (struct shape){1, FRAMES, MELS, 1});
    x = net_global_average(other, net_conv(other, "conv1", x, &k, 16));
    CHECK_OK(net_finish(other, x, false, &e), &e);
    CHECK_OK(write_model(n, &e), &e);
    CHECK(!read_model(other, &norm, &e));
    CHECK(strstr(e.msg, "conv1.weight is not of the network's shape") != NULL);
    net_free(n);
    net_free(other);
}

/* Every cut of the file is refused with a sentence. */
static void test_checkpoint_cut(void)
{
    struct net *n = build(&backend_ref, 1);
    struct norm norm;
    struct err e = {0};
    CHECK_OK(write_model(n, &e), &e);
    static const long cuts[] = {0, 7, 8, 1000, 200000};
    for (size_t i = ARRAY_LEN(cuts); i-- > 0;) {
        CHECK(truncate(path, cuts[i]) == 0);
        CHECK(!read_model(n, &norm, &e));
        CHECK(e.msg[0] != '\0');
    }
    net_free(n);
}

int main(void)
{
    snprintf(path, sizeof path, "/tmp/refrain-model-%d", (int)getpid());
    RUN(test_whole_gradient);
    RUN(test_dnn_is_ref);
    RUN(test_resnet18_layout);
    RUN(test_whole_gradient_resnet18);
    RUN(test_dnn_is_ref_resnet18);
    RUN(test_bf16);
    RUN(test_amx_kernels);
    RUN(test_frozen_gradient);
    RUN(test_frozen_stays);
    RUN(test_frozen_memory);
    RUN(test_overfits);
    RUN(test_first_weights);
    RUN(test_refuses_models);
    RUN(test_checkpoint_round_trip);
    RUN(test_checkpoint_with_nan);
    RUN(test_checkpoint_of_another_network);
    RUN(test_checkpoint_cut);
    unlink(path);
    return test_done();
}
