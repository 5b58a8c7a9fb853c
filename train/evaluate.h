/*
 * What a model is worth on tracks that its training never saw: the triplet loss, finding an
 * augmented copy's original (copies R@1), and, where a groups file says which tracks are versions
 * of one work, finding versions. Always beside baselines without a network, on the same clips,
 * triplets and candidates.
 */
#ifndef REFRAIN_EVALUATE_H
#define REFRAIN_EVALUATE_H

#include "train/alarms.h"
#include "train/baseline.h"
#include "train/distances.h"
#include "train/ranking.h"

enum { EVALUATE_CLIPS_MAX = 2048 /* bounds memory: two matrices of this side */ };

struct evaluate_params {
    const char *dir, *name;
    const char *model_path;  /* not NULL: a checkpoint of another data set, in place of `name`; all
                                of dir counts as held out */
    const char *groups_path; /* NULL: the one the model was trained with, if any; with model_path
                                none */
    const struct chroma_bands *bands; /* of dir's pictures; NULL or of others: no chroma */
    uint32_t threads;                 /* 0: as in training */
};

struct scores {
    struct figure loss; /* triplet margin loss */
    struct figure copies_r1;
    struct figure two_choice, auc, map, mr1, p1, p10; /* NAN without groups */
    struct distances distances;                       /* of the triplets */
};

struct evaluate_result {
    struct scores model, baselines[BASELINES];
    struct scores untrained; /* the same network with its first, drawn weights */
    double two_choice_p;     /* of the model, NAN without versions: binomial_p */
    struct alarms alarms;
    double margin;
    size_t n_clips, n_tracks, n_works; /* held out */
    size_t n_triplets;
    size_t n_queries; /* clips with a version among the held-out clips */
    size_t n_leaked;  /* held-out tracks with a version that was trained on */
    bool has_groups;
};

/* A model of another feature spec or picture size than the store's, and a groups file that is not
 * the one the split was made with, are ERR_USAGE. */
MUST_CHECK bool evaluate_run(const struct evaluate_params *params, struct evaluate_result *out,
                             struct err *e);

#endif
