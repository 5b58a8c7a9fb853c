/*
 * Batch norm, pooling and ReLU on oneDNN.
 */
#include "base/mem.h"
#include "train/dnn_call.h"

/* ---------------------------------------------------------------- batch norm */

/* What the three calls share. */
struct bn {
    dnnl_memory_desc_t md, vector;
    unsigned flags;
    struct place mean, var; /* of the batch */
    int32_t workspace;      /* the mask of a fused ReLU; -1: none */
};

static bool bn_forward_call(struct net *n, size_t op_i, struct call_list *list, const struct bn *b,
                            dnnl_primitive_desc_t pd, struct place mean, struct place var,
                            int32_t workspace, int32_t tick, struct err *e)
{
    const struct op *op = &n->ops[op_i];
    const dnnl_memory_desc_t *ws_md =
        workspace < 0 ? NULL : dnnl_primitive_desc_query_md(pd, dnnl_query_workspace_md, 0);
    struct arg args[] = {{DNNL_ARG_SRC, &b->md, {AT_VALUE, op->in[0]}},
                         {DNNL_ARG_MEAN, &b->vector, mean},
                         {DNNL_ARG_VARIANCE, &b->vector, var},
                         {DNNL_ARG_SCALE, &b->vector, {AT_PARAM, op->par[0]}},
                         {DNNL_ARG_SHIFT, &b->vector, {AT_PARAM, op->par[1]}},
                         {DNNL_ARG_DST, &b->md, {AT_VALUE, op->out}},
                         {DNNL_ARG_WORKSPACE, ws_md, {AT_ITEM, workspace}}};
    return dnn_add_call(n, list, pd, tick, args, ARRAY_LEN(args), e);
}

static bool bn_backward_call(struct net *n, size_t op_i, const struct bn *b,
                             const_dnnl_primitive_desc_t hint, struct err *e)
{
    struct dnn *d = n->state;
    const struct op *op = &n->ops[op_i];
    struct call_list *list = &d->ops[op_i].backward;
    dnnl_batch_normalization_desc_t desc;
    dnnl_primitive_desc_t pd = NULL;
    bool ok = false;
    if (!dnn_check(dnnl_batch_normalization_backward_desc_init(&desc, dnnl_backward, &b->md, &b->md,
                                                               (float)BN_EPSILON, b->flags),
                   "batch norm, backward", e) ||
        !dnn_pd(n, &desc, d->attr, hint, "batch norm, backward", &pd, e))
        goto out;
    const dnnl_memory_desc_t *ws_md =
        b->workspace < 0 ? NULL : dnnl_primitive_desc_query_md(pd, dnnl_query_workspace_md, 0);
    struct place grad = dnn_place_input_grad(n, op_i, 0);
    struct arg args[] = {{DNNL_ARG_SRC, &b->md, {AT_VALUE, op->in[0]}},
                         {DNNL_ARG_MEAN, &b->vector, b->mean},
                         {DNNL_ARG_VARIANCE, &b->vector, b->var},
                         {DNNL_ARG_SCALE, &b->vector, {AT_PARAM, op->par[0]}},
                         {DNNL_ARG_SHIFT, &b->vector, {AT_PARAM, op->par[1]}},
                         {DNNL_ARG_WORKSPACE, ws_md, {AT_ITEM, b->workspace}},
                         {DNNL_ARG_DIFF_DST, &b->md, {AT_GRAD, op->out}},
                         {DNNL_ARG_DIFF_SRC, &b->md, grad},
                         {DNNL_ARG_DIFF_SCALE, &b->vector, {AT_PARAM_GRAD, op->par[0]}},
                         {DNNL_ARG_DIFF_SHIFT, &b->vector, {AT_PARAM_GRAD, op->par[1]}}};
    ok = dnn_add_call(n, list, pd, tick_backward(n, op_i), args, ARRAY_LEN(args), e) &&
         dnn_add_begun(n, list, op_i, 0, grad, e);
out:
    dnnl_primitive_desc_destroy(pd);
    return ok;
}

static bool bn_pd(struct net *n, const struct bn *b, bool inference, dnnl_primitive_desc_t *out,
                  struct err *e)
{
    const struct dnn *d = n->state;
    dnnl_batch_normalization_desc_t desc;
    dnnl_status_t s = dnnl_batch_normalization_forward_desc_init(
        &desc, inference ? dnnl_forward_inference : dnnl_forward_training, &b->md,
        (float)BN_EPSILON, b->flags | (inference ? dnnl_use_global_stats : 0u));
    return dnn_check(s, "batch norm", e) && dnn_pd(n, &desc, d->attr, NULL, "batch norm", out, e);
}

bool dnn_prepare_bn(struct net *n, size_t op_i, struct err *e)
{
    struct dnn *d = n->state;
    const struct op *op = &n->ops[op_i];
    struct dnn_op *state = &d->ops[op_i];
    struct shape shape = net_shape(n, op->in[0]);
    int32_t first = tick_forward(op_i), last = op->frozen ? first : tick_backward(n, op_i);
    size_t stat_bytes = (size_t)shape.c * sizeof(float);
    assert(op->frozen || op_tensor(n, op->in[0])->needs_grad);
    dnn_keep(n, op_i, op->in[0]);
    state->mean_item = arena_add(&n->arena, stat_bytes, first, last);
    state->var_item = arena_add(&n->arena, stat_bytes, first, last);
    struct bn b = {
        .md = dnn_md_tensor(n, op->in[0]),
        .vector = dnn_md_vector(shape.c),
        .flags = dnnl_use_scale | dnnl_use_shift | (op->relu ? dnnl_fuse_norm_relu : 0u),
        .mean = {AT_ITEM, state->mean_item},
        .var = {AT_ITEM, state->var_item},
        .workspace = -1,
    };
    dnnl_primitive_desc_t train = NULL, eval = NULL;
    bool ok = false;
    if (!bn_pd(n, &b, false, &train, e) || !bn_pd(n, &b, true, &eval, e))
        goto out;
    if (op->relu) {
        const dnnl_memory_desc_t *ws_md =
            dnnl_primitive_desc_query_md(train, dnnl_query_workspace_md, 0);
        b.workspace = arena_add(&n->arena, dnnl_memory_desc_get_size(ws_md), first, last);
    }
    struct place running_mean = {AT_PARAM, op->par[2]}, running_var = {AT_PARAM, op->par[3]};
    const struct tensor *y = op_tensor(n, op->out);
    ok =
        bn_forward_call(n, op_i, &state->train, &b, train, b.mean, b.var, b.workspace, first, e) &&
        bn_forward_call(n, op_i, &state->eval, &b, eval, running_mean, running_var, -1, first, e) &&
        (y->again_item < 0 ||
         bn_forward_call(n, op_i, &state->again, &b, eval, b.mean, b.var, -1, y->again_tick, e)) &&
        (op->frozen || bn_backward_call(n, op_i, &b, train, e));
out:
    dnnl_primitive_desc_destroy(train);
    dnnl_primitive_desc_destroy(eval);
    return ok;
}

void dnn_bn_after_training(struct net *n, size_t op_i)
{
    const struct dnn *d = n->state;
    const struct op *op = &n->ops[op_i];
    const float *mean = arena_ptr(&n->arena, d->ops[op_i].mean_item);
    const float *var = arena_ptr(&n->arena, d->ops[op_i].var_item);
    size_t channels = (size_t)net_shape(n, op->in[0]).c;
    double *wide = mem_alloc(2 * channels, sizeof *wide);
    for (size_t c = 0; c < channels; c++) {
        wide[c] = (double)mean[c];
        wide[channels + c] = (double)var[c];
    }
    bn_update_running(n, op, wide, wide + channels);
    mem_free(wide);
}

/* ---------------------------------------------------------------- max pooling */

bool dnn_prepare_maxpool(struct net *n, size_t op_i, struct err *e)
{
    struct dnn *d = n->state;
    const struct op *op = &n->ops[op_i];
    const struct window *w = &op->window;
    dnnl_memory_desc_t src = dnn_md_tensor(n, op->in[0]);
    dnnl_memory_desc_t dst = dnn_md_tensor(n, op->out);
    dnnl_dims_t stride = {w->stride[0], w->stride[1]}, kernel = {w->kernel[0], w->kernel[1]};
    dnnl_dims_t pad = {w->pad[0], w->pad[1]}, dilation = {0, 0};
    dnnl_pooling_v2_desc_t desc;
    dnnl_primitive_desc_t forward = NULL, backward = NULL;
    bool ok = false;
    if (!dnn_check(dnnl_pooling_v2_forward_desc_init(&desc, dnnl_forward_training, dnnl_pooling_max,
                                                     &src, &dst, stride, kernel, dilation, pad,
                                                     pad),
                   "max pooling", e) ||
        !dnn_pd(n, &desc, d->attr, NULL, "max pooling", &forward, e))
        goto out;
    const dnnl_memory_desc_t *ws_md =
        dnnl_primitive_desc_query_md(forward, dnnl_query_workspace_md, 0);
    int32_t first = tick_forward(op_i), last = tick_backward(n, op_i);
    struct place ws = {AT_ITEM, arena_add(&n->arena, dnnl_memory_desc_get_size(ws_md), first,
                                          op->frozen ? first : last)};
    struct arg args[] = {{DNNL_ARG_SRC, &src, {AT_VALUE, op->in[0]}},
                         {DNNL_ARG_DST, &dst, {AT_VALUE, op->out}},
                         {DNNL_ARG_WORKSPACE, ws_md, ws}};
    if (!dnn_add_call(n, &d->ops[op_i].train, forward, tick_forward(op_i), args, ARRAY_LEN(args),
                      e))
        goto out;
    if (!op_tensor(n, op->in[0])->needs_grad) {
        ok = true;
        goto out;
    }
    if (!dnn_check(dnnl_pooling_v2_backward_desc_init(&desc, dnnl_pooling_max, &src, &dst, stride,
                                                      kernel, dilation, pad, pad),
                   "max pooling, backward", e) ||
        !dnn_pd(n, &desc, d->attr, forward, "max pooling, backward", &backward, e))
        goto out;
    struct place grad = dnn_place_input_grad(n, op_i, 0);
    struct call_list *list = &d->ops[op_i].backward;
    struct arg back[] = {{DNNL_ARG_DIFF_DST, &dst, {AT_GRAD, op->out}},
                         {DNNL_ARG_DIFF_SRC, &src, grad},
                         {DNNL_ARG_WORKSPACE, ws_md, ws}};
    ok = dnn_add_call(n, list, backward, tick_backward(n, op_i), back, ARRAY_LEN(back), e) &&
         dnn_add_begun(n, list, op_i, 0, grad, e);
out:
    dnnl_primitive_desc_destroy(forward);
    dnnl_primitive_desc_destroy(backward);
    return ok;
}

/* ---------------------------------------------------------------- ReLU, alone or behind a sum */

static bool relu_backward_call(struct net *n, size_t op_i, int32_t k,
                               const_dnnl_primitive_desc_t hint, struct err *e)
{
    struct dnn *d = n->state;
    const struct op *op = &n->ops[op_i];
    bool done = k == 1 && op_tensor(n, op->in[0])->grad_item == op_tensor(n, op->in[1])->grad_item;
    if (!op_tensor(n, op->in[k])->needs_grad || done)
        return true;
    struct call_list *list = &d->ops[op_i].backward;
    dnnl_memory_desc_t md = dnn_md_tensor(n, op->out);
    dnnl_eltwise_desc_t desc;
    dnnl_primitive_desc_t pd = NULL;
    bool ok = false;
    if (!dnn_check(dnnl_eltwise_backward_desc_init(&desc, dnnl_eltwise_relu_use_dst_for_bwd, &md,
                                                   &md, 0.0f, 0.0f),
                   "relu, backward", e) ||
        !dnn_pd(n, &desc, d->attr, hint, "relu, backward", &pd, e))
        goto out;
    struct place grad = dnn_place_input_grad(n, op_i, k);
    struct arg args[] = {{DNNL_ARG_DST, &md, {AT_VALUE, op->out}},
                         {DNNL_ARG_DIFF_DST, &md, {AT_GRAD, op->out}},
                         {DNNL_ARG_DIFF_SRC, &md, grad}};
    ok = dnn_add_call(n, list, pd, tick_backward(n, op_i), args, ARRAY_LEN(args), e) &&
         dnn_add_begun(n, list, op_i, k, grad, e);
out:
    dnnl_primitive_desc_destroy(pd);
    return ok;
}

bool dnn_prepare_relu(struct net *n, size_t op_i, struct err *e)
{
    struct dnn *d = n->state;
    const struct op *op = &n->ops[op_i];
    dnn_keep(n, op_i, op->out);
    dnnl_memory_desc_t md = dnn_md_tensor(n, op->out);
    dnnl_eltwise_desc_t relu;
    dnnl_binary_desc_t sum;
    dnnl_primitive_desc_t hint = NULL, pd_sum = NULL;
    bool ok = false;
    if (!dnn_check(dnnl_eltwise_forward_desc_init(&relu, dnnl_forward_training,
                                                  dnnl_eltwise_relu_use_dst_for_bwd, &md, 0.0f,
                                                  0.0f),
                   "relu", e) ||
        !dnn_check(dnnl_binary_desc_init(&sum, dnnl_binary_add, &md, &md, &md), "add", e) ||
        !dnn_check(dnnl_primitive_desc_create(&hint, &relu, d->attr, d->engine, NULL), "relu", e))
        goto out;
    struct call_list *list = &d->ops[op_i].train;
    struct place a = {AT_VALUE, op->in[0]}, b = {AT_VALUE, op->in[1]}, y = {AT_VALUE, op->out};
    struct arg one[] = {{DNNL_ARG_SRC, &md, a}, {DNNL_ARG_DST, &md, y}};
    struct arg two[] = {{DNNL_ARG_SRC_0, &md, a}, {DNNL_ARG_SRC_1, &md, b}, {DNNL_ARG_DST, &md, y}};
    if (op->kind == OP_RELU)
        ok = dnn_add_call(n, list, hint, tick_forward(op_i), one, ARRAY_LEN(one), e);
    else
        ok = dnn_pd(n, &sum, d->attr_relu, NULL, "add and relu", &pd_sum, e) &&
             dnn_add_call(n, list, pd_sum, tick_forward(op_i), two, ARRAY_LEN(two), e);
    ok = ok && relu_backward_call(n, op_i, 0, hint, e) &&
         (op->kind == OP_RELU || relu_backward_call(n, op_i, 1, hint, e));
out:
    dnnl_primitive_desc_destroy(hint);
    dnnl_primitive_desc_destroy(pd_sum);
    return ok;
}
