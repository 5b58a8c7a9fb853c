/*
 * What conformance.py compares with PyTorch: a resnet18 on fixed pictures, as it is and through ten
 * steps of training.
 *
 *     steps DIR [WEIGHTS]
 *
 * Writes DIR/model.safetensors (a checkpoint before the first step) and DIR/steps.safetensors: x,
 * eval (embeddings with running statistics), losses, grad.NAME of the first step, after.NAME.
 */
#include "base/mem.h"
#include "base/rng.h"
#include "train/checkpoint.h"
#include "train/loss.h"
#include "train/weights.h"

#include <stdio.h>
#include <string.h>

enum { FRAMES = 64, MELS = 48, TRIPLETS = 4, PICTURES = 3 * TRIPLETS, STEPS = 10 };

static float x[PICTURES * FRAMES * MELS], embedding[PICTURES * EMBEDDING_DIM];
static double rows[PICTURES * EMBEDDING_DIM], grad[PICTURES * EMBEDDING_DIM], losses[STEPS];

static bool write_model(struct net *n, const struct model_spec *spec, const char *dir,
                        struct err *e)
{
    char path[PATH_BYTES];
    struct recipe recipe = {.model = *spec};
    struct norm norm = {.n_mels = MELS};
    for (size_t m = 0; m < MELS; m++)
        norm.std_db[m] = 1.0f;
    struct checkpoint c = {.recipe = &recipe, .params = net_params(n), .norm = &norm};
    return path_join(path, dir, "model.safetensors", e) && checkpoint_write(&c, path, e);
}

static void add_all(struct safetensors *st, const struct params *p, const char *prefix,
                    const float *values, bool only_trained)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct param *item = &p->items[i];
        char name[SAFETENSORS_NAME_BYTES];
        uint64_t dims[4];
        for (uint32_t k = 0; k < item->n_dims; k++)
            dims[k] = (uint64_t)item->dims[k];
        snprintf(name, sizeof name, "%s.%s", prefix, item->name);
        if (item->trainable || !only_trained)
            safetensors_add(st, name, "F32", dims, item->n_dims, values + item->offset);
    }
}

static bool run(struct net *n, struct optim *adam, float *first_grad, struct err *e)
{
    struct params *p = net_params(n);
    struct triplet_stats s;
    if (!net_forward(n, x, NET_EVAL, 0, e))
        return false;
    net_output(n, rows);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        embedding[i] = (float)rows[i];
    for (size_t step = 0; step < STEPS; step++) {
        if (!net_forward(n, x, NET_TRAIN, step, e))
            return false;
        net_output(n, rows);
        triplet_loss(rows, TRIPLETS, EMBEDDING_DIM, 1.0, grad, &s);
        losses[step] = s.loss;
        if (!net_backward(n, grad, e))
            return false;
        if (step == 0)
            memcpy(first_grad, p->grad, p->n_trainable * sizeof *first_grad);
        optim_step(adam, p->value, p->grad, 1e-4, 1e-4);
    }
    return true;
}

static bool write_steps(const struct params *p, const float *first_grad, const char *dir,
                        struct err *e)
{
    char path[PATH_BYTES];
    struct safetensors st;
    safetensors_init(&st);
    safetensors_add(&st, "x", "F32", (uint64_t[]){PICTURES, 1, FRAMES, MELS}, 4, x);
    safetensors_add(&st, "eval", "F32", (uint64_t[]){PICTURES, EMBEDDING_DIM}, 2, embedding);
    safetensors_add(&st, "losses", "F64", (uint64_t[]){STEPS}, 1, losses);
    add_all(&st, p, "grad", first_grad, true);
    add_all(&st, p, "after", p->value, false);
    bool ok = path_join(path, dir, "steps.safetensors", e) && safetensors_write(&st, path, e);
    safetensors_release(&st);
    return ok;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct model_spec spec = {"resnet18", FRAMES, MELS, 0.0, "all"};
    struct weights_report report;
    struct optim adam = {0};
    struct rng r;
    float *first_grad = NULL;
    if (argc < 2) {
        fprintf(stderr, "usage: steps DIR [WEIGHTS]\n");
        return 2;
    }
    rng_init(&r, 1, 2, 3);
    for (size_t i = 0; i < ARRAY_LEN(x); i++)
        x[i] = (float)rng_normal(&r);
    struct net *n = net_new(&backend_dnn, 1, 1);
    bool ok = model_build(n, &spec, PICTURES, &e);
    if (ok) {
        struct params *p = net_params(n);
        model_init(p, 1);
        optim_init(&adam, OPTIM_ADAM, p->n_trainable);
        first_grad = mem_alloc(p->n_trainable, sizeof *first_grad);
        ok = (argc < 3 || weights_load(argv[2], p, &report, &e)) &&
             write_model(n, &spec, argv[1], &e) && run(n, &adam, first_grad, &e) &&
             write_steps(p, first_grad, argv[1], &e);
    }
    if (!ok)
        fprintf(stderr, "%s\n", e.msg);
    mem_free(first_grad);
    optim_release(&adam);
    net_free(n);
    return ok ? 0 : 1;
}
