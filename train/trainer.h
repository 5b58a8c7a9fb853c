/*
 * A training run: snapshot, split, loader, network, loss, optimizer, validation, checkpoints.
 * The model lies in DIR/models/NAME: best.safetensors, last.safetensors, metrics.csv, curves.svg.
 *
 * The result is a function of the store, the parameters and the number of threads, bit for bit,
 * also when the run is interrupted anywhere and resumed.
 */
#ifndef REFRAIN_TRAINER_H
#define REFRAIN_TRAINER_H

#include "train/mining.h"
#include "train/net.h"
#include "train/optim.h"
#include "train/schedule.h"

#include <stdio.h>

enum train_precision {
    PRECISION_AUTO, /* of a resumed run as it began, else backend_fastest_precision */
    PRECISION_F32,
    PRECISION_BF16,
    PRECISION_WINOGRAD,
};
enum train_loss { LOSS_TRIPLET, LOSS_NTXENT };

struct train_params {
    const char *dir;          /* the data set */
    const char *name;         /* of the model: letters, digits, '-', '_', '.' */
    const char *model;        /* "cnn", "resnet18" */
    const char *unfreeze;     /* as model_spec's; NULL: all */
    const char *weights_path; /* NULL: drawn; else train/weights.h */
    const char *groups_path;  /* NULL: split by track */
    uint64_t seed;
    uint32_t threads; /* 0: one a core */
    uint64_t epochs, batch, steps_per_epoch /* 0: all clips */, patience /* 0: never */;
    double learning_rate, weight_decay, margin, validation_share, dropout;
    double version_share; /* of positives that are other versions, by groups_path */
    enum train_loss loss;
    enum mining mining; /* of LOSS_TRIPLET: where the gradient comes from */
    double temperature; /* of LOSS_NTXENT */
    enum optim_kind optimizer;
    enum schedule_kind schedule;
    uint64_t warmup_steps;
    uint64_t accumulate;    /* batches a step, each with its own batch norm and negatives; 0: 1 */
    uint64_t pin_bytes;     /* of records that stay in memory, store/pin.h; 0: none */
    uint64_t cache_bytes;   /* limit of the frozen layers' activations, train/trunk.h; 0: none are
                               kept. With jitter no clip is seen twice, and none are either */
    double gradient_clip;   /* global norm; 0: never */
    bool jitter;            /* train/jitter.h */
    bool resume;            /* go on from last.safetensors */
    bool replace;           /* a model of this name may be there: the new one takes its place */
    uint64_t checkpoint_ns; /* last.safetensors at the latest after this time */
    bool (*stop)(void);     /* asked after every step; NULL: never */
    enum train_precision precision; /* of activations */
    const struct backend *backend;  /* NULL: oneDNN in that precision */
};

struct train_result {
    uint64_t epochs, steps; /* done, resumed ones included */
    double best_val_loss, baseline_loss;
    uint64_t best_epoch;
    uint64_t n_train_tracks, n_validation_tracks, n_triplets, n_val_triplets;
    uint64_t n_train_groups, n_validation_groups;
    double clips_per_s, loader_wait; /* of this run's steps; wait as a share of their time */
    double seconds;
    uint64_t peak_rss_bytes;
    uint32_t threads;
    bool stopped;   /* by request: not finished */
    bool collapsed; /* all vectors were nearly equal at the last validation */
    char kernels[NET_KERNELS_BYTES];
    char model_dir[4096];
};

/* Errors: ERR_USAGE for parameters and checkpoints that do not fit, ERR_PERM for data that cannot
 * be trained on, ERR_FATAL for disks. The last good checkpoint stays in every case. */
MUST_CHECK bool train_run(const struct train_params *params, struct train_result *out,
                          struct err *e);

#endif
