/*
 * The fast back end: oneDNN 2.6. Only dnn*.c know it.
 *
 * Each operation becomes a short list of calls per pass, made once: the primitive and its
 * arguments, each argument an abstract place (a tensor's value or gradient, an arena item, a
 * parameter) that is turned into an address when the call runs. What keeps it simple:
 *
 * - Activations are always NHWC, so no activation is ever reordered. Weights are kept in PyTorch's
 *   layout; a call before the convolution packs them as the kernel likes them, into memory that
 *   lives for one tick, and weight gradients come back the same way.
 * - Scratchpads are arena items (user mode): oneDNN owns no memory, and no primitive depends on the
 *   thread that made it (with a library scratchpad, executing elsewhere crashes).
 * - Where a back end says so, 3x3 convolutions with stride 1 are ours (train/winograd.h).
 * - With bfloat16, activations and their gradients are of that type up to the global average; the
 *   weights, their gradients, statistics, the head and the loss stay float32, and so no loss
 *   scaling is needed: the exponents are the same.
 * - With running statistics a batch norm is part of the convolution before it (train/dnn_fold.c).
 * - Running statistics of batch norm are ours: oneDNN gives the biased variance and never updates.
 * - The result of every kernel used here is a function of the inputs and the number of threads.
 */
#include "base/mem.h"
#include "train/dnn_call.h"
#include "train/kernels.h"
#include "train/winograd.h"

#include <omp.h>
#include <string.h>

static bool dnn_open(struct net *n, struct err *e)
{
    struct dnn *d = mem_zalloc(1, sizeof *d);
    n->state = d;
    omp_set_num_threads((int)n->threads);
    dnnl_post_ops_t post = NULL;
    bool ok = dnn_check(dnnl_engine_create(&d->engine, dnnl_cpu, 0), "engine", e) &&
              dnn_check(dnnl_stream_create(&d->stream, d->engine, dnnl_stream_default_flags),
                        "stream", e) &&
              dnn_check(dnnl_primitive_attr_create(&d->attr), "attributes", e) &&
              dnn_check(dnnl_primitive_attr_set_scratchpad_mode(d->attr, dnnl_scratchpad_mode_user),
                        "scratchpad mode", e) &&
              dnn_check(dnnl_primitive_attr_clone(&d->attr_relu, d->attr), "attributes", e) &&
              dnn_check(dnnl_post_ops_create(&post), "post operations", e) &&
              dnn_check(dnnl_post_ops_append_eltwise(post, 1.0f, dnnl_eltwise_relu, 0.0f, 0.0f),
                        "relu behind a sum", e) &&
              dnn_check(dnnl_primitive_attr_set_post_ops(d->attr_relu, post), "post operations", e);
    dnnl_post_ops_destroy(post);
    return ok;
}

static void dnn_close(struct net *n)
{
    struct dnn *d = n->state;
    if (d == NULL)
        return;
    for (size_t i = 0; i < n->n_ops; i++) {
        dnn_list_release(&d->ops[i].train);
        dnn_list_release(&d->ops[i].eval);
        dnn_list_release(&d->ops[i].backward);
        dnn_list_release(&d->ops[i].again);
    }
    dnnl_primitive_attr_destroy(d->attr);
    dnnl_primitive_attr_destroy(d->attr_relu);
    if (d->stream != NULL)
        dnnl_stream_destroy(d->stream);
    if (d->engine != NULL)
        dnnl_engine_destroy(d->engine);
    mem_free(d);
    n->state = NULL;
}

static bool dnn_prepare(struct net *n, size_t op_i, struct err *e)
{
    const struct op *op = &n->ops[op_i];
    switch (op->kind) {
    case OP_CONV:
    case OP_LINEAR:
        return dnn_prepare_weighted(n, op_i, e);
    case OP_BN:
        return dnn_prepare_bn(n, op_i, e);
    case OP_MAXPOOL:
        return dnn_prepare_maxpool(n, op_i, e);
    case OP_RELU:
    case OP_ADD_RELU:
        return dnn_prepare_relu(n, op_i, e);
    case OP_L2NORM:
        dnn_keep(n, op_i, op->in[0]);
        dnn_keep(n, op_i, op->out);
        return true;
    default: /* nothing to build */
        return true;
    }
}

static bool dnn_forward(struct net *n, size_t op_i, enum net_mode mode, struct err *e)
{
    struct dnn *d = n->state;
    const struct op *op = &n->ops[op_i];
    struct dnn_op *state = &d->ops[op_i];
    if (op->kind == OP_INPUT && n->backend->is_half)
        kernel_input_half(n, op);
    else if (op->kind == OP_GLOBAL_AVERAGE)
        kernel_average_forward(n, op);
    else if (op->kind == OP_DROPOUT)
        kernel_dropout(n, op_i, mode, false);
    else if (op->kind == OP_L2NORM)
        kernel_l2norm_forward(n, op);
    bool running_statistics = mode == NET_EVAL || op->frozen;
    if (running_statistics && state->is_folded)
        return true;
    bool own = running_statistics && state->eval.n > 0;
    if (!dnn_list_run(n, own ? &state->eval : &state->train, e))
        return false;
    if (op->kind == OP_BN && !own)
        dnn_bn_after_training(n, op_i);
    return true;
}

static bool dnn_backward(struct net *n, size_t op_i, struct err *e)
{
    struct dnn *d = n->state;
    const struct op *op = &n->ops[op_i];
    if (op->kind == OP_INPUT || !op_tensor(n, op->out)->needs_grad)
        return true;
    if (op_tensor(n, op->in[0])->needs_grad) {
        if (op->kind == OP_GLOBAL_AVERAGE)
            kernel_average_backward(n, op);
        else if (op->kind == OP_DROPOUT)
            kernel_dropout(n, op_i, NET_TRAIN, true);
        else if (op->kind == OP_L2NORM)
            kernel_l2norm_backward(n, op);
    }
    return dnn_list_run(n, &d->ops[op_i].backward, e);
}

static bool dnn_again(struct net *n, size_t op_i, struct err *e)
{
    struct dnn *d = n->state;
    return dnn_list_run(n, &d->ops[op_i].again, e);
}

#define DNN_COMMON                                                                                 \
    .element_bytes = sizeof(float), .folds = true, .saves_memory = true, .open = dnn_open,         \
    .prepare = dnn_prepare, .forward = dnn_forward, .backward = dnn_backward, .again = dnn_again,  \
    .close = dnn_close

const struct backend backend_dnn = {
    .name = "dnn",
    DNN_COMMON,
};

const struct backend backend_dnn_winograd = {
    .name = "dnn-winograd",
    .has_winograd = true,
    DNN_COMMON,
};

const struct backend backend_dnn_bf16 = {
    .name = "dnn-bf16",
    .is_half = true,
    .copies_input = true,
    DNN_COMMON,
};

static const struct {
    const char *precision;
    const struct backend *backend;
} precisions[] = {
    {"f32", &backend_dnn}, {"bf16", &backend_dnn_bf16}, {"f32-winograd", &backend_dnn_winograd}};

const struct backend *backend_of_precision(const char *precision)
{
    for (size_t i = 0; i < ARRAY_LEN(precisions); i++)
        if (strcmp(precision, precisions[i].precision) == 0)
            return precisions[i].backend;
    return NULL;
}

const char *backend_fastest_precision(const char *model)
{
    dnnl_cpu_isa_t has = dnnl_get_effective_cpu_isa();
    bool has_amx = (has & dnnl_cpu_isa_avx512_core_amx) == dnnl_cpu_isa_avx512_core_amx;
    if (has_amx && strcmp(model, "resnet18") == 0)
        return "bf16";
    return winograd_simd_best() != SIMD_PLAIN ? "f32-winograd" : "f32";
}
