#include "train/ranking.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RNG_BOOTSTRAP = 0x626f6f74 /* "boot" */, RNG_CHOICE = 0x63686f69 /* "choi" */, TOP = 10 };

static int compare_doubles(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return a < b ? -1 : a > b;
}

struct member {
    uint64_t group;
    double value;
};

static int compare_members(const void *x, const void *y)
{
    uint64_t a = ((const struct member *)x)->group, b = ((const struct member *)y)->group;
    return a < b ? -1 : a > b;
}

/* Values summed up by group; returns the number of groups. */
static size_t sum_groups(struct member *members, size_t n, double *sums, double *counts)
{
    size_t n_groups = 0;
    qsort(members, n, sizeof *members, compare_members);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || members[i].group != members[i - 1].group) {
            sums[n_groups] = counts[n_groups] = 0.0;
            n_groups++;
        }
        sums[n_groups - 1] += members[i].value;
        counts[n_groups - 1] += 1.0;
    }
    return n_groups;
}

struct figure figure_mean(const double *values, const uint64_t *groups, size_t n, uint64_t seed)
{
    struct figure f = {(double)NAN, (double)NAN, (double)NAN};
    struct member *members = mem_alloc(size_max(n, 1), sizeof *members);
    double *sums = mem_alloc(size_max(n, 1), sizeof *sums);
    double *counts = mem_alloc(size_max(n, 1), sizeof *counts);
    size_t n_members = 0;
    for (size_t i = 0; i < n; i++)
        if (!isnan(values[i]))
            members[n_members++] = (struct member){groups[i], values[i]};
    if (n_members > 0) {
        double draws[BOOTSTRAP_DRAWS], total = 0.0;
        size_t n_groups = sum_groups(members, n_members, sums, counts);
        for (size_t i = 0; i < n_groups; i++)
            total += sums[i];
        for (size_t d = 0; d < BOOTSTRAP_DRAWS; d++) {
            struct rng r;
            double sum = 0.0, count = 0.0;
            rng_init(&r, seed, RNG_BOOTSTRAP, d);
            for (size_t i = 0; i < n_groups; i++) {
                size_t g = rng_below(&r, n_groups);
                sum += sums[g];
                count += counts[g];
            }
            draws[d] = sum / count;
        }
        qsort(draws, BOOTSTRAP_DRAWS, sizeof *draws, compare_doubles);
        f = (struct figure){total / (double)n_members, draws[BOOTSTRAP_DRAWS / 40],
                            draws[BOOTSTRAP_DRAWS - 1 - BOOTSTRAP_DRAWS / 40]};
    }
    mem_free(members);
    mem_free(sums);
    mem_free(counts);
    return f;
}

/* Nearer counts 1, equal 1/2. */
static double win(float version, float other)
{
    return version < other ? 1.0 : version == other ? 0.5 : 0.0;
}

/* Of items at the same distance the earlier one comes first. */
static size_t rank_of(const float *distances, size_t n, size_t query, size_t item)
{
    size_t rank = 1;
    for (size_t k = 0; k < n; k++) {
        bool is_tied_before = k < item && distances[k] == distances[item];
        if (k != query && k != item && (is_tied_before || distances[k] < distances[item]))
            rank++;
    }
    return rank;
}

/* Number of items nearer than rank r that are versions, for precision: ranks ascending. */
static double average_precision(double *ranks, size_t n)
{
    double sum = 0.0;
    qsort(ranks, n, sizeof *ranks, compare_doubles);
    for (size_t i = 0; i < n; i++)
        sum += (double)(i + 1) / ranks[i];
    return sum / (double)n;
}

void ranking_of(const float *distances, const uint64_t *groups, size_t n, size_t query,
                uint64_t seed, struct ranking *out)
{
    double nan_value = (double)NAN;
    *out = (struct ranking){nan_value, nan_value, nan_value, nan_value, nan_value, nan_value};
    size_t *others = mem_alloc(n, sizeof *others);
    double *ranks = mem_alloc(n, sizeof *ranks);
    size_t n_versions = 0, n_others = 0, in_top = 0;
    double wins = 0.0, choices = 0.0;
    struct rng r;
    rng_init(&r, seed, RNG_CHOICE, query);
    for (size_t k = 0; k < n; k++)
        if (groups[k] != groups[query])
            others[n_others++] = k;
    for (size_t k = 0; k < n && n_others > 0; k++) {
        if (k == query || groups[k] != groups[query])
            continue;
        for (size_t i = 0; i < n_others; i++)
            wins += win(distances[k], distances[others[i]]);
        choices += win(distances[k], distances[others[rng_below(&r, n_others)]]);
        size_t rank = rank_of(distances, n, query, k);
        ranks[n_versions++] = (double)rank;
        in_top += rank <= TOP;
    }
    if (n_versions > 0) {
        out->average_precision = average_precision(ranks, n_versions);
        out->two_choice = choices / (double)n_versions;
        out->auc = wins / ((double)n_versions * (double)n_others);
        out->first_rank = ranks[0]; /* ascending by now */
        out->precision_1 = ranks[0] == 1.0 ? 1.0 : 0.0;
        out->precision_10 = (double)in_top / TOP;
    }
    mem_free(others);
    mem_free(ranks);
}

double binomial_p(uint64_t n_right, uint64_t n)
{
    double sum = 0.0;
    for (uint64_t k = n_right; k <= n; k++)
        sum += exp(lgamma((double)n + 1.0) - lgamma((double)k + 1.0) -
                   lgamma((double)(n - k) + 1.0) - (double)n * log(2.0));
    return fmin(sum, 1.0);
}
