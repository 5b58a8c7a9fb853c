/*
 * The networks, as functions that declare them on a tape, and their first weights.
 *
 * `cnn` is a small residual network on the (frames, mels) picture of a clip:
 *
 *     conv1  7x5, stride 4x2 -> 16, bn, relu
 *     layer1 3x3, stride 2   -> 32, bn, relu, then a residual block at 32
 *     layer2 3x3, stride 2   -> 64, bn, relu, then a residual block at 64
 *     layer3 3x3, stride 2   -> 128, bn, relu, then a residual block at 128
 *     bands  1 x all bands   -> 128, bn, relu: which frequencies sound together is kept, in time
 *                               only their average
 *     global average, dropout, linear -> 128, l2norm
 *
 * A residual block is conv 3x3, bn, relu, conv 3x3, bn, added to its input, relu: the unit of
 * ResNet-18, with its names (layer1.0.conv1.weight, ...), so that the same tape carries it.
 */
#ifndef REFRAIN_MODEL_H
#define REFRAIN_MODEL_H

#include "train/net.h"

enum { EMBEDDING_DIM = 128, MODEL_SIDE_MIN = 8 };

struct model_spec {
    char name[NET_NAME_BYTES]; /* "cnn" */
    int32_t n_frames, n_mels;
    double dropout;
};

/* Declares the model for batches of n_pictures and finishes the tape. An unknown name and a picture
 * too small for the strides are ERR_USAGE. */
MUST_CHECK bool model_build(struct net *n, const struct model_spec *spec, int32_t n_pictures,
                            struct err *e);

/* First weights: convolutions normal with variance 2 / (out * kh * kw) (He et al. 2015, fan-out, as
 * torchvision), batch norm 1 and 0, linear uniform in +-1/sqrt(in) (PyTorch's default). Each tensor
 * is drawn by (seed, its name): independent of the order of declaration. */
void model_init(struct params *p, uint64_t seed);

#endif
