#include "train/pickle.h"

#include "base/mem.h"

#include <string.h>

enum { PROTOCOL_MAX = 2, FIRST_CAP = 1024, NAME_MAX_BYTES = 128 };

enum global_role { ROLE_DICT, ROLE_STORAGE, ROLE_TENSOR, ROLE_PARAMETER };

static const struct {
    const char *module, *name;
    enum global_role role;
    const char *dtype; /* storages */
} globals[] = {
    {"collections", "OrderedDict", ROLE_DICT, NULL},
    {"torch._utils", "_rebuild_tensor", ROLE_TENSOR, NULL},
    {"torch._utils", "_rebuild_tensor_v2", ROLE_TENSOR, NULL},
    {"torch._utils", "_rebuild_parameter", ROLE_PARAMETER, NULL},
    {"torch", "FloatStorage", ROLE_STORAGE, "F32"},
    {"torch", "DoubleStorage", ROLE_STORAGE, "F64"},
    {"torch", "HalfStorage", ROLE_STORAGE, "F16"},
    {"torch", "BFloat16Storage", ROLE_STORAGE, "BF16"},
    {"torch", "LongStorage", ROLE_STORAGE, "I64"},
    {"torch", "IntStorage", ROLE_STORAGE, "I32"},
    {"torch", "ShortStorage", ROLE_STORAGE, "I16"},
    {"torch", "CharStorage", ROLE_STORAGE, "I8"},
    {"torch", "ByteStorage", ROLE_STORAGE, "U8"},
    {"torch", "BoolStorage", ROLE_STORAGE, "BOOL"},
};

/* The machine while it runs. */
struct machine {
    struct pickle *p;
    const uint8_t *start, *at, *end;
    struct err *e;
};

static bool bad(struct machine *m, const char *what)
{
    return err_set(m->e, ERR_PERM, "pickle: %s at byte %zu", what, (size_t)(m->at - m->start));
}

void pickle_init(struct pickle *p)
{
    *p = (struct pickle){.n_cells = 1};
}

void pickle_release(struct pickle *p)
{
    mem_free(p->values);
    mem_free(p->cells);
    mem_free(p->stack);
    mem_free(p->memo);
    *p = (struct pickle){0};
}

const struct pickle_value *pickle_item(const struct pickle *p, const struct pickle_value *of,
                                       uint32_t i)
{
    uint32_t cell = of->first;
    for (; cell != 0 && i > 0; i--)
        cell = p->cells[cell].next;
    return cell == 0 ? NULL : &p->values[p->cells[cell].value];
}

/* ---------------------------------------------------------------- memory, with limits */

static void *grow(void *items, size_t needed, size_t *cap, size_t item_bytes)
{
    if (needed <= *cap)
        return items;
    *cap = size_max(needed, size_max(FIRST_CAP, 2 * *cap));
    return mem_resize(items, *cap, item_bytes);
}

static bool push(struct machine *m, uint32_t value)
{
    struct pickle *p = m->p;
    if (p->n_stack == PICKLE_STACK_MAX)
        return bad(m, "the stack is too deep");
    p->stack = grow(p->stack, p->n_stack + 1, &p->cap_stack, sizeof *p->stack);
    p->stack[p->n_stack++] = value;
    return true;
}

static bool push_new(struct machine *m, const struct pickle_value *v)
{
    struct pickle *p = m->p;
    if (p->n_values == PICKLE_VALUES_MAX)
        return bad(m, "too many values");
    p->values = grow(p->values, p->n_values + 1, &p->cap_values, sizeof *p->values);
    p->values[p->n_values] = *v;
    return push(m, (uint32_t)p->n_values++);
}

static bool push_number(struct machine *m, enum pickle_kind kind, int64_t number)
{
    return push_new(m, &(struct pickle_value){.kind = kind, .number = number});
}

static bool append(struct machine *m, uint32_t container, uint32_t item)
{
    struct pickle *p = m->p;
    if (p->n_cells == PICKLE_VALUES_MAX)
        return bad(m, "too many items");
    p->cells = grow(p->cells, p->n_cells + 1, &p->cap_cells, sizeof *p->cells);
    uint32_t cell = (uint32_t)p->n_cells++;
    p->cells[cell] = (struct pickle_cell){.value = item};
    struct pickle_value *c = &p->values[container];
    if (c->first == 0)
        c->first = cell;
    else
        p->cells[c->last].next = cell;
    c->last = cell;
    c->n_items++;
    return true;
}

/* The topmost `n` are there and none of them is a mark. */
static bool need(struct machine *m, size_t n)
{
    const struct pickle *p = m->p;
    if (p->n_stack < n)
        return bad(m, "the stack is empty");
    for (size_t i = 0; i < n; i++)
        if (p->values[p->stack[p->n_stack - 1 - i]].kind == PICKLE_MARK)
            return bad(m, "a mark where a value should be");
    return true;
}

static bool need_mark(struct machine *m, size_t *out_i)
{
    const struct pickle *p = m->p;
    for (size_t i = p->n_stack; i-- > 0;) {
        if (p->values[p->stack[i]].kind == PICKLE_MARK) {
            *out_i = i;
            return true;
        }
    }
    return bad(m, "no mark on the stack");
}

/* ---------------------------------------------------------------- arguments in the stream */

static bool take(struct machine *m, size_t n, const uint8_t **out)
{
    if ((size_t)(m->end - m->at) < n)
        return bad(m, "it ends too early");
    *out = m->at;
    m->at += n;
    return true;
}

/* Little-endian, up to 8 bytes; signed from the highest bit if wanted. */
static bool take_int(struct machine *m, size_t n, bool is_signed, int64_t *out)
{
    const uint8_t *bytes;
    uint64_t v = 0;
    if (n > 8)
        return bad(m, "a number of more than 8 bytes");
    if (!take(m, n, &bytes))
        return false;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)bytes[i] << (8 * i);
    if (is_signed && n > 0 && n < 8 && bytes[n - 1] >> 7)
        v |= UINT64_MAX << (8 * n);
    *out = (int64_t)v;
    return true;
}

static bool take_text(struct machine *m, size_t length_bytes, struct span *out)
{
    int64_t len;
    const uint8_t *bytes;
    if (!take_int(m, length_bytes, false, &len) || !take(m, (size_t)len, &bytes))
        return false;
    *out = (struct span){bytes, (size_t)len};
    return true;
}

static bool take_line(struct machine *m, char out[NAME_MAX_BYTES])
{
    for (size_t n = 0; m->at < m->end && n < NAME_MAX_BYTES; n++) {
        out[n] = (char)*m->at++;
        if (out[n] == '\n') {
            out[n] = '\0';
            return true;
        }
    }
    return bad(m, "a name that does not end");
}

/* Names are shown in messages: nothing but what Python identifiers have. */
static void show_plain(char *name)
{
    for (; *name != '\0'; name++)
        if (*name < 0x21 || *name > 0x7e)
            *name = '?';
}

static bool do_global(struct machine *m)
{
    char module[NAME_MAX_BYTES], name[NAME_MAX_BYTES];
    if (!take_line(m, module) || !take_line(m, name))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(globals); i++)
        if (strcmp(module, globals[i].module) == 0 && strcmp(name, globals[i].name) == 0)
            return push_number(m, PICKLE_GLOBAL, (int64_t)i);
    show_plain(module);
    show_plain(name);
    return err_set(m->e, ERR_PERM,
                   "pickle: it asks for %.100s.%.100s, which no file of weights needs (nothing was "
                   "run): save model.state_dict() instead",
                   module, name);
}

/* ---------------------------------------------------------------- opcodes */

static bool put_memo(struct machine *m, int64_t i)
{
    struct pickle *p = m->p;
    if (i < 0 || i >= PICKLE_MEMO_MAX)
        return bad(m, "a memo index out of range");
    if (!need(m, 1))
        return false;
    if ((size_t)i >= p->n_memo) {
        size_t n = size_max(size_max((size_t)i + 1, 2 * p->n_memo), FIRST_CAP);
        p->memo = mem_resize(p->memo, n, sizeof *p->memo);
        memset(p->memo + p->n_memo, 0, (n - p->n_memo) * sizeof *p->memo);
        p->n_memo = n;
    }
    p->memo[i] = p->stack[p->n_stack - 1] + 1;
    return true;
}

static bool get_memo(struct machine *m, int64_t i)
{
    const struct pickle *p = m->p;
    if (i < 0 || (size_t)i >= p->n_memo || p->memo[i] == 0)
        return bad(m, "nothing under this memo index");
    return push(m, p->memo[i] - 1);
}

/* The topmost n values become one tuple. */
static bool make_tuple(struct machine *m, size_t n)
{
    struct pickle *p = m->p;
    size_t first = p->n_stack - n;
    if (!push_number(m, PICKLE_TUPLE, 0))
        return false;
    uint32_t tuple = p->stack[p->n_stack - 1];
    for (size_t i = 0; i < n; i++)
        if (!append(m, tuple, p->stack[first + i]))
            return false;
    p->stack[first] = tuple;
    p->n_stack = first + 1;
    return true;
}

/* What lies on the stack from index `first` on goes into the container below it; `below` of them
 * belong to the opcode (a mark). */
static bool fill(struct machine *m, enum pickle_kind kind, size_t first, size_t below)
{
    struct pickle *p = m->p;
    if (first < below + 1)
        return bad(m, "the stack is empty");
    uint32_t container = p->stack[first - below - 1];
    size_t n = p->n_stack - first;
    if (p->values[container].kind != kind || (kind == PICKLE_DICT && n % 2 != 0))
        return bad(m, "items for what cannot hold them");
    for (size_t i = 0; i < n; i++)
        if (!append(m, container, p->stack[first + i]))
            return false;
    p->n_stack = first - below;
    return true;
}

static bool after_mark(struct machine *m, uint8_t op)
{
    size_t mark = 0;
    if (!need_mark(m, &mark))
        return false;
    if (op == 'e' || op == 'u')
        return fill(m, op == 'e' ? PICKLE_LIST : PICKLE_DICT, mark + 1, 1);
    if (!make_tuple(m, m->p->n_stack - mark - 1))
        return false;
    m->p->stack[mark] = m->p->stack[mark + 1];
    m->p->n_stack--;
    return true;
}

/* ('storage', torch.FloatStorage, key, location, elements[, None]) */
static bool do_persistent(struct machine *m)
{
    struct pickle *p = m->p;
    if (!need(m, 1))
        return false;
    const struct pickle_value *t = &p->values[p->stack[p->n_stack - 1]], *part[6] = {0};
    for (uint32_t i = 0; i < 6 && t->kind == PICKLE_TUPLE; i++)
        part[i] = pickle_item(p, t, i);
    bool ok = part[4] != NULL && t->n_items <= 6 && part[0]->kind == PICKLE_TEXT &&
              part[0]->text.len == 7 && memcmp(part[0]->text.ptr, "storage", 7) == 0 &&
              part[1]->kind == PICKLE_GLOBAL && globals[part[1]->number].role == ROLE_STORAGE &&
              part[2]->kind == PICKLE_TEXT && part[4]->kind == PICKLE_INT && part[4]->number >= 0 &&
              (part[5] == NULL || part[5]->kind == PICKLE_NONE);
    if (!ok)
        return bad(m, "a reference that is no storage");
    struct pickle_value storage = {.kind = PICKLE_STORAGE,
                                   .number = part[4]->number,
                                   .text = part[2]->text,
                                   .dtype = globals[part[1]->number].dtype};
    p->n_stack--;
    return push_new(m, &storage);
}

/* OrderedDict([[key, value], ...]), as Python 2 wrote it. */
static bool fill_from_pairs(struct machine *m, uint32_t dict, const struct pickle_value *list)
{
    struct pickle *p = m->p;
    for (uint32_t cell = list->first; cell != 0; cell = p->cells[cell].next) {
        const struct pickle_value *pair = &p->values[p->cells[cell].value];
        if ((pair->kind != PICKLE_LIST && pair->kind != PICKLE_TUPLE) || pair->n_items != 2)
            return bad(m, "a dictionary of what are no pairs");
        uint32_t key = p->cells[pair->first].value, value = p->cells[pair->last].value;
        if (!append(m, dict, key) || !append(m, dict, value))
            return false;
    }
    return true;
}

static bool make_dict(struct machine *m, const struct pickle_value *args)
{
    struct pickle *p = m->p;
    const struct pickle_value *first = pickle_item(p, args, 0);
    if (args->n_items > 1 || (first != NULL && first->kind != PICKLE_LIST))
        return bad(m, "a dictionary made of something else");
    struct pickle_value list = first != NULL ? *first : (struct pickle_value){0};
    p->n_stack -= 2;
    return push_number(m, PICKLE_DICT, 0) && fill_from_pairs(m, p->stack[p->n_stack - 1], &list);
}

/* A call: only of the known names, and it means what the table says. */
static bool do_reduce(struct machine *m)
{
    struct pickle *p = m->p;
    if (!need(m, 2))
        return false;
    const struct pickle_value *args = &p->values[p->stack[p->n_stack - 1]];
    const struct pickle_value *callee = &p->values[p->stack[p->n_stack - 2]];
    if (callee->kind != PICKLE_GLOBAL || args->kind != PICKLE_TUPLE)
        return bad(m, "a call of what cannot be called");
    switch (globals[callee->number].role) {
    case ROLE_DICT:
        return make_dict(m, args);
    case ROLE_TENSOR: {
        struct pickle_value tensor = *args;
        const struct pickle_value *storage = pickle_item(p, args, 0);
        if (args->n_items < 4 || storage->kind != PICKLE_STORAGE)
            return bad(m, "a tensor without a storage");
        tensor.kind = PICKLE_TENSOR;
        p->n_stack -= 2;
        return push_new(m, &tensor);
    }
    case ROLE_PARAMETER: /* (tensor, requires_grad, hooks) */
        if (args->n_items < 1 || pickle_item(p, args, 0)->kind != PICKLE_TENSOR)
            return bad(m, "a parameter without a tensor");
        p->n_stack -= 2;
        return push(m, p->cells[args->first].value);
    case ROLE_STORAGE:
        break;
    }
    return bad(m, "a call of what cannot be called");
}

/* The attributes of an OrderedDict (_metadata of a state_dict) are dropped. */
static bool do_build(struct machine *m)
{
    struct pickle *p = m->p;
    if (!need(m, 2))
        return false;
    if (p->values[p->stack[p->n_stack - 2]].kind != PICKLE_DICT)
        return bad(m, "attributes for what is no dictionary");
    p->n_stack--;
    return true;
}

static bool do_number(struct machine *m, uint8_t op)
{
    int64_t v = 0, n = 0;
    const uint8_t *ignored;
    switch (op) {
    case 'J':
        return take_int(m, 4, true, &v) && push_number(m, PICKLE_INT, v);
    case 'K':
        return take_int(m, 1, false, &v) && push_number(m, PICKLE_INT, v);
    case 'M':
        return take_int(m, 2, false, &v) && push_number(m, PICKLE_INT, v);
    case 0x8a: /* LONG1 */
        return take_int(m, 1, false, &n) && take_int(m, (size_t)n, true, &v) &&
               push_number(m, PICKLE_INT, v);
    default: /* 'G': its value is of no use here */
        return take(m, 8, &ignored) && push_number(m, PICKLE_FLOAT, 0);
    }
}

static bool do_memo(struct machine *m, uint8_t op)
{
    int64_t i;
    if (!take_int(m, op == 'q' || op == 'h' ? 1 : 4, false, &i))
        return false;
    return op == 'q' || op == 'r' ? put_memo(m, i) : get_memo(m, i);
}

static bool do_text(struct machine *m, uint8_t op)
{
    struct pickle_value v = {.kind = PICKLE_TEXT};
    return take_text(m, op == 'U' ? 1 : 4, &v.text) && push_new(m, &v);
}

static bool do_protocol(struct machine *m)
{
    int64_t version;
    if (!take_int(m, 1, false, &version))
        return false;
    return version == PROTOCOL_MAX || bad(m, "a protocol other than 2");
}

/* One opcode; the names are those of Python's pickletools. */
static bool step(struct machine *m, uint8_t op)
{
    switch (op) {
    case 0x80: /* PROTO */
        return do_protocol(m);
    case '(': /* MARK */
        return push_number(m, PICKLE_MARK, 0);
    case 'N': /* NONE */
        return push_number(m, PICKLE_NONE, 0);
    case 0x88: /* NEWTRUE */
    case 0x89: /* NEWFALSE */
        return push_number(m, PICKLE_INT, op == 0x88);
    case 'J': /* BININT, BININT1, BININT2, LONG1, BINFLOAT */
    case 'K':
    case 'M':
    case 0x8a:
    case 'G':
        return do_number(m, op);
    case 'X': /* BINUNICODE, BINSTRING, SHORT_BINSTRING */
    case 'T':
    case 'U':
        return do_text(m, op);
    case ')': /* EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3 */
        return push_number(m, PICKLE_TUPLE, 0);
    case 0x85:
    case 0x86:
    case 0x87:
        return need(m, op - 0x84u) && make_tuple(m, op - 0x84u);
    case ']': /* EMPTY_LIST */
        return push_number(m, PICKLE_LIST, 0);
    case '}': /* EMPTY_DICT */
        return push_number(m, PICKLE_DICT, 0);
    case 't': /* TUPLE, APPENDS, SETITEMS */
    case 'e':
    case 'u':
        return after_mark(m, op);
    case 'a': /* APPEND */
        return need(m, 2) && fill(m, PICKLE_LIST, m->p->n_stack - 1, 0);
    case 's': /* SETITEM */
        return need(m, 3) && fill(m, PICKLE_DICT, m->p->n_stack - 2, 0);
    case 'q': /* BINPUT, LONG_BINPUT, BINGET, LONG_BINGET */
    case 'r':
    case 'h':
    case 'j':
        return do_memo(m, op);
    case 'c': /* GLOBAL */
        return do_global(m);
    case 'R': /* REDUCE */
        return do_reduce(m);
    case 'Q': /* BINPERSID */
        return do_persistent(m);
    case 'b': /* BUILD */
        return do_build(m);
    default:
        return err_set(m->e, ERR_PERM, "pickle: opcode 0x%02x at byte %zu is not allowed here", op,
                       (size_t)(m->at - m->start) - 1);
    }
}

bool pickle_run(struct pickle *p, struct span in, size_t *out_bytes, uint32_t *out_root,
                struct err *e)
{
    const uint8_t *start = in.ptr;
    struct machine m = {p, start, start, start + in.len, e};
    p->n_stack = 0;
    for (;;) {
        const uint8_t *op;
        if (!take(&m, 1, &op))
            return false;
        if (*op == '.')
            break;
        if (!step(&m, *op))
            return false;
    }
    if (!need(&m, 1))
        return false;
    if (p->n_stack != 1)
        return bad(&m, "more than one value is left");
    *out_bytes = (size_t)(m.at - m.start);
    *out_root = p->stack[0];
    return true;
}
