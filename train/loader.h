/*
 * One thread that reads batches ahead of the trainer: step after step it asks which keys, hints the
 * kernel a few steps ahead, decodes from the compressed store and standardises, into a fixed number
 * of buffers. When all are full it waits; memory is n_slots * n_pictures pictures, whatever the
 * data set. What it reads depends on the step alone, never on timing.
 */
#ifndef REFRAIN_LOADER_H
#define REFRAIN_LOADER_H

#include "store/store.h"
#include "train/norm.h"
#include "train/trunk.h"

enum { LOADER_AHEAD_STEPS = 4 };

/* Writes the keys of a step; pure, called from the loader's thread. */
typedef void loader_keys_fn(void *arg, uint64_t step, uint64_t *keys);

struct loader_params {
    struct store *store; /* borrowed for life, as is all below */
    const struct norm *norm;
    const struct trunk *trunk; /* not NULL: batches are its activations, not pictures */
    uint32_t n_frames, n_mels;
    size_t n_pictures; /* a step */
    size_t n_slots;    /* at least 2 */
    uint64_t first_step, end_step;
    bool jitter; /* train/jitter.h, drawn by seed */
    uint64_t seed;
    loader_keys_fn *keys_fn;
    void *keys_arg;
};

struct batch {
    uint64_t step;
    float *pictures; /* (n_pictures, n_frames, n_mels), standardised; or activations */
    uint64_t *keys;
    struct err err; /* kind other than ERR_NONE: the batch could not be read */
};

struct loader;
struct loader *loader_new(const struct loader_params *params);

/* Takes the next step's batch, waiting for it; NULL behind the last step or after an error was
 * handed out. Batches come in the order of steps. */
struct batch *loader_take(struct loader *l);
void loader_give_back(struct loader *l, struct batch *b); /* NULL is fine */

/* Stops the thread and frees all; every batch must have been given back. NULL is fine. */
void loader_free(struct loader *l);

#endif
