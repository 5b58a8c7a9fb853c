/*
 * Python's pickle as far as torch.save writes it (protocol 2), read as data. A pickle is a program
 * for a stack machine that may call anything in Python; this interpreter knows the opcodes below,
 * has the few names that a file of tensors needs as constants, and calls nothing. Any other opcode
 * or name is an error that says which.
 *
 *     collections.OrderedDict          a dictionary
 *     torch.FloatStorage ...           the type of a storage
 *     torch._utils._rebuild_tensor     \\
 *     torch._utils._rebuild_tensor_v2   } a tensor; the arguments are kept
 *     torch._utils._rebuild_parameter  /
 *
 * Values lie in an array and name each other by index. A dictionary may contain itself, so a walk
 * over values must be bounded; nothing here recurses.
 */
#ifndef REFRAIN_PICKLE_H
#define REFRAIN_PICKLE_H

#include "base/err.h"

enum {
    PICKLE_VALUES_MAX = 1 << 17,
    PICKLE_STACK_MAX = 1 << 14,
    PICKLE_MEMO_MAX = 1 << 17,
};

enum pickle_kind {
    PICKLE_NONE,
    PICKLE_INT, /* and booleans */
    PICKLE_FLOAT,
    PICKLE_TEXT,
    PICKLE_TUPLE,
    PICKLE_LIST,
    PICKLE_DICT, /* items are key, value, key, value ... */
    PICKLE_GLOBAL,
    PICKLE_STORAGE,
    PICKLE_TENSOR, /* items are the arguments: storage, offset, size, stride ... */
    PICKLE_MARK,
};

/* One value. Items of containers are a list: first, then next_item of each cell. */
struct pickle_value {
    enum pickle_kind kind;
    int64_t number;       /* int; index of a global; elements of a storage */
    struct span text;     /* lent by the input; of a storage: its key */
    const char *dtype;    /* of a storage: "F32" */
    uint32_t first, last; /* cells, 0: none */
    uint32_t n_items;
};

struct pickle_cell {
    uint32_t value, next;
};

struct pickle {
    struct pickle_value *values;
    struct pickle_cell *cells; /* cell 0 is none */
    uint32_t *stack, *memo;    /* memo: 0 none, else 1 + value */
    size_t n_values, n_cells, n_stack, n_memo;
    size_t cap_values, cap_cells, cap_stack;
};

void pickle_init(struct pickle *p);
void pickle_release(struct pickle *p); /* safe on {0}, may run twice */

/* Runs one pickle at the start of `in` (lent while the values are used) up to its STOP. Gives how
 * many bytes it was and the value it leaves. ERR_PERM for anything else. */
MUST_CHECK bool pickle_run(struct pickle *p, struct span in, size_t *out_bytes, uint32_t *out_root,
                           struct err *e);

/* Item i of a container, or NULL. */
const struct pickle_value *pickle_item(const struct pickle *p, const struct pickle_value *of,
                                       uint32_t i);

#endif
