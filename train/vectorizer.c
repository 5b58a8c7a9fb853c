#include "train/vectorizer.h"

#include "base/mem.h"

#include <string.h>

bool vectorizer_open(const char *dir, const char *name, uint32_t threads, size_t n_pictures,
                     struct vectorizer *out, struct err *e)
{
    struct vectorizer v = {.n_pictures = n_pictures};
    struct checkpoint_file f = {0};
    char models[PATH_BYTES], model[PATH_BYTES], path[PATH_BYTES];
    bool ok = false;
    if (!path_join(models, dir, "models", e) || !path_join(model, models, name, e) ||
        !path_join(path, model, "best.safetensors", e) || !checkpoint_open(path, &f, &v.recipe, e))
        goto out;
    if (!checkpoint_build(&f, &v.recipe, threads, n_pictures, &v.norm, &v.net, e))
        goto out;
    size_t floats = shape_count(net_shape(v.net, 0));
    v.pictures = mem_alloc_aligned(floats, sizeof *v.pictures);
    memset(v.pictures, 0, floats * sizeof *v.pictures);
    v.rows = mem_alloc(n_pictures * EMBEDDING_DIM, sizeof *v.rows);
    ok = true;
out:
    checkpoint_close(&f);
    if (!ok)
        vectorizer_close(&v);
    *out = v;
    return ok;
}

void vectorizer_close(struct vectorizer *v)
{
    net_free(v->net);
    mem_free(v->pictures);
    mem_free(v->rows);
    *v = (struct vectorizer){0};
}

bool vectorizer_run(struct vectorizer *v, const float *pictures, size_t n, float *out,
                    struct err *e)
{
    size_t n_frames = (size_t)v->recipe.model.n_frames, n_mels = (size_t)v->recipe.model.n_mels;
    size_t bad;
    assert(n <= v->n_pictures);
    memcpy(v->pictures, pictures, n * n_frames * n_mels * sizeof *pictures);
    if (!norm_apply(&v->norm, v->pictures, n, n_frames, &bad))
        return err_set(e, ERR_PERM, "picture %zu has a value that is not a finite number", bad);
    if (!net_forward(v->net, v->pictures, NET_EVAL, 0, e))
        return false;
    net_output(v->net, v->rows);
    for (size_t i = 0; i < n * EMBEDDING_DIM; i++)
        out[i] = (float)v->rows[i];
    return true;
}
