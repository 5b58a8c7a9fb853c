/*
 * The triplet margin loss, as torch.nn.TripletMarginLoss(margin, p=2, eps=1e-6) computes it:
 *
 *     d(x, y) = | x - y + eps |_2          eps is added to every component, with its sign
 *     loss    = mean over triplets of max(0, d(a, p) - d(a, n) + margin)
 *
 * A triplet exactly at the hinge passes its gradient, as PyTorch's clamp_min does.
 */
#ifndef REFRAIN_LOSS_H
#define REFRAIN_LOSS_H

#include "base/base.h"

#define TRIPLET_EPSILON 1e-6

struct triplet_stats {
    size_t n_triplets;    /* 0: all means are 0 */
    double loss;          /* mean */
    double active_share;  /* of triplets with a loss above 0 */
    double mean_positive; /* mean d(a, p) */
    double mean_negative; /* mean d(a, n) */
};

/* Distance as above of two vectors of `dim` values. */
double triplet_distance(const double *x, const double *y, size_t dim);

/* `rows` is (3 n, dim): n anchors, then their positives, then their negatives. Writes the gradient
 * in the same layout unless `grad` is NULL. */
void triplet_loss(const double *rows, size_t n, size_t dim, double margin, double *grad,
                  struct triplet_stats *out);

/* Adds the gradient of weight * d(x, y) with respect to x and y; none at distance 0, where the
 * derivative does not exist. */
void triplet_add_gradient(const double *x, const double *y, size_t dim, double distance,
                          double weight, double *grad_x, double *grad_y);

/* The statistics of n triplets whose distances are known. */
void triplet_stats_from(const double *positive, const double *negative, size_t n, double margin,
                        struct triplet_stats *out);

#endif
