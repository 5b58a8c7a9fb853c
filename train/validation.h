/*
 * The fixed list of validation triplets: drawn once by seed from clips that training never sees,
 * so that every epoch, every run and the baseline are measured on the same ones. Each clip that
 * occurs is embedded once.
 */
#ifndef REFRAIN_VALIDATION_H
#define REFRAIN_VALIDATION_H

#include "train/baseline.h"
#include "train/embed.h"
#include "train/loss.h"
#include "train/sampler.h"

enum {
    VALIDATION_TRIPLETS_MAX = 1024, /* bounds memory and the time of an epoch's end */
    VALIDATION_REPEATS = 8,         /* triplets a clip, where there are few clips */
};

struct validation {
    size_t n_triplets, n_keys;
    uint64_t *keys;              /* ascending, each once */
    uint32_t (*at)[3];           /* anchor, positive, negative as indices into keys */
    uint64_t *groups;            /* of the anchors */
    float *vectors;              /* (n_keys, EMBEDDING_DIM) of the last measurement */
    double *positive, *negative; /* distances of the last measurement, n_triplets each */
};

void validation_init(struct validation *v, const struct sampler *sampler);
void validation_release(struct validation *v); /* safe on {0}, may run twice */

/* Both leave the distances in v->positive and v->negative. */
MUST_CHECK bool validation_measure(struct validation *v, struct embedder *embedder, double margin,
                                   struct triplet_stats *out, struct err *e);
MUST_CHECK bool validation_baseline(struct validation *v, const struct baseline_space *s,
                                    struct store *store, double margin, struct triplet_stats *out,
                                    struct err *e);

#endif
