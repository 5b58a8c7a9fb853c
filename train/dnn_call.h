/*
 * The inside of the oneDNN back end: how an operation becomes a list of calls (train/dnn.c says
 * why). Only train/dnn*.c include this.
 */
#ifndef REFRAIN_DNN_CALL_H
#define REFRAIN_DNN_CALL_H

#include "train/tape.h"

#include <oneapi/dnnl/dnnl.h>

enum { CALL_ARGS_MAX = 12, CALLS_MAX = 8 };

enum place_kind { AT_VALUE, AT_GRAD, AT_ITEM, AT_PARAM, AT_PARAM_GRAD };

struct place {
    enum place_kind kind;
    int32_t i;
};

/* A kernel of our own: `at` are the addresses of the call's places. */
typedef void own_fn(const struct net *n, size_t op_i, void *const *at);

struct call {
    dnnl_primitive_t primitive; /* or NULL, and: */
    own_fn *own;
    size_t op_i; /* for own */
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
    struct call_list again;                 /* the output of train, in the backward pass */
    int32_t mean_item, var_item;            /* bn */
    bool is_folded;                         /* bn: the convolution before it does eval */
    struct place scratch;                   /* winograd: of the forward pass */
};

struct dnn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_attr_t attr;      /* user scratchpad */
    dnnl_primitive_attr_t attr_relu; /* the same with a ReLU behind */
    struct dnn_op ops[NET_OPS_MAX];
};

/* One argument of a call to be; without a description it is left out. */
struct arg {
    int id; /* DNNL_ARG_SRC ... */
    const dnnl_memory_desc_t *md;
    struct place place;
};

/* ERR_FATAL with oneDNN's reason. */
bool dnn_check(dnnl_status_t s, const char *what, struct err *e);

/* Descriptions of memory: a tensor as it lies (bfloat16 where it is), as rows, a float32 vector;
 * a weight as PyTorch lays it out, or of a type in whatever layout the kernel prefers. */
dnnl_memory_desc_t dnn_md_tensor(const struct net *n, int32_t tensor);
dnnl_memory_desc_t dnn_md_rows(const struct net *n, int32_t tensor);
dnnl_memory_desc_t dnn_md_vector(int32_t length);
dnnl_memory_desc_t dnn_md_weight(const struct net *n, int32_t param);
dnnl_memory_desc_t dnn_md_weight_any(const struct net *n, int32_t param, dnnl_data_type_t type);

/* A primitive description from an operation description; its kernel's name is noted. The caller
 * destroys *out. */
MUST_CHECK bool dnn_pd(struct net *n, const_dnnl_op_desc_t desc, const_dnnl_primitive_attr_t attr,
                       const_dnnl_primitive_desc_t hint, const char *what,
                       dnnl_primitive_desc_t *out, struct err *e);

/* Appends the primitive of `pd` with its arguments and its scratchpad. */
MUST_CHECK bool dnn_add_call(struct net *n, struct call_list *list, const_dnnl_primitive_desc_t pd,
                             int32_t tick, const struct arg *args, size_t n_args, struct err *e);

/* Appends a call of our own kernel. */
void dnn_add_own(struct call_list *list, own_fn *own, size_t op_i, const struct place *places,
                 size_t n_places);

/* Where the gradient of in[k] is to be written: in place, or beside it when another consumer has
 * begun it; dnn_add_begun then appends the addition. */
struct place dnn_place_input_grad(struct net *n, size_t op_i, int32_t k);
MUST_CHECK bool dnn_add_begun(struct net *n, struct call_list *list, size_t op_i, int32_t k,
                              struct place written, struct err *e);

/* A tensor's value is read again in the backward pass of the operation. */
void dnn_keep(struct net *n, size_t op_i, int32_t tensor);

MUST_CHECK bool dnn_list_run(struct net *n, struct call_list *list, struct err *e);
void dnn_list_release(struct call_list *list);

/* dnn_weighted.c */
MUST_CHECK bool dnn_prepare_weighted(struct net *n, size_t op_i, struct err *e);

/* The place of a parameter's weights, which lie in PyTorch's layout at `plainly`, in the layout
 * that `wanted` asks for; packed first where it differs. */
MUST_CHECK bool dnn_pack_weight(struct net *n, struct call_list *list, int32_t param,
                                struct place plainly, const dnnl_memory_desc_t *wanted,
                                int32_t tick, struct place *out, struct err *e);

/* dnn_fold.c: a convolution whose only reader is a batch norm does both with running statistics. */
bool dnn_can_fold(const struct net *n, size_t op_i);
MUST_CHECK bool dnn_prepare_folded(struct net *n, size_t op_i, struct err *e);

/* dnn_winograd.c: in place of dnn_prepare_weighted where it fits. */
bool dnn_winograd_fits(const struct net *n, size_t op_i);
void dnn_prepare_winograd(struct net *n, size_t op_i);
/* For eval, with the batch norm behind it: results times factor plus bias, to y. */
void dnn_add_winograd_eval(struct net *n, size_t op_i, struct place factor, struct place bias,
                           struct place y);

/* dnn_layers.c */
MUST_CHECK bool dnn_prepare_bn(struct net *n, size_t op_i, struct err *e);
MUST_CHECK bool dnn_prepare_maxpool(struct net *n, size_t op_i, struct err *e);
MUST_CHECK bool dnn_prepare_relu(struct net *n, size_t op_i, struct err *e);
void dnn_bn_after_training(struct net *n, size_t op_i);

#endif
