/*
 * The fast back end: oneDNN 2.6, float32. The only file that knows it.
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
 * - Running statistics of batch norm are ours: oneDNN gives the biased variance and never updates.
 * - The result of every kernel used here is a function of the inputs and the number of threads.
 */
#include "base/mem.h"
#include "train/kernels.h"
#include "train/tape.h"

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <string.h>

enum { CALL_ARGS_MAX = 12, CALLS_MAX = 8 };

enum place_kind { AT_VALUE, AT_GRAD, AT_ITEM, AT_PARAM, AT_PARAM_GRAD };

struct place {
    enum place_kind kind;
    int32_t i;
};

struct call {
    dnnl_primitive_t primitive;
    size_t n_args;
    dnnl_exec_arg_t args[CALL_ARGS_MAX];
    struct place places[CALL_ARGS_MAX];
};

struct call_list {
    size_t n;
    struct call calls[CALLS_MAX];
};

struct dnn_op {
    struct call_list train, eval, backward; /* eval empty: as train */
    int32_t mean_item, var_item;            /* bn */
};

struct dnn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_attr_t attr;      /* user scratchpad */
    dnnl_primitive_attr_t attr_relu; /* the same with a ReLU behind */
    struct dnn_op ops[NET_OPS_MAX];
};

static bool check(dnnl_status_t s, const char *what, struct err *e)
{
    if (s == dnnl_success)
        return true;
    static const char *const texts[] = {"", "out of memory", "invalid arguments", "unimplemented"};
    return err_set(e, ERR_FATAL, "oneDNN: %s: %s (status %d)", what,
                   (size_t)s < ARRAY_LEN(texts) ? texts[s] : "runtime error", (int)s);
}

static void *place_address(const struct net *n, struct place p)
{
    switch (p.kind) {
    case AT_VALUE:
        if (op_tensor(n, p.i)->value_item < 0)
            return (void *)(uintptr_t)n->input; /* only ever a source */
        return tensor_value(n, p.i);
    case AT_GRAD:
        return tensor_grad(n, p.i);
    case AT_ITEM:
        return arena_ptr(&n->arena, p.i);
    case AT_PARAM:
        return param_value(n, p.i);
    case AT_PARAM_GRAD:
        return param_grad(n, p.i);
    }
    return NULL;
}

/* ---------------------------------------------------------------- memory descriptions */

static dnnl_memory_desc_t md_make(size_t n_dims, const dnnl_dim_t *dims, dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t md;
    dnnl_dims_t copy = {0};
    memcpy(copy, dims, n_dims * sizeof *dims);
    dnnl_status_t s = dnnl_memory_desc_init_by_tag(&md, (int)n_dims, copy, dnnl_f32, tag);
    assert(s == dnnl_success);
    return md;
}

/* oneDNN names dimensions in the order N, C, H, W whatever the layout. */
static dnnl_memory_desc_t md_picture(struct shape s)
{
    return md_make(4, (dnnl_dim_t[]){s.n, s.c, s.h, s.w}, dnnl_nhwc);
}

static dnnl_memory_desc_t md_rows(struct shape s)
{
    return md_make(2, (dnnl_dim_t[]){s.n, s.c}, dnnl_ab);
}

static dnnl_memory_desc_t md_vector(int32_t length)
{
    return md_make(1, (dnnl_dim_t[]){length}, dnnl_a);
}

static dnnl_memory_desc_t md_weight(const struct net *n, int32_t param, bool any)
{
    const struct param *p = &n->params.items[param];
    dnnl_dim_t dims[4] = {0};
    for (uint32_t i = 0; i < p->n_dims; i++)
        dims[i] = p->dims[i];
    dnnl_format_tag_t plain = p->n_dims == 4 ? dnnl_oihw : dnnl_ab;
    return md_make(p->n_dims, dims, any ? dnnl_format_tag_any : plain);
}

/* ---------------------------------------------------------------- building calls */

/* One argument of a call to be. */
struct arg {
    int id; /* DNNL_ARG_SRC ... */
    const dnnl_memory_desc_t *md;
    struct place place;
};

static bool call_arg(struct net *n, struct call *c, const struct arg *arg, struct err *e)
{
    const struct dnn *d = n->state;
    assert(c->n_args < CALL_ARGS_MAX);
    dnnl_exec_arg_t *a = &c->args[c->n_args];
    a->arg = arg->id;
    if (!check(dnnl_memory_create(&a->memory, arg->md, d->engine, DNNL_MEMORY_NONE), "memory", e))
        return false;
    c->places[c->n_args++] = arg->place;
    return true;
}

/* Appends the primitive of `pd` with its arguments (those without a description are left out) and
 * its scratchpad. */
static bool add_call(struct net *n, struct call_list *list, const_dnnl_primitive_desc_t pd,
                     int32_t tick, const struct arg *args, size_t n_args, struct err *e)
{
    assert(list->n < CALLS_MAX);
    struct call *c = &list->calls[list->n++];
    if (!check(dnnl_primitive_create(&c->primitive, pd), "primitive", e))
        return false;
    for (size_t i = 0; i < n_args; i++)
        if (args[i].md != NULL && !call_arg(n, c, &args[i], e))
            return false;
    const dnnl_memory_desc_t *scratch =
        dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    size_t bytes = scratch == NULL ? 0 : dnnl_memory_desc_get_size(scratch);
    if (bytes == 0)
        return true;
    struct place place = {AT_ITEM, arena_add(&n->arena, bytes, tick, tick)};
    return call_arg(n, c, &(struct arg){DNNL_ARG_SCRATCHPAD, scratch, place}, e);
}

/* A primitive description from an operation description; its kernel's name is noted. The caller
 * destroys *out. */
static bool pd_make(struct net *n, const_dnnl_op_desc_t desc, const_dnnl_primitive_attr_t attr,
                    const_dnnl_primitive_desc_t hint, const char *what, dnnl_primitive_desc_t *out,
                    struct err *e)
{
    const struct dnn *d = n->state;
    if (!check(dnnl_primitive_desc_create(out, desc, attr, d->engine, hint), what, e))
        return false;
    const char *name = NULL;
    if (dnnl_primitive_desc_query(*out, dnnl_query_impl_info_str, 0, &name) == dnnl_success &&
        name != NULL)
        net_note_kernel(n, name);
    return true;
}

/* Appends a copy from one layout to another. */
static bool add_reorder(struct net *n, struct call_list *list, const struct arg *from,
                        const struct arg *to, int32_t tick, struct err *e)
{
    const struct dnn *d = n->state;
    dnnl_primitive_desc_t pd = NULL;
    bool ok = check(dnnl_reorder_primitive_desc_create(&pd, from->md, d->engine, to->md, d->engine,
                                                       d->attr),
                    "reorder", e) &&
              add_call(n, list, pd, tick, (struct arg[]){*from, *to}, 2, e);
    dnnl_primitive_desc_destroy(pd);
    return ok;
}

/* The place of a weight in the layout that `wanted` asks for, packed first where it differs. */
static bool pack_weight(struct net *n, struct call_list *list, int32_t param,
                        const dnnl_memory_desc_t *wanted, int32_t tick, struct place *out,
                        struct err *e)
{
    dnnl_memory_desc_t plain = md_weight(n, param, false);
    struct arg from = {DNNL_ARG_FROM, &plain, {AT_PARAM, param}}, to = {DNNL_ARG_TO, wanted, {0}};
    *out = from.place;
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
    dnnl_memory_desc_t plain = md_weight(n, param, false);
    if (dnnl_memory_desc_equal(&plain, given))
        return (struct place){AT_PARAM_GRAD, param};
    int32_t item = arena_add(&n->arena, dnnl_memory_desc_get_size(given), tick, tick);
    return (struct place){AT_ITEM, item};
}

static bool unpack_weight_grad(struct net *n, struct call_list *list, int32_t param,
                               const dnnl_memory_desc_t *given, struct place written, int32_t tick,
                               struct err *e)
{
    dnnl_memory_desc_t plain = md_weight(n, param, false);
    struct arg from = {DNNL_ARG_FROM, given, written};
    struct arg to = {DNNL_ARG_TO, &plain, {AT_PARAM_GRAD, param}};
    return written.kind == AT_PARAM_GRAD || add_reorder(n, list, &from, &to, tick, e);
}

/* Where the gradient of in[k] is to be written: in place, or beside it when another consumer has
 * begun it; add_begun then appends the addition. */
static struct place place_input_grad(struct net *n, size_t op_i, int32_t k)
{
    const struct op *op = &n->ops[op_i];
    if (!op->add[k])
        return (struct place){AT_GRAD, op->in[k]};
    size_t bytes = shape_count(net_shape(n, op->in[k])) * sizeof(float);
    int32_t tick = tick_backward(n, op_i);
    return (struct place){AT_ITEM, arena_add(&n->arena, bytes, tick, tick)};
}

static bool add_begun(struct net *n, struct call_list *list, size_t op_i, int32_t k,
                      struct place written, struct err *e)
{
    const struct op *op = &n->ops[op_i];
    const struct dnn *d = n->state;
    if (!op->add[k])
        return true;
    dnnl_memory_desc_t md = md_picture(net_shape(n, op->in[k]));
    struct place total = {AT_GRAD, op->in[k]};
    dnnl_primitive_desc_t pd = NULL;
    dnnl_binary_desc_t desc;
    struct arg args[] = {
        {DNNL_ARG_SRC_0, &md, total}, {DNNL_ARG_SRC_1, &md, written}, {DNNL_ARG_DST, &md, total}};
    bool ok = check(dnnl_binary_desc_init(&desc, dnnl_binary_add, &md, &md, &md), "add", e) &&
              pd_make(n, &desc, d->attr, NULL, "add", &pd, e) &&
              add_call(n, list, pd, tick_backward(n, op_i), args, ARRAY_LEN(args), e);
    dnnl_primitive_desc_destroy(pd);
    return ok;
}

static void keep_for_backward(struct net *n, size_t op_i, int32_t tensor)
{
    int32_t item = op_tensor(n, tensor)->value_item;
    if (item >= 0 && op_tensor(n, n->ops[op_i].out)->needs_grad)
        arena_extend(&n->arena, item, tick_backward(n, op_i));
}

/* ---------------------------------------------------------------- convolution and linear */

/* The two operations with a weight have the same three passes; they differ in how a pass is
 * described. Weights are in any layout: the kernel says which it wants. */
enum pass { PASS_FORWARD, PASS_WEIGHT, PASS_DATA };

struct weighted {
    const char *name;
    bool is_conv;
    dnnl_memory_desc_t src, dst, weight, bias;
    const dnnl_memory_desc_t *bias_md; /* NULL: none */
    dnnl_dims_t stride, pad;
};

static void weighted_init(const struct net *n, const struct op *op, struct weighted *w)
{
    *w = (struct weighted){.is_conv = op->kind == OP_CONV,
                           .weight = md_weight(n, op->par[0], true),
                           .stride = {op->window.stride[0], op->window.stride[1]},
                           .pad = {op->window.pad[0], op->window.pad[1]}};
    struct shape in = net_shape(n, op->in[0]), out = net_shape(n, op->out);
    w->name = w->is_conv ? "convolution" : "linear";
    w->src = w->is_conv ? md_picture(in) : md_rows(in);
    w->dst = w->is_conv ? md_picture(out) : md_rows(out);
    if (!w->is_conv) {
        w->bias = md_vector(out.c);
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
        return dnnl_convolution_backward_weights_desc_init(out, alg, &w->src, &w->weight, NULL,
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
        return dnnl_inner_product_backward_weights_desc_init(out, &w->src, &w->weight, &w->bias,
                                                             &w->dst);
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
    return check(s, w->name, e) && pd_make(n, desc, d->attr, hint, w->name, out, e);
}

static bool weighted_forward(struct net *n, size_t op_i, const struct weighted *w,
                             dnnl_primitive_desc_t pd, struct err *e)
{
    struct dnn *d = n->state;
    const struct op *op = &n->ops[op_i];
    struct call_list *list = &d->ops[op_i].train;
    int32_t tick = tick_forward(op_i);
    const dnnl_memory_desc_t *weight_md =
        dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    struct place weight;
    if (!pack_weight(n, list, op->par[0], weight_md, tick, &weight, e))
        return false;
    struct arg args[] = {{DNNL_ARG_SRC, &w->src, {AT_VALUE, op->in[0]}},
                         {DNNL_ARG_WEIGHTS, weight_md, weight},
                         {DNNL_ARG_BIAS, w->bias_md, {AT_PARAM, op->par[1]}},
                         {DNNL_ARG_DST, &w->dst, {AT_VALUE, op->out}}};
    return add_call(n, list, pd, tick, args, ARRAY_LEN(args), e);
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
    return add_call(n, list, pd, tick, args, ARRAY_LEN(args), e) &&
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
    struct place weight, grad = place_input_grad(n, op_i, 0);
    if (!pack_weight(n, list, op->par[0], weight_md, tick, &weight, e))
        return false;
    struct arg args[] = {{DNNL_ARG_DIFF_DST, &w->dst, {AT_GRAD, op->out}},
                         {DNNL_ARG_WEIGHTS, weight_md, weight},
                         {DNNL_ARG_DIFF_SRC, &w->src, grad}};
    return add_call(n, list, pd, tick, args, ARRAY_LEN(args), e) &&
           add_begun(n, list, op_i, 0, grad, e);
}

static bool prepare_weighted(struct net *n, size_t op_i, struct err *e)
{
    const struct op *op = &n->ops[op_i];
    struct weighted w;
    dnnl_primitive_desc_t forward = NULL, weight = NULL, data = NULL;
    keep_for_backward(n, op_i, op->in[0]);
    weighted_init(n, op, &w);
    bool ok = weighted_pd(n, &w, PASS_FORWARD, NULL, &forward, e) &&
              weighted_forward(n, op_i, &w, forward, e);
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
                            int32_t workspace, struct err *e)
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
    return add_call(n, list, pd, tick_forward(op_i), args, ARRAY_LEN(args), e);
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
    if (!check(dnnl_batch_normalization_backward_desc_init(&desc, dnnl_backward, &b->md, &b->md,
                                                           (float)BN_EPSILON, b->flags),
               "batch norm, backward", e) ||
        !pd_make(n, &desc, d->attr, hint, "batch norm, backward", &pd, e))
        goto out;
    const dnnl_memory_desc_t *ws_md =
        b->workspace < 0 ? NULL : dnnl_primitive_desc_query_md(pd, dnnl_query_workspace_md, 0);
    struct place grad = place_input_grad(n, op_i, 0);
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
    ok = add_call(n, list, pd, tick_backward(n, op_i), args, ARRAY_LEN(args), e) &&
         add_begun(n, list, op_i, 0, grad, e);
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
    return check(s, "batch norm", e) && pd_make(n, &desc, d->attr, NULL, "batch norm", out, e);
}

static bool prepare_bn(struct net *n, size_t op_i, struct err *e)
{
    struct dnn *d = n->state;
    const struct op *op = &n->ops[op_i];
    struct dnn_op *state = &d->ops[op_i];
    struct shape shape = net_shape(n, op->in[0]);
    int32_t first = tick_forward(op_i), last = op->frozen ? first : tick_backward(n, op_i);
    size_t stat_bytes = (size_t)shape.c * sizeof(float);
    assert(op->frozen || op_tensor(n, op->in[0])->needs_grad);
    keep_for_backward(n, op_i, op->in[0]);
    state->mean_item = arena_add(&n->arena, stat_bytes, first, last);
    state->var_item = arena_add(&n->arena, stat_bytes, first, last);
    struct bn b = {
        .md = md_picture(shape),
        .vector = md_vector(shape.c),
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
    ok = bn_forward_call(n, op_i, &state->train, &b, train, b.mean, b.var, b.workspace, e) &&
         bn_forward_call(n, op_i, &state->eval, &b, eval, running_mean, running_var, -1, e) &&
         (op->frozen || bn_backward_call(n, op_i, &b, train, e));
out:
    dnnl_primitive_desc_destroy(train);
    dnnl_primitive_desc_destroy(eval);
    return ok;
}

static void bn_after_training(struct net *n, size_t op_i)
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

static bool prepare_maxpool(struct net *n, size_t op_i, struct err *e)
{
    struct dnn *d = n->state;
    const struct op *op = &n->ops[op_i];
    const struct window *w = &op->window;
    dnnl_memory_desc_t src = md_picture(net_shape(n, op->in[0]));
    dnnl_memory_desc_t dst = md_picture(net_shape(n, op->out));
    dnnl_dims_t stride = {w->stride[0], w->stride[1]}, kernel = {w->kernel[0], w->kernel[1]};
    dnnl_dims_t pad = {w->pad[0], w->pad[1]}, dilation = {0, 0};
    dnnl_pooling_v2_desc_t desc;
    dnnl_primitive_desc_t forward = NULL, backward = NULL;
    bool ok = false;
    if (!check(dnnl_pooling_v2_forward_desc_init(&desc, dnnl_forward_training, dnnl_pooling_max,
                                                 &src, &dst, stride, kernel, dilation, pad, pad),
               "max pooling", e) ||
        !pd_make(n, &desc, d->attr, NULL, "max pooling", &forward, e))
        goto out;
    const dnnl_memory_desc_t *ws_md =
        dnnl_primitive_desc_query_md(forward, dnnl_query_workspace_md, 0);
    int32_t first = tick_forward(op_i), last = tick_backward(n, op_i);
    struct place ws = {AT_ITEM, arena_add(&n->arena, dnnl_memory_desc_get_size(ws_md), first,
                                          op->frozen ? first : last)};
    struct arg args[] = {{DNNL_ARG_SRC, &src, {AT_VALUE, op->in[0]}},
                         {DNNL_ARG_DST, &dst, {AT_VALUE, op->out}},
                         {DNNL_ARG_WORKSPACE, ws_md, ws}};
    if (!add_call(n, &d->ops[op_i].train, forward, tick_forward(op_i), args, ARRAY_LEN(args), e))
        goto out;
    if (!op_tensor(n, op->in[0])->needs_grad) {
        ok = true;
        goto out;
    }
    if (!check(dnnl_pooling_v2_backward_desc_init(&desc, dnnl_pooling_max, &src, &dst, stride,
                                                  kernel, dilation, pad, pad),
               "max pooling, backward", e) ||
        !pd_make(n, &desc, d->attr, forward, "max pooling, backward", &backward, e))
        goto out;
    struct place grad = place_input_grad(n, op_i, 0);
    struct call_list *list = &d->ops[op_i].backward;
    struct arg back[] = {{DNNL_ARG_DIFF_DST, &dst, {AT_GRAD, op->out}},
                         {DNNL_ARG_DIFF_SRC, &src, grad},
                         {DNNL_ARG_WORKSPACE, ws_md, ws}};
    ok = add_call(n, list, backward, tick_backward(n, op_i), back, ARRAY_LEN(back), e) &&
         add_begun(n, list, op_i, 0, grad, e);
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
    if (!op_tensor(n, op->in[k])->needs_grad)
        return true;
    struct call_list *list = &d->ops[op_i].backward;
    dnnl_memory_desc_t md = md_picture(net_shape(n, op->out));
    dnnl_eltwise_desc_t desc;
    dnnl_primitive_desc_t pd = NULL;
    bool ok = false;
    if (!check(dnnl_eltwise_backward_desc_init(&desc, dnnl_eltwise_relu_use_dst_for_bwd, &md, &md,
                                               0.0f, 0.0f),
               "relu, backward", e) ||
        !pd_make(n, &desc, d->attr, hint, "relu, backward", &pd, e))
        goto out;
    struct place grad = place_input_grad(n, op_i, k);
    struct arg args[] = {{DNNL_ARG_DST, &md, {AT_VALUE, op->out}},
                         {DNNL_ARG_DIFF_DST, &md, {AT_GRAD, op->out}},
                         {DNNL_ARG_DIFF_SRC, &md, grad}};
    ok = add_call(n, list, pd, tick_backward(n, op_i), args, ARRAY_LEN(args), e) &&
         add_begun(n, list, op_i, k, grad, e);
out:
    dnnl_primitive_desc_destroy(pd);
    return ok;
}

static bool prepare_relu(struct net *n, size_t op_i, struct err *e)
{
    struct dnn *d = n->state;
    const struct op *op = &n->ops[op_i];
    keep_for_backward(n, op_i, op->out);
    dnnl_memory_desc_t md = md_picture(net_shape(n, op->out));
    dnnl_eltwise_desc_t relu;
    dnnl_binary_desc_t sum;
    dnnl_primitive_desc_t hint = NULL, pd_sum = NULL;
    bool ok = false;
    if (!check(dnnl_eltwise_forward_desc_init(&relu, dnnl_forward_training,
                                              dnnl_eltwise_relu_use_dst_for_bwd, &md, 0.0f, 0.0f),
               "relu", e) ||
        !check(dnnl_binary_desc_init(&sum, dnnl_binary_add, &md, &md, &md), "add", e) ||
        !check(dnnl_primitive_desc_create(&hint, &relu, d->attr, d->engine, NULL), "relu", e))
        goto out;
    struct call_list *list = &d->ops[op_i].train;
    struct place a = {AT_VALUE, op->in[0]}, b = {AT_VALUE, op->in[1]}, y = {AT_VALUE, op->out};
    struct arg one[] = {{DNNL_ARG_SRC, &md, a}, {DNNL_ARG_DST, &md, y}};
    struct arg two[] = {{DNNL_ARG_SRC_0, &md, a}, {DNNL_ARG_SRC_1, &md, b}, {DNNL_ARG_DST, &md, y}};
    if (op->kind == OP_RELU)
        ok = add_call(n, list, hint, tick_forward(op_i), one, ARRAY_LEN(one), e);
    else
        ok = pd_make(n, &sum, d->attr_relu, NULL, "add and relu", &pd_sum, e) &&
             add_call(n, list, pd_sum, tick_forward(op_i), two, ARRAY_LEN(two), e);
    ok = ok && relu_backward_call(n, op_i, 0, hint, e) &&
         (op->kind == OP_RELU || relu_backward_call(n, op_i, 1, hint, e));
out:
    dnnl_primitive_desc_destroy(hint);
    dnnl_primitive_desc_destroy(pd_sum);
    return ok;
}

/* ---------------------------------------------------------------- the table */

static bool dnn_open(struct net *n, struct err *e)
{
    struct dnn *d = mem_zalloc(1, sizeof *d);
    n->state = d;
    omp_set_num_threads((int)n->threads);
    dnnl_post_ops_t post = NULL;
    bool ok =
        check(dnnl_engine_create(&d->engine, dnnl_cpu, 0), "engine", e) &&
        check(dnnl_stream_create(&d->stream, d->engine, dnnl_stream_default_flags), "stream", e) &&
        check(dnnl_primitive_attr_create(&d->attr), "attributes", e) &&
        check(dnnl_primitive_attr_set_scratchpad_mode(d->attr, dnnl_scratchpad_mode_user),
              "scratchpad mode", e) &&
        check(dnnl_primitive_attr_clone(&d->attr_relu, d->attr), "attributes", e) &&
        check(dnnl_post_ops_create(&post), "post operations", e) &&
        check(dnnl_post_ops_append_eltwise(post, 1.0f, dnnl_eltwise_relu, 0.0f, 0.0f),
              "relu behind a sum", e) &&
        check(dnnl_primitive_attr_set_post_ops(d->attr_relu, post), "post operations", e);
    dnnl_post_ops_destroy(post);
    return ok;
}

static void list_release(struct call_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        struct call *c = &list->calls[i];
        for (size_t k = 0; k < c->n_args; k++)
            dnnl_memory_destroy(c->args[k].memory);
        if (c->primitive != NULL)
            dnnl_primitive_destroy(c->primitive);
    }
    list->n = 0;
}

static void dnn_close(struct net *n)
{
    struct dnn *d = n->state;
    if (d == NULL)
        return;
    for (size_t i = 0; i < n->n_ops; i++) {
        list_release(&d->ops[i].train);
        list_release(&d->ops[i].eval);
        list_release(&d->ops[i].backward);
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
        return prepare_weighted(n, op_i, e);
    case OP_BN:
        return prepare_bn(n, op_i, e);
    case OP_MAXPOOL:
        return prepare_maxpool(n, op_i, e);
    case OP_RELU:
    case OP_ADD_RELU:
        return prepare_relu(n, op_i, e);
    case OP_L2NORM:
        keep_for_backward(n, op_i, op->in[0]);
        keep_for_backward(n, op_i, op->out);
        return true;
    default: /* nothing to build */
        return true;
    }
}

static bool list_run(struct net *n, struct call_list *list, struct err *e)
{
    const struct dnn *d = n->state;
    for (size_t i = 0; i < list->n; i++) {
        struct call *c = &list->calls[i];
        for (size_t k = 0; k < c->n_args; k++)
            if (!check(
                    dnnl_memory_set_data_handle(c->args[k].memory, place_address(n, c->places[k])),
                    "set address", e))
                return false;
        if (!check(dnnl_primitive_execute(c->primitive, d->stream, (int)c->n_args, c->args),
                   "execute", e))
            return false;
    }
    return check(dnnl_stream_wait(d->stream), "wait", e);
}

static bool dnn_forward(struct net *n, size_t op_i, enum net_mode mode, struct err *e)
{
    struct dnn *d = n->state;
    const struct op *op = &n->ops[op_i];
    struct dnn_op *state = &d->ops[op_i];
    if (op->kind == OP_GLOBAL_AVERAGE)
        kernel_average_forward(n, op);
    else if (op->kind == OP_DROPOUT)
        kernel_dropout(n, op_i, mode, false);
    else if (op->kind == OP_L2NORM)
        kernel_l2norm_forward(n, op);
    bool own = (mode == NET_EVAL || op->frozen) && state->eval.n > 0;
    if (!list_run(n, own ? &state->eval : &state->train, e))
        return false;
    if (op->kind == OP_BN && !own)
        bn_after_training(n, op_i);
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
    return list_run(n, &d->ops[op_i].backward, e);
}

const struct backend backend_dnn = {
    .name = "dnn",
    .element_bytes = sizeof(float),
    .copies_input = false,
    .open = dnn_open,
    .prepare = dnn_prepare,
    .forward = dnn_forward,
    .backward = dnn_backward,
    .close = dnn_close,
};
