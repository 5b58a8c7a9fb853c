/*
 * A model on disk: one safetensors file with the network's tensors under PyTorch's names
 * (num_batches_tracked among them, so that its load_state_dict finds all), `input.mean` and
 * `input.std` (dB, one a mel band), and in __metadata__ all that decides what the numbers mean. A
 * checkpoint to go on from (last.safetensors) also holds the optimizer's moments (optim.m.NAME,
 * optim.v.NAME), `history` (one row an epoch) and the counters; best.safetensors is the model
 * alone. Written atomically: after a crash the old file or the new one is there.
 */
#ifndef REFRAIN_CHECKPOINT_H
#define REFRAIN_CHECKPOINT_H

#include "base/file.h"
#include "train/history.h"
#include "train/model.h"
#include "train/norm.h"
#include "train/optim.h"
#include "train/safetensors.h"

/* What a model was trained on and how. Two runs with equal recipes and threads give equal bits. */
struct recipe {
    struct model_spec model;
    uint64_t spec_hash; /* of the features */
    uint64_t root;      /* of the store */
    uint64_t seed, batch, steps_per_epoch, threads;
    double learning_rate, weight_decay, margin, validation_share;
    double version_share; /* 0 without groups */
    double temperature, gradient_clip;
    uint64_t accumulate, warmup_steps;
    uint64_t schedule_steps; /* 0: the schedule does not depend on the length of the run */
    char loss[16], negatives[16], optimizer[16], schedule[16]; /* as in the configuration */
    char precision[16];      /* backend_of_precision: what it came to */
    uint64_t jitter, cached; /* 0 or 1; cached: frozen layers by bfloat16 activations */
    char weights_path[1024]; /* "": first weights were drawn */
    uint64_t weights_hash;
    char groups_path[1024]; /* "" : split by track */
    uint64_t groups_hash;
    uint64_t n_train_clips, n_validation_clips;
};

/* Where training stands. Sums are over the epoch that is not finished: norm_sum over its steps, the
 * others over the n_triplets that were reported. */
struct position {
    uint64_t epoch, step, n_triplets;
    double loss_sum, active_sum, positive_sum, negative_sum, norm_sum;
    double best_loss; /* validation; INFINITY before the first */
    uint64_t best_epoch;
    double seconds; /* trained so far, over all runs */
};

struct checkpoint {
    struct recipe *recipe;
    struct position *position; /* NULL: the model alone */
    struct history *history;   /* as position */
    struct optim *optim;       /* as position */
    struct params *params;
    struct norm *norm;
};

MUST_CHECK bool checkpoint_write(const struct checkpoint *c, const char *path, struct err *e);

/* An open file: first its recipe, so that the network can be built, then the rest. */
struct checkpoint_file {
    char path[PATH_BYTES];
    struct buf bytes;
    struct safetensors *tensors;
};
MUST_CHECK bool checkpoint_open(const char *path, struct checkpoint_file *out,
                                struct recipe *recipe, struct err *e);
void checkpoint_close(struct checkpoint_file *f); /* safe on {0}, may run twice */

/* The network of an open file, for vectors only: n_pictures a batch, float32, with the convolutions
 * that it was trained with where they are fast here. Gives the net in *out, which may be half-built
 * after an error: net_free it in either case. */
MUST_CHECK bool checkpoint_build(const struct checkpoint_file *f, struct recipe *recipe,
                                 uint32_t threads /* 0: as in training */, size_t n_pictures,
                                 struct norm *norm, struct net **out, struct err *e);

/* Fills params and norm, and where they are not NULL position, history and adam. A missing tensor,
 * another shape and a value that is not finite are errors that name it; nothing in `into` is to be
 * used then. */
MUST_CHECK bool checkpoint_read(const struct checkpoint_file *f, const struct checkpoint *into,
                                struct err *e);

/* ERR_USAGE with the first difference, unless going on from `saved` under `now` gives what an
 * undisturbed run gives. */
MUST_CHECK bool recipe_same(const struct recipe *saved, const struct recipe *now, struct err *e);

#endif
