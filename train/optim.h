/*
 * The optimizers, as torch.optim's Adam, AdamW and SGD compute them, with g the gradient, w the
 * weight, t the step from 1:
 *
 *     Adam    g += decay w     m = b1 m + (1 - b1) g     v = b2 v + (1 - b2) g^2
 *             w -= rate / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)
 *     AdamW   w *= 1 - rate decay, then Adam without the decay in g   (Loshchilov, Hutter 2019)
 *     SGD     g += decay w     m = momentum m + g     w -= rate m
 *
 * b1 0.9, b2 0.999, eps 1e-8, momentum 0.9; bias corrections in float64, the rest in float32. One
 * pass over flat arrays, bound by memory, shared out among the threads of OpenMP; the bits do not
 * depend on their number.
 */
#ifndef REFRAIN_OPTIM_H
#define REFRAIN_OPTIM_H

#include "base/base.h"

#define ADAM_BETA1 0.9
#define ADAM_BETA2 0.999
#define ADAM_EPSILON 1e-8
#define SGD_MOMENTUM 0.9

enum optim_kind { OPTIM_ADAM, OPTIM_ADAMW, OPTIM_SGD };

struct optim {
    enum optim_kind kind;
    size_t n;
    uint64_t n_steps; /* done so far */
    float *m;         /* owned, n, zero at first */
    float *v;         /* the same; NULL for SGD, which has no second moment */
};

void optim_init(struct optim *o, enum optim_kind kind, size_t n);
void optim_release(struct optim *o); /* safe on {0}, may run twice */

/* One step over all n weights. */
void optim_step(struct optim *o, float *weight, const float *grad, double learning_rate,
                double weight_decay);

/* Scales the gradient down to the global L2 norm `max_norm` when it is longer, as
 * torch.nn.utils.clip_grad_norm_ does (factor max / (norm + 1e-6)); max_norm 0 measures only.
 * Returns the norm as it was: a sum in float64 of blocks of fixed size, in order. */
double gradient_clip(float *grad, size_t n, double max_norm);

#endif
