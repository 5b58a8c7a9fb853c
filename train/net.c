/*
 * Declares the tape, decides what needs a gradient and who writes it first, and runs it. The
 * invariant: every tensor's gradient is written (not added to) by the first of its consumers in
 * backward order and added to by the others, so no gradient is ever cleared.
 */
#include "train/net.h"

#include "base/mem.h"
#include "base/rng.h"
#include "train/bf16.h"
#include "train/tape.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { RNG_DROPOUT = 0x64726f70 /* "drop" */ };

struct net *net_new(const struct backend *backend, uint32_t threads, uint64_t seed)
{
    struct net *n = mem_zalloc(1, sizeof *n);
    n->backend = backend;
    n->threads = threads;
    n->seed = seed;
    n->output = -1;
    arena_init(&n->arena);
    return n;
}

void net_free(struct net *n)
{
    if (n == NULL)
        return;
    n->backend->close(n);
    arena_release(&n->arena);
    mem_free(n->params.value);
    mem_free(n->params.grad);
    mem_free(n);
}

const struct param *params_find(const struct params *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->items[i].name, name) == 0)
            return &p->items[i];
    return NULL;
}

void params_copy(struct params *to, const struct params *from)
{
    for (size_t i = 0; i < to->n; i++) {
        struct param *item = &to->items[i];
        const struct param *source = params_find(from, item->name);
        if (source == NULL)
            continue;
        assert(source->count == item->count);
        memcpy(to->value + item->offset, from->value + source->offset,
               item->count * sizeof *to->value);
        item->n_batches = source->n_batches;
    }
}

/* ---------------------------------------------------------------- declaring */

static int32_t add_param(struct net *n, const char *layer, const char *field, bool trainable,
                         uint32_t n_dims, const int32_t *dims)
{
    struct params *p = &n->params;
    assert(p->n < NET_PARAMS_MAX);
    struct param *item = &p->items[p->n];
    int len = snprintf(item->name, sizeof item->name, "%s.%s", layer, field);
    assert(len > 0 && (size_t)len < sizeof item->name);
    assert(params_find(p, item->name) == item || params_find(p, item->name) == NULL);
    item->n_dims = n_dims;
    item->trainable = trainable && !n->freezing;
    item->count = 1;
    for (uint32_t i = 0; i < n_dims; i++) {
        assert(dims[i] > 0);
        item->dims[i] = dims[i];
        item->count *= (size_t)dims[i];
    }
    return (int32_t)p->n++;
}

/* Appends an operation and its output tensor. */
static struct op *add_op(struct net *n, enum op_kind kind, int32_t a, int32_t b, struct shape out)
{
    assert(!n->finished);
    assert(n->n_ops < NET_OPS_MAX);
    assert(out.n > 0 && out.h > 0 && out.w > 0 && out.c > 0);
    struct op *op = &n->ops[n->n_ops];
    *op = (struct op){.kind = kind,
                      .in = {a, b},
                      .out = (int32_t)n->n_tensors,
                      .n_in = (a >= 0) + (b >= 0),
                      .par = {-1, -1, -1, -1},
                      .frozen = n->freezing,
                      .temp = -1};
    bool is_half = a < 0 ? n->backend->is_half : n->tensors[a].is_half;
    n->tensors[n->n_tensors++] = (struct tensor){.shape = out,
                                                 .producer = (int32_t)n->n_ops,
                                                 .is_half = is_half && kind != OP_GLOBAL_AVERAGE,
                                                 .value_item = -1,
                                                 .grad_item = -1,
                                                 .again_item = -1};
    n->n_ops++;
    return op;
}

void net_freeze(struct net *n, bool frozen)
{
    n->freezing = frozen;
}

struct shape net_shape(const struct net *n, int32_t tensor)
{
    return op_tensor(n, tensor)->shape;
}

int32_t net_input(struct net *n, struct shape s)
{
    assert(n->n_ops == 0);
    return add_op(n, OP_INPUT, -1, -1, s)->out;
}

static int32_t window_out(int32_t size, const struct window *w, int axis)
{
    int32_t padded = size + 2 * w->pad[axis];
    assert(w->kernel[axis] > 0 && w->stride[axis] > 0 && w->pad[axis] >= 0);
    assert(w->pad[axis] < w->kernel[axis]);
    assert(padded >= w->kernel[axis]);
    return (padded - w->kernel[axis]) / w->stride[axis] + 1;
}

int32_t net_conv(struct net *n, const char *name, int32_t in, const struct window *w,
                 int32_t out_channels)
{
    struct shape s = net_shape(n, in);
    struct shape out = {s.n, window_out(s.h, w, 0), window_out(s.w, w, 1), out_channels};
    struct op *op = add_op(n, OP_CONV, in, -1, out);
    op->window = *w;
    op->par[0] = add_param(n, name, "weight", true, 4,
                           (int32_t[]){out_channels, s.c, w->kernel[0], w->kernel[1]});
    return op->out;
}

int32_t net_bn(struct net *n, const char *name, int32_t in, bool relu)
{
    struct shape s = net_shape(n, in);
    struct op *op = add_op(n, OP_BN, in, -1, s);
    op->relu = relu;
    op->par[0] = add_param(n, name, "weight", true, 1, &s.c);
    op->par[1] = add_param(n, name, "bias", true, 1, &s.c);
    op->par[2] = add_param(n, name, "running_mean", false, 1, &s.c);
    op->par[3] = add_param(n, name, "running_var", false, 1, &s.c);
    return op->out;
}

int32_t net_relu(struct net *n, int32_t in)
{
    return add_op(n, OP_RELU, in, -1, net_shape(n, in))->out;
}

int32_t net_add_relu(struct net *n, int32_t a, int32_t b)
{
    struct shape s = net_shape(n, a), t = net_shape(n, b);
    assert(memcmp(&s, &t, sizeof s) == 0);
    assert(a != b);
    return add_op(n, OP_ADD_RELU, a, b, s)->out;
}

int32_t net_maxpool(struct net *n, int32_t in, const struct window *w)
{
    struct shape s = net_shape(n, in);
    struct op *op = add_op(n, OP_MAXPOOL, in, -1,
                           (struct shape){s.n, window_out(s.h, w, 0), window_out(s.w, w, 1), s.c});
    op->window = *w;
    return op->out;
}

int32_t net_global_average(struct net *n, int32_t in)
{
    struct shape s = net_shape(n, in);
    return add_op(n, OP_GLOBAL_AVERAGE, in, -1, (struct shape){s.n, 1, 1, s.c})->out;
}

int32_t net_linear(struct net *n, const char *name, int32_t in, int32_t out_features)
{
    struct shape s = net_shape(n, in);
    assert(s.h == 1 && s.w == 1);
    struct op *op = add_op(n, OP_LINEAR, in, -1, (struct shape){s.n, 1, 1, out_features});
    op->par[0] = add_param(n, name, "weight", true, 2, (int32_t[]){out_features, s.c});
    op->par[1] = add_param(n, name, "bias", true, 1, &out_features);
    return op->out;
}

int32_t net_dropout(struct net *n, int32_t in, double rate)
{
    assert(rate >= 0.0 && rate < 1.0);
    struct op *op = add_op(n, OP_DROPOUT, in, -1, net_shape(n, in));
    op->rate = rate;
    return op->out;
}

int32_t net_l2norm(struct net *n, int32_t in)
{
    struct shape s = net_shape(n, in);
    assert(s.h == 1 && s.w == 1);
    return add_op(n, OP_L2NORM, in, -1, s)->out;
}

/* ---------------------------------------------------------------- finishing */

static void layout_params(struct params *p)
{
    size_t at = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < p->n; i++) {
            if (p->items[i].trainable != (pass == 0))
                continue;
            p->items[i].offset = at;
            at += p->items[i].count;
        }
        if (pass == 0)
            p->n_trainable = at;
    }
    p->n_floats = at;
    p->value = mem_alloc_aligned(size_max(at, 1), sizeof *p->value);
    p->grad = mem_alloc_aligned(size_max(p->n_trainable, 1), sizeof *p->grad);
    memset(p->value, 0, at * sizeof *p->value);
}

/* A gradient is needed downstream of any parameter that is trained. */
static void mark_gradients(struct net *n)
{
    for (size_t i = 0; i < n->n_ops; i++) {
        struct op *op = &n->ops[i];
        bool needs = op->par[0] >= 0 && !op->frozen;
        for (int32_t k = 0; k < op->n_in; k++)
            needs = needs || n->tensors[op->in[k]].needs_grad;
        assert(!needs || !op->frozen);
        n->tensors[op->out].needs_grad = needs;
    }
    bool begun[NET_OPS_MAX] = {false};
    for (size_t i = n->n_ops; i-- > 0;) {
        struct op *op = &n->ops[i];
        for (int32_t k = 0; k < op->n_in; k++) {
            op->add[k] = begun[op->in[k]];
            begun[op->in[k]] = true;
        }
    }
}

/* The last operation that reads a tensor, or n_ops; *out_n: how many do. */
static size_t find_reader(const struct net *n, int32_t tensor, size_t *out_n)
{
    size_t reader = n->n_ops;
    *out_n = 0;
    for (size_t i = 0; i < n->n_ops; i++)
        for (int32_t k = 0; k < n->ops[i].n_in; k++)
            if (n->ops[i].in[k] == tensor) {
                reader = i;
                ++*out_n;
            }
    return reader;
}

/* Whether no operation between `other`'s and op_i reads `tensor`: the gradient of `other` is read
 * for the last time, then, before anything is added to that of `tensor`. */
static bool is_free_before(const struct net *n, size_t op_i, int32_t tensor, int32_t other)
{
    for (size_t i = (size_t)op_tensor(n, other)->producer; i < op_i; i++)
        for (int32_t k = 0; k < n->ops[i].n_in; k++)
            if (n->ops[i].in[k] == tensor)
                return false;
    return true;
}

/* Whether the gradient of op_i's output lies alone: another tensor's in the same memory is still
 * to be read when that one was made before. */
static bool is_alone(const struct net *n, size_t op_i)
{
    int32_t item = n->tensors[n->ops[op_i].out].grad_item;
    for (size_t i = 0; i < op_i; i++)
        if (n->tensors[n->ops[i].out].grad_item == item)
            return false;
    return true;
}

/* Gradients in place: an operation's input takes over the memory of its output's gradient. Behind a
 * ReLU, alone or of a sum, each input has the same gradient; the two of a sum can lie in one memory
 * when nothing is added to either before both have been read. */
static void share_gradient(struct net *n, size_t op_i)
{
    const struct op *op = &n->ops[op_i];
    bool shares = op->kind == OP_RELU || op->kind == OP_BN || op->kind == OP_ADD_RELU;
    for (int32_t k = 0; k < op->n_in; k++)
        shares = shares && !op->add[k] &&
                 (op->n_in == 1 || is_free_before(n, op_i, op->in[k], op->in[1 - k]));
    shares = shares && is_alone(n, op_i);
    for (int32_t k = 0; shares && k < op->n_in; k++)
        if (n->tensors[op->in[k]].needs_grad)
            n->tensors[op->in[k]].grad_item = n->tensors[op->out].grad_item;
}

/* What is large and cheap to make again is not kept for the backward pass: a batch norm with ReLU
 * in front of a convolution; and in front of a batch norm that is kept, the first convolution and
 * those of one pixel behind a sum. All have one reader, and what they are made of is kept anyway.
 */
static bool is_made_again(const struct net *n, int32_t tensor)
{
    const struct op *op = &n->ops[op_tensor(n, tensor)->producer];
    size_t n_readers, reader = find_reader(n, tensor, &n_readers);
    if (!n->backend->saves_memory || op->frozen || n_readers != 1)
        return false;
    if (op->kind == OP_BN)
        return op->relu && n->ops[reader].kind == OP_CONV;
    if (op->kind != OP_CONV || n->ops[reader].kind != OP_BN)
        return false;
    enum op_kind before = n->ops[op_tensor(n, op->in[0])->producer].kind;
    bool is_pixel = op->window.kernel[0] == 1 && op->window.kernel[1] == 1;
    return (before == OP_INPUT || (before == OP_ADD_RELU && is_pixel)) &&
           !is_made_again(n, n->ops[reader].out);
}

/* Arena items for values, and for the gradients that do not lie in another's. */
static void add_tensor_items(struct net *n)
{
    for (size_t i = n->n_ops; i-- > 0;) {
        int32_t tensor = n->ops[i].out, forward = tick_forward(i), backward = tick_backward(n, i);
        struct tensor *t = &n->tensors[tensor];
        size_t bytes = tensor_bytes(n, tensor);
        if (n->ops[i].kind != OP_INPUT || n->backend->copies_input)
            t->value_item = arena_add(&n->arena, bytes, forward, forward);
        if (t->needs_grad && t->grad_item < 0)
            t->grad_item = arena_add(&n->arena, bytes, backward, backward);
        if (t->needs_grad) {
            arena_extend(&n->arena, t->grad_item, backward);
            if (n->backend->saves_memory)
                share_gradient(n, i);
        }
    }
}

/* Life of values and gradients as far as the tape itself knows; back ends lengthen the lives of
 * what their backward passes read again. */
static void plan_lives(struct net *n)
{
    add_tensor_items(n);
    for (size_t i = 0; i < n->n_ops; i++) {
        const struct op *op = &n->ops[i];
        for (int32_t k = 0; k < op->n_in; k++) {
            struct tensor *t = &n->tensors[op->in[k]];
            if (t->value_item >= 0)
                arena_extend(&n->arena, t->value_item, tick_forward(i));
            if (t->grad_item >= 0)
                arena_extend(&n->arena, t->grad_item, tick_backward(n, i));
            if (is_made_again(n, op->in[k])) {
                t->again_tick = tick_backward(n, i);
                t->again_item =
                    arena_add(&n->arena, tensor_bytes(n, op->in[k]), t->again_tick, t->again_tick);
            }
        }
    }
    /* The loss reads the output after the last forward tick and writes its gradient before the
     * first backward tick. */
    const struct tensor *out = op_tensor(n, n->output);
    arena_extend(&n->arena, out->value_item, (int32_t)n->n_ops);
    arena_extend(&n->arena, out->grad_item, (int32_t)n->n_ops - 1);
}

bool net_finish(struct net *n, int32_t output, bool poison, struct err *e)
{
    assert(!n->finished);
    assert(output == (int32_t)n->n_tensors - 1);
    n->output = output;
    n->poison = poison;
    layout_params(&n->params);
    mark_gradients(n);
    assert(n->tensors[output].needs_grad);
    plan_lives(n);
    if (!n->backend->open(n, e))
        return false;
    for (size_t i = 0; i < n->n_ops; i++)
        if (!n->backend->prepare(n, i, e))
            return err_wrap(e, "operation %zu", i);
    arena_plan(&n->arena);
    arena_allocate(&n->arena);
    n->finished = true;
    return true;
}

void net_drop_memory(struct net *n)
{
    arena_release(&n->arena);
    n->finished = false;
}

struct params *net_params(struct net *n)
{
    return &n->params;
}

size_t net_arena_bytes(const struct net *n)
{
    return n->arena.total_bytes;
}

const char *net_kernels(const struct net *n)
{
    return n->kernels;
}

void net_note_kernel(struct net *n, const char *what, const char *name)
{
    char text[128];
    int len = snprintf(text, sizeof text, "%.*s=%s", (int)strcspn(what, ","), what, name);
    if (len < 0 || (size_t)len >= sizeof text)
        return;
    for (char *at = text; (at = strchr(at, ' ')) != NULL;)
        *at = '-';
    size_t used = strlen(n->kernels), length = (size_t)len;
    for (const char *at = n->kernels; (at = strstr(at, text)) != NULL; at += length)
        if ((at == n->kernels || at[-1] == ' ') && (at[length] == '\0' || at[length] == ' '))
            return;
    if (used + length + 2 > sizeof n->kernels)
        return;
    snprintf(n->kernels + used, sizeof n->kernels - used, "%s%s", used > 0 ? " " : "", text);
}

/* ---------------------------------------------------------------- running */

static bool run_forward(struct net *n, const float *x, enum net_mode mode, uint64_t step,
                        size_t last_op, struct err *e)
{
    assert(n->finished);
    n->input = x;
    n->step = step;
    for (size_t i = 0; i <= last_op; i++) {
        if (!n->backend->forward(n, i, mode, e))
            return err_wrap(e, "forward pass of operation %zu", i);
        if (n->poison)
            arena_poison(&n->arena, tick_forward(i));
    }
    return true;
}

bool net_forward(struct net *n, const float *x, enum net_mode mode, uint64_t step, struct err *e)
{
    return run_forward(n, x, mode, step, n->n_ops - 1, e);
}

int32_t net_cut(const struct net *n)
{
    for (size_t i = 0; i < n->n_ops; i++)
        if (n->ops[i].kind != OP_INPUT && !n->ops[i].frozen)
            return n->ops[i].in[0];
    return n->output;
}

/* Between the back end's numbers and float64. */
static double element_get(const struct net *n, int32_t tensor, const void *values, size_t i)
{
    if (op_tensor(n, tensor)->is_half)
        return (double)bf16_to_f32(((const uint16_t *)values)[i]);
    return n->backend->element_bytes == sizeof(double) ? ((const double *)values)[i]
                                                       : (double)((const float *)values)[i];
}

static void element_put(const struct net *n, int32_t tensor, void *values, size_t i, double value)
{
    if (op_tensor(n, tensor)->is_half)
        ((uint16_t *)values)[i] = bf16_from_f32((float)value);
    else if (n->backend->element_bytes == sizeof(double))
        ((double *)values)[i] = value;
    else
        ((float *)values)[i] = (float)value;
}

bool net_forward_to(struct net *n, const float *x, int32_t tensor, float *out, struct err *e)
{
    size_t count = shape_count(net_shape(n, tensor)), last = (size_t)op_tensor(n, tensor)->producer;
    assert(n->ops[last].kind != OP_INPUT);
    if (!run_forward(n, x, NET_EVAL, 0, last, e))
        return false;
    const void *values = tensor_value(n, tensor);
    for (size_t i = 0; i < count; i++)
        out[i] = (float)element_get(n, tensor, values, i);
    return true;
}

void net_output(const struct net *n, double *out)
{
    size_t count = shape_count(op_tensor(n, n->output)->shape);
    const void *values = tensor_value(n, n->output);
    for (size_t i = 0; i < count; i++)
        out[i] = element_get(n, n->output, values, i);
}

/* Values that were not kept, then the backward pass of one operation. */
static bool run_backward_op(struct net *n, size_t op_i, struct err *e)
{
    const struct op *op = &n->ops[op_i];
    for (int32_t k = 0; k < op->n_in; k++) {
        const struct tensor *t = op_tensor(n, op->in[k]);
        if (t->again_item >= 0 && !n->backend->again(n, (size_t)t->producer, e))
            return false;
    }
    return n->backend->backward(n, op_i, e);
}

bool net_backward(struct net *n, const double *grad_output, struct err *e)
{
    assert(n->finished);
    assert(n->input != NULL);
    size_t count = shape_count(op_tensor(n, n->output)->shape);
    void *grad = tensor_grad(n, n->output);
    bool ok = true;
    for (size_t i = 0; i < count; i++)
        element_put(n, n->output, grad, i, grad_output[i]);
    n->in_backward = true;
    for (size_t i = n->n_ops; ok && i-- > 0;) {
        ok = run_backward_op(n, i, e) || err_wrap(e, "backward pass of operation %zu", i);
        if (n->poison)
            arena_poison(&n->arena, tick_backward(n, i));
    }
    n->in_backward = false;
    return ok;
}

/* ---------------------------------------------------------------- shared by back ends */

void bn_update_running(struct net *n, const struct op *op, const double *mean, const double *var)
{
    struct shape s = op_tensor(n, op->in[0])->shape;
    double count = (double)s.n * s.h * s.w;
    double unbiased = count > 1.0 ? count / (count - 1.0) : 1.0;
    float *running_mean = param_value(n, op->par[2]), *running_var = param_value(n, op->par[3]);
    for (int32_t c = 0; c < s.c; c++) {
        running_mean[c] =
            (float)((1.0 - BN_MOMENTUM) * (double)running_mean[c] + BN_MOMENTUM * mean[c]);
        running_var[c] =
            (float)((1.0 - BN_MOMENTUM) * (double)running_var[c] + BN_MOMENTUM * unbiased * var[c]);
    }
    n->params.items[op->par[2]].n_batches++;
}

double dropout_factor(const struct net *n, size_t op_i, uint64_t element_i)
{
    struct rng r;
    double rate = n->ops[op_i].rate;
    rng_init(&r, n->seed ^ (n->step * UINT64_C(0x9e3779b97f4a7c15)), RNG_DROPOUT + (uint32_t)op_i,
             element_i);
    return rng_uniform(&r) < rate ? 0.0 : 1.0 / (1.0 - rate);
}
