#include "train/mining.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

enum { RNG_REPORT = 0x72657074 /* "rept" */ };

static size_t partner_of(const struct batch_rows *b, size_t row)
{
    return row < b->n ? row + b->n : row - b->n;
}

static bool is_negative(const struct batch_rows *b, size_t anchor, size_t k)
{
    return b->groups[k] != b->groups[anchor];
}

/* The one negative of an anchor, or `anchor` itself when there is none. */
static size_t choose_negative(const struct batch_rows *b, enum mining mining, size_t anchor,
                              const double *distances)
{
    double beyond = mining == MINE_SEMI_HARD ? distances[partner_of(b, anchor)] : -1.0;
    size_t nearest = anchor, farthest = anchor;
    for (size_t k = 0; k < 2 * b->n; k++) {
        if (!is_negative(b, anchor, k))
            continue;
        if (distances[k] > beyond && (nearest == anchor || distances[k] < distances[nearest]))
            nearest = k;
        if (farthest == anchor || distances[k] > distances[farthest])
            farthest = k;
    }
    return nearest != anchor ? nearest : farthest;
}

/* Marks the negatives whose triplets count with weight -1; returns the sum of their losses and how
 * many there are. */
static double mark_negatives(const struct batch_rows *b, enum mining mining, size_t anchor,
                             double margin, const double *distances, double *weights, size_t *out_n)
{
    size_t one = mining == MINE_ALL ? anchor : choose_negative(b, mining, anchor, distances);
    double sum = 0.0;
    *out_n = 0;
    for (size_t k = 0; k < 2 * b->n; k++) {
        double hinge = distances[partner_of(b, anchor)] - distances[k] + margin;
        bool counts = is_negative(b, anchor, k) && (mining == MINE_ALL || k == one) && hinge > 0.0;
        weights[k] = counts ? -1.0 : 0.0;
        *out_n += counts;
        sum += counts ? hinge : 0.0;
    }
    return sum;
}

static void add_row_gradients(const struct batch_rows *b, size_t anchor, const double *distances,
                              const double *weights, double *grad)
{
    for (size_t k = 0; k < 2 * b->n; k++)
        if (weights[k] != 0.0)
            triplet_add_gradient(b->rows + anchor * b->dim, b->rows + k * b->dim, b->dim,
                                 distances[k], weights[k], grad + anchor * b->dim,
                                 grad + k * b->dim);
}

double triplet_loss_mined(const struct batch_rows *b, enum mining mining, double margin,
                          double *grad)
{
    size_t n_rows = 2 * b->n, n_active = 0;
    double *distances = mem_alloc(n_rows, sizeof *distances);
    double *weights = mem_alloc(n_rows, sizeof *weights);
    double sum = 0.0;
    assert(mining != MINE_DRAWN);
    memset(grad, 0, n_rows * b->dim * sizeof *grad);
    for (size_t a = 0; a < n_rows; a++) {
        size_t n_here;
        for (size_t k = 0; k < n_rows; k++)
            distances[k] =
                k == a ? 0.0 : triplet_distance(b->rows + a * b->dim, b->rows + k * b->dim, b->dim);
        sum += mark_negatives(b, mining, a, margin, distances, weights, &n_here);
        weights[partner_of(b, a)] = (double)n_here;
        n_active += n_here;
        add_row_gradients(b, a, distances, weights, grad);
    }
    double terms = (double)(mining == MINE_ALL ? n_active : n_rows);
    double scale = terms > 0.0 ? 1.0 / terms : 0.0;
    for (size_t i = 0; i < n_rows * b->dim; i++)
        grad[i] *= scale;
    mem_free(distances);
    mem_free(weights);
    return sum * scale;
}

static double dot(const double *x, const double *y, size_t dim)
{
    double sum = 0.0;
    for (size_t i = 0; i < dim; i++)
        sum += x[i] * y[i];
    return sum;
}

/* softmax[k] over the partner and the negatives of an anchor, 0 for all other rows; returns the
 * anchor's loss. The largest exponent is taken out first: nothing overflows. */
static double softmax_row(const struct batch_rows *b, size_t anchor, double temperature,
                          double *softmax)
{
    size_t partner = partner_of(b, anchor);
    double top = -(double)INFINITY, sum = 0.0, of_partner = 0.0;
    for (size_t k = 0; k < 2 * b->n; k++) {
        if (k != partner && !is_negative(b, anchor, k)) {
            softmax[k] = -(double)INFINITY;
            continue;
        }
        softmax[k] = dot(b->rows + anchor * b->dim, b->rows + k * b->dim, b->dim) / temperature;
        top = fmax(top, softmax[k]);
    }
    of_partner = softmax[partner];
    for (size_t k = 0; k < 2 * b->n; k++) {
        softmax[k] = exp(softmax[k] - top);
        sum += softmax[k];
    }
    for (size_t k = 0; k < 2 * b->n; k++)
        softmax[k] /= sum;
    return log(sum) + top - of_partner;
}

double ntxent_loss(const struct batch_rows *b, double temperature, double *grad)
{
    size_t n_rows = 2 * b->n, dim = b->dim;
    double *softmax = mem_alloc(n_rows, sizeof *softmax);
    double scale = 1.0 / (double)n_rows, sum = 0.0;
    memset(grad, 0, n_rows * dim * sizeof *grad);
    for (size_t a = 0; a < n_rows; a++) {
        sum += softmax_row(b, a, temperature, softmax);
        softmax[partner_of(b, a)] -= 1.0;
        for (size_t k = 0; k < n_rows; k++) {
            double weight = softmax[k] * scale / temperature;
            if (weight == 0.0)
                continue;
            for (size_t i = 0; i < dim; i++) {
                grad[a * dim + i] += weight * b->rows[k * dim + i];
                grad[k * dim + i] += weight * b->rows[a * dim + i];
            }
        }
    }
    mem_free(softmax);
    return sum * scale;
}

/* An original of another group, all alike; i itself when there is none. */
static size_t draw_original(const struct batch_rows *b, size_t i, struct rng *r)
{
    size_t n_others = 0, chosen = i;
    for (size_t k = 0; k < b->n; k++)
        if (is_negative(b, i, k) && rng_below(r, ++n_others) == 0)
            chosen = k;
    return chosen;
}

void triplet_stats_of_batch(const struct batch_rows *b, double margin, uint64_t seed,
                            uint64_t batch_i, struct triplet_stats *out)
{
    double *positive = mem_alloc(b->n, sizeof *positive);
    double *negative = mem_alloc(b->n, sizeof *negative);
    struct rng r;
    size_t n = 0;
    rng_init(&r, seed, RNG_REPORT, batch_i);
    for (size_t i = 0; i < b->n; i++) {
        const double *row = b->rows + i * b->dim;
        size_t k = draw_original(b, i, &r);
        if (k == i)
            continue;
        positive[n] = triplet_distance(row, b->rows + (b->n + i) * b->dim, b->dim);
        negative[n++] = triplet_distance(row, b->rows + k * b->dim, b->dim);
    }
    triplet_stats_from(positive, negative, n, margin, out);
    mem_free(positive);
    mem_free(negative);
}
