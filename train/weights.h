/*
 * First weights from a file that others trained: a resnet18 as timm (safetensors) and torchvision
 * (.pth, both layouts) ship it. docs/TRAIN.md says where to get one. What differs from our network
 * is settled so:
 *
 * - conv1 of an RGB network is summed over its three channels: that is its response to a grey
 *   picture fed three times (timm's adapt_input_conv does the same).
 * - fc is loaded when it has our shape, else it keeps its drawn weights: it names ImageNet's
 * classes.
 * - Every other tensor must be there in its shape. A file that lacks one is of another network and
 *   refused; tensors we have no place for are listed and left.
 */
#ifndef REFRAIN_WEIGHTS_H
#define REFRAIN_WEIGHTS_H

#include "train/net.h"
#include "train/safetensors.h"

enum { WEIGHTS_LIST_BYTES = 160 };
#define WEIGHTS_FILE_MAX_BYTES ((size_t)1 << 30)

/* The first names as "a, b, c, ..." and how many there are in all. */
struct name_list {
    size_t n;
    char text[WEIGHTS_LIST_BYTES];
};

struct weights_report {
    size_t n_loaded;          /* parameters and running statistics */
    struct name_list kept;    /* ours that keep their first weights: fc */
    struct name_list surplus; /* the file's that have no place */
    bool summed;              /* conv1 came with three channels */
    uint64_t hash;            /* of the file */
};

/* Overwrites what the file has. ERR_PERM names what is wrong; `into` is not to be used then. */
MUST_CHECK bool weights_load(const char *path, struct params *into, struct weights_report *out,
                             struct err *e);

/* The same from tensors in memory. */
MUST_CHECK bool weights_apply(const struct safetensors *st, struct params *into,
                              struct weights_report *out, struct err *e);

#endif
