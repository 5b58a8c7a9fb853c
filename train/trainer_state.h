/*
 * One run in progress: what trainer.c (the loop), trainer_open.c (before it) and trainer_epoch.c
 * (what an epoch leaves behind) share. Nobody else includes this.
 */
#ifndef REFRAIN_TRAINER_STATE_H
#define REFRAIN_TRAINER_STATE_H

#include "base/progress.h"
#include "train/checkpoint.h"
#include "train/loader.h"
#include "train/schedule.h"
#include "train/trainer.h"
#include "train/trunk.h"
#include "train/validation.h"

struct trainer {
    const struct train_params *params;
    struct store *store;
    struct store_snapshot snap;
    struct groups groups;
    struct split split;
    struct norm norm;
    struct sampler sampler;
    struct net *net;   /* what the steps run */
    struct net *whole; /* with the frozen layers; the same unless these are cached */
    struct trunk *trunk;
    struct optim optim;
    struct schedule schedule;
    struct embedder embedder;
    struct validation validation;
    struct history history;
    struct recipe recipe;
    struct position position;
    struct loader *loader;
    struct progress progress;
    double *rows, *grad; /* (sampler_rows, EMBEDDING_DIM) */
    float *grad_sum;     /* of the step's batches; NULL when it has one */
    uint64_t *row_groups;
    double baseline_loss;
    char model_dir[PATH_BYTES];
    /* of this run */
    uint64_t started_ns, checkpoint_ns, wait_ns, step_ns, n_steps;
    double seconds_before;
    uint64_t epoch_wait_ns, epoch_step_ns, epoch_steps;
    bool collapsed;
};

/* trainer_open.c */
MUST_CHECK bool trainer_open_model_dir(struct trainer *t, struct err *e);
MUST_CHECK bool trainer_open_data(struct trainer *t, struct err *e);
MUST_CHECK bool trainer_build_net(struct trainer *t, struct err *e);
/* The state of last.safetensors, or drawn or loaded weights and the statistics of the pictures. */
MUST_CHECK bool trainer_resume(struct trainer *t, struct err *e);
MUST_CHECK bool trainer_start_new(struct trainer *t, struct err *e);

/* trainer_trunk.c */
bool trainer_wants_trunk(const struct trainer *t);
bool trainer_trunk_fits(const struct trainer *t, struct shape cut); /* says so when not */
/* Once weights and norm are known: computes what is missing. Nothing to do without a cache. */
MUST_CHECK bool trainer_open_trunk(struct trainer *t, bool *out_stopped, struct err *e);

/* trainer_epoch.c */
double trainer_seconds(const struct trainer *t);
double trainer_mean(double sum, uint64_t n); /* NAN of none */
uint64_t trainer_clips_per_step(const struct trainer *t);
/* `whole`: with all that is needed to go on from it. */
MUST_CHECK bool trainer_save(struct trainer *t, const char *file, bool whole, struct err *e);
/* Validates, adds a row of figures and writes the files. The position points behind the epoch,
 * which had n_steps steps; epoch 0 with no steps is the untrained network. */
MUST_CHECK bool trainer_end_epoch(struct trainer *t, uint64_t n_steps, struct err *e);
struct checkpoint trainer_checkpoint(struct trainer *t, bool whole);

#endif
