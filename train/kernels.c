#include "train/kernels.h"

#include "train/bf16.h"

#include <math.h>

enum { AVERAGE_BLOCK = 64 };

void kernel_input_half(const struct net *n, const struct op *op)
{
    uint16_t *out = tensor_value(n, op->out);
    size_t count = shape_count(net_shape(n, op->out));
    for (size_t i = 0; i < count; i++)
        out[i] = bf16_from_f32(n->input[i]);
}

static float load(const void *values, bool is_half, size_t i)
{
    return is_half ? bf16_to_f32(((const uint16_t *)values)[i]) : ((const float *)values)[i];
}

static void store(void *values, bool is_half, size_t i, float value)
{
    if (is_half)
        ((uint16_t *)values)[i] = bf16_from_f32(value);
    else
        ((float *)values)[i] = value;
}

/* Sums are float64 and in pixel order: the same bits for any number of threads. */
void kernel_average_forward(const struct net *n, const struct op *op)
{
    struct shape in = net_shape(n, op->in[0]);
    size_t channels = (size_t)in.c, pixels = (size_t)in.h * (size_t)in.w;
    bool is_half = op_tensor(n, op->in[0])->is_half;
    const void *x = tensor_value(n, op->in[0]);
    float *y = tensor_value(n, op->out);
    for (size_t i = 0; i < (size_t)in.n; i++) {
        for (size_t from = 0; from < channels; from += AVERAGE_BLOCK) {
            double sums[AVERAGE_BLOCK] = {0};
            size_t width = size_min(AVERAGE_BLOCK, channels - from);
            for (size_t p = 0; p < pixels; p++)
                for (size_t c = 0; c < width; c++)
                    sums[c] += (double)load(x, is_half, (i * pixels + p) * channels + from + c);
            for (size_t c = 0; c < width; c++)
                y[i * channels + from + c] = (float)(sums[c] / (double)pixels);
        }
    }
}

void kernel_average_backward(const struct net *n, const struct op *op)
{
    struct shape in = net_shape(n, op->in[0]);
    size_t channels = (size_t)in.c, pixels = (size_t)in.h * (size_t)in.w;
    bool is_half = op_tensor(n, op->in[0])->is_half;
    const float *dy = tensor_grad(n, op->out);
    void *dx = tensor_grad(n, op->in[0]);
    float share = 1.0f / (float)pixels;
    for (size_t i = 0; i < (size_t)in.n; i++)
        for (size_t p = 0; p < pixels; p++)
            for (size_t c = 0; c < channels; c++) {
                size_t at = (i * pixels + p) * channels + c;
                float begun = op->add[0] ? load(dx, is_half, at) : 0.0f;
                store(dx, is_half, at, begun + dy[i * channels + c] * share);
            }
}

void kernel_dropout(const struct net *n, size_t op_i, enum net_mode mode, bool backward)
{
    const struct op *op = &n->ops[op_i];
    size_t count = shape_count(net_shape(n, op->out));
    bool is_half = op_tensor(n, op->out)->is_half, add = backward && op->add[0];
    const void *from = backward ? tensor_grad(n, op->out) : tensor_value(n, op->in[0]);
    void *to = backward ? tensor_grad(n, op->in[0]) : tensor_value(n, op->out);
    for (size_t i = 0; i < count; i++) {
        float factor = mode == NET_TRAIN ? (float)dropout_factor(n, op_i, i) : 1.0f;
        float begun = add ? load(to, is_half, i) : 0.0f;
        store(to, is_half, i, begun + load(from, is_half, i) * factor);
    }
}

static double row_norm(const float *x, int32_t length)
{
    double sum = 0.0;
    for (int32_t c = 0; c < length; c++)
        sum += (double)x[c] * (double)x[c];
    return fmax(sqrt(sum), L2NORM_EPSILON);
}

void kernel_l2norm_forward(const struct net *n, const struct op *op)
{
    struct shape s = net_shape(n, op->in[0]);
    assert(!op_tensor(n, op->in[0])->is_half);
    const float *x = tensor_value(n, op->in[0]);
    float *y = tensor_value(n, op->out);
    for (int32_t i = 0; i < s.n; i++, x += s.c, y += s.c) {
        double norm = row_norm(x, s.c);
        for (int32_t c = 0; c < s.c; c++)
            y[c] = (float)((double)x[c] / norm);
    }
}

/* dx = (dy - y (y . dy)) / |x| */
void kernel_l2norm_backward(const struct net *n, const struct op *op)
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
