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
    winograd_forward(&g, at[0], at[1], at[2], at[3]);
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

static struct place scratch(struct net *n, const struct winograd *g, enum winograd_pass pass,
                            int32_t tick)
{
    return (struct place){AT_ITEM,
                          arena_add(&n->arena, winograd_scratch_bytes(g, pass), tick, tick)};
}

void dnn_prepare_winograd(struct net *n, size_t op_i)
{
    struct dnn *d = n->state;
    const struct op *op = &n->ops[op_i];
    struct winograd g = geometry(n, op_i);
    int32_t forward = tick_forward(op_i), backward = tick_backward(n, op_i);
    struct place x = {AT_VALUE, op->in[0]}, y = {AT_VALUE, op->out};
    struct place dx = {AT_GRAD, op->in[0]}, dy = {AT_GRAD, op->out};
    struct place weight = {AT_PARAM, op->par[0]}, dweight = {AT_PARAM_GRAD, op->par[0]};
    static const char *const names[WINOGRAD_SIMDS] = {"winograd_4x4:plain", "winograd_4x4:avx2",
                                                      "winograd_4x4:avx512"};
    net_note_kernel(n, "convolution", names[g.simd]);
    dnn_keep(n, op_i, op->in[0]);
    dnn_add_own(&d->ops[op_i].train, run_forward, op_i,
                (struct place[]){x, weight, scratch(n, &g, WINOGRAD_FORWARD, forward), y}, 4);
    if (!op->frozen)
        dnn_add_own(&d->ops[op_i].backward, run_backward_weight, op_i,
                    (struct place[]){x, dy, scratch(n, &g, WINOGRAD_WEIGHT, backward), dweight}, 4);
    if (op_tensor(n, op->in[0])->needs_grad)
        dnn_add_own(&d->ops[op_i].backward, run_backward_data, op_i,
                    (struct place[]){dy, weight, scratch(n, &g, WINOGRAD_DATA, backward), dx}, 4);
}
