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
#include "train/tape.h"

#include <math.h>
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <string.h>

enum { CALL_ARGS_MAX = 12, CALLS_MAX = 8, AVERAGE_BLOCK = 64 };

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

static const char *status_text(dnnl_status_t s)
{
    switch (s) {
    case dnnl_success:
        return "success";
    case dnnl_out_of_memory:
        return "out of memory";
    case dnnl_invalid_arguments:
        return "invalid arguments";
    case dnnl_unimplemented:
        return "not implemented for this shape";
    default:
        return "runtime error";
    }
}

static bool check(dnnl_status_t s, const char *what, struct err *e)
{
    if (s == dnnl_success)
        return true;
    return err_set(e, ERR_FATAL, "oneDNN: %s: %s", what, status_text(s));
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
    dnnl_dim_t dims[4];
    for (uint32_t i = 0; i < p->n_dims; i++)
        dims[i] = p->dims[i];
    dnnl_format_tag_t plain = p->n_dims == 4 ? dnnl_oihw : dnnl_ab;
    return md_make(p->n_dims, dims, any ? dnnl_format_tag_any : plain);
}

/* ---------------------------------------------------------------- building calls */

static struct call *call_new(struct call_list *list)
{
    assert(list->n < CALLS_MAX);
    return &list->calls[list->n++];
}

static bool call_arg(struct net *n, struct call *c, int arg, const dnnl_memory_desc_t *md,
                     struct place place, struct err *e)
{
    const struct dnn *d = n->state;
    assert(c->n_args < CALL_ARGS_MAX);
    dnnl_exec_arg_t *a = &c->args[c->n_args];
    a->arg = arg;
    if (!check(dnnl_memory_create(&a->memory, md, d->engine, DNNL_MEMORY_NONE), "memory", e))
        return false;
    c->places[c->n_args++] = place;
    return true;
}

/* Makes the primitive of `pd` and gives it its scratchpad. */
static bool call_primitive(struct net *n, struct call *c, const_dnnl_primitive_desc_t pd,
                           int32_t tick, const char *what, struct err *e)
{
    if (!check(dnnl_primitive_create(&c->primitive, pd), what, e))
        return false;
    const dnnl_memory_desc_t *scratch =
        dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    size_t bytes = scratch == NULL ? 0 : dnnl_memory_desc_get_size(scratch);
    if (bytes == 0)
        return true;
    int32_t item = arena_add(&n->arena, bytes, tick, tick);
    return call_arg(n, c, DNNL_ARG_SCRATCHPAD, scratch, (struct place){AT_ITEM, item}, e);
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
static bool add_reorder(struct net *n, struct call_list *list, const dnnl_memory_desc_t *from_md,
                        struct place from, const dnnl_memory_desc_t *to_md, struct place to,
                        int32_t tick, struct err *e)
{
    const struct dnn *d = n->state;
    struct call *c = call_new(list);
    dnnl_primitive_desc_t pd = NULL;
    bool ok = check(dnnl_reorder_primitive_desc_create(&pd, from_md, d->engine, to_md, d->engine,
                                                       d->attr),
                    "reorder", e) &&
              call_arg(n, c, DNNL_ARG_FROM, from_md, from, e) &&
              call_arg(n, c, DNNL_ARG_TO, to_md, to, e) &&
              call_primitive(n, c, pd, tick, "reorder", e);
    dnnl_primitive_desc_destroy(pd);
    return ok;
}

/* The place of a weight in the layout that `wanted` asks for, packed first where it differs. */
static bool pack_weight(struct net *n, struct call_list *list, int32_t param,
                        const dnnl_memory_desc_t *wanted, int32_t tick, struct place *out,
                        struct err *e)
{
    dnnl_memory_desc_t plain = md_weight(n, param, false);
    *out = (struct place){AT_PARAM, param};
    if (dnnl_memory_desc_equal(&plain, wanted))
        return true;
    int32_t item = arena_add(&n->arena, dnnl_memory_desc_get_size(wanted), tick, tick);
    struct place packed = {AT_ITEM, item};
    if (!add_reorder(n, list, &plain, *out, wanted, packed, tick, e))
        return false;
    *out = packed;
    return true;
}

/* Where a weight gradient in the layout `given` is to be written; *unpack says that it must be
 * reordered into the parameter's gradient afterwards. */
static struct place place_weight_grad(struct net *n, int32_t param, const dnnl_memory_desc_t *given,
                                      int32_t tick, bool *unpack)
{
    dnnl_memory_desc_t plain = md_weight(n, param, false);
    *unpack = !dnnl_memory_desc_equal(&plain, given);
    if (!*unpack)
        return (struct place){AT_PARAM_GRAD, param};
    int32_t item = arena_add(&n->arena, dnnl_memory_desc_get_size(given), tick, tick);
    return (struct place){AT_ITEM, item};
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
    struct call *c = call_new(list);
    dnnl_primitive_desc_t pd = NULL;
    dnnl_binary_desc_t desc;
    bool ok = check(dnnl_binary_desc_init(&desc, dnnl_binary_add, &md, &md, &md), "add", e) &&
              pd_make(n, &desc, d->attr, NULL, "add", &pd, e) &&
              call_arg(n, c, DNNL_ARG_SRC_0, &md, total, e) &&
              call_arg(n, c, DNNL_ARG_SRC_1, &md, written, e) &&
              call_arg(n, c, DNNL_ARG_DST, &md, total, e) &&
              call_primitive(n, c, pd, tick_backward(n, op_i), "add", e);
    dnnl_primitive_desc_destroy(pd);
    return ok;
}

static void keep_for_backward(struct net *n, size_t op_i, int32_t tensor)
{
    int32_t item = op_tensor(n, tensor)->value_item;
    if (item >= 0)
        arena_extend(&n->arena, item, tick_backward(n, op_i));
}

/* ---------------------------------------------------------------- convolution */

struct conv_shape {
    dnnl_memory_desc_t src, dst, weight; /* weight in any layout */
    dnnl_dims_t stride, pad;
};

static struct conv_shape conv_shape(const struct net *n, const struct op *op)
{
    const struct window *w = &op->window;
    return (struct conv_shape){
        .src = md_picture(net_shape(n, op->in[0])),
        .dst = md_picture(net_shape(n, op->out)),
        .weight = md_weight(n, op->par[0], true),
        .stride = {w->stride[0], w->stride[1]},
        .pad = {w->pad[0], w->pad[1]},
    };
}

static bool conv_forward_calls(struct net *n, size_t op_i, const struct conv_shape *s,
                               dnnl_primitive_desc_t *out_pd, struct err *e)
{
    struct dnn *d = n->state;
    const struct op *op = &n->ops[op_i];
    struct call_list *list = &d->ops[op_i].train;
    int32_t tick = tick_forward(op_i);
    dnnl_convolution_desc_t desc;
    struct place weight;
    if (!check(dnnl_convolution_forward_desc_init(&desc, dnnl_forward_training,
                                                  dnnl_convolution_direct, &s->src, &s->weight,
                                                  NULL, &s->dst, s->stride, s->pad, s->pad),
               "convolution", e) ||
        !pd_make(n, &desc, d->attr, NULL, "convolution", out_pd, e))
        return false;
    const dnnl_memory_desc_t *weight_md =
        dnnl_primitive_desc_query_md(*out_pd, dnnl_query_weights_md, 0);
    if (!pack_weight(n, list, op->par[0], weight_md, tick, &weight, e))
        return false;
    struct call *c = call_new(list);
    return call_arg(n, c, DNNL_ARG_SRC, &s->src, (struct place){AT_VALUE, op->in[0]}, e) &&
           call_arg(n, c, DNNL_ARG_WEIGHTS, weight_md, weight, e) &&
           call_arg(n, c, DNNL_ARG_DST, &s->dst, (struct place){AT_VALUE, op->out}, e) &&
           call_primitive(n, c, *out_pd, tick, "convolution", e);
}

static bool conv_weight_calls(struct net *n, size_t op_i, const struct conv_shape *s,
                              const_dnnl_primitive_desc_t hint, struct err *e)
{
    struct dnn *d = n->state;
    const struct op *op = &n->ops[op_i];
    struct call_list *list = &d->ops[op_i].backward;
    int32_t tick = tick_backward(n, op_i);
    dnnl_convolution_desc_t desc;
    dnnl_primitive_desc_t pd = NULL;
    bool ok = false, unpack = false;
    if (!check(dnnl_convolution_backward_weights_desc_init(&desc, dnnl_convolution_direct, &s->src,
                                                           &s->weight, NULL, &s->dst, s->stride,
                                                           s->pad, s->pad),
               "convolution, weights", e) ||
        !pd_make(n, &desc, d->attr, hint, "convolution, weights", &pd, e))
        goto out;
    const dnnl_memory_desc_t *grad_md =
        dnnl_primitive_desc_query_md(pd, dnnl_query_diff_weights_md, 0);
    struct place grad = place_weight_grad(n, op->par[0], grad_md, tick, &unpack);
    struct call *c = call_new(list);
    if (!call_arg(n, c, DNNL_ARG_SRC, &s->src, (struct place){AT_VALUE, op->in[0]}, e) ||
        !call_arg(n, c, DNNL_ARG_DIFF_DST, &s->dst, (struct place){AT_GRAD, op->out}, e) ||
        !call_arg(n, c, DNNL_ARG_DIFF_WEIGHTS, grad_md, grad, e) ||
        !call_primitive(n, c, pd, tick, "convolution, weights", e))
        goto out;
    dnnl_memory_desc_t plain = md_weight(n, op->par[0], false);
    ok = !unpack || add_reorder(n, list, grad_md, grad, &plain,
                                (struct place){AT_PARAM_GRAD, op->par[0]}, tick, e);
out:
    dnnl_primitive_desc_destroy(pd);
    return ok;
}

static bool conv_data_calls(struct net *n, size_t op_i, const struct conv_shape *s,
                            const_dnnl_primitive_desc_t hint, struct err *e)
{
    struct dnn *d = n->state;
    const struct op *op = &n->ops[op_i];
    struct call_list *list = &d->ops[op_i].backward;
    int32_t tick = tick_backward(n, op_i);
    dnnl_convolution_desc_t desc;
    dnnl_primitive_desc_t pd = NULL;
    bool ok = false;
    struct place weight;
    if (!check(dnnl_convolution_backward_data_desc_init(&desc, dnnl_convolution_direct, &s->src,
                                                        &s->weight, &s->dst, s->stride, s->pad,
                                                        s->pad),
               "convolution, data", e) ||
        !pd_make(n, &desc, d->attr, hint, "convolution, data", &pd, e))
        goto out;
    const dnnl_memory_desc_t *weight_md =
        dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    if (!pack_weight(n, list, op->par[0], weight_md, tick, &weight, e))
        goto out;
    struct place grad = place_input_grad(n, op_i, 0);
    struct call *c = call_new(list);
    ok = call_arg(n, c, DNNL_ARG_DIFF_DST, &s->dst, (struct place){AT_GRAD, op->out}, e) &&
         call_arg(n, c, DNNL_ARG_WEIGHTS, weight_md, weight, e) &&
         call_arg(n, c, DNNL_ARG_DIFF_SRC, &s->src, grad, e) &&
         call_primitive(n, c, pd, tick, "convolution, data", e) &&
         add_begun(n, list, op_i, 0, grad, e);
out:
    dnnl_primitive_desc_destroy(pd);
    return ok;
}

static bool prepare_conv(struct net *n, size_t op_i, struct err *e)
{
    const struct op *op = &n->ops[op_i];
    struct conv_shape s = conv_shape(n, op);
    dnnl_primitive_desc_t forward = NULL;
    keep_for_backward(n, op_i, op->in[0]);
    bool ok = conv_forward_calls(n, op_i, &s, &forward, e) &&
              conv_weight_calls(n, op_i, &s, forward, e) &&
              (!op_tensor(n, op->in[0])->needs_grad || conv_data_calls(n, op_i, &s, forward, e));
    dnnl_primitive_desc_destroy(forward);
    return ok;
}

/* ---------------------------------------------------------------- linear */

static bool linear_forward_calls(struct net *n, size_t op_i, dnnl_primitive_desc_t *out_pd,
                                 struct err *e)
{
    struct dnn *d = n->state;
    const struct op *op = &n->ops[op_i];
    struct call_list *list = &d->ops[op_i].train;
    int32_t tick = tick_forward(op_i);
    dnnl_memory_desc_t src = md_rows(net_shape(n, op->in[0])), dst = md_rows(net_shape(n, op->out));
    dnnl_memory_desc_t weight_any = md_weight(n, op->par[0], true);
    dnnl_memory_desc_t bias = md_vector(net_shape(n, op->out).c);
    dnnl_inner_product_desc_t desc;
    struct place weight;
    if (!check(dnnl_inner_product_forward_desc_init(&desc, dnnl_forward_training, &src, &weight_any,
                                                    &bias, &dst),
               "linear", e) ||
        !pd_make(n, &desc, d->attr, NULL, "linear", out_pd, e))
        return false;
    const dnnl_memory_desc_t *weight_md =
        dnnl_primitive_desc_query_md(*out_pd, dnnl_query_weights_md, 0);
    if (!pack_weight(n, list, op->par[0], weight_md, tick, &weight, e))
        return false;
    struct call *c = call_new(list);
    return call_arg(n, c, DNNL_ARG_SRC, &src, (struct place){AT_VALUE, op->in[0]}, e) &&
           call_arg(n, c, DNNL_ARG_WEIGHTS, weight_md, weight, e) &&
           call_arg(n, c, DNNL_ARG_BIAS, &bias, (struct place){AT_PARAM, op->par[1]}, e) &&
           call_arg(n, c, DNNL_ARG_DST, &dst, (struct place){AT_VALUE, op->out}, e) &&
           call_primitive(n, c, *out_pd, tick, "linear", e);
}

static bool linear_weight_calls(struct net *n, size_t op_i, const_dnnl_primitive_desc_t hint,
                                struct err *e)
{
    struct dnn *d = n->state;
    const struct op *op = &n->ops[op_i];
    struct call_list *list = &d->ops[op_i].backward;
    int32_t tick = tick_backward(n, op_i);
    dnnl_memory_desc_t src = md_rows(net_shape(n, op->in[0])), dst = md_rows(net_shape(n, op->out));
    dnnl_memory_desc_t weight_any = md_weight(n, op->par[0], true);
    dnnl_memory_desc_t bias = md_vector(net_shape(n, op->out).c);
    dnnl_inner_product_desc_t desc;
    dnnl_primitive_desc_t pd = NULL;
    bool ok = false, unpack = false;
    if (!check(dnnl_inner_product_backward_weights_desc_init(&desc, &src, &weight_any, &bias, &dst),
               "linear, weights", e) ||
        !pd_make(n, &desc, d->attr, hint, "linear, weights", &pd, e))
        goto out;
    const dnnl_memory_desc_t *grad_md =
        dnnl_primitive_desc_query_md(pd, dnnl_query_diff_weights_md, 0);
    struct place grad = place_weight_grad(n, op->par[0], grad_md, tick, &unpack);
    struct call *c = call_new(list);
    if (!call_arg(n, c, DNNL_ARG_SRC, &src, (struct place){AT_VALUE, op->in[0]}, e) ||
        !call_arg(n, c, DNNL_ARG_DIFF_DST, &dst, (struct place){AT_GRAD, op->out}, e) ||
        !call_arg(n, c, DNNL_ARG_DIFF_WEIGHTS, grad_md, grad, e) ||
        !call_arg(n, c, DNNL_ARG_DIFF_BIAS, &bias, (struct place){AT_PARAM_GRAD, op->par[1]}, e) ||
        !call_primitive(n, c, pd, tick, "linear, weights", e))
        goto out;
    dnnl_memory_desc_t plain = md_weight(n, op->par[0], false);
    ok = !unpack || add_reorder(n, list, grad_md, grad, &plain,
                                (struct place){AT_PARAM_GRAD, op->par[0]}, tick, e);
out:
    dnnl_primitive_desc_destroy(pd);
    return ok;
}

static bool linear_data_calls(struct net *n, size_t op_i, const_dnnl_primitive_desc_t hint,
                              struct err *e)
{
    struct dnn *d = n->state;
    const struct op *op = &n->ops[op_i];
    struct call_list *list = &d->ops[op_i].backward;
    int32_t tick = tick_backward(n, op_i);
    dnnl_memory_desc_t src = md_rows(net_shape(n, op->in[0])), dst = md_rows(net_shape(n, op->out));
    dnnl_memory_desc_t weight_any = md_weight(n, op->par[0], true);
    dnnl_inner_product_desc_t desc;
    dnnl_primitive_desc_t pd = NULL;
    bool ok = false;
    struct place weight;
    if (!check(dnnl_inner_product_backward_data_desc_init(&desc, &src, &weight_any, &dst),
               "linear, data", e) ||
        !pd_make(n, &desc, d->attr, hint, "linear, data", &pd, e))
        goto out;
    const dnnl_memory_desc_t *weight_md =
        dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    if (!pack_weight(n, list, op->par[0], weight_md, tick, &weight, e))
        goto out;
    struct place grad = place_input_grad(n, op_i, 0);
    struct call *c = call_new(list);
    ok = call_arg(n, c, DNNL_ARG_DIFF_DST, &dst, (struct place){AT_GRAD, op->out}, e) &&
         call_arg(n, c, DNNL_ARG_WEIGHTS, weight_md, weight, e) &&
         call_arg(n, c, DNNL_ARG_DIFF_SRC, &src, grad, e) &&
         call_primitive(n, c, pd, tick, "linear, data", e) && add_begun(n, list, op_i, 0, grad, e);
out:
    dnnl_primitive_desc_destroy(pd);
    return ok;
}

static bool prepare_linear(struct net *n, size_t op_i, struct err *e)
{
    const struct op *op = &n->ops[op_i];
    dnnl_primitive_desc_t forward = NULL;
    keep_for_backward(n, op_i, op->in[0]);
    bool ok = linear_forward_calls(n, op_i, &forward, e) &&
              linear_weight_calls(n, op_i, forward, e) &&
              (!op_tensor(n, op->in[0])->needs_grad || linear_data_calls(n, op_i, forward, e));
    dnnl_primitive_desc_destroy(forward);
    return ok;
}

/* ---------------------------------------------------------------- batch norm */

static bool bn_args(struct net *n, const struct op *op, struct call *c,
                    const dnnl_memory_desc_t *md, struct place mean, struct place var,
                    struct err *e)
{
    dnnl_memory_desc_t vector = md_vector(net_shape(n, op->in[0]).c);
    return call_arg(n, c, DNNL_ARG_SRC, md, (struct place){AT_VALUE, op->in[0]}, e) &&
           call_arg(n, c, DNNL_ARG_MEAN, &vector, mean, e) &&
           call_arg(n, c, DNNL_ARG_VARIANCE, &vector, var, e) &&
           call_arg(n, c, DNNL_ARG_SCALE, &vector, (struct place){AT_PARAM, op->par[0]}, e) &&
           call_arg(n, c, DNNL_ARG_SHIFT, &vector, (struct place){AT_PARAM, op->par[1]}, e);
}

/* One forward call. `workspace` is where the mask of a fused ReLU lies, -1 for none. */
static bool bn_forward_call(struct net *n, size_t op_i, struct call_list *list,
                            const_dnnl_primitive_desc_t pd, struct place mean, struct place var,
                            int32_t workspace, struct err *e)
{
    const struct op *op = &n->ops[op_i];
    dnnl_memory_desc_t md = md_picture(net_shape(n, op->in[0]));
    struct call *c = call_new(list);
    if (workspace >= 0 && !call_arg(n, c, DNNL_ARG_WORKSPACE,
                                    dnnl_primitive_desc_query_md(pd, dnnl_query_workspace_md, 0),
                                    (struct place){AT_ITEM, workspace}, e))
        return false;
    return bn_args(n, op, c, &md, mean, var, e) &&
           call_arg(n, c, DNNL_ARG_DST, &md, (struct place){AT_VALUE, op->out}, e) &&
           call_primitive(n, c, pd, tick_forward(op_i), "batch norm", e);
}

static bool bn_backward_calls(struct net *n, size_t op_i, const_dnnl_primitive_desc_t hint,
                              unsigned flags, struct place mean, struct place var,
                              int32_t workspace, struct err *e)
{
    struct dnn *d = n->state;
    const struct op *op = &n->ops[op_i];
    struct call_list *list = &d->ops[op_i].backward;
    dnnl_memory_desc_t md = md_picture(net_shape(n, op->in[0]));
    dnnl_memory_desc_t vector = md_vector(net_shape(n, op->in[0]).c);
    dnnl_batch_normalization_desc_t desc;
    dnnl_primitive_desc_t pd = NULL;
    bool ok = false;
    if (!check(dnnl_batch_normalization_backward_desc_init(&desc, dnnl_backward, &md, &md,
                                                           (float)BN_EPSILON, flags),
               "batch norm, backward", e) ||
        !pd_make(n, &desc, d->attr, hint, "batch norm, backward", &pd, e))
        goto out;
    struct place grad = place_input_grad(n, op_i, 0);
    struct call *c = call_new(list);
    if (workspace >= 0 && !call_arg(n, c, DNNL_ARG_WORKSPACE,
                                    dnnl_primitive_desc_query_md(pd, dnnl_query_workspace_md, 0),
                                    (struct place){AT_ITEM, workspace}, e))
        goto out;
    ok = bn_args(n, op, c, &md, mean, var, e) &&
         call_arg(n, c, DNNL_ARG_DIFF_DST, &md, (struct place){AT_GRAD, op->out}, e) &&
         call_arg(n, c, DNNL_ARG_DIFF_SRC, &md, grad, e) &&
         call_arg(n, c, DNNL_ARG_DIFF_SCALE, &vector, (struct place){AT_PARAM_GRAD, op->par[0]},
                  e) &&
         call_arg(n, c, DNNL_ARG_DIFF_SHIFT, &vector, (struct place){AT_PARAM_GRAD, op->par[1]},
                  e) &&
         call_primitive(n, c, pd, tick_backward(n, op_i), "batch norm, backward", e) &&
         add_begun(n, list, op_i, 0, grad, e);
out:
    dnnl_primitive_desc_destroy(pd);
    return ok;
}

static bool prepare_bn(struct net *n, size_t op_i, struct err *e)
{
    struct dnn *d = n->state;
    const struct op *op = &n->ops[op_i];
    struct dnn_op *state = &d->ops[op_i];
    assert(op_tensor(n, op->in[0])->needs_grad);
    keep_for_backward(n, op_i, op->in[0]);
    dnnl_memory_desc_t md = md_picture(net_shape(n, op->in[0]));
    unsigned flags = dnnl_use_scale | dnnl_use_shift | (op->relu ? dnnl_fuse_norm_relu : 0u);
    int32_t first = tick_forward(op_i), last = tick_backward(n, op_i), workspace = -1;
    size_t stat_bytes = (size_t)net_shape(n, op->in[0]).c * sizeof(float);
    state->mean_item = arena_add(&n->arena, stat_bytes, first, last);
    state->var_item = arena_add(&n->arena, stat_bytes, first, last);
    struct place mean = {AT_ITEM, state->mean_item}, var = {AT_ITEM, state->var_item};
    struct place running_mean = {AT_PARAM, op->par[2]}, running_var = {AT_PARAM, op->par[3]};

    dnnl_batch_normalization_desc_t desc;
    dnnl_primitive_desc_t train = NULL, eval = NULL;
    bool ok = false;
    if (!check(dnnl_batch_normalization_forward_desc_init(&desc, dnnl_forward_training, &md,
                                                          (float)BN_EPSILON, flags),
               "batch norm", e) ||
        !pd_make(n, &desc, d->attr, NULL, "batch norm", &train, e))
        goto out;
    if (op->relu)
        workspace = arena_add(&n->arena,
                              dnnl_memory_desc_get_size(
                                  dnnl_primitive_desc_query_md(train, dnnl_query_workspace_md, 0)),
                              first, last);
    if (!check(dnnl_batch_normalization_forward_desc_init(&desc, dnnl_forward_inference, &md,
                                                          (float)BN_EPSILON,
                                                          flags | dnnl_use_global_stats),
               "batch norm, inference", e) ||
        !pd_make(n, &desc, d->attr, NULL, "batch norm, inference", &eval, e))
        goto out;
    ok = bn_forward_call(n, op_i, &state->train, train, mean, var, workspace, e) &&
         bn_forward_call(n, op_i, &state->eval, eval, running_mean, running_var, -1, e) &&
         bn_backward_calls(n, op_i, train, flags, mean, var, workspace, e);
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
    struct place ws = {AT_ITEM, arena_add(&n->arena, dnnl_memory_desc_get_size(ws_md),
                                          tick_forward(op_i), tick_backward(n, op_i))};
    struct call *c = call_new(&d->ops[op_i].train);
    if (!call_arg(n, c, DNNL_ARG_SRC, &src, (struct place){AT_VALUE, op->in[0]}, e) ||
        !call_arg(n, c, DNNL_ARG_DST, &dst, (struct place){AT_VALUE, op->out}, e) ||
        !call_arg(n, c, DNNL_ARG_WORKSPACE, ws_md, ws, e) ||
        !call_primitive(n, c, forward, tick_forward(op_i), "max pooling", e))
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
    c = call_new(list);
    ok = call_arg(n, c, DNNL_ARG_DIFF_DST, &dst, (struct place){AT_GRAD, op->out}, e) &&
         call_arg(n, c, DNNL_ARG_DIFF_SRC, &src, grad, e) &&
         call_arg(n, c, DNNL_ARG_WORKSPACE, ws_md, ws, e) &&
         call_primitive(n, c, backward, tick_backward(n, op_i), "max pooling, backward", e) &&
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
    struct call *c = call_new(list);
    ok = call_arg(n, c, DNNL_ARG_DST, &md, (struct place){AT_VALUE, op->out}, e) &&
         call_arg(n, c, DNNL_ARG_DIFF_DST, &md, (struct place){AT_GRAD, op->out}, e) &&
         call_arg(n, c, DNNL_ARG_DIFF_SRC, &md, grad, e) &&
         call_primitive(n, c, pd, tick_backward(n, op_i), "relu, backward", e) &&
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
    struct call *c = call_new(&d->ops[op_i].train);
    struct place a = {AT_VALUE, op->in[0]}, b = {AT_VALUE, op->in[1]}, y = {AT_VALUE, op->out};
    if (op->kind == OP_RELU)
        ok = call_arg(n, c, DNNL_ARG_SRC, &md, a, e) && call_arg(n, c, DNNL_ARG_DST, &md, y, e) &&
             call_primitive(n, c, hint, tick_forward(op_i), "relu", e);
    else
        ok = pd_make(n, &sum, d->attr_relu, NULL, "add and relu", &pd_sum, e) &&
             call_arg(n, c, DNNL_ARG_SRC_0, &md, a, e) &&
             call_arg(n, c, DNNL_ARG_SRC_1, &md, b, e) && call_arg(n, c, DNNL_ARG_DST, &md, y, e) &&
             call_primitive(n, c, pd_sum, tick_forward(op_i), "add and relu", e);
    ok = ok && relu_backward_call(n, op_i, 0, hint, e) &&
         (op->kind == OP_RELU || relu_backward_call(n, op_i, 1, hint, e));
out:
    dnnl_primitive_desc_destroy(hint);
    dnnl_primitive_desc_destroy(pd_sum);
    return ok;
}

/* ---------------------------------------------------------------- own small kernels */

/* Sums are float64 and in pixel order: the same bits for any number of threads. */
static void average_forward(const struct net *n, const struct op *op)
{
    struct shape in = net_shape(n, op->in[0]);
    size_t channels = (size_t)in.c, pixels = (size_t)in.h * (size_t)in.w;
    const float *x = tensor_value(n, op->in[0]);
    float *y = tensor_value(n, op->out);
    for (size_t i = 0; i < (size_t)in.n; i++) {
        for (size_t from = 0; from < channels; from += AVERAGE_BLOCK) {
            double sums[AVERAGE_BLOCK] = {0};
            size_t width = size_min(AVERAGE_BLOCK, channels - from);
            for (size_t p = 0; p < pixels; p++)
                for (size_t c = 0; c < width; c++)
                    sums[c] += (double)x[(i * pixels + p) * channels + from + c];
            for (size_t c = 0; c < width; c++)
                y[i * channels + from + c] = (float)(sums[c] / (double)pixels);
        }
    }
}

static void average_backward(const struct net *n, const struct op *op)
{
    struct shape in = net_shape(n, op->in[0]);
    size_t channels = (size_t)in.c, pixels = (size_t)in.h * (size_t)in.w;
    const float *dy = tensor_grad(n, op->out);
    float *dx = tensor_grad(n, op->in[0]);
    float share = 1.0f / (float)pixels;
    for (size_t i = 0; i < (size_t)in.n; i++)
        for (size_t p = 0; p < pixels; p++)
            for (size_t c = 0; c < channels; c++) {
                size_t at = (i * pixels + p) * channels + c;
                dx[at] = (op->add[0] ? dx[at] : 0.0f) + dy[i * channels + c] * share;
            }
}

static void dropout_run(const struct net *n, size_t op_i, enum net_mode mode, bool backward)
{
    const struct op *op = &n->ops[op_i];
    size_t count = shape_count(net_shape(n, op->out));
    const float *from = backward ? tensor_grad(n, op->out) : tensor_value(n, op->in[0]);
    float *to = backward ? tensor_grad(n, op->in[0]) : tensor_value(n, op->out);
    bool add = backward && op->add[0];
    for (size_t i = 0; i < count; i++) {
        float factor = mode == NET_TRAIN ? (float)dropout_factor(n, op_i, i) : 1.0f;
        to[i] = (add ? to[i] : 0.0f) + from[i] * factor;
    }
}

static double row_norm(const float *x, int32_t length)
{
    double sum = 0.0;
    for (int32_t c = 0; c < length; c++)
        sum += (double)x[c] * (double)x[c];
    return fmax(sqrt(sum), L2NORM_EPSILON);
}

static void l2norm_forward(const struct net *n, const struct op *op)
{
    struct shape s = net_shape(n, op->in[0]);
    const float *x = tensor_value(n, op->in[0]);
    float *y = tensor_value(n, op->out);
    for (int32_t i = 0; i < s.n; i++, x += s.c, y += s.c) {
        double norm = row_norm(x, s.c);
        for (int32_t c = 0; c < s.c; c++)
            y[c] = (float)((double)x[c] / norm);
    }
}

/* dx = (dy - y (y . dy)) / |x| */
static void l2norm_backward(const struct net *n, const struct op *op)
{
    struct shape s = net_shape(n, op->in[0]);
    const float *x = tensor_value(n, op->in[0]), *y = tensor_value(n, op->out);
    const float *dy = tensor_grad(n, op->out);
    float *dx = tensor_grad(n, op->in[0]);
    for (int32_t i = 0; i < s.n; i++, x += s.c, y += s.c, dy += s.c, dx += s.c) {
        double norm = row_norm(x, s.c), dot = 0.0;
        for (int32_t c = 0; c < s.c; c++)
            dot += (double)y[c] * (double)dy[c];
        for (int32_t c = 0; c < s.c; c++) {
            double g = ((double)dy[c] - (double)y[c] * dot) / norm;
            dx[c] = (float)((op->add[0] ? (double)dx[c] : 0.0) + g);
        }
    }
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
        return prepare_conv(n, op_i, e);
    case OP_BN:
        return prepare_bn(n, op_i, e);
    case OP_LINEAR:
        return prepare_linear(n, op_i, e);
    case OP_MAXPOOL:
        return prepare_maxpool(n, op_i, e);
    case OP_RELU:
    case OP_ADD_RELU:
        return prepare_relu(n, op_i, e);
    case OP_L2NORM:
        keep_for_backward(n, op_i, op->in[0]);
        keep_for_backward(n, op_i, op->out);
        return true;
    case OP_INPUT:
    case OP_GLOBAL_AVERAGE:
    case OP_DROPOUT:
    case OP_KINDS:
        break;
    }
    return true;
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
        average_forward(n, op);
    else if (op->kind == OP_DROPOUT)
        dropout_run(n, op_i, mode, false);
    else if (op->kind == OP_L2NORM)
        l2norm_forward(n, op);
    bool own = mode == NET_EVAL && state->eval.n > 0;
    if (!list_run(n, own ? &state->eval : &state->train, e))
        return false;
    if (op->kind == OP_BN && mode == NET_TRAIN)
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
            average_backward(n, op);
        else if (op->kind == OP_DROPOUT)
            dropout_run(n, op_i, NET_TRAIN, true);
        else if (op->kind == OP_L2NORM)
            l2norm_backward(n, op);
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
