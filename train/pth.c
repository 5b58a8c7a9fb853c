#include "train/pth.h"

#include "base/mem.h"
#include "train/pickle.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

enum {
    ZIP_MEMBERS_MAX = 8192,
    ZIP_END_BYTES = 22,
    ZIP_COMMENT_MAX_BYTES = 65535,
    ZIP_CENTRAL_BYTES = 46,
    ZIP_LOCAL_BYTES = 30,
    KEY_MAX_BYTES = 64,
    LEGACY_PROTOCOL = 1001,
};

/* PROTO 2, LONG1 of 10 bytes: 0x1950a86a20f9469cfc6c, STOP. */
static const uint8_t legacy_magic[] = {0x80, 2,    0x8a, 10,   0x6c, 0xfc, 0x9c, 0x46,
                                       0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};
static const char zip_magic[] = "PK\3\4";

/* Where the bytes of a storage lie. */
struct member {
    struct span key; /* zip: the member's name; legacy: the storage's key */
    struct span bytes;
    uint32_t crc;
    bool is_checked;
};

struct archive {
    struct span file;
    bool is_zip;
    struct span prefix; /* zip: of all names, with its '/' */
    struct member *members;
    size_t n_members;
};

static uint16_t get_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)get_u16(at) | (uint32_t)get_u16(at + 2) << 16;
}

static bool span_is(struct span s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.ptr, text, s.len) == 0;
}

static bool span_same(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* ---------------------------------------------------------------- zip */

static bool find_zip_end(struct span file, size_t *out)
{
    const uint8_t *bytes = file.ptr;
    for (size_t back = ZIP_END_BYTES; back <= file.len; back++) {
        if (back > ZIP_END_BYTES + ZIP_COMMENT_MAX_BYTES)
            return false;
        if (memcmp(bytes + file.len - back, "PK\5\6", 4) == 0) {
            *out = file.len - back;
            return true;
        }
    }
    return false;
}

/* One entry of the central directory at *at, and its data by the local header. */
static bool read_member(struct span file, size_t *at, struct member *out, struct err *e)
{
    const uint8_t *bytes = file.ptr, *h = bytes + *at;
    if (file.len - *at < ZIP_CENTRAL_BYTES || memcmp(h, "PK\1\2", 4) != 0)
        return err_set(e, ERR_PERM, "zip: no directory entry at byte %zu", *at);
    size_t flags = get_u16(h + 8), method = get_u16(h + 10);
    size_t packed = get_u32(h + 20), size = get_u32(h + 24), local = get_u32(h + 42);
    size_t name_len = get_u16(h + 28), extra_len = get_u16(h + 30), note_len = get_u16(h + 32);
    if (file.len - *at - ZIP_CENTRAL_BYTES < name_len + extra_len + note_len)
        return err_set(e, ERR_PERM, "zip: the directory is cut off");
    if (method != 0 || packed != size || (flags & 1) != 0)
        return err_set(e, ERR_PERM, "zip: the entry at byte %zu is packed; PyTorch stores only",
                       *at);
    if (local > file.len || file.len - local < ZIP_LOCAL_BYTES ||
        memcmp(bytes + local, zip_magic, 4) != 0)
        return err_set(e, ERR_PERM, "zip: no member at byte %zu", local);
    size_t skip = (size_t)ZIP_LOCAL_BYTES + get_u16(bytes + local + 26);
    skip += get_u16(bytes + local + 28);
    if (skip > file.len - local || size > file.len - local - skip)
        return err_set(e, ERR_PERM, "zip: the member at byte %zu says %zu bytes and is cut off",
                       local, size);
    *out = (struct member){.key = {h + ZIP_CENTRAL_BYTES, name_len},
                           .bytes = {bytes + local + skip, size},
                           .crc = get_u32(h + 16)};
    *at += ZIP_CENTRAL_BYTES + name_len + extra_len + note_len;
    return true;
}

static bool open_zip(struct archive *a, struct err *e)
{
    static const char pickle_name[] = "/data.pkl";
    size_t end, tail = sizeof pickle_name - 1;
    if (!find_zip_end(a->file, &end))
        return err_set(e, ERR_PERM, "zip: no directory: the file is cut off");
    const uint8_t *h = (const uint8_t *)a->file.ptr + end;
    size_t n = get_u16(h + 10), at = get_u32(h + 16);
    if (n > ZIP_MEMBERS_MAX || at > end)
        return err_set(e, ERR_PERM,
                       "zip: a directory of %zu members at byte %zu: at most %d, before byte %zu",
                       n, at, ZIP_MEMBERS_MAX, end);
    a->members = mem_zalloc(size_max(n, 1), sizeof *a->members);
    for (; a->n_members < n; a->n_members++) {
        struct member *m = &a->members[a->n_members];
        if (!read_member(a->file, &at, m, e))
            return false;
        const char *name = m->key.ptr;
        if (m->key.len > tail && memcmp(name + m->key.len - tail, pickle_name, tail) == 0)
            a->prefix = (struct span){name, m->key.len - tail + 1};
    }
    if (a->prefix.ptr == NULL)
        return err_set(e, ERR_PERM, "zip: no data.pkl in it: not a file of PyTorch");
    return true;
}

/* ---------------------------------------------------------------- storages */

static struct member *find_member(struct archive *a, struct span key)
{
    for (size_t i = 0; i < a->n_members; i++)
        if (span_same(a->members[i].key, key))
            return &a->members[i];
    return NULL;
}

/* The bytes of PREFIX + path; CRC checked once. */
static bool zip_bytes(struct archive *a, const char *folder, struct span key, struct span *out,
                      struct err *e)
{
    const struct span parts[] = {a->prefix, {folder, strlen(folder)}, key};
    char name[1024];
    size_t len = 0;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (parts[i].len > sizeof name - len)
            return err_set(e, ERR_PERM, "zip: a name of more than %zu bytes", sizeof name);
        memcpy(name + len, parts[i].ptr, parts[i].len);
        len += parts[i].len;
    }
    struct member *m = find_member(a, (struct span){name, len});
    if (m == NULL)
        return err_set(e, ERR_PERM, "zip: a storage is missing");
    if (!m->is_checked && crc32_z(0, m->bytes.ptr, m->bytes.len) != m->crc)
        return err_set(e, ERR_PERM, "zip: a member of %zu bytes is damaged: its CRC differs",
                       m->bytes.len);
    m->is_checked = true;
    *out = m->bytes;
    return true;
}

static bool storage_bytes(struct archive *a, const struct pickle_value *storage, struct span *out,
                          struct err *e)
{
    size_t value_bytes = safetensors_dtype_bytes(storage->dtype);
    if (storage->text.len > KEY_MAX_BYTES)
        return err_set(e, ERR_PERM, "a storage's key of %zu bytes", storage->text.len);
    if (a->is_zip) {
        if (!zip_bytes(a, "data/", storage->text, out, e))
            return false;
    } else {
        const struct member *m = find_member(a, storage->text);
        if (m == NULL)
            return err_set(e, ERR_PERM, "a storage is missing");
        *out = m->bytes;
    }
    if ((uint64_t)storage->number > out->len / value_bytes)
        return err_set(e, ERR_PERM, "a storage says %" PRId64 " values of %s and has %zu bytes",
                       storage->number, storage->dtype, out->len);
    out->len = (size_t)storage->number * value_bytes;
    return true;
}

/* ---------------------------------------------------------------- tensors */

static bool read_dims(const struct pickle *p, const struct pickle_value *tuple, uint64_t *out,
                      uint32_t *n)
{
    if (tuple == NULL || tuple->kind != PICKLE_TUPLE || tuple->n_items > SAFETENSORS_DIMS_MAX)
        return false;
    *n = 0;
    for (uint32_t cell = tuple->first; cell != 0; cell = p->cells[cell].next) {
        const struct pickle_value *v = &p->values[p->cells[cell].value];
        if (v->kind != PICKLE_INT || v->number < 0)
            return false;
        out[(*n)++] = (uint64_t)v->number;
    }
    return true;
}

/* A view into a storage, in values. */
struct view {
    uint32_t n_dims;
    uint64_t dims[SAFETENSORS_DIMS_MAX], strides[SAFETENSORS_DIMS_MAX];
    uint64_t offset, count;
    bool is_contiguous;
};

static bool read_view(const struct pickle *p, const struct pickle_value *t, uint64_t n_storage,
                      struct view *v)
{
    const struct pickle_value *offset = pickle_item(p, t, 1);
    uint32_t n_strides;
    if (offset == NULL || offset->kind != PICKLE_INT || offset->number < 0 ||
        !read_dims(p, pickle_item(p, t, 2), v->dims, &v->n_dims) ||
        !read_dims(p, pickle_item(p, t, 3), v->strides, &n_strides) || n_strides != v->n_dims)
        return false;
    v->offset = (uint64_t)offset->number;
    v->count = 1;
    v->is_contiguous = true;
    uint64_t last = v->offset, reach;
    for (uint32_t i = v->n_dims; i-- > 0;) {
        v->is_contiguous = v->is_contiguous && (v->dims[i] <= 1 || v->strides[i] == v->count);
        if (__builtin_mul_overflow(v->count, v->dims[i], &v->count))
            return false;
        if (v->dims[i] > 0 && (__builtin_mul_overflow(v->dims[i] - 1, v->strides[i], &reach) ||
                               __builtin_add_overflow(last, reach, &last)))
            return false;
    }
    /* count above the storage: an expanded tensor, which no file of weights has */
    return v->count == 0 || (last < n_storage && v->count <= n_storage);
}

static void *copy_view(struct pth *out, const struct view *v, const uint8_t *storage, size_t size)
{
    uint8_t *copy = mem_alloc(size_max((size_t)v->count, 1), size);
    if (out->n_copies == out->cap_copies) {
        out->cap_copies = size_max(16, 2 * out->cap_copies);
        out->copies = mem_resize(out->copies, out->cap_copies, sizeof *out->copies);
    }
    out->copies[out->n_copies++] = copy;
    for (uint64_t i = 0; i < v->count; i++) {
        uint64_t at = v->offset, rest = i;
        for (uint32_t d = v->n_dims; d-- > 0; rest /= v->dims[d])
            at += rest % v->dims[d] * v->strides[d];
        memcpy(copy + i * size, storage + at * size, size);
    }
    return copy;
}

static bool add_tensor(struct pth *out, struct archive *a, const struct pickle *p, const char *name,
                       const struct pickle_value *t, struct err *e)
{
    const struct pickle_value *storage = pickle_item(p, t, 0);
    struct span bytes;
    struct view v = {0};
    if (!storage_bytes(a, storage, &bytes, e))
        return false;
    size_t size = safetensors_dtype_bytes(storage->dtype);
    if (!read_view(p, t, bytes.len / size, &v))
        return err_set(e, ERR_PERM, "its shape does not fit its storage of %zu bytes", bytes.len);
    const uint8_t *data = bytes.ptr;
    if (v.count > 0 && v.is_contiguous) {
        data += v.offset * size;
    } else if (v.count > 0) {
        out->copies_bytes += (size_t)v.count * size;
        if (out->copies_bytes > PTH_COPIES_MAX_BYTES)
            return err_set(e, ERR_PERM, "more than %zu bytes of tensors that are views",
                           PTH_COPIES_MAX_BYTES);
        data = copy_view(out, &v, data, size);
    }
    safetensors_add(&out->tensors, name, storage->dtype, v.dims, v.n_dims, data);
    return true;
}

static bool add_tensors(struct pth *out, struct archive *a, const struct pickle *p,
                        const struct pickle_value *dict, struct err *e)
{
    for (uint32_t cell = dict->first; cell != 0;) {
        const struct pickle_value *key = &p->values[p->cells[cell].value];
        uint32_t value_cell = p->cells[cell].next;
        const struct pickle_value *value = &p->values[p->cells[value_cell].value];
        cell = p->cells[value_cell].next;
        if (value->kind != PICKLE_TENSOR || key->kind != PICKLE_TEXT)
            continue;
        char name[SAFETENSORS_NAME_BYTES];
        if (key->text.len == 0 || key->text.len >= sizeof name ||
            memchr(key->text.ptr, '\0', key->text.len) != NULL)
            return err_set(e, ERR_PERM, "a tensor's name of %zu bytes", key->text.len);
        memcpy(name, key->text.ptr, key->text.len);
        name[key->text.len] = '\0';
        if (safetensors_find(&out->tensors, name) != NULL ||
            out->tensors.n_tensors == SAFETENSORS_TENSORS_MAX)
            return err_set(e, ERR_PERM, "tensor \"%.80s\" is there twice, or one too many (%d)",
                           name, SAFETENSORS_TENSORS_MAX);
        if (!add_tensor(out, a, p, name, value, e))
            return err_wrap(e, "tensor \"%.80s\"", name);
    }
    return true;
}

/* The dictionary with the tensors: the root, or what a checkpoint calls its model. */
static const struct pickle_value *find_state(const struct pickle *p, uint32_t root)
{
    static const char *const names[] = {"state_dict", "model_state_dict", "model"};
    const struct pickle_value *dict = &p->values[root];
    if (dict->kind != PICKLE_DICT)
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        for (uint32_t cell = dict->first; cell != 0;) {
            uint32_t value_cell = p->cells[cell].next;
            const struct pickle_value *value = &p->values[p->cells[value_cell].value];
            const struct pickle_value *key = &p->values[p->cells[cell].value];
            if (key->kind == PICKLE_TEXT && span_is(key->text, names[i]) &&
                value->kind == PICKLE_DICT)
                return value;
            cell = p->cells[value_cell].next;
        }
    }
    return dict;
}

static bool extract(struct pth *out, struct archive *a, const struct pickle *p, uint32_t root,
                    struct err *e)
{
    const struct pickle_value *state = find_state(p, root);
    if (state == NULL || !add_tensors(out, a, p, state, e))
        return state != NULL ? false : err_set(e, ERR_PERM, "it holds no dictionary of tensors");
    return out->tensors.n_tensors > 0 || err_set(e, ERR_PERM, "it holds no dictionary of tensors");
}

/* ---------------------------------------------------------------- the two layouts */

static bool parse_zip(struct pth *out, struct archive *a, struct pickle *p, struct err *e)
{
    struct span order, bytes;
    size_t used;
    uint32_t root;
    struct err ignored = {0}; /* files before 2.1 do not say their byte order */
    if (!open_zip(a, e))
        return false;
    if (zip_bytes(a, "", (struct span){"byteorder", 9}, &order, &ignored) &&
        !span_is(order, "little"))
        return err_set(e, ERR_PERM, "its byte order is not little-endian");
    return zip_bytes(a, "", (struct span){"data.pkl", 8}, &bytes, e) &&
           pickle_run(p, bytes, &used, &root, e) && extract(out, a, p, root, e);
}

/* Of the storage with this key among the tensors, in bytes; 0: no tensor uses it. */
static size_t value_bytes_of(const struct pickle *p, struct span key)
{
    for (size_t i = 0; i < p->n_values; i++)
        if (p->values[i].kind == PICKLE_STORAGE && span_same(p->values[i].text, key))
            return safetensors_dtype_bytes(p->values[i].dtype);
    return 0;
}

/* The storages behind the pickles, in the order of the list of keys. */
static bool read_legacy_storages(struct archive *a, const struct pickle *p,
                                 const struct pickle *keys, uint32_t root, struct span rest,
                                 struct err *e)
{
    const struct pickle_value *list = &keys->values[root];
    const uint8_t *at = rest.ptr;
    size_t left = rest.len;
    if (list->kind != PICKLE_LIST || list->n_items > ZIP_MEMBERS_MAX)
        return err_set(e, ERR_PERM, "no list of storages, or more than %d", ZIP_MEMBERS_MAX);
    a->members = mem_zalloc(size_max(list->n_items, 1), sizeof *a->members);
    for (uint32_t cell = list->first; cell != 0; cell = keys->cells[cell].next) {
        const struct pickle_value *key = &keys->values[keys->cells[cell].value];
        size_t value_bytes = key->kind == PICKLE_TEXT ? value_bytes_of(p, key->text) : 0;
        uint64_t n = 0;
        if (value_bytes == 0)
            return err_set(e, ERR_PERM, "a storage that no tensor uses");
        if (left < sizeof n)
            return err_set(e, ERR_PERM, "the file is cut off before a storage");
        memcpy(&n, at, sizeof n);
        at += sizeof n;
        left -= sizeof n;
        if (n > left / value_bytes)
            return err_set(e, ERR_PERM,
                           "a storage says %" PRIu64 " values of %zu bytes, %zu bytes are left", n,
                           value_bytes, left);
        a->members[a->n_members++] =
            (struct member){.key = key->text, .bytes = {at, (size_t)n * value_bytes}};
        at += n * value_bytes;
        left -= (size_t)n * value_bytes;
    }
    return true;
}

static bool next_pickle(struct pickle *p, struct span *rest, uint32_t *root, struct err *e)
{
    size_t used;
    if (!pickle_run(p, *rest, &used, root, e))
        return false;
    *rest = (struct span){(const uint8_t *)rest->ptr + used, rest->len - used};
    return true;
}

static bool parse_legacy(struct pth *out, struct archive *a, struct pickle *p, struct err *e)
{
    size_t skip = sizeof legacy_magic;
    struct span rest = {(const uint8_t *)a->file.ptr + skip, a->file.len - skip};
    struct pickle head, keys;
    uint32_t root, keys_root;
    pickle_init(&head);
    pickle_init(&keys);
    bool ok = next_pickle(&head, &rest, &root, e);
    if (ok && (head.values[root].kind != PICKLE_INT || head.values[root].number != LEGACY_PROTOCOL))
        ok = err_set(e, ERR_PERM, "its protocol is not %d", LEGACY_PROTOCOL);
    ok = ok && next_pickle(&head, &rest, &root, e) && /* sizes of C types: of no use */
         next_pickle(p, &rest, &root, e) && next_pickle(&keys, &rest, &keys_root, e) &&
         read_legacy_storages(a, p, &keys, keys_root, rest, e) && extract(out, a, p, root, e);
    pickle_release(&head);
    pickle_release(&keys);
    return ok;
}

/* ---------------------------------------------------------------- all */

static bool is_legacy(struct span file)
{
    return file.len >= sizeof legacy_magic &&
           memcmp(file.ptr, legacy_magic, sizeof legacy_magic) == 0;
}

static bool is_zip(struct span file)
{
    return file.len >= 4 && memcmp(file.ptr, zip_magic, 4) == 0;
}

bool pth_is_one(struct span file)
{
    return is_zip(file) || is_legacy(file);
}

void pth_release(struct pth *p)
{
    safetensors_release(&p->tensors);
    for (size_t i = 0; i < p->n_copies; i++)
        mem_free(p->copies[i]);
    mem_free(p->copies);
    *p = (struct pth){0};
}

bool pth_parse(struct span file, struct pth *out, struct err *e)
{
    struct archive a = {.file = file, .is_zip = is_zip(file)};
    struct pickle p;
    *out = (struct pth){0};
    safetensors_init(&out->tensors);
    pickle_init(&p);
    bool ok = false;
    if (a.is_zip)
        ok = parse_zip(out, &a, &p, e);
    else if (is_legacy(file))
        ok = parse_legacy(out, &a, &p, e);
    else
        err_set(e, ERR_PERM, "not a file of PyTorch");
    mem_free(a.members);
    pickle_release(&p);
    return ok;
}
