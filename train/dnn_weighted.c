/*
 * Convolution and linear on oneDNN: the operations with a weight.
 */
#include "train/dnn_call.h"

/* Appends a copy from one layout to another. */
static bool add_reorder(struct net *n, struct call_list *list, const struct arg *from,
                        const struct arg *to, int32_t tick, struct err *e)
{
    const struct dnn *d = n->state;
    dnnl_primitive_desc_t pd = NULL;
    bool ok = dnn_check(dnnl_reorder_primitive_desc_create(&pd, from->md, d->engine, to->md,
                                                           d->engine, d->attr),
                        "reorder", e) &&
              dnn_add_call(n, list, pd, tick, (struct arg[]){*from, *to}, 2, e);
    dnnl_primitive_desc_destroy(pd);
    return ok;
}

bool dnn_pack_weight(struct net *n, struct call_list *list, int32_t param, struct place plainly,
                     const dnnl_memory_desc_t *wanted, int32_t tick, struct place *out,
                     struct err *e)
{
    dnnl_memory_desc_t plain = dnn_md_weight(n, param);
    struct arg from = {DNNL_ARG_FROM, &plain, plainly}, to = {DNNL_ARG_TO, wanted, {0}};
    *out = plainly;
    if (dnnl_memory_desc_equal(&plain, wanted))
        return true;
    *out = to.place = (struct place){
        AT_ITEM, arena_add(&n->arena, dnnl_memory_desc_get_size(wanted), tick, tick)};
    return add_reorder(n, list, &from, &to, tick, e);
}

/* Where a weight gradient in the layout `given` is to be written: in place, or beside it for
 * unpack_weight_grad to bring it into the parameter's layout. */
static struct place place_weight_grad(struct net *n, int32_t param, const dnnl_memory_desc_t *given,
                                      int32_t tick)
{
    dnnl_memory_desc_t plain = dnn_md_weight(n, param);
    if (dnnl_memory_desc_equal(&plain, given))
        return (struct place){AT_PARAM_GRAD, param};
    int32_t item = arena_add(&n->arena, dnnl_memory_desc_get_size(given), tick, tick);
    return (struct place){AT_ITEM, item};
}

static bool unpack_weight_grad(struct net *n, struct call_list *list, int32_t param,
                               const dnnl_memory_desc_t *given, struct place written, int32_t tick,
                               struct err *e)
{
    dnnl_memory_desc_t plain = dnn_md_weight(n, param);
    struct arg from = {DNNL_ARG_FROM, given, written};
    struct arg to = {DNNL_ARG_TO, &plain, {AT_PARAM_GRAD, param}};
    return written.kind == AT_PARAM_GRAD || add_reorder(n, list, &from, &to, tick, e);
}
/* The two operations with a weight have the same three passes; they differ in how a pass is
 * described. Weights are in any layout: the kernel says which it wants. */
enum pass { PASS_FORWARD, PASS_WEIGHT, PASS_DATA };

struct weighted {
    const char *name;
    bool is_conv;
    dnnl_memory_desc_t src, dst, bias;
    dnnl_memory_desc_t weight;         /* of the activations' type */
    dnnl_memory_desc_t weight_grad;    /* float32 always */
    const dnnl_memory_desc_t *bias_md; /* NULL: none */
    dnnl_dims_t stride, pad;
};

static void weighted_init(const struct net *n, const struct op *op, struct weighted *w)
{
    bool is_half = op_tensor(n, op->in[0])->is_half;
    *w = (struct weighted){.is_conv = op->kind == OP_CONV,
                           .weight =
                               dnn_md_weight_any(n, op->par[0], is_half ? dnnl_bf16 : dnnl_f32),
                           .weight_grad = dnn_md_weight_any(n, op->par[0], dnnl_f32),
                           .stride = {op->window.stride[0], op->window.stride[1]},
                           .pad = {op->window.pad[0], op->window.pad[1]}};
    w->name = w->is_conv ? "convolution" : "linear";
    w->src = w->is_conv ? dnn_md_tensor(n, op->in[0]) : dnn_md_rows(n, op->in[0]);
    w->dst = w->is_conv ? dnn_md_tensor(n, op->out) : dnn_md_rows(n, op->out);
    if (!w->is_conv) {
        w->bias = dnn_md_vector(net_shape(n, op->out).c);
        w->bias_md = &w->bias;
    }
}

static dnnl_status_t conv_describe(const struct weighted *w, enum pass pass,
                                   dnnl_convolution_desc_t *out)
{
    dnnl_alg_kind_t alg = dnnl_convolution_direct;
    if (pass == PASS_FORWARD)
        return dnnl_convolution_forward_desc_init(out, dnnl_forward_training, alg, &w->src,
                                                  &w->weight, NULL, &w->dst, w->stride, w->pad,
                                                  w->pad);
    if (pass == PASS_WEIGHT)
        return dnnl_convolution_backward_weights_desc_init(out, alg, &w->src, &w->weight_grad, NULL,
                                                           &w->dst, w->stride, w->pad, w->pad);
    return dnnl_convolution_backward_data_desc_init(out, alg, &w->src, &w->weight, &w->dst,
                                                    w->stride, w->pad, w->pad);
}

static dnnl_status_t linear_describe(const struct weighted *w, enum pass pass,
                                     dnnl_inner_product_desc_t *out)
{
    if (pass == PASS_FORWARD)
        return dnnl_inner_product_forward_desc_init(out, dnnl_forward_training, &w->src, &w->weight,
                                                    &w->bias, &w->dst);
    if (pass == PASS_WEIGHT)
        return dnnl_inner_product_backward_weights_desc_init(out, &w->src, &w->weight_grad,
                                                             &w->bias, &w->dst);
    return dnnl_inner_product_backward_data_desc_init(out, &w->src, &w->weight, &w->dst);
}

static bool weighted_pd(struct net *n, const struct weighted *w, enum pass pass,
                        const_dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *out, struct err *e)
{
    const struct dnn *d = n->state;
    dnnl_convolution_desc_t conv;
    dnnl_inner_product_desc_t linear;
    dnnl_status_t s =
        w->is_conv ? conv_describe(w, pass, &conv) : linear_describe(w, pass, &linear);
    const_dnnl_op_desc_t desc = w->is_conv ? (const void *)&conv : (const void *)&linear;
    return dnn_check(s, w->name, e) && dnn_pd(n, desc, d->attr, hint, w->name, out, e);
}

static bool weighted_forward(struct net *n, size_t op_i, const struct weighted *w,
                             dnnl_primitive_desc_t pd, struct call_list *list, int32_t tick,
                             struct err *e)
{
    const struct op *op = &n->ops[op_i];
    const dnnl_memory_desc_t *weight_md =
        dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    struct place weight;
    if (!dnn_pack_weight(n, list, op->par[0], (struct place){AT_PARAM, op->par[0]}, weight_md, tick,
                         &weight, e))
        return false;
    struct arg args[] = {{DNNL_ARG_SRC, &w->src, {AT_VALUE, op->in[0]}},
                         {DNNL_ARG_WEIGHTS, weight_md, weight},
                         {DNNL_ARG_BIAS, w->bias_md, {AT_PARAM, op->par[1]}},
                         {DNNL_ARG_DST, &w->dst, {AT_VALUE, op->out}}};
    return dnn_add_call(n, list, pd, tick, args, ARRAY_LEN(args), e);
}

static bool weighted_backward_weight(struct net *n, size_t op_i, const struct weighted *w,
                                     dnnl_primitive_desc_t pd, struct err *e)
{
    struct dnn *d = n->state;
    const struct op *op = &n->ops[op_i];
    struct call_list *list = &d->ops[op_i].backward;
    int32_t tick = tick_backward(n, op_i);
    const dnnl_memory_desc_t *grad_md =
        dnnl_primitive_desc_query_md(pd, dnnl_query_diff_weights_md, 0);
    struct place grad = place_weight_grad(n, op->par[0], grad_md, tick);
    struct arg args[] = {{DNNL_ARG_SRC, &w->src, {AT_VALUE, op->in[0]}},
                         {DNNL_ARG_DIFF_DST, &w->dst, {AT_GRAD, op->out}},
                         {DNNL_ARG_DIFF_WEIGHTS, grad_md, grad},
                         {DNNL_ARG_DIFF_BIAS, w->bias_md, {AT_PARAM_GRAD, op->par[1]}}};
    return dnn_add_call(n, list, pd, tick, args, ARRAY_LEN(args), e) &&
           unpack_weight_grad(n, list, op->par[0], grad_md, grad, tick, e);
}

static bool weighted_backward_data(struct net *n, size_t op_i, const struct weighted *w,
                                   dnnl_primitive_desc_t pd, struct err *e)
{
    struct dnn *d = n->state;
    const struct op *op = &n->ops[op_i];
    struct call_list *list = &d->ops[op_i].backward;
    int32_t tick = tick_backward(n, op_i);
    const dnnl_memory_desc_t *weight_md =
        dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    struct place weight, grad = dnn_place_input_grad(n, op_i, 0);
    if (!dnn_pack_weight(n, list, op->par[0], (struct place){AT_PARAM, op->par[0]}, weight_md, tick,
                         &weight, e))
        return false;
    struct arg args[] = {{DNNL_ARG_DIFF_DST, &w->dst, {AT_GRAD, op->out}},
                         {DNNL_ARG_WEIGHTS, weight_md, weight},
                         {DNNL_ARG_DIFF_SRC, &w->src, grad}};
    return dnn_add_call(n, list, pd, tick, args, ARRAY_LEN(args), e) &&
           dnn_add_begun(n, list, op_i, 0, grad, e);
}

bool dnn_prepare_weighted(struct net *n, size_t op_i, struct err *e)
{
    struct dnn *d = n->state;
    const struct op *op = &n->ops[op_i];
    const struct tensor *out = op_tensor(n, op->out);
    struct weighted w;
    if (op->kind == OP_CONV && n->backend->has_winograd && dnn_winograd_fits(n, op_i)) {
        dnn_prepare_winograd(n, op_i);
        return !dnn_can_fold(n, op_i) || dnn_prepare_folded(n, op_i, e);
    }
    dnnl_primitive_desc_t forward = NULL, weight = NULL, data = NULL;
    dnn_keep(n, op_i, op->in[0]);
    weighted_init(n, op, &w);
    bool ok = weighted_pd(n, &w, PASS_FORWARD, NULL, &forward, e) &&
              weighted_forward(n, op_i, &w, forward, &d->ops[op_i].train, tick_forward(op_i), e);
    if (ok && out->again_item >= 0)
        ok = weighted_forward(n, op_i, &w, forward, &d->ops[op_i].again, out->again_tick, e);
    if (ok && dnn_can_fold(n, op_i))
        ok = dnn_prepare_folded(n, op_i, e);
    if (ok && !op->frozen)
        ok = weighted_pd(n, &w, PASS_WEIGHT, forward, &weight, e) &&
             weighted_backward_weight(n, op_i, &w, weight, e);
    if (ok && op_tensor(n, op->in[0])->needs_grad)
        ok = weighted_pd(n, &w, PASS_DATA, forward, &data, e) &&
             weighted_backward_data(n, op_i, &w, data, e);
    dnnl_primitive_desc_destroy(forward);
    dnnl_primitive_desc_destroy(weight);
    dnnl_primitive_desc_destroy(data);
    return ok;
}
