/*
 * Vectors of clips: the network's embedding, read from the store in batches of a fixed size, so
 * that memory does not depend on how many are asked for beyond the result itself.
 */
#ifndef REFRAIN_EMBED_H
#define REFRAIN_EMBED_H

#include "train/net.h"
#include "train/norm.h"
#include "train/trunk.h"

struct embedder {
    struct store *store;       /* borrowed */
    struct net *net;           /* borrowed; its input is (n_pictures, n_frames, n_mels, 1) */
    const struct trunk *trunk; /* borrowed; not NULL: its activations are the input instead */
    const struct norm *norm;   /* borrowed */
    uint32_t n_frames, n_mels;
    size_t n_pictures;
    float *pictures; /* owned */
    double *rows;    /* owned: (n_pictures, EMBEDDING_DIM) */
};

void embedder_init(struct embedder *m, struct store *store, struct net *net,
                   const struct norm *norm, uint32_t n_frames, uint32_t n_mels, size_t n_pictures);
void embedder_release(struct embedder *m); /* safe on {0}, may run twice */

/* out: (n, EMBEDDING_DIM), of unit length. The network runs with its running statistics. */
MUST_CHECK bool embed_keys(struct embedder *m, const uint64_t *keys, size_t n, float *out,
                           struct err *e);

#endif
