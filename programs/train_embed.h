/*
 * `refrain embed`: what a trained model makes of clips. A whole data set to one array of vectors
 * with a table of ids beside it, or single files compared with each other and with the data set.
 */
#ifndef REFRAIN_TRAIN_EMBED_H
#define REFRAIN_TRAIN_EMBED_H

#include "programs/dataset.h"

struct embed_options {
    const char *name; /* of the model */
    const char *output;
    uint64_t threads, start_ms;
    bool originals; /* no augmented views */
    bool json;
};

/* OUT.npy (float32, (clips, 128)) or OUT.safetensors (`embedding`, `key`), and OUT.csv with
 * index, track_id, row, clip, view. */
MUST_CHECK bool embed_dataset(const struct dataset *d, const struct embed_options *o,
                              struct err *e);

/* The cosine of each pair of files, and the share of the data set's pairs of songs that are less
 * alike. */
MUST_CHECK bool embed_files(const struct dataset *d, const struct embed_options *o,
                            char *const *files, size_t n_files, struct err *e);

#endif
