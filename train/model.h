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
 * `resnet18` is torchvision's (He et al. 2016, https://arxiv.org/abs/1512.03385), tensor for tensor
 * and name for name, with one input channel and EMBEDDING_DIM outputs, which are L2-normalised:
 *
 *     conv1  7x7, stride 2 -> 64, bn1, relu, max pooling 3x3, stride 2
 *     layer1 two residual blocks at 64; layer2, 3, 4: two at 128, 256, 512, the first with stride 2
 *     global average, dropout, fc, l2norm
 *
 * Parts that can be trained from, in order: conv1, layer1 ... layer3 (resnet18: layer4), bands (cnn
 * only), fc.
 *
 * A residual block is conv 3x3, bn, relu, conv 3x3, bn, added to its input (where the shape
 * changes: to a 1x1 convolution and bn of it), relu.
 */
#ifndef REFRAIN_MODEL_H
#define REFRAIN_MODEL_H

#include "train/net.h"

enum { EMBEDDING_DIM = 128, MODEL_SIDE_MIN = 8 };

struct model_spec {
    char name[NET_NAME_BYTES]; /* "cnn", "resnet18" */
    int32_t n_frames, n_mels;
    double dropout;
    char unfreeze[16]; /* "all"; "layer4": that part and what follows it is trained; "layer3+", "fc"
                        */
};

/* Declares the model for batches of n_pictures and finishes the tape. An unknown name or part and a
 * picture too small for the strides are ERR_USAGE. */
MUST_CHECK bool model_build(struct net *n, const struct model_spec *spec, int32_t n_pictures,
                            struct err *e);

/* Only what `unfreeze` trains, behind the activations of the frozen rest (net_cut of the whole
 * model; cut.n pictures a batch). Its parameters have the same names, and the trained ones the same
 * offsets, as those of the whole model. */
MUST_CHECK bool model_build_head(struct net *n, const struct model_spec *spec, struct shape cut,
                                 struct err *e);

/* First weights: convolutions normal with variance 2 / (out * kh * kw) (He et al. 2015, fan-out, as
 * torchvision), batch norm 1 and 0, linear uniform in +-1/sqrt(in) (PyTorch's default). Each tensor
 * is drawn by (seed, its name): independent of the order of declaration. */
void model_init(struct params *p, uint64_t seed);

#endif
