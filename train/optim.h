/*
 * Adam with L2 weight decay, as torch.optim.Adam: with g the gradient plus decay * w,
 *
 *     m = b1 m + (1 - b1) g        v = b2 v + (1 - b2) g^2
 *     w -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)
 *
 * b1 0.9, b2 0.999, eps 1e-8; bias corrections in float64, the rest in float32, t from 1.
 */
#ifndef REFRAIN_OPTIM_H
#define REFRAIN_OPTIM_H

#include "base/base.h"

#define ADAM_BETA1 0.9
#define ADAM_BETA2 0.999
#define ADAM_EPSILON 1e-8

struct adam {
    size_t n;
    uint64_t n_steps; /* done so far */
    float *m, *v;     /* owned, n each, zero at first */
};

void adam_init(struct adam *a, size_t n);
void adam_release(struct adam *a); /* safe on {0}, may run twice */

/* One step over all n weights. */
void adam_step(struct adam *a, float *weight, const float *grad, double learning_rate,
               double weight_decay);

#endif
