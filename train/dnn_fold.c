/*
 * Batch norm with running statistics is a factor and an addend for each channel; behind a
 * convolution they become part of its weights and its bias. So evaluation, and the frozen layers
 * of a network that trains, have no batch norms: one pass over memory less for each, and the ReLU
 * behind it with it.
 *
 * Factors are made from the parameters just before use, so they can never be old. oneDNN gets
 * weights times factor; Winograd's convolution takes the factor where it stores its results.
 */
#include "train/dnn_call.h"

#include <math.h>

bool dnn_can_fold(const struct net *n, size_t op_i)
{
    size_t n_readers = 0, reader = 0;
    for (size_t i = 0; i < n->n_ops; i++)
        for (int32_t k = 0; k < n->ops[i].n_in; k++)
            if (n->ops[i].in[k] == n->ops[op_i].out) {
                reader = i;
                n_readers++;
            }
    return n->backend->folds && n->ops[op_i].kind == OP_CONV && n_readers == 1 &&
           reader == op_i + 1 && n->ops[reader].kind == OP_BN;
}

/* factor = gamma / sqrt(var + eps), bias = beta - mean factor. */
static void run_factors(const struct net *n, size_t op_i, void *const *at)
{
    const struct op *bn = &n->ops[op_i + 1];
    const float *gamma = param_value(n, bn->par[0]), *beta = param_value(n, bn->par[1]);
    const float *mean = param_value(n, bn->par[2]), *var = param_value(n, bn->par[3]);
    float *factor = at[0], *bias = at[1];
    for (size_t c = 0; c < (size_t)net_shape(n, bn->out).c; c++) {
        double exact = (double)gamma[c] / sqrt((double)var[c] + BN_EPSILON);
        factor[c] = (float)exact;
        bias[c] = (float)((double)beta[c] - (double)mean[c] * exact);
    }
}

/* weight' = weight factor */
static void run_fold(const struct net *n, size_t op_i, void *const *at)
{
    const struct op *conv = &n->ops[op_i];
    const float *weight = param_value(n, conv->par[0]), *factor = at[0];
    float *to = at[1];
    size_t channels = (size_t)net_shape(n, conv->out).c;
    size_t each = n->params.items[conv->par[0]].count / channels;
    for (size_t c = 0; c < channels; c++)
        for (size_t i = c * each; i < (c + 1) * each; i++)
            to[i] = weight[i] * factor[c];
}

/* oneDNN's convolution with a bias and perhaps a ReLU behind it. */
static bool fold_convolution(struct net *n, size_t op_i, struct place plainly, struct place bias,
                             struct err *e)
{
    struct dnn *d = n->state;
    const struct op *conv = &n->ops[op_i], *bn = &n->ops[op_i + 1];
    struct call_list *list = &d->ops[op_i].eval;
    bool is_half = op_tensor(n, conv->in[0])->is_half, ok = false;
    dnnl_memory_desc_t src = dnn_md_tensor(n, conv->in[0]), dst = dnn_md_tensor(n, bn->out);
    dnnl_memory_desc_t any = dnn_md_weight_any(n, conv->par[0], is_half ? dnnl_bf16 : dnnl_f32);
    dnnl_memory_desc_t vector = dnn_md_vector(net_shape(n, conv->out).c);
    dnnl_dims_t stride = {conv->window.stride[0], conv->window.stride[1]};
    dnnl_dims_t pad = {conv->window.pad[0], conv->window.pad[1]};
    dnnl_convolution_desc_t desc;
    dnnl_primitive_desc_t pd = NULL;
    struct place weight;
    if (!dnn_check(dnnl_convolution_forward_desc_init(&desc, dnnl_forward_inference,
                                                      dnnl_convolution_direct, &src, &any, &vector,
                                                      &dst, stride, pad, pad),
                   "folded convolution", e) ||
        !dnn_pd(n, &desc, bn->relu ? d->attr_relu : d->attr, NULL, "folded convolution", &pd, e))
        goto out;
    const dnnl_memory_desc_t *weight_md =
        dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    int32_t tick = tick_forward(op_i);
    if (!dnn_pack_weight(n, list, conv->par[0], plainly, weight_md, tick, &weight, e))
        goto out;
    struct arg args[] = {{DNNL_ARG_SRC, &src, {AT_VALUE, conv->in[0]}},
                         {DNNL_ARG_WEIGHTS, weight_md, weight},
                         {DNNL_ARG_BIAS, &vector, bias},
                         {DNNL_ARG_DST, &dst, {AT_VALUE, bn->out}}};
    ok = dnn_add_call(n, list, pd, tick, args, ARRAY_LEN(args), e);
out:
    dnnl_primitive_desc_destroy(pd);
    return ok;
}

bool dnn_prepare_folded(struct net *n, size_t op_i, struct err *e)
{
    struct dnn *d = n->state;
    const struct op *conv = &n->ops[op_i], *bn = &n->ops[op_i + 1];
    int32_t tick = tick_forward(op_i);
    size_t weight_bytes = n->params.items[conv->par[0]].count * sizeof(float);
    size_t bias_bytes = (size_t)net_shape(n, conv->out).c * sizeof(float);
    struct place factor = {AT_ITEM, arena_add(&n->arena, bias_bytes, tick, tick)};
    struct place bias = {AT_ITEM, arena_add(&n->arena, bias_bytes, tick, tick)};
    arena_extend(&n->arena, op_tensor(n, bn->out)->value_item, tick);
    dnn_add_own(&d->ops[op_i].eval, run_factors, op_i, (struct place[]){factor, bias}, 2);
    d->ops[op_i + 1].is_folded = true;
    if (n->backend->has_winograd && dnn_winograd_fits(n, op_i)) {
        dnn_add_winograd_eval(n, op_i, factor, bias, (struct place){AT_VALUE, bn->out});
        return true;
    }
    struct place weight = {AT_ITEM, arena_add(&n->arena, weight_bytes, tick, tick)};
    dnn_add_own(&d->ops[op_i].eval, run_fold, op_i, (struct place[]){factor, weight}, 2);
    return fold_convolution(n, op_i, weight, bias, e);
}
