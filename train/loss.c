#include "train/loss.h"

#include <math.h>
#include <string.h>

double triplet_distance(const double *x, const double *y, size_t dim)
{
    double sum = 0.0;
    for (size_t i = 0; i < dim; i++) {
        double diff = x[i] - y[i] + TRIPLET_EPSILON;
        sum += diff * diff;
    }
    return sqrt(sum);
}

void triplet_add_gradient(const double *x, const double *y, size_t dim, double distance,
                          double weight, double *grad_x, double *grad_y)
{
    if (distance <= 0.0)
        return;
    for (size_t i = 0; i < dim; i++) {
        double g = weight * (x[i] - y[i] + TRIPLET_EPSILON) / distance;
        grad_x[i] += g;
        grad_y[i] -= g;
    }
}

void triplet_loss(const double *rows, size_t n, size_t dim, double margin, double *grad,
                  struct triplet_stats *out)
{
    assert(n > 0);
    struct triplet_stats s = {0};
    if (grad != NULL)
        memset(grad, 0, 3 * n * dim * sizeof *grad);
    for (size_t i = 0; i < n; i++) {
        size_t a = i * dim, p = (n + i) * dim, q = (2 * n + i) * dim;
        double positive = triplet_distance(rows + a, rows + p, dim);
        double negative = triplet_distance(rows + a, rows + q, dim);
        double hinge = positive - negative + margin;
        s.mean_positive += positive;
        s.mean_negative += negative;
        s.active_share += hinge > 0.0;
        s.loss += fmax(0.0, hinge);
        if (grad == NULL || hinge < 0.0)
            continue;
        double weight = 1.0 / (double)n;
        triplet_add_gradient(rows + a, rows + p, dim, positive, weight, grad + a, grad + p);
        triplet_add_gradient(rows + a, rows + q, dim, negative, -weight, grad + a, grad + q);
    }
    s.n_triplets = n;
    s.loss /= (double)n;
    s.active_share /= (double)n;
    s.mean_positive /= (double)n;
    s.mean_negative /= (double)n;
    *out = s;
}

void triplet_stats_from(const double *positive, const double *negative, size_t n, double margin,
                        struct triplet_stats *out)
{
    struct triplet_stats s = {.n_triplets = n};
    for (size_t i = 0; i < n; i++) {
        double hinge = positive[i] - negative[i] + margin;
        s.loss += fmax(0.0, hinge) / (double)n;
        s.active_share += (hinge > 0.0 ? 1.0 : 0.0) / (double)n;
        s.mean_positive += positive[i] / (double)n;
        s.mean_negative += negative[i] / (double)n;
    }
    *out = s;
}
