/*
 * What conformance.py compares with PyTorch's bfloat16: a resnet18's gradients in float32 and in
 * bfloat16, for the same weights and songs.
 *
 *     halves DIR STEPS
 *
 * Takes STEPS steps of Adam on other songs first. Writes DIR/model.safetensors and
 * DIR/halves.safetensors: x, f32.NAME, bf16.NAME.
 */
#include "tests/unit/train/synth.h"
#include "train/checkpoint.h"
#include "train/loss.h"

#include <stdio.h>
#include <string.h>

enum { FRAMES = 128, MELS = 64, TRIPLETS = 8, PICTURES = 3 * TRIPLETS, PIXELS = FRAMES * MELS };

static const struct model_spec spec = {"resnet18", FRAMES, MELS, 0.0, "all"};
static float songs[PICTURES * PIXELS];
static double rows[PICTURES * EMBEDDING_DIM], grad[PICTURES * EMBEDDING_DIM];

/* Originals, views of the same songs, other songs. */
static void play(uint64_t seed)
{
    struct synth_params p = {.seed = seed, .n_frames = FRAMES, .n_mels = MELS};
    for (size_t i = 0; i < PICTURES; i++) {
        float *x = songs + i * PIXELS;
        synth_picture(&p, i < TRIPLETS ? i : i - TRIPLETS, i / TRIPLETS == 1, x);
        for (size_t k = 0; k < PIXELS; k++)
            x[k] = (x[k] + 50.0f) / 15.0f;
    }
}

static bool differentiate(struct net *n, struct err *e)
{
    struct triplet_stats s;
    if (!net_forward(n, songs, NET_TRAIN, 0, e))
        return false;
    net_output(n, rows);
    triplet_loss(rows, TRIPLETS, EMBEDDING_DIM, 1.0, grad, &s);
    return net_backward(n, grad, e);
}

static bool teach(struct net *n, size_t n_steps, struct err *e)
{
    struct params *p = net_params(n);
    struct optim adam;
    bool ok = true;
    optim_init(&adam, OPTIM_ADAM, p->n_trainable);
    for (size_t step = 0; ok && step < n_steps; step++) {
        ok = differentiate(n, e);
        if (ok)
            optim_step(&adam, p->value, p->grad, 1e-3, 0);
    }
    optim_release(&adam);
    return ok;
}

static void add_gradients(struct safetensors *st, const struct params *p, const char *prefix)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct param *item = &p->items[i];
        char name[SAFETENSORS_NAME_BYTES];
        uint64_t dims[4];
        for (uint32_t k = 0; k < item->n_dims; k++)
            dims[k] = (uint64_t)item->dims[k];
        snprintf(name, sizeof name, "%s.%s", prefix, item->name);
        if (item->trainable)
            safetensors_add(st, name, "F32", dims, item->n_dims, p->grad + item->offset);
    }
}

static bool write_all(struct net *whole, struct net *half, const char *dir, struct err *e)
{
    char path[PATH_BYTES];
    struct recipe recipe = {.model = spec};
    struct norm norm = {.n_mels = MELS};
    for (size_t m = 0; m < MELS; m++)
        norm.std_db[m] = 1.0f;
    struct checkpoint c = {.recipe = &recipe, .params = net_params(half), .norm = &norm};
    struct safetensors st;
    safetensors_init(&st);
    safetensors_add(&st, "x", "F32", (uint64_t[]){PICTURES, 1, FRAMES, MELS}, 4, songs);
    add_gradients(&st, net_params(whole), "f32");
    add_gradients(&st, net_params(half), "bf16");
    bool ok = path_join(path, dir, "halves.safetensors", e) && safetensors_write(&st, path, e) &&
              path_join(path, dir, "model.safetensors", e) && checkpoint_write(&c, path, e);
    safetensors_release(&st);
    return ok;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    if (argc != 3) {
        fprintf(stderr, "usage: halves DIR STEPS\n");
        return 2;
    }
    struct net *whole = net_new(&backend_dnn, 1, 1), *half = net_new(&backend_dnn_bf16, 1, 1);
    bool ok = model_build(whole, &spec, PICTURES, &e) && model_build(half, &spec, PICTURES, &e);
    if (ok) {
        model_init(net_params(whole), 1);
        play(5);
        ok = teach(whole, strtoull(argv[2], NULL, 10), &e);
        play(6);
        params_copy(net_params(half), net_params(whole));
        ok = ok && differentiate(whole, &e) && differentiate(half, &e) &&
             write_all(whole, half, argv[1], &e);
    }
    if (!ok)
        fprintf(stderr, "%s\n", e.msg);
    net_free(whole);
    net_free(half);
    return ok ? 0 : 1;
}
