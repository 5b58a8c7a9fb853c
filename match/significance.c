#include "match/significance.h"

#include "base/base.h"

#include <math.h>
#include <stdlib.h>

/* Of 185,170 pairs of unrelated development songs of 30 s; growth of the same songs cut to a half
 * and less, and of real recordings (docs/MATCH.md). */
const struct null_model null_model_default = {
    .laws = {[ALIGN_HARMONY] = {120.7, 27.8, 0.16, 0.22, 0, 1},
             [ALIGN_MELODY] = {259.4, 38.6, 0.08, 0.20, 0.003, 5},
             [ALIGN_BOTH] = {142.2, 24.8, 0.06, 0.20, 0.002, 6}},
};

enum { HALVINGS = 60 }; /* of an interval of levels: more than a double holds */

/* How much a score shrinks to what songs of NULL_FRAMES would have. */
static double shrink(const struct null_law *law, size_t n_a, size_t n_b)
{
    double area = (double)align_stacks((uint32_t)n_a) * align_stacks((uint32_t)n_b);
    double usual = (double)align_stacks(NULL_FRAMES) * align_stacks(NULL_FRAMES);
    return pow(area / usual, -law->growth);
}

double null_law_level(const struct null_law *law, double score, size_t n_a, size_t n_b)
{
    return score * shrink(law, n_a, n_b);
}

double null_law_chance_of_level(const struct null_law *law, double level)
{
    double above = (level - law->location) / law->scale, z = 1 + law->shape * above;
    double general = z > 0 ? -expm1(-pow(z, -1 / law->shape)) : 1;
    double common = law->share > 0 ? law->share * exp(-fmax(0, above) / law->reach) : 0;
    return general + (1 - general) * common;
}

/* Where the law without commonplaces has this -ln(share of levels below), in scales from its
 * location. */
static double standard_level(const struct null_law *law, double minus_log_below)
{
    return expm1(-law->shape * log(minus_log_below)) / law->shape;
}

double null_law_chance(const struct null_law *law, double score, size_t n_a, size_t n_b)
{
    return null_law_chance_of_level(law, null_law_level(law, score, n_a, n_b));
}

double null_model_evalue(const struct null_model *m, enum align_mode mode, double score, size_t n_a,
                         size_t n_b, double n_songs)
{
    return n_songs * null_law_chance(&m->laws[mode], score, n_a, n_b);
}

double null_law_score(const struct null_law *law, double chance, size_t n_a, size_t n_b)
{
    assert(chance > 0 && chance < 1);
    double low = law->location + law->scale * standard_level(law, -log1p(-chance)), high = low;
    if (law->share > 0) { /* between what either part alone would have, both at half the chance */
        double general = standard_level(law, -log1p(-chance / 2));
        double common = law->reach * log(2 * law->share / chance);
        high = law->location + law->scale * fmax(general, common);
    }
    for (int i = 0; i < HALVINGS && low < high; i++) {
        double middle = low + (high - low) / 2;
        if (null_law_chance_of_level(law, middle) > chance)
            low = middle;
        else
            high = middle;
    }
    return fmax(0, high) / shrink(law, n_a, n_b);
}

static int double_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

bool null_law_fit(double *levels, size_t n, struct null_law *out)
{
    enum { QUANTILES = 50 };
    if (n < NULL_PAIRS_MIN)
        return false;
    qsort(levels, n, sizeof *levels, double_compare);
    double sx = 0, sy = 0, sxx = 0, sxy = 0;
    for (size_t k = 0; k < QUANTILES; k++) {
        double p = 0.5 + 0.43 * (double)k / (QUANTILES - 1);
        double x = standard_level(out, -log(p)), at = p * (double)(n - 1), part = at - floor(at);
        size_t i = (size_t)at;
        double y = levels[i] + (i + 1 < n ? part * (levels[i + 1] - levels[i]) : 0);
        sx += x;
        sy += y;
        sxx += x * x;
        sxy += x * y;
    }
    double scale = (QUANTILES * sxy - sx * sy) / (QUANTILES * sxx - sx * sx);
    if (!(scale > 1e-3))
        return false;
    out->location = (sy - scale * sx) / QUANTILES;
    out->scale = scale;
    return true;
}

void significance_qvalues(const double *evalues, size_t n, double *out)
{
    double least = 1;
    for (size_t i = n; i-- > 0;) {
        least = fmin(least, evalues[i] / (double)(i + 1));
        out[i] = least;
    }
}
