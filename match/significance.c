#include "match/significance.h"

#include "base/base.h"

#include <math.h>
#include <stdlib.h>

/* How much the logarithm of the area counts; 1 by theory, for which cells would have to be
 * independent. Measured on songs cut to a half and to a quarter (docs/MATCH.md). */
static const double GROWTH = 1.2;

const struct null_model null_model_default = {
    .laws = {[ALIGN_HARMONY] = {125, 50}, [ALIGN_MELODY] = {249, 42}, [ALIGN_BOTH] = {139, 29}},
};

static double longer(const struct null_law *law, size_t n_a, size_t n_b)
{
    double area = (double)align_stacks((uint32_t)n_a) * align_stacks((uint32_t)n_b);
    double usual = (double)align_stacks(NULL_FRAMES) * align_stacks(NULL_FRAMES);
    return law->scale * GROWTH * log(area / usual);
}

double null_law_level(const struct null_law *law, double score, size_t n_a, size_t n_b)
{
    return score - longer(law, n_a, n_b);
}

double null_law_chance(const struct null_law *law, double score, size_t n_a, size_t n_b)
{
    double x = (null_law_level(law, score, n_a, n_b) - law->location) / law->scale;
    return -expm1(-exp(-x));
}

double null_model_evalue(const struct null_model *m, enum align_mode mode, double score, size_t n_a,
                         size_t n_b, double n_songs)
{
    return n_songs * null_law_chance(&m->laws[mode], score, n_a, n_b);
}

double null_law_score(const struct null_law *law, double chance, size_t n_a, size_t n_b)
{
    assert(chance > 0 && chance < 1);
    return law->location - law->scale * log(-log1p(-chance)) + longer(law, n_a, n_b);
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
        double y = scores[i] + (i + 1 < n ? part * (scores[i + 1] - scores[i]) : 0);
        sx += x;
        sy += y;
        sxx += x * x;
        sxy += x * y;
    }
    double scale = (QUANTILES * sxy - sx * sy) / (QUANTILES * sxx - sx * sx);
    if (!(scale > 1))
        return false;
    *out = (struct null_law){.location = (sy - scale * sx) / QUANTILES, .scale = scale};
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
