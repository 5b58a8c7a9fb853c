#include "train/dnn_call.h"

#include <string.h>

bool dnn_check(dnnl_status_t s, const char *what, struct err *e)
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

static dnnl_memory_desc_t md_make(size_t n_dims, const dnnl_dim_t *dims, dnnl_data_type_t type,
                                  dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t md;
    dnnl_dims_t copy = {0};
    memcpy(copy, dims, n_dims * sizeof *dims);
    dnnl_status_t s = dnnl_memory_desc_init_by_tag(&md, (int)n_dims, copy, type, tag);
    assert(s == dnnl_success);
    return md;
}

static dnnl_data_type_t type_of(const struct net *n, int32_t tensor)
{
    return op_tensor(n, tensor)->is_half ? dnnl_bf16 : dnnl_f32;
}

/* oneDNN names dimensions in the order N, C, H, W whatever the layout. */
dnnl_memory_desc_t dnn_md_tensor(const struct net *n, int32_t tensor)
{
    struct shape s = net_shape(n, tensor);
    return md_make(4, (dnnl_dim_t[]){s.n, s.c, s.h, s.w}, type_of(n, tensor), dnnl_nhwc);
}

dnnl_memory_desc_t dnn_md_rows(const struct net *n, int32_t tensor)
{
    struct shape s = net_shape(n, tensor);
    return md_make(2, (dnnl_dim_t[]){s.n, s.c}, type_of(n, tensor), dnnl_ab);
}

dnnl_memory_desc_t dnn_md_vector(int32_t length)
{
    return md_make(1, (dnnl_dim_t[]){length}, dnnl_f32, dnnl_a);
}

static dnnl_memory_desc_t md_param(const struct net *n, int32_t param, dnnl_data_type_t type,
                                   bool any)
{
    const struct param *p = &n->params.items[param];
    dnnl_dim_t dims[4] = {0};
    for (uint32_t i = 0; i < p->n_dims; i++)
        dims[i] = p->dims[i];
    dnnl_format_tag_t plain = p->n_dims == 4 ? dnnl_oihw : dnnl_ab;
    return md_make(p->n_dims, dims, type, any ? dnnl_format_tag_any : plain);
}

dnnl_memory_desc_t dnn_md_weight(const struct net *n, int32_t param)
{
    return md_param(n, param, dnnl_f32, false);
}

dnnl_memory_desc_t dnn_md_weight_any(const struct net *n, int32_t param, dnnl_data_type_t type)
{
    return md_param(n, param, type, true);
}

/* ---------------------------------------------------------------- building calls */

static bool call_arg(struct net *n, struct call *c, const struct arg *arg, struct err *e)
{
    const struct dnn *d = n->state;
    assert(c->n_args < CALL_ARGS_MAX);
    dnnl_exec_arg_t *a = &c->args[c->n_args];
    a->arg = arg->id;
    if (!dnn_check(dnnl_memory_create(&a->memory, arg->md, d->engine, DNNL_MEMORY_NONE), "memory",
                   e))
        return false;
    c->places[c->n_args++] = arg->place;
    return true;
}

bool dnn_add_call(struct net *n, struct call_list *list, const_dnnl_primitive_desc_t pd,
                  int32_t tick, const struct arg *args, size_t n_args, struct err *e)
{
    assert(list->n < CALLS_MAX);
    struct call *c = &list->calls[list->n++];
    if (!dnn_check(dnnl_primitive_create(&c->primitive, pd), "primitive", e))
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

void dnn_add_own(struct call_list *list, own_fn *own, size_t op_i, const struct place *places,
                 size_t n_places)
{
    assert(list->n < CALLS_MAX);
    assert(n_places <= CALL_ARGS_MAX);
    struct call *c = &list->calls[list->n++];
    *c = (struct call){.own = own, .op_i = op_i, .n_args = n_places};
    memcpy(c->places, places, n_places * sizeof *places);
}

bool dnn_pd(struct net *n, const_dnnl_op_desc_t desc, const_dnnl_primitive_attr_t attr,
            const_dnnl_primitive_desc_t hint, const char *what, dnnl_primitive_desc_t *out,
            struct err *e)
{
    const struct dnn *d = n->state;
    if (!dnn_check(dnnl_primitive_desc_create(out, desc, attr, d->engine, hint), what, e))
        return false;
    const char *name = NULL;
    if (dnnl_primitive_desc_query(*out, dnnl_query_impl_info_str, 0, &name) == dnnl_success &&
        name != NULL)
        net_note_kernel(n, what, name);
    return true;
}

struct place dnn_place_input_grad(struct net *n, size_t op_i, int32_t k)
{
    const struct op *op = &n->ops[op_i];
    if (!op->add[k])
        return (struct place){AT_GRAD, op->in[k]};
    size_t bytes = tensor_bytes(n, op->in[k]);
    int32_t tick = tick_backward(n, op_i);
    return (struct place){AT_ITEM, arena_add(&n->arena, bytes, tick, tick)};
}

bool dnn_add_begun(struct net *n, struct call_list *list, size_t op_i, int32_t k,
                   struct place written, struct err *e)
{
    const struct op *op = &n->ops[op_i];
    const struct dnn *d = n->state;
    if (!op->add[k])
        return true;
    dnnl_memory_desc_t md = dnn_md_tensor(n, op->in[k]);
    struct place total = {AT_GRAD, op->in[k]};
    dnnl_primitive_desc_t pd = NULL;
    dnnl_binary_desc_t desc;
    struct arg args[] = {
        {DNNL_ARG_SRC_0, &md, total}, {DNNL_ARG_SRC_1, &md, written}, {DNNL_ARG_DST, &md, total}};
    bool ok = dnn_check(dnnl_binary_desc_init(&desc, dnnl_binary_add, &md, &md, &md), "add", e) &&
              dnn_pd(n, &desc, d->attr, NULL, "add", &pd, e) &&
              dnn_add_call(n, list, pd, tick_backward(n, op_i), args, ARRAY_LEN(args), e);
    dnnl_primitive_desc_destroy(pd);
    return ok;
}

void dnn_keep(struct net *n, size_t op_i, int32_t tensor)
{
    const struct tensor *t = op_tensor(n, tensor);
    int32_t item = t->again_item >= 0 ? t->again_item : t->value_item;
    if (item >= 0 && op_tensor(n, n->ops[op_i].out)->needs_grad)
        arena_extend(&n->arena, item, tick_backward(n, op_i));
}

void dnn_list_release(struct call_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        struct call *c = &list->calls[i];
        if (c->own != NULL)
            continue;
        for (size_t k = 0; k < c->n_args; k++)
            dnnl_memory_destroy(c->args[k].memory);
        if (c->primitive != NULL)
            dnnl_primitive_destroy(c->primitive);
    }
    list->n = 0;
}

static void run_own(struct net *n, const struct call *c)
{
    void *at[CALL_ARGS_MAX];
    for (size_t k = 0; k < c->n_args; k++)
        at[k] = place_address(n, c->places[k]);
    c->own(n, c->op_i, at);
}

static bool run_primitive(struct net *n, struct call *c, struct err *e)
{
    const struct dnn *d = n->state;
    for (size_t k = 0; k < c->n_args; k++)
        if (!dnn_check(
                dnnl_memory_set_data_handle(c->args[k].memory, place_address(n, c->places[k])),
                "set address", e))
            return false;
    return dnn_check(dnnl_primitive_execute(c->primitive, d->stream, (int)c->n_args, c->args),
                     "execute", e);
}

bool dnn_list_run(struct net *n, struct call_list *list, struct err *e)
{
    const struct dnn *d = n->state;
    for (size_t i = 0; i < list->n; i++) {
        struct call *c = &list->calls[i];
        if (c->own != NULL)
            run_own(n, c);
        else if (!run_primitive(n, c, e))
            return false;
    }
    return dnn_check(dnnl_stream_wait(d->stream), "wait", e);
}
