#include "match/significance.h"

#include "base/base.h"

#include <math.h>
#include <stdlib.h>

/* Of 15,930 pairs of unrelated development songs of 30 s. Growth as measured on songs cut to a half
 * and to a quarter: 1.2 times the scale that Gumbel's law has on the scores themselves, where
 * theory says 1. */
const struct null_model null_model_default = {
    .laws = {[ALIGN_HARMONY] = {3.380, 0.193, 46},
             [ALIGN_MELODY] = {4.044, 0.138, 51},
             [ALIGN_BOTH] = {3.487, 0.139, 34}},
};

static double longer(const struct null_law *law, size_t n_a, size_t n_b)
{
    double area = (double)align_stacks((uint32_t)n_a) * align_stacks((uint32_t)n_b);
    double usual = (double)align_stacks(NULL_FRAMES) * align_stacks(NULL_FRAMES);
    return law->growth * log(area / usual);
}

double null_law_level(const struct null_law *law, double score, size_t n_a, size_t n_b)
{
    return score - longer(law, n_a, n_b);
}

static double root_of(double level)
{
    return level > 0 ? sqrt(sqrt(level)) : 0;
}

double null_law_chance_of_level(const struct null_law *law, double level)
{
    return -expm1(-exp(-(root_of(level) - law->location) / law->scale));
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
    double root = fmax(0, law->location - law->scale * log(-log1p(-chance)));
    return root * root * root * root + longer(law, n_a, n_b);
}

static int double_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

bool null_law_fit(double *scores, size_t n, struct null_law *out)
{
    enum { QUANTILES = 50 };
    if (n < NULL_PAIRS_MIN)
        return false;
    qsort(scores, n, sizeof *scores, double_compare);
    double sx = 0, sy = 0, sxx = 0, sxy = 0;
    for (size_t k = 0; k < QUANTILES; k++) {
        double p = 0.5 + 0.46 * (double)k / (QUANTILES - 1);
        double x = -log(-log(p)), at = p * (double)(n - 1), part = at - floor(at);
        size_t i = (size_t)at;
        double y = root_of(scores[i] + (i + 1 < n ? part * (scores[i + 1] - scores[i]) : 0));
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
