#include "train/checkpoint.h"

#include "base/mem.h"
#include "train/safetensors.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char FORMAT[] = "refrain-model-2";

/* ---------------------------------------------------------------- notes as a table */

/* One row a field: it writes, reads and compares it. Hexadecimal floats are exact. */
enum field_type { FIELD_U64, FIELD_HEX, FIELD_F64, FIELD_TEXT, FIELD_I32 };

struct field {
    const char *key;
    enum field_type type;
    size_t offset, size;
    bool must_match; /* to go on from a checkpoint */
};

#define RECIPE(key, type, member, must_match)                                                      \
    {                                                                                              \
        key, type, offsetof(struct recipe, member), sizeof(((struct recipe *)NULL)->member),       \
            must_match                                                                             \
    }
static const struct field recipe_fields[] = {
    RECIPE("model", FIELD_TEXT, model.name, true),
    RECIPE("n_frames", FIELD_I32, model.n_frames, true),
    RECIPE("n_mels", FIELD_I32, model.n_mels, true),
    RECIPE("dropout", FIELD_F64, model.dropout, true),
    RECIPE("unfreeze", FIELD_TEXT, model.unfreeze, true),
    RECIPE("feature_spec", FIELD_HEX, spec_hash, true),
    RECIPE("store_root", FIELD_HEX, root, true),
    RECIPE("seed", FIELD_U64, seed, true),
    RECIPE("batch", FIELD_U64, batch, true),
    RECIPE("steps_per_epoch", FIELD_U64, steps_per_epoch, true),
    RECIPE("threads", FIELD_U64, threads, false),
    RECIPE("learning_rate", FIELD_F64, learning_rate, true),
    RECIPE("weight_decay", FIELD_F64, weight_decay, true),
    RECIPE("margin", FIELD_F64, margin, true),
    RECIPE("validation_share", FIELD_F64, validation_share, true),
    RECIPE("version_share", FIELD_F64, version_share, true),
    RECIPE("loss", FIELD_TEXT, loss, true),
    RECIPE("negatives", FIELD_TEXT, negatives, true),
    RECIPE("temperature", FIELD_F64, temperature, true),
    RECIPE("precision", FIELD_TEXT, precision, true),
    RECIPE("optimizer", FIELD_TEXT, optimizer, true),
    RECIPE("schedule", FIELD_TEXT, schedule, true),
    RECIPE("warmup_steps", FIELD_U64, warmup_steps, true),
    RECIPE("schedule_steps", FIELD_U64, schedule_steps, true),
    RECIPE("gradient_clip", FIELD_F64, gradient_clip, true),
    RECIPE("accumulate", FIELD_U64, accumulate, true),
    RECIPE("jitter", FIELD_U64, jitter, true),
    RECIPE("cached", FIELD_U64, cached, true),
    RECIPE("weights_path", FIELD_TEXT, weights_path, false),
    RECIPE("weights_hash", FIELD_HEX, weights_hash, false),
    RECIPE("groups_path", FIELD_TEXT, groups_path, false),
    RECIPE("groups_hash", FIELD_HEX, groups_hash, true),
    RECIPE("n_train_clips", FIELD_U64, n_train_clips, true),
    RECIPE("n_validation_clips", FIELD_U64, n_validation_clips, true),
};

#define POSITION(key, type, member)                                                                \
    {                                                                                              \
        key, type, offsetof(struct position, member), sizeof(((struct position *)NULL)->member),   \
            false                                                                                  \
    }
static const struct field position_fields[] = {
    POSITION("epoch", FIELD_U64, epoch),
    POSITION("step", FIELD_U64, step),
    POSITION("n_triplets", FIELD_U64, n_triplets),
    POSITION("loss_sum", FIELD_F64, loss_sum),
    POSITION("active_sum", FIELD_F64, active_sum),
    POSITION("positive_sum", FIELD_F64, positive_sum),
    POSITION("negative_sum", FIELD_F64, negative_sum),
    POSITION("norm_sum", FIELD_F64, norm_sum),
    POSITION("best_loss", FIELD_F64, best_loss),
    POSITION("best_epoch", FIELD_U64, best_epoch),
    POSITION("seconds", FIELD_F64, seconds),
};

static void field_text(const struct field *f, const void *base, char *out, size_t cap)
{
    const void *at = (const uint8_t *)base + f->offset;
    switch (f->type) {
    case FIELD_U64:
        snprintf(out, cap, "%" PRIu64, *(const uint64_t *)at);
        break;
    case FIELD_HEX:
        snprintf(out, cap, "%016" PRIx64, *(const uint64_t *)at);
        break;
    case FIELD_F64:
        snprintf(out, cap, "%a", *(const double *)at);
        break;
    case FIELD_I32:
        snprintf(out, cap, "%d", *(const int32_t *)at);
        break;
    case FIELD_TEXT:
        snprintf(out, cap, "%s", (const char *)at);
        break;
    }
}

static bool field_parse(const struct field *f, const char *text, void *base)
{
    void *at = (uint8_t *)base + f->offset;
    char *end = NULL;
    if (f->type == FIELD_TEXT) {
        if (strlen(text) >= f->size)
            return false;
        memcpy(at, text, strlen(text) + 1);
        return true;
    }
    if (*text == '\0')
        return false;
    if (f->type == FIELD_F64) {
        *(double *)at = strtod(text, &end);
    } else if (f->type == FIELD_I32) {
        long value = strtol(text, &end, 10);
        if (value < 0 || value > INT32_MAX)
            return false;
        *(int32_t *)at = (int32_t)value;
    } else {
        *(uint64_t *)at = strtoull(text, &end, f->type == FIELD_HEX ? 16 : 10);
    }
    return *end == '\0';
}

static void add_fields(struct safetensors *st, const struct field *fields, size_t n,
                       const void *base)
{
    for (size_t i = 0; i < n; i++) {
        char text[SAFETENSORS_NOTE_BYTES];
        field_text(&fields[i], base, text, sizeof text);
        safetensors_add_note(st, fields[i].key, "%s", text);
    }
}

static bool read_fields(const struct safetensors *st, const struct field *fields, size_t n,
                        void *base, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        const char *text = safetensors_note(st, fields[i].key);
        if (text == NULL)
            return err_set(e, ERR_PERM, "__metadata__ lacks %s", fields[i].key);
        if (!field_parse(&fields[i], text, base))
            return err_set(e, ERR_PERM, "__metadata__ has %s = \"%.80s\", which cannot be",
                           fields[i].key, text);
    }
    return true;
}

bool recipe_same(const struct recipe *saved, const struct recipe *now, struct err *e)
{
    for (size_t i = 0; i < ARRAY_LEN(recipe_fields); i++) {
        const struct field *f = &recipe_fields[i];
        char a[SAFETENSORS_NOTE_BYTES], b[SAFETENSORS_NOTE_BYTES];
        field_text(f, saved, a, sizeof a);
        field_text(f, now, b, sizeof b);
        if (f->must_match && strcmp(a, b) != 0)
            return err_set(e, ERR_USAGE,
                           "cannot go on from the checkpoint: its %s is %.80s, now it is %.80s",
                           f->key, a, b);
    }
    return true;
}

/* ---------------------------------------------------------------- writing */

static void add_param(struct safetensors *st, const char *prefix, const struct param *p,
                      const float *values)
{
    char name[SAFETENSORS_NAME_BYTES];
    uint64_t dims[4];
    for (uint32_t i = 0; i < p->n_dims; i++)
        dims[i] = (uint64_t)p->dims[i];
    snprintf(name, sizeof name, "%s%s", prefix, p->name);
    safetensors_add(st, name, "F32", dims, p->n_dims, values + p->offset);
}

/* "layer1.0.bn1.running_mean" to "layer1.0.bn1.num_batches_tracked"; false for what is no running
 * mean. PyTorch's batch norms have this counter; ours hang it on the running mean. */
static bool counter_name(const struct param *p, char out[SAFETENSORS_NAME_BYTES])
{
    static const char mean[] = "running_mean";
    size_t len = strlen(p->name), tail = sizeof mean - 1;
    if (len <= tail || strcmp(p->name + len - tail, mean) != 0)
        return false;
    snprintf(out, SAFETENSORS_NAME_BYTES, "%.*snum_batches_tracked", (int)(len - tail), p->name);
    return true;
}

static void add_network(struct safetensors *st, const struct params *params)
{
    char name[SAFETENSORS_NAME_BYTES];
    for (size_t i = 0; i < params->n; i++) {
        const struct param *p = &params->items[i];
        add_param(st, "", p, params->value);
        if (counter_name(p, name))
            safetensors_add(st, name, "I64", NULL, 0, &p->n_batches);
    }
}

bool checkpoint_write(const struct checkpoint *c, const char *path, struct err *e)
{
    struct safetensors st;
    safetensors_init(&st);
    safetensors_add_note(&st, "format", "%s", FORMAT);
    safetensors_add_note(&st, "program", "refrain %s", REFRAIN_VERSION);
    add_fields(&st, recipe_fields, ARRAY_LEN(recipe_fields), c->recipe);
    add_network(&st, c->params);
    uint64_t mels = c->norm->n_mels;
    safetensors_add(&st, "input.mean", "F32", &mels, 1, c->norm->mean_db);
    safetensors_add(&st, "input.std", "F32", &mels, 1, c->norm->std_db);
    if (c->position != NULL) {
        add_fields(&st, position_fields, ARRAY_LEN(position_fields), c->position);
        safetensors_add_note(&st, "optim_steps", "%" PRIu64, c->optim->n_steps);
        for (size_t i = 0; i < c->params->n; i++) {
            if (!c->params->items[i].trainable)
                continue;
            add_param(&st, "optim.m.", &c->params->items[i], c->optim->m);
            if (c->optim->v != NULL)
                add_param(&st, "optim.v.", &c->params->items[i], c->optim->v);
        }
        uint64_t shape[2] = {c->history->n, HISTORY_COLUMNS};
        safetensors_add(&st, "history", "F64", shape, 2, c->history->rows);
    }
    bool ok = safetensors_write(&st, path, e);
    safetensors_release(&st);
    return ok;
}

/* ---------------------------------------------------------------- reading */

bool checkpoint_open(const char *path, struct checkpoint_file *out, struct recipe *recipe,
                     struct err *e)
{
    struct checkpoint_file f = {.tensors = mem_zalloc(1, sizeof *f.tensors)};
    snprintf(f.path, sizeof f.path, "%s", path);
    buf_init(&f.bytes, SAFETENSORS_FILE_MAX_BYTES);
    bool ok = false;
    if (!file_read_all(path, &f.bytes, e))
        goto out;
    if (!safetensors_parse(buf_span(&f.bytes), f.tensors, e)) {
        err_wrap(e, "%s", path);
        goto out;
    }
    const char *format = safetensors_note(f.tensors, "format");
    if (format == NULL || strcmp(format, FORMAT) != 0) {
        err_set(e, ERR_PERM,
                "%s: no model of this version of refrain (format \"%.40s\", %s expected): train it "
                "again",
                path, format == NULL ? "" : format, FORMAT);
        goto out;
    }
    if (!read_fields(f.tensors, recipe_fields, ARRAY_LEN(recipe_fields), recipe, e)) {
        err_wrap(e, "%s", path);
        goto out;
    }
    *out = f;
    ok = true;
out:
    if (!ok)
        checkpoint_close(&f);
    return ok;
}

void checkpoint_close(struct checkpoint_file *f)
{
    if (f->tensors != NULL)
        safetensors_release(f->tensors);
    mem_free(f->tensors);
    buf_release(&f->bytes);
    *f = (struct checkpoint_file){0};
}

static bool read_floats(const struct safetensors *st, const char *name, const uint64_t *dims,
                        uint32_t n_dims, float *out, struct err *e)
{
    const struct safetensor *t = safetensors_find(st, name);
    if (t == NULL)
        return err_set(e, ERR_PERM, "tensor %s is missing", name);
    if (strcmp(t->dtype, "F32") != 0 || t->n_dims != n_dims ||
        memcmp(t->dims, dims, n_dims * sizeof *dims) != 0)
        return err_set(e, ERR_PERM, "tensor %s is not of the network's shape and type F32", name);
    memcpy(out, t->bytes, t->n_bytes);
    for (size_t i = 0; i < t->n_bytes / sizeof *out; i++)
        if (!isfinite(out[i]))
            return err_set(e, ERR_PERM, "tensor %s: value %zu is not a finite number", name, i);
    return true;
}

static bool read_param(const struct safetensors *st, const char *prefix, const struct param *p,
                       float *values, struct err *e)
{
    char name[SAFETENSORS_NAME_BYTES];
    uint64_t dims[4];
    for (uint32_t i = 0; i < p->n_dims; i++)
        dims[i] = (uint64_t)p->dims[i];
    snprintf(name, sizeof name, "%s%s", prefix, p->name);
    return read_floats(st, name, dims, p->n_dims, values + p->offset, e);
}

static bool read_network(const struct safetensors *st, struct params *params, struct err *e)
{
    char name[SAFETENSORS_NAME_BYTES];
    for (size_t i = 0; i < params->n; i++) {
        struct param *p = &params->items[i];
        if (!read_param(st, "", p, params->value, e))
            return false;
        if (!counter_name(p, name))
            continue;
        const struct safetensor *t = safetensors_find(st, name);
        if (t == NULL || strcmp(t->dtype, "I64") != 0 || t->n_dims != 0)
            return err_set(e, ERR_PERM, "tensor %s is missing or not one I64", name);
        memcpy(&p->n_batches, t->bytes, sizeof p->n_batches);
    }
    return true;
}

static bool read_norm(const struct safetensors *st, uint32_t n_mels, struct norm *norm,
                      struct err *e)
{
    uint64_t mels = n_mels;
    norm->n_mels = n_mels;
    if (!read_floats(st, "input.mean", &mels, 1, norm->mean_db, e) ||
        !read_floats(st, "input.std", &mels, 1, norm->std_db, e))
        return false;
    for (uint32_t m = 0; m < n_mels; m++)
        if (!(norm->std_db[m] > 0.0f))
            return err_set(e, ERR_PERM, "tensor input.std: value %u is not above 0", m);
    return true;
}

static bool read_history(const struct safetensors *st, struct history *h, struct err *e)
{
    const struct safetensor *t = safetensors_find(st, "history");
    if (t == NULL || strcmp(t->dtype, "F64") != 0 || t->n_dims != 2 ||
        t->dims[1] != HISTORY_COLUMNS || t->dims[0] >= HISTORY_ROWS_MAX)
        return err_set(e, ERR_PERM, "tensor history is missing or of another shape");
    for (uint64_t i = 0; i < t->dims[0]; i++) {
        struct history_row row;
        memcpy(&row, (const uint8_t *)t->bytes + i * sizeof row, sizeof row);
        history_add(h, &row);
    }
    return true;
}

static bool read_training(const struct safetensors *st, const struct checkpoint *into,
                          struct err *e)
{
    static const struct field steps = {"optim_steps", FIELD_U64, offsetof(struct optim, n_steps),
                                       sizeof(uint64_t), false};
    if (!read_fields(st, position_fields, ARRAY_LEN(position_fields), into->position, e) ||
        !read_fields(st, &steps, 1, into->optim, e) || !read_history(st, into->history, e))
        return false;
    for (size_t i = 0; i < into->params->n; i++) {
        const struct param *p = &into->params->items[i];
        if (!p->trainable)
            continue;
        if (!read_param(st, "optim.m.", p, into->optim->m, e) ||
            (into->optim->v != NULL && !read_param(st, "optim.v.", p, into->optim->v, e)))
            return false;
    }
    return true;
}

bool checkpoint_read(const struct checkpoint_file *f, const struct checkpoint *into, struct err *e)
{
    const struct safetensors *st = f->tensors;
    const char *mels = safetensors_note(st, "n_mels");
    unsigned long n_mels = mels == NULL ? 0 : strtoul(mels, NULL, 10);
    if (n_mels == 0 || n_mels > RECORD_MELS_MAX)
        return err_set(e, ERR_PERM, "%s: %lu mel bands, at most %d can be", f->path, n_mels,
                       RECORD_MELS_MAX);
    if (!read_norm(st, (uint32_t)n_mels, into->norm, e))
        return err_wrap(e, "%s", f->path);
    if (!read_network(st, into->params, e))
        return err_wrap(e, "%s", f->path);
    if (into->position != NULL && !read_training(st, into, e))
        return err_wrap(e, "%s", f->path);
    return true;
}

bool checkpoint_build(const struct checkpoint_file *f, struct recipe *recipe, uint32_t threads,
                      size_t n_pictures, struct norm *norm, struct net **out, struct err *e)
{
    const char *fastest = backend_fastest_precision("cnn"); /* of float32 */
    bool same = strcmp(recipe->precision, fastest) == 0;
    *out = net_new(same ? backend_of_precision(fastest) : &backend_dnn,
                   threads != 0 ? threads : (uint32_t)recipe->threads, recipe->seed);
    if (!model_build(*out, &recipe->model, (int32_t)n_pictures, e))
        return false;
    struct checkpoint into = {.recipe = recipe, .params = net_params(*out), .norm = norm};
    return checkpoint_read(f, &into, e);
}
