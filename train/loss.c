#include "train/loss.h"

#include "base/mem.h"

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

/* Adds the gradient of weight * d(x, y) with respect to x and y; none at distance 0, where the
 * derivative does not exist. */
static void add_distance_gradient(const double *x, const double *y, size_t dim, double distance,
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
        add_distance_gradient(rows + a, rows + p, dim, positive, weight, grad + a, grad + p);
        add_distance_gradient(rows + a, rows + q, dim, negative, -weight, grad + a, grad + q);
    }
    s.loss /= (double)n;
    s.active_share /= (double)n;
    s.mean_positive /= (double)n;
    s.mean_negative /= (double)n;
    *out = s;
}

/* Adds the gradient of the sum of weights[k] * d(anchor, k) over all rows. */
static void add_row_gradients(const double *rows, size_t n_rows, size_t dim, size_t anchor,
                              const double *distances, const double *weights, double *grad)
{
    for (size_t k = 0; k < n_rows; k++)
        if (weights[k] != 0.0)
            add_distance_gradient(rows + anchor * dim, rows + k * dim, dim, distances[k],
                                  weights[k], grad + anchor * dim, grad + k * dim);
}

void triplet_loss_all(const double *rows, const uint64_t *groups, size_t n, size_t dim,
                      double margin, double *grad, double *out_loss)
{
    size_t n_rows = 3 * n, n_active = 0;
    double *distances = mem_alloc(n_rows, sizeof *distances);
    double *weights = mem_alloc(n_rows, sizeof *weights);
    double sum = 0.0;
    memset(grad, 0, n_rows * dim * sizeof *grad);
    for (size_t a = 0; a < 2 * n; a++) {
        size_t partner = a < n ? a + n : a - n, n_here = 0;
        for (size_t k = 0; k < n_rows; k++) {
            distances[k] = k == a ? 0.0 : triplet_distance(rows + a * dim, rows + k * dim, dim);
            weights[k] = 0.0;
        }
        for (size_t k = 0; k < n_rows; k++) {
            double hinge = distances[partner] - distances[k] + margin;
            if (groups[k] == groups[a] || hinge <= 0.0)
                continue;
            sum += hinge;
            weights[k] = -1.0;
            n_here++;
        }
        weights[partner] = (double)n_here;
        n_active += n_here;
        add_row_gradients(rows, n_rows, dim, a, distances, weights, grad);
    }
    double scale = n_active > 0 ? 1.0 / (double)n_active : 0.0;
    for (size_t i = 0; i < n_rows * dim; i++)
        grad[i] *= scale;
    *out_loss = sum * scale;
    mem_free(distances);
    mem_free(weights);
}

void triplet_stats_from(const double *positive, const double *negative, size_t n, double margin,
                        struct triplet_stats *out)
{
    assert(n > 0);
    struct triplet_stats s = {0};
    for (size_t i = 0; i < n; i++) {
        double hinge = positive[i] - negative[i] + margin;
        s.loss += fmax(0.0, hinge) / (double)n;
        s.active_share += (hinge > 0.0 ? 1.0 : 0.0) / (double)n;
        s.mean_positive += positive[i] / (double)n;
        s.mean_negative += negative[i] / (double)n;
    }
    *out = s;
}
