/*
 * The reference back end: every operation as its defining loops, activations in float64, nothing
 * clever. It says what is right; finite differences check it, and the fast back end is compared
 * with it. Parameters are the same float32 block as everywhere.
 */
#include "base/mem.h"
#include "train/tape.h"

#include <math.h>
#include <string.h>

/* Row-major NHWC index. */
static size_t at(struct shape s, int32_t n, int32_t h, int32_t w, int32_t c)
{
    return (((size_t)n * (size_t)s.h + (size_t)h) * (size_t)s.w + (size_t)w) * (size_t)s.c +
           (size_t)c;
}

static bool ref_open(struct net *n, struct err *e)
{
    (void)e;
    net_note_kernel(n, "all", "ref");
    return true;
}

static void ref_close(struct net *n)
{
    (void)n;
}

/* Values that a backward pass reads stay alive until then. */
static bool ref_prepare(struct net *n, size_t op_i, struct err *e)
{
    (void)e;
    const struct op *op = &n->ops[op_i];
    if (!op_tensor(n, op->out)->needs_grad)
        return true;
    bool keeps_in = op->kind == OP_CONV || op->kind == OP_BN || op->kind == OP_MAXPOOL ||
                    op->kind == OP_LINEAR || op->kind == OP_L2NORM;
    bool keeps_out = op->kind == OP_RELU || op->kind == OP_ADD_RELU || op->kind == OP_L2NORM;
    if (keeps_in)
        arena_extend(&n->arena, op_tensor(n, op->in[0])->value_item, tick_backward(n, op_i));
    if (keeps_out)
        arena_extend(&n->arena, op_tensor(n, op->out)->value_item, tick_backward(n, op_i));
    return true;
}

/* ---------------------------------------------------------------- convolution and linear */

/* Walks over every (picture, output pixel, kernel tap) that meets the input; padding is skipped. */
struct tap {
    int32_t n, oh, ow, kh, kw, ih, iw;
};

static void tap_first(struct tap *t)
{
    *t = (struct tap){.kw = -1};
}

static bool tap_next(struct tap *t, struct shape in, struct shape out, const struct window *w)
{
    for (;;) {
        if (++t->kw == w->kernel[1]) {
            t->kw = 0;
            if (++t->kh == w->kernel[0]) {
                t->kh = 0;
                if (++t->ow == out.w) {
                    t->ow = 0;
                    if (++t->oh == out.h) {
                        t->oh = 0;
                        if (++t->n == out.n)
                            return false;
                    }
                }
            }
        }
        t->ih = t->oh * w->stride[0] - w->pad[0] + t->kh;
        t->iw = t->ow * w->stride[1] - w->pad[1] + t->kw;
        if (t->ih >= 0 && t->ih < in.h && t->iw >= 0 && t->iw < in.w)
            return true;
    }
}

/* weight is [oc][ic][kh][kw] */
static size_t weight_at(const struct op *op, int32_t ic_count, int32_t oc, int32_t ic,
                        const struct tap *t)
{
    return (((size_t)oc * (size_t)ic_count + (size_t)ic) * (size_t)op->window.kernel[0] +
            (size_t)t->kh) *
               (size_t)op->window.kernel[1] +
           (size_t)t->kw;
}

static void conv_forward(struct net *n, const struct op *op)
{
    struct shape in = net_shape(n, op->in[0]), out = net_shape(n, op->out);
    const double *x = tensor_value(n, op->in[0]);
    const float *weight = param_value(n, op->par[0]);
    double *y = tensor_value(n, op->out);
    memset(y, 0, shape_count(out) * sizeof *y);
    struct tap t;
    for (tap_first(&t); tap_next(&t, in, out, &op->window);) {
        const double *pixel = x + at(in, t.n, t.ih, t.iw, 0);
        double *to = y + at(out, t.n, t.oh, t.ow, 0);
        for (int32_t oc = 0; oc < out.c; oc++) {
            double sum = to[oc];
            for (int32_t ic = 0; ic < in.c; ic++)
                sum += pixel[ic] * (double)weight[weight_at(op, in.c, oc, ic, &t)];
            to[oc] = sum;
        }
    }
}

static void store_grad(float *out, const double *sums, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (float)sums[i];
}

static void conv_backward(struct net *n, const struct op *op, double *dx)
{
    struct shape in = net_shape(n, op->in[0]), out = net_shape(n, op->out);
    const double *x = tensor_value(n, op->in[0]), *dy = tensor_grad(n, op->out);
    const float *weight = param_value(n, op->par[0]);
    size_t n_weights = n->params.items[op->par[0]].count;
    double *dweight = mem_zalloc(n_weights, sizeof *dweight);
    struct tap t;
    for (tap_first(&t); tap_next(&t, in, out, &op->window);) {
        for (int32_t oc = 0; oc < out.c; oc++) {
            double g = dy[at(out, t.n, t.oh, t.ow, oc)];
            for (int32_t ic = 0; ic < in.c; ic++) {
                size_t w_i = weight_at(op, in.c, oc, ic, &t), x_i = at(in, t.n, t.ih, t.iw, ic);
                dweight[w_i] += g * x[x_i];
                if (dx != NULL)
                    dx[x_i] += g * (double)weight[w_i];
            }
        }
    }
    store_grad(param_grad(n, op->par[0]), dweight, n_weights);
    mem_free(dweight);
}

static void linear_forward(struct net *n, const struct op *op)
{
    struct shape in = net_shape(n, op->in[0]), out = net_shape(n, op->out);
    const double *x = tensor_value(n, op->in[0]);
    const float *weight = param_value(n, op->par[0]), *bias = param_value(n, op->par[1]);
    double *y = tensor_value(n, op->out);
    for (int32_t i = 0; i < out.n; i++) {
        for (int32_t o = 0; o < out.c; o++) {
            double sum = (double)bias[o];
            for (int32_t k = 0; k < in.c; k++)
                sum += (double)weight[(size_t)o * (size_t)in.c + (size_t)k] * x[at(in, i, 0, 0, k)];
            y[at(out, i, 0, 0, o)] = sum;
        }
    }
}

static void linear_backward(struct net *n, const struct op *op, double *dx)
{
    struct shape in = net_shape(n, op->in[0]), out = net_shape(n, op->out);
    const double *x = tensor_value(n, op->in[0]), *dy = tensor_grad(n, op->out);
    const float *weight = param_value(n, op->par[0]);
    float *dweight = param_grad(n, op->par[0]), *dbias = param_grad(n, op->par[1]);
    for (int32_t o = 0; o < out.c; o++) {
        double sum = 0.0;
        for (int32_t i = 0; i < out.n; i++)
            sum += dy[at(out, i, 0, 0, o)];
        dbias[o] = (float)sum;
        for (int32_t k = 0; k < in.c; k++) {
            sum = 0.0;
            for (int32_t i = 0; i < out.n; i++)
                sum += dy[at(out, i, 0, 0, o)] * x[at(in, i, 0, 0, k)];
            dweight[(size_t)o * (size_t)in.c + (size_t)k] = (float)sum;
        }
    }
    if (dx == NULL)
        return;
    for (int32_t i = 0; i < in.n; i++)
        for (int32_t k = 0; k < in.c; k++)
            for (int32_t o = 0; o < out.c; o++)
                dx[at(in, i, 0, 0, k)] +=
                    dy[at(out, i, 0, 0, o)] * (double)weight[(size_t)o * (size_t)in.c + (size_t)k];
}

/* ---------------------------------------------------------------- batch norm */

/* Mean and biased variance of each channel. */
static void channel_moments(struct shape s, const double *x, double *mean, double *var)
{
    size_t channels = (size_t)s.c, pixels = shape_count(s) / channels;
    for (size_t c = 0; c < channels; c++) {
        double sum = 0.0;
        for (size_t i = 0; i < pixels; i++)
            sum += x[i * channels + c];
        mean[c] = sum / (double)pixels;
        sum = 0.0;
        for (size_t i = 0; i < pixels; i++)
            sum += (x[i * channels + c] - mean[c]) * (x[i * channels + c] - mean[c]);
        var[c] = sum / (double)pixels;
    }
}

static void bn_forward(struct net *n, const struct op *op, enum net_mode mode)
{
    struct shape s = net_shape(n, op->in[0]);
    size_t channels = (size_t)s.c, pixels = shape_count(s) / channels;
    const double *x = tensor_value(n, op->in[0]);
    const float *weight = param_value(n, op->par[0]), *bias = param_value(n, op->par[1]);
    double *y = tensor_value(n, op->out);
    double *mean = mem_alloc(channels, sizeof *mean), *var = mem_alloc(channels, sizeof *var);
    if (mode == NET_TRAIN && !op->frozen) {
        channel_moments(s, x, mean, var);
        bn_update_running(n, op, mean, var);
    } else {
        for (size_t c = 0; c < channels; c++) {
            mean[c] = (double)param_value(n, op->par[2])[c];
            var[c] = (double)param_value(n, op->par[3])[c];
        }
    }
    for (size_t i = 0; i < pixels; i++) {
        for (size_t c = 0; c < channels; c++) {
            double unit = (x[i * channels + c] - mean[c]) / sqrt(var[c] + BN_EPSILON);
            double v = unit * (double)weight[c] + (double)bias[c];
            y[i * channels + c] = op->relu && v < 0.0 ? 0.0 : v;
        }
    }
    mem_free(mean);
    mem_free(var);
}

/* dx = weight / sigma * (dy - mean(dy) - unit * mean(dy * unit)) */
static void bn_backward(struct net *n, const struct op *op, double *dx)
{
    struct shape s = net_shape(n, op->in[0]);
    size_t channels = (size_t)s.c, pixels = shape_count(s) / channels;
    const double *x = tensor_value(n, op->in[0]), *dy = tensor_grad(n, op->out);
    const float *weight = param_value(n, op->par[0]), *bias = param_value(n, op->par[1]);
    double *mean = mem_alloc(channels, sizeof *mean), *var = mem_alloc(channels, sizeof *var);
    channel_moments(s, x, mean, var);
    for (size_t c = 0; c < channels; c++) {
        double inv_sigma = 1.0 / sqrt(var[c] + BN_EPSILON), w = (double)weight[c];
        double sum_dy = 0.0, sum_dy_unit = 0.0;
        for (size_t i = 0; i < pixels; i++) {
            double unit = (x[i * channels + c] - mean[c]) * inv_sigma;
            double g = op->relu && unit * w + (double)bias[c] <= 0.0 ? 0.0 : dy[i * channels + c];
            sum_dy += g;
            sum_dy_unit += g * unit;
        }
        param_grad(n, op->par[0])[c] = (float)sum_dy_unit;
        param_grad(n, op->par[1])[c] = (float)sum_dy;
        for (size_t i = 0; dx != NULL && i < pixels; i++) {
            double unit = (x[i * channels + c] - mean[c]) * inv_sigma;
            double g = op->relu && unit * w + (double)bias[c] <= 0.0 ? 0.0 : dy[i * channels + c];
            dx[i * channels + c] +=
                w * inv_sigma * (g - sum_dy / (double)pixels - unit * sum_dy_unit / (double)pixels);
        }
    }
    mem_free(mean);
    mem_free(var);
}

/* ---------------------------------------------------------------- pooling */

static void maxpool_forward(struct net *n, const struct op *op)
{
    struct shape in = net_shape(n, op->in[0]), out = net_shape(n, op->out);
    const double *x = tensor_value(n, op->in[0]);
    double *y = tensor_value(n, op->out);
    for (size_t i = 0; i < shape_count(out); i++)
        y[i] = -INFINITY;
    struct tap t;
    for (tap_first(&t); tap_next(&t, in, out, &op->window);)
        for (int32_t c = 0; c < in.c; c++)
            y[at(out, t.n, t.oh, t.ow, c)] =
                fmax(y[at(out, t.n, t.oh, t.ow, c)], x[at(in, t.n, t.ih, t.iw, c)]);
}

/* The gradient goes to the first of equal maxima, as in PyTorch. */
static void maxpool_backward(struct net *n, const struct op *op, double *dx)
{
    struct shape in = net_shape(n, op->in[0]), out = net_shape(n, op->out);
    const double *x = tensor_value(n, op->in[0]), *dy = tensor_grad(n, op->out);
    double *best = mem_alloc(shape_count(out), sizeof *best);
    size_t *winner = mem_zalloc(shape_count(out), sizeof *winner);
    for (size_t i = 0; i < shape_count(out); i++)
        best[i] = -INFINITY;
    struct tap t;
    for (tap_first(&t); tap_next(&t, in, out, &op->window);) {
        for (int32_t c = 0; c < in.c; c++) {
            size_t o = at(out, t.n, t.oh, t.ow, c), i = at(in, t.n, t.ih, t.iw, c);
            if (x[i] > best[o]) {
                best[o] = x[i];
                winner[o] = i;
            }
        }
    }
    for (size_t o = 0; dx != NULL && o < shape_count(out); o++)
        dx[winner[o]] += dy[o];
    mem_free(best);
    mem_free(winner);
}

static void average_forward(struct net *n, const struct op *op)
{
    struct shape in = net_shape(n, op->in[0]);
    size_t channels = (size_t)in.c, pixels = (size_t)in.h * (size_t)in.w;
    const double *x = tensor_value(n, op->in[0]);
    double *y = tensor_value(n, op->out);
    for (size_t i = 0; i < (size_t)in.n; i++) {
        for (size_t c = 0; c < channels; c++) {
            double sum = 0.0;
            for (size_t p = 0; p < pixels; p++)
                sum += x[(i * pixels + p) * channels + c];
            y[i * channels + c] = sum / (double)pixels;
        }
    }
}

static void average_backward(struct net *n, const struct op *op, double *dx)
{
    struct shape in = net_shape(n, op->in[0]);
    size_t channels = (size_t)in.c, pixels = (size_t)in.h * (size_t)in.w;
    const double *dy = tensor_grad(n, op->out);
    for (size_t i = 0; dx != NULL && i < (size_t)in.n; i++)
        for (size_t p = 0; p < pixels; p++)
            for (size_t c = 0; c < channels; c++)
                dx[(i * pixels + p) * channels + c] += dy[i * channels + c] / (double)pixels;
}

/* ---------------------------------------------------------------- element by element */

static void elements_forward(struct net *n, size_t op_i, enum net_mode mode)
{
    const struct op *op = &n->ops[op_i];
    size_t count = shape_count(net_shape(n, op->out));
    const double *a = tensor_value(n, op->in[0]);
    bool adds = op->kind == OP_ADD_RELU;
    const double *b = adds ? tensor_value(n, op->in[1]) : a;
    double *y = tensor_value(n, op->out);
    for (size_t i = 0; i < count; i++) {
        if (op->kind == OP_DROPOUT)
            y[i] = mode == NET_TRAIN ? a[i] * dropout_factor(n, op_i, i) : a[i];
        else
            y[i] = fmax(0.0, adds ? a[i] + b[i] : a[i]);
    }
}

static void elements_backward(struct net *n, size_t op_i, double *dx)
{
    const struct op *op = &n->ops[op_i];
    size_t count = shape_count(net_shape(n, op->out));
    const double *dy = tensor_grad(n, op->out);
    const double *y = op->kind == OP_DROPOUT ? NULL : tensor_value(n, op->out);
    for (size_t i = 0; dx != NULL && i < count; i++) {
        if (op->kind == OP_DROPOUT)
            dx[i] += dy[i] * dropout_factor(n, op_i, i);
        else
            dx[i] += y[i] > 0.0 ? dy[i] : 0.0;
    }
}

static void l2norm_forward(struct net *n, const struct op *op)
{
    struct shape s = net_shape(n, op->in[0]);
    const double *x = tensor_value(n, op->in[0]);
    double *y = tensor_value(n, op->out);
    for (int32_t i = 0; i < s.n; i++, x += s.c, y += s.c) {
        double sum = 0.0;
        for (int32_t c = 0; c < s.c; c++)
            sum += x[c] * x[c];
        for (int32_t c = 0; c < s.c; c++)
            y[c] = x[c] / fmax(sqrt(sum), L2NORM_EPSILON);
    }
}

/* dx = (dy - y (y . dy)) / |x| */
static void l2norm_backward(struct net *n, const struct op *op, double *dx)
{
    struct shape s = net_shape(n, op->in[0]);
    const double *x = tensor_value(n, op->in[0]), *y = tensor_value(n, op->out);
    const double *dy = tensor_grad(n, op->out);
    for (int32_t i = 0; dx != NULL && i < s.n; i++, x += s.c, y += s.c, dy += s.c, dx += s.c) {
        double sum = 0.0, dot = 0.0;
        for (int32_t c = 0; c < s.c; c++) {
            sum += x[c] * x[c];
            dot += y[c] * dy[c];
        }
        for (int32_t c = 0; c < s.c; c++)
            dx[c] += (dy[c] - y[c] * dot) / fmax(sqrt(sum), L2NORM_EPSILON);
    }
}

/* ---------------------------------------------------------------- the table */

static bool ref_forward(struct net *n, size_t op_i, enum net_mode mode, struct err *e)
{
    (void)e;
    const struct op *op = &n->ops[op_i];
    switch (op->kind) {
    case OP_INPUT: {
        double *x = tensor_value(n, op->out);
        for (size_t i = 0; i < shape_count(net_shape(n, op->out)); i++)
            x[i] = (double)n->input[i];
        break;
    }
    case OP_CONV:
        conv_forward(n, op);
        break;
    case OP_BN:
        bn_forward(n, op, mode);
        break;
    case OP_MAXPOOL:
        maxpool_forward(n, op);
        break;
    case OP_GLOBAL_AVERAGE:
        average_forward(n, op);
        break;
    case OP_LINEAR:
        linear_forward(n, op);
        break;
    case OP_L2NORM:
        l2norm_forward(n, op);
        break;
    case OP_RELU:
    case OP_ADD_RELU:
    case OP_DROPOUT:
        elements_forward(n, op_i, mode);
        break;
    case OP_KINDS:
        assert(!"not an operation");
    }
    return true;
}

/* Gradient of an input, cleared if this operation is the first to write it; NULL if not needed. */
static double *begin_grad(const struct net *n, const struct op *op, int32_t k)
{
    const struct tensor *t = op_tensor(n, op->in[k]);
    if (!t->needs_grad)
        return NULL;
    double *grad = tensor_grad(n, op->in[k]);
    if (!op->add[k])
        memset(grad, 0, shape_count(t->shape) * sizeof *grad);
    return grad;
}

static bool ref_backward(struct net *n, size_t op_i, struct err *e)
{
    (void)e;
    const struct op *op = &n->ops[op_i];
    if (!op_tensor(n, op->out)->needs_grad)
        return true;
    double *dx = begin_grad(n, op, 0);
    switch (op->kind) {
    case OP_CONV:
        conv_backward(n, op, dx);
        break;
    case OP_BN:
        bn_backward(n, op, dx);
        break;
    case OP_MAXPOOL:
        maxpool_backward(n, op, dx);
        break;
    case OP_GLOBAL_AVERAGE:
        average_backward(n, op, dx);
        break;
    case OP_LINEAR:
        linear_backward(n, op, dx);
        break;
    case OP_L2NORM:
        l2norm_backward(n, op, dx);
        break;
    case OP_ADD_RELU:
        elements_backward(n, op_i, begin_grad(n, op, 1));
        elements_backward(n, op_i, dx);
        break;
    case OP_RELU:
    case OP_DROPOUT:
        elements_backward(n, op_i, dx);
        break;
    case OP_INPUT:
    case OP_KINDS:
        assert(!"has no backward pass");
    }
    return true;
}

const struct backend backend_ref = {
    .name = "ref",
    .element_bytes = sizeof(double),
    .copies_input = true,
    .open = ref_open,
    .prepare = ref_prepare,
    .forward = ref_forward,
    .backward = ref_backward,
    .close = ref_close,
};
