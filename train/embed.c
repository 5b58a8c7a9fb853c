#include "train/embed.h"

#include "base/mem.h"
#include "train/model.h"

#include <inttypes.h>
#include <string.h>

void embedder_init(struct embedder *m, struct store *store, struct net *net,
                   const struct norm *norm, uint32_t n_frames, uint32_t n_mels, size_t n_pictures)
{
    size_t floats = shape_count(net_shape(net, 0));
    assert(net_shape(net, 0).n == (int32_t)n_pictures);
    *m = (struct embedder){.store = store,
                           .net = net,
                           .norm = norm,
                           .n_frames = n_frames,
                           .n_mels = n_mels,
                           .n_pictures = n_pictures,
                           .pictures = mem_alloc_aligned(floats, sizeof(float)),
                           .rows = mem_alloc(n_pictures * EMBEDDING_DIM, sizeof(double))};
    memset(m->pictures, 0, floats * sizeof(float));
}

void embedder_release(struct embedder *m)
{
    mem_free(m->pictures);
    mem_free(m->rows);
    *m = (struct embedder){0};
}

static bool read_pictures(struct embedder *m, const uint64_t *keys, size_t n, struct err *e)
{
    size_t bad;
    if (m->trunk != NULL)
        return trunk_read(m->trunk, keys, n, m->pictures, e);
    if (!store_read_batch(m->store, keys, n, m->n_frames, m->n_mels, m->pictures, e))
        return false;
    if (!norm_apply(m->norm, m->pictures, n, m->n_frames, &bad))
        return err_set(e, ERR_PERM,
                       "row %" PRIu64 ", clip %u, view %u has a value that is not a finite number",
                       store_key_row(keys[bad]), store_key_clip(keys[bad]),
                       store_key_view(keys[bad]));
    return true;
}

/* The last batch is filled up with what the buffer held before; those rows are not used. */
bool embed_keys(struct embedder *m, const uint64_t *keys, size_t n, float *out, struct err *e)
{
    for (size_t done = 0; done < n;) {
        size_t now = size_min(m->n_pictures, n - done);
        if (!read_pictures(m, keys + done, now, e) ||
            !net_forward(m->net, m->pictures, NET_EVAL, 0, e))
            return false;
        net_output(m->net, m->rows);
        for (size_t i = 0; i < now * EMBEDDING_DIM; i++)
            out[done * EMBEDDING_DIM + i] = (float)m->rows[i];
        done += now;
    }
    return true;
}
