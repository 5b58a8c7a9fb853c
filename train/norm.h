/*
 * Standardisation of the picture: each mel band has the mean and the standard deviation it has over
 * a sample of training clips taken off; part of the model.
 */
#ifndef REFRAIN_NORM_H
#define REFRAIN_NORM_H

#include "train/split.h"

enum { NORM_SAMPLE_CLIPS = 256, NORM_BATCH = 16 };
#define NORM_STD_MIN_DB 0.5 /* a band that never moves must not blow up its rounding noise */

struct norm {
    uint32_t n_mels;
    float mean_db[RECORD_MELS_MAX];
    float std_db[RECORD_MELS_MAX];
};

/* From up to 256 training clips drawn by seed, alternately the original and a positive. */
MUST_CHECK bool norm_measure(struct store *s, const struct store_snapshot *snap,
                             const struct split_side *train, uint64_t seed, struct norm *out,
                             struct err *e);

/* In place over n pictures of (n_frames, n_mels). False when a value is not finite; *out_bad is the
 * picture then. */
MUST_CHECK bool norm_apply(const struct norm *norm, float *pictures, size_t n, size_t n_frames,
                           size_t *out_bad);

#endif
