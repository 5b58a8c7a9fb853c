/*
 * The inside of a net, for back ends only. Tick t of a tape of N operations is the forward pass of
 * operation t for t < N, and the backward pass of operation 2N - 1 - t for t >= N.
 */
#ifndef REFRAIN_TAPE_H
#define REFRAIN_TAPE_H

#include "train/arena.h"
#include "train/net.h"

enum op_kind {
    OP_INPUT,
    OP_CONV,
    OP_BN,
    OP_RELU,
    OP_ADD_RELU,
    OP_MAXPOOL,
    OP_GLOBAL_AVERAGE,
    OP_LINEAR,
    OP_DROPOUT,
    OP_L2NORM,
    OP_KINDS,
};

#define BN_EPSILON 1e-5
#define BN_MOMENTUM 0.1
#define L2NORM_EPSILON 1e-12

struct tensor {
    struct shape shape;
    int32_t producer;   /* operation */
    bool is_half;       /* bfloat16, value and gradient */
    bool needs_grad;    /* something trainable lies upstream */
    int32_t value_item; /* arena item, or -1 for an input that is used in place */
    int32_t grad_item;  /* arena item, or -1 */
    int32_t again_item; /* the value's place in the backward pass, or -1: as in the forward one */
    int32_t again_tick; /* when it is made there */
};

/* par[] by kind: conv weight; bn weight, bias, running mean, running variance; linear weight, bias.
 */
struct op {
    enum op_kind kind;
    int32_t in[2], out;
    int32_t n_in;
    int32_t par[4];
    struct window window;
    bool relu; /* bn */
    bool frozen;
    double rate;  /* dropout */
    bool add[2];  /* the gradient of in[i] is already begun: add to it */
    int32_t temp; /* arena item of the back end's choice, or -1 */
    void *state;  /* the back end's */
};

struct net {
    const struct backend *backend;
    uint32_t threads;
    uint64_t seed;
    struct op ops[NET_OPS_MAX];
    size_t n_ops;
    struct tensor tensors[NET_OPS_MAX];
    size_t n_tensors;
    int32_t output;
    bool freezing; /* what is declared now */
    bool poison;
    bool finished;
    bool in_backward;
    struct params params;
    struct arena arena;
    const float *input; /* borrowed from net_forward */
    uint64_t step;
    char kernels[NET_KERNELS_BYTES];
    void *state; /* the back end's */
};

struct backend {
    const char *name;
    size_t element_bytes; /* of activations: 8 for ref, 4 for dnn */
    bool is_half;         /* but bfloat16 up to the global average */
    bool copies_input;    /* the input tensor lives in the arena */
    bool has_winograd;    /* train/winograd.h where it fits */
    bool folds;           /* batch norms with running statistics into their convolutions */
    bool saves_memory;    /* gradients in place; cheap values are computed again (net.c) */

    /* Once, before prepare. */
    bool (*open)(struct net *n, struct err *e);
    /* Once an operation, before memory is planned: builds kernels, adds arena items. */
    bool (*prepare)(struct net *n, size_t op_i, struct err *e);
    bool (*forward)(struct net *n, size_t op_i, enum net_mode mode, struct err *e);
    bool (*backward)(struct net *n, size_t op_i, struct err *e);
    /* With saves_memory: the forward pass of NET_TRAIN again, in the backward one: to again_item.
     */
    bool (*again)(struct net *n, size_t op_i, struct err *e);
    void (*close)(struct net *n); /* safe on a half-built net */
};

static inline int32_t tick_forward(size_t op_i)
{
    return (int32_t)op_i;
}

static inline int32_t tick_backward(const struct net *n, size_t op_i)
{
    return (int32_t)(2 * n->n_ops - 1 - op_i);
}

static inline const struct tensor *op_tensor(const struct net *n, int32_t tensor)
{
    assert(tensor >= 0 && (size_t)tensor < n->n_tensors);
    return &n->tensors[tensor];
}

/* Where a tensor's value lies now, or -1 for an input that is used in place. */
static inline int32_t tensor_item(const struct net *n, int32_t tensor)
{
    const struct tensor *t = op_tensor(n, tensor);
    return n->in_backward && t->again_item >= 0 ? t->again_item : t->value_item;
}

/* Value and gradient of a tensor; the back end knows the element type. */
static inline void *tensor_value(const struct net *n, int32_t tensor)
{
    int32_t item = tensor_item(n, tensor);
    if (item < 0)
        return (void *)(uintptr_t)n->input; /* only ever read */
    return arena_ptr(&n->arena, item);
}

static inline void *tensor_grad(const struct net *n, int32_t tensor)
{
    return arena_ptr(&n->arena, op_tensor(n, tensor)->grad_item);
}

static inline size_t tensor_bytes(const struct net *n, int32_t tensor)
{
    const struct tensor *t = op_tensor(n, tensor);
    return shape_count(t->shape) * (t->is_half ? sizeof(uint16_t) : n->backend->element_bytes);
}

static inline float *param_value(const struct net *n, int32_t param)
{
    assert(param >= 0 && (size_t)param < n->params.n);
    return n->params.value + n->params.items[param].offset;
}

static inline float *param_grad(const struct net *n, int32_t param)
{
    assert(param >= 0 && (size_t)param < n->params.n);
    assert(n->params.items[param].trainable);
    return n->params.grad + n->params.items[param].offset;
}

/* running = 0.9 running + 0.1 batch, with the unbiased variance (count / (count - 1)). `mean` and
 * `var` are the batch's, var biased. */
void bn_update_running(struct net *n, const struct op *op, const double *mean, const double *var);

/* The dropout factor of element i in this step: 0 or 1 / (1 - rate); a pure function of (seed,
 * operation, step, i). */
double dropout_factor(const struct net *n, size_t op_i, uint64_t element_i);

/* Adds "what=name" to n->kernels unless it is there; what ends at its first comma. */
void net_note_kernel(struct net *n, const char *what, const char *name);

#endif
