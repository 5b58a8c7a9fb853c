/*
 * A trained model in use: pictures to vectors of unit length, whose inner product says how alike
 * two clips sound to it. Knows its own feature spec; the caller sees to it that pictures are of it.
 */
#ifndef REFRAIN_VECTORIZER_H
#define REFRAIN_VECTORIZER_H

#include "train/checkpoint.h"

struct vectorizer {
    struct recipe recipe;
    struct norm norm;
    struct net *net;
    size_t n_pictures; /* of a batch */
    float *pictures;   /* owned */
    double *rows;      /* owned */
};

/* DIR/models/NAME/best.safetensors. threads 0: as in training. */
MUST_CHECK bool vectorizer_open(const char *dir, const char *name, uint32_t threads,
                                size_t n_pictures, struct vectorizer *out, struct err *e);
void vectorizer_close(struct vectorizer *v); /* safe on {0}, may run twice */

/* n pictures of (recipe.model.n_frames, n_mels) in dB, n <= n_pictures, to out (n, EMBEDDING_DIM).
 * A value that is not finite is ERR_PERM. */
MUST_CHECK bool vectorizer_run(struct vectorizer *v, const float *pictures, size_t n, float *out,
                               struct err *e);

#endif
