#include "train/weights.h"

#include "base/file.h"
#include "base/hash.h"
#include "train/pth.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { RGB = 3 };

static void list_add(struct name_list *l, const char *name)
{
    size_t used = strlen(l->text);
    l->n++;
    if (used + strlen(name) + sizeof ", , ..." <= sizeof l->text)
        snprintf(l->text + used, sizeof l->text - used, "%s%s", used > 0 ? ", " : "", name);
    else if (used < 3 || strcmp(l->text + used - 3, "...") != 0)
        snprintf(l->text + used, sizeof l->text - used, ", ...");
}

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static bool ends_with(const char *text, const char *end)
{
    size_t a = strlen(text), b = strlen(end);
    return a >= b && strcmp(text + a - b, end) == 0;
}

/* ---------------------------------------------------------------- values */

/* IEEE 754 binary16: value = fraction * 2^-24, or (1024 + fraction) * 2^(exponent - 25). */
static float from_f16(uint16_t bits)
{
    int exponent = bits >> 10 & 0x1f, fraction = bits & 0x3ff;
    float magnitude = exponent == 0    ? ldexpf((float)fraction, -24)
                      : exponent == 31 ? (fraction == 0 ? INFINITY : NAN)
                                       : ldexpf((float)(1024 + fraction), exponent - 25);
    return bits >> 15 ? -magnitude : magnitude;
}

enum value_type { VALUE_F32, VALUE_F64, VALUE_F16, VALUE_BF16, VALUE_OTHER };

static enum value_type type_of(const struct safetensor *t)
{
    static const char *const names[] = {"F32", "F64", "F16", "BF16"};
    for (int i = 0; i < VALUE_OTHER; i++)
        if (strcmp(t->dtype, names[i]) == 0)
            return (enum value_type)i;
    return VALUE_OTHER;
}

/* Value i of a tensor; its bytes need not be aligned. */
static float value_at(const struct safetensor *t, enum value_type type, size_t i)
{
    const uint8_t *bytes = t->bytes;
    float f = 0.0f;
    double d;
    uint16_t half;
    uint32_t word;
    switch (type) {
    case VALUE_F32:
        memcpy(&f, bytes + 4 * i, 4);
        return f;
    case VALUE_F64:
        memcpy(&d, bytes + 8 * i, 8);
        return (float)d;
    case VALUE_F16:
        memcpy(&half, bytes + 2 * i, 2);
        return from_f16(half);
    case VALUE_BF16:
        memcpy(&half, bytes + 2 * i, 2);
        word = (uint32_t)half << 16;
        memcpy(&f, &word, 4);
        return f;
    case VALUE_OTHER:
        break;
    }
    return NAN;
}

/* ---------------------------------------------------------------- one tensor */

static bool same_shape(const struct param *p, const struct safetensor *t, uint64_t channels)
{
    if (t->n_dims != p->n_dims)
        return false;
    for (uint32_t i = 0; i < p->n_dims; i++)
        if (t->dims[i] != (i == 1 ? channels * (uint64_t)p->dims[i] : (uint64_t)p->dims[i]))
            return false;
    return true;
}

/* The file's channels for each of ours: 1, 3 where RGB is to be summed, 0 where it does not fit. */
static size_t channels_of(const struct param *p, const struct safetensor *t)
{
    if (same_shape(p, t, 1))
        return 1;
    bool is_stem = strcmp(p->name, "conv1.weight") == 0 && p->dims[1] == 1;
    return is_stem && same_shape(p, t, RGB) ? RGB : 0;
}

static bool copy_values(const struct param *p, const struct safetensor *t, size_t channels,
                        float *out, struct err *e)
{
    enum value_type type = type_of(t);
    if (type == VALUE_OTHER)
        return err_set(e, ERR_PERM, "tensor %s is of type %s: F32, F64, F16 or BF16 expected",
                       p->name, t->dtype);
    size_t area = p->n_dims == 4 ? (size_t)p->dims[2] * (size_t)p->dims[3] : p->count;
    bool is_variance = ends_with(p->name, "running_var");
    for (size_t i = 0; i < p->count; i++) {
        float sum = 0.0f; /* conv1 is [out][channel][kh][kw] */
        for (size_t c = 0; c < channels; c++)
            sum += value_at(t, type, (i / area * channels + c) * area + i % area);
        if (!isfinite(sum) || (is_variance && sum < 0.0f))
            return err_set(e, ERR_PERM, "tensor %s: value %zu is %s", p->name, i,
                           isfinite(sum) ? "a variance below 0" : "not a finite number");
        out[i] = sum;
    }
    return true;
}

/* ---------------------------------------------------------------- all */

/* What our own checkpoints have beside the network. */
static bool is_ours(const char *name)
{
    return starts_with(name, "input.") || starts_with(name, "adam.") ||
           strcmp(name, "history") == 0;
}

static void list_surplus(const struct safetensors *st, const struct params *p, const char *prefix,
                         struct name_list *out)
{
    for (size_t i = 0; i < st->n_tensors; i++) {
        const char *name = st->tensors[i].name;
        const char *bare = starts_with(name, prefix) ? name + strlen(prefix) : name;
        if (params_find(p, bare) == NULL && !is_ours(name) &&
            !ends_with(name, "num_batches_tracked"))
            list_add(out, name);
    }
}

/* DistributedDataParallel saves its tensors as module.NAME. */
static const char *prefix_of(const struct safetensors *st)
{
    static const char prefix[] = "module.";
    for (size_t i = 0; i < st->n_tensors; i++)
        if (!starts_with(st->tensors[i].name, prefix))
            return "";
    return prefix;
}

bool weights_apply(const struct safetensors *st, struct params *into, struct weights_report *out,
                   struct err *e)
{
    struct name_list missing = {0}, misshaped = {0};
    const char *prefix = prefix_of(st);
    size_t n_wanted = 0;
    *out = (struct weights_report){0};
    list_surplus(st, into, prefix, &out->surplus);
    for (size_t i = 0; i < into->n; i++) {
        const struct param *p = &into->items[i];
        char name[SAFETENSORS_NAME_BYTES];
        snprintf(name, sizeof name, "%s%s", prefix, p->name);
        const struct safetensor *t = safetensors_find(st, name);
        bool is_head = starts_with(p->name, "fc.");
        size_t channels = t == NULL ? 0 : channels_of(p, t);
        n_wanted += !is_head;
        if (channels == 0) {
            list_add(is_head ? &out->kept : t == NULL ? &missing : &misshaped, p->name);
            continue;
        }
        if (!copy_values(p, t, channels, into->value + p->offset, e))
            return false;
        out->summed = out->summed || channels == RGB;
        out->n_loaded++;
    }
    if (missing.n + misshaped.n > 0)
        return err_set(e, ERR_PERM,
                       "of another network: of %zu tensors needed %zu are missing (%.80s) and "
                       "%zu have another shape (%.80s); it has %zu others (%.80s)",
                       n_wanted, missing.n, missing.text, misshaped.n, misshaped.text,
                       out->surplus.n, out->surplus.text);
    return true;
}

static bool read_tensors(struct span file, struct safetensors *st, struct pth *pth, struct err *e)
{
    if (!pth_is_one(file))
        return safetensors_parse(file, st, e);
    if (!pth_parse(file, pth, e))
        return false;
    *st = pth->tensors; /* stays the other's */
    return true;
}

bool weights_load(const char *path, struct params *into, struct weights_report *out, struct err *e)
{
    struct safetensors st = {0};
    struct pth pth = {0};
    struct buf file;
    buf_init(&file, WEIGHTS_FILE_MAX_BYTES);
    bool ok = file_read_all(path, &file, e);
    if (ok) {
        ok = (read_tensors(buf_span(&file), &st, &pth, e) && weights_apply(&st, into, out, e)) ||
             err_wrap(e, "%s", path);
        out->hash = hash64(file.data, file.len, 0);
    }
    if (st.tensors != pth.tensors.tensors)
        safetensors_release(&st);
    pth_release(&pth);
    buf_release(&file);
    return ok;
}
