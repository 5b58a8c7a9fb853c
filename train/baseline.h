/*
 * Vectors of clips without a network: what a learnt embedding has to beat, measured on the same
 * clips and triplets. Each vector is standardised over its clip (mean 0, deviation 1) and then of
 * unit length.
 */
#ifndef REFRAIN_BASELINE_H
#define REFRAIN_BASELINE_H

#include "train/chroma_fold.h"

enum baseline {
    BASELINE_MEL,       /* the whole picture */
    BASELINE_MEL_MEAN,  /* its average over time: one value a band */
    BASELINE_MFCC_MEAN, /* mean mel cepstrum: coefficients 1 to 20 of its orthonormal DCT-II */
    BASELINE_CHROMA,    /* pitch classes frame by frame, compared in the best of 12 rotations */
    BASELINES,
};
const char *baseline_name(enum baseline b); /* "mel" */

enum { BASELINE_TILE_BYTES = 32 << 20 }; /* of vectors that are in memory at a time */

/* One kind of vector for pictures of one size. */
struct baseline_space {
    enum baseline kind;
    uint32_t n_frames, n_mels;
    const struct chroma_fold *chroma; /* borrowed; of BASELINE_CHROMA alone */
};
size_t baseline_dim(const struct baseline_space *s);
size_t baseline_tile(const struct baseline_space *s); /* vectors in BASELINE_TILE_BYTES */

/* One picture (dB) to its vector. A constant picture gives zeros. */
void baseline_vector(const struct baseline_space *s, const float *picture, float *out);

/* out: (n, baseline_dim). */
MUST_CHECK bool baseline_keys(const struct baseline_space *s, struct store *store,
                              const uint64_t *keys, size_t n, float *out, struct err *e);

double baseline_distance(const struct baseline_space *s, const float *x, const float *y);

/* As triplet_distance: | x - y + eps |. */
double vector_distance(const float *x, const float *y, size_t dim);

#endif
