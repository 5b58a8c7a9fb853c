/*
 * A network as a static tape: operations are declared once for one batch size and picture size,
 * memory is planned once, and then forward and backward run over the same list without allocating.
 * Two back ends run the same tape: `ref` (obvious loops in float64, the definition of what is
 * right) and `dnn` (oneDNN, float32 or bfloat16, the fast one). docs/TRAIN.md explains the design.
 *
 * Activations are NHWC; for a clip H is time (frames) and W is frequency (mel bands), which is the
 * layout of the store, so that a batch is used where the loader put it. Parameters are in PyTorch's
 * layouts under PyTorch's names (conv OIHW, linear [out, in]).
 *
 *     struct net *n = net_new(&backend_dnn, threads, seed);
 *     int32_t x = net_input(n, (struct shape){96, 431, 128, 1});
 *     x = net_conv(n, "conv1", x, &(struct window){...}, 16);
 *     x = net_bn(n, "bn1", x, true);
 *     ...
 *     ok = net_finish(n, x, false, e);
 */
#ifndef REFRAIN_NET_H
#define REFRAIN_NET_H

#include "base/err.h"

enum { NET_OPS_MAX = 256, NET_NAME_BYTES = 64, NET_PARAMS_MAX = 512, NET_KERNELS_BYTES = 1024 };

enum net_mode {
    NET_EVAL, /* batch norm with running statistics, no dropout */
    NET_TRAIN,
};

struct shape {
    int32_t n, h, w, c;
};

static inline size_t shape_count(struct shape s)
{
    return (size_t)s.n * (size_t)s.h * (size_t)s.w * (size_t)s.c;
}

/* A sliding window: kernel, stride and zero padding, each as (h, w). */
struct window {
    int32_t kernel[2], stride[2], pad[2];
};

/* One named tensor inside the parameter block. */
struct param {
    char name[NET_NAME_BYTES]; /* "layer1.0.conv1.weight" */
    uint32_t n_dims;
    int32_t dims[4];
    size_t offset; /* floats into value; for trainable ones into grad too */
    size_t count;
    bool trainable;    /* false: a buffer (running statistics), or frozen */
    int64_t n_batches; /* of a running mean: training batches seen (num_batches_tracked) */
};

/* All parameters in one allocation, trainable ones first, gradients in a second one. */
struct params {
    struct param items[NET_PARAMS_MAX];
    size_t n;
    size_t n_trainable; /* floats: the length of grad */
    size_t n_floats;    /* with buffers: the length of value */
    float *value;
    float *grad;
};

/* Copies the values (and counters) of all parameters that both have, by name. */
void params_copy(struct params *to, const struct params *from);

/* NULL when there is none of this name. */
const struct param *params_find(const struct params *p, const char *name);

struct net;
struct backend;
extern const struct backend backend_ref;          /* train/ref.c */
extern const struct backend backend_dnn;          /* train/dnn.c */
extern const struct backend backend_dnn_bf16;     /* the same with bfloat16 activations */
extern const struct backend backend_dnn_winograd; /* float32, 3x3 by train/winograd.h */

/* The oneDNN back end of a precision: "f32", "bf16", "f32-winograd"; NULL for another word. */
const struct backend *backend_of_precision(const char *precision);

/* The fastest precision for a network on this processor: "bf16" for resnet18 with AMX (elsewhere
 * bfloat16 is no faster than float32, also with AVX512-BF16: docs/TRAIN.md), else "f32-winograd"
 * where its vector instructions are, else "f32". */
const char *backend_fastest_precision(const char *model);

/* `seed` draws dropout. `threads` is fixed for the life of the net: the same number, the same bits.
 * A `dnn` net must be run by the thread that finished it. */
struct net *net_new(const struct backend *backend, uint32_t threads, uint64_t seed);
void net_free(struct net *n);

/* Each returns the index of its output tensor. Shapes that do not fit are our own mistake: asserts.
 */
int32_t net_input(struct net *n, struct shape s);
int32_t net_conv(struct net *n, const char *name, int32_t in, const struct window *w,
                 int32_t out_channels); /* no bias: a batch norm follows; NAME.weight */
/* NAME.{weight,bias,running_mean,running_var}; eps 1e-5, momentum 0.1, as torch.nn.BatchNorm2d */
int32_t net_bn(struct net *n, const char *name, int32_t in, bool relu);
int32_t net_relu(struct net *n, int32_t in);
int32_t net_add_relu(struct net *n, int32_t a, int32_t b); /* max(0, a + b) */
int32_t net_maxpool(struct net *n, int32_t in, const struct window *w);
int32_t net_global_average(struct net *n, int32_t in); /* (n,h,w,c)->(n,1,1,c) */
int32_t net_linear(struct net *n, const char *name, int32_t in, int32_t out_features);
int32_t net_dropout(struct net *n, int32_t in, double rate); /* survivors times 1 / (1 - rate) */
int32_t net_l2norm(struct net *n, int32_t in);               /* x / max(|x|, 1e-12) */

/* What is declared from here on is frozen, or not any more: its parameters have no gradient and its
 * batch norms use their running statistics and leave them alone, in training, too. Only the
 * beginning of a network can be frozen: nothing frozen may follow what is trained. */
void net_freeze(struct net *n, bool frozen);

struct shape net_shape(const struct net *n, int32_t tensor);

/* Plans memory and builds the back end's kernels. `poison` fills dead memory with NaN after each
 * tick (tests). Parameters are zero until model_init or a checkpoint fills them. */
MUST_CHECK bool net_finish(struct net *n, int32_t output, bool poison, struct err *e);

/* From here on the net is its parameters: it cannot be run any more. */
void net_drop_memory(struct net *n);

struct params *net_params(struct net *n);
size_t net_arena_bytes(const struct net *n);

/* Which kernels are in use for what, each pair once: "convolution=brgconv:avx512_core linear=...";
 * "all=ref" for ref. */
const char *net_kernels(const struct net *n);

/* x: the input tensor's shape, row-major. Borrowed until the backward pass is done. `step` goes
 * into the dropout draw. */
MUST_CHECK bool net_forward(struct net *n, const float *x, enum net_mode mode, uint64_t step,
                            struct err *e);

/* The tensor that the first operation that is trained reads: all before it is frozen. */
int32_t net_cut(const struct net *n);

/* The forward pass in NET_EVAL up to `tensor`, whose values are copied to `out`. */
MUST_CHECK bool net_forward_to(struct net *n, const float *x, int32_t tensor, float *out,
                               struct err *e);

/* Copies the output tensor: shape_count(output) values. */
void net_output(const struct net *n, double *out);

/* After a NET_TRAIN forward: writes all gradients, replacing the old ones. */
MUST_CHECK bool net_backward(struct net *n, const double *grad_output, struct err *e);

#endif
