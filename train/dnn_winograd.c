/*
 * Convolutions 3x3 with stride 1 by train/winograd.h in place of oneDNN's.
 */
#include "train/dnn_call.h"
#include "train/winograd.h"

static struct winograd geometry(const struct net *n, size_t op_i)
{
    const struct op *op = &n->ops[op_i];
    struct shape in = net_shape(n, op->in[0]), out = net_shape(n, op->out);
    return (struct winograd){.n = in.n,
                             .h = in.h,
                             .w = in.w,
                             .c_in = in.c,
                             .c_out = out.c,
                             .threads = (int32_t)n->threads,
                             .simd = winograd_simd_best()};
}

bool dnn_winograd_fits(const struct net *n, size_t op_i)
{
    const struct op *op = &n->ops[op_i];
    const struct window *w = &op->window;
    for (int axis = 0; axis < 2; axis++)
        if (w->kernel[axis] != 3 || w->stride[axis] != 1 || w->pad[axis] != 1)
            return false;
    return net_shape(n, op->in[0]).c % WINOGRAD_PANEL == 0 &&
           net_shape(n, op->out).c % WINOGRAD_PANEL == 0;
}

static void run_forward(const struct net *n, size_t op_i, void *const *at)
{
    struct winograd g = geometry(n, op_i);
    winograd_forward(&g, at[0], at[1], at[2], &(struct winograd_end){0}, at[3]);
}

static void run_eval(const struct net *n, size_t op_i, void *const *at)
{
    struct winograd g = geometry(n, op_i);
    struct winograd_end end = {
        .factor = at[3], .bias = at[4], .relu = n->ops[op_i + 1].relu /* of the batch norm */};
    winograd_forward(&g, at[0], at[1], at[2], &end, at[5]);
}

static void run_backward_weight(const struct net *n, size_t op_i, void *const *at)
{
    struct winograd g = geometry(n, op_i);
    winograd_backward_weight(&g, at[0], at[1], at[2], at[3]);
}

static void run_backward_data(const struct net *n, size_t op_i, void *const *at)
{
    struct winograd g = geometry(n, op_i);
    winograd_backward_data(&g, at[0], at[1], at[2], n->ops[op_i].add[0], at[3]);
}

/* Passes that run at the same tick run one after the other: one memory for them. */
static struct place scratch(struct net *n, size_t op_i, int32_t tick)
{
    struct winograd g = geometry(n, op_i);
    size_t bytes = winograd_scratch_bytes(&g, WINOGRAD_FORWARD);
    if (tick != tick_forward(op_i))
        bytes = size_max(winograd_scratch_bytes(&g, WINOGRAD_DATA),
                         winograd_scratch_bytes(&g, WINOGRAD_WEIGHT));
    return (struct place){AT_ITEM, arena_add(&n->arena, bytes, tick, tick)};
}

void dnn_prepare_winograd(struct net *n, size_t op_i)
{
    struct dnn *d = n->state;
    const struct op *op = &n->ops[op_i];
    struct place forward = scratch(n, op_i, tick_forward(op_i));
    struct place x = {AT_VALUE, op->in[0]}, y = {AT_VALUE, op->out};
    struct place dx = {AT_GRAD, op->in[0]}, dy = {AT_GRAD, op->out};
    struct place weight = {AT_PARAM, op->par[0]}, dweight = {AT_PARAM_GRAD, op->par[0]};
    static const char *const names[SIMD_LEVELS] = {"winograd_4x4:plain", "winograd_4x4:avx2",
                                                   "winograd_4x4:avx512"};
    net_note_kernel(n, "convolution", names[winograd_simd_best()]);
    dnn_keep(n, op_i, op->in[0]);
    dnn_add_own(&d->ops[op_i].train, run_forward, op_i, (struct place[]){x, weight, forward, y}, 4);
    d->ops[op_i].scratch = forward;
    if (op->frozen)
        return;
    struct place backward = scratch(n, op_i, tick_backward(n, op_i));
    dnn_add_own(&d->ops[op_i].backward, run_backward_weight, op_i,
                (struct place[]){x, dy, backward, dweight}, 4);
    if (op_tensor(n, op->in[0])->needs_grad)
        dnn_add_own(&d->ops[op_i].backward, run_backward_data, op_i,
                    (struct place[]){dy, weight, backward, dx}, 4);
}

void dnn_add_winograd_eval(struct net *n, size_t op_i, struct place factor, struct place bias,
                           struct place y)
{
    struct dnn *d = n->state;
    const struct op *op = &n->ops[op_i];
    struct place x = {AT_VALUE, op->in[0]}, weight = {AT_PARAM, op->par[0]};
    dnn_add_own(&d->ops[op_i].eval, run_eval, op_i,
                (struct place[]){x, weight, d->ops[op_i].scratch, factor, bias, y}, 6);
}
