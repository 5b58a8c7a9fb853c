#include "features/elementary.h"

#include <math.h>

/* ln 2 in two parts: the high one has 21 trailing zero bits, so that k * LN2_HI is exact for
 * |k| < 2^21 (the split is fdlibm's, which every C library uses). */
static const double LN2_HI = 6.93147180369123816490e-01;
static const double LN2_LO = 1.90821492927058770002e-10;
static const double LN10 = 2.30258509299404568402;

/* e^r 2^k for |r| <= 0.35: Taylor to r^16 / 16!, whose remainder is below 2^-60. */
static double exp_scaled(double r, double k)
{
    double sum = 1;
    for (int n = 16; n >= 1; n--)
        sum = 1 + r / n * sum;
    return ldexp(sum, (int)k);
}

double elementary_exp(double x)
{
    assert(fabs(x) <= 700);
    double k = rint(x / (LN2_HI + LN2_LO));
    return exp_scaled((x - k * LN2_HI) - k * LN2_LO, k);
}

double elementary_exp2(double x)
{
    assert(fabs(x) <= 1000);
    double k = rint(x);
    return exp_scaled((x - k) * (LN2_HI + LN2_LO), k);
}

double elementary_exp10(double x)
{
    return elementary_exp(x * LN10);
}

/* log m = 2 artanh s, s = (m - 1) / (m + 1), |s| <= 0.1716 for m in [sqrt 1/2, sqrt 2]; twelve
 * terms leave 1e-19. */
double elementary_log(double x)
{
    assert(isnormal(x) && x > 0);
    int k;
    double m = frexp(x, &k);
    if (m < 0.70710678118654752440) {
        m *= 2;
        k--;
    }
    double s = (m - 1) / (m + 1);
    double s2 = s * s;
    double sum = 0;
    for (int n = 23; n >= 3; n -= 2)
        sum = (sum + 1.0 / n) * s2;
    return k * LN2_HI + (2 * s + (2 * s * sum + k * LN2_LO));
}

/* ---------------------------------------------------------------- sine and cosine */

/* An unevaluated sum of two doubles, about 106 bits (Dekker, "A floating-point technique for
 * extending the available precision", 1971). */
struct dd {
    double hi, lo;
};

static const struct dd HALF_PI = {1.57079632679489655800e+00, 6.12323399573676603587e-17};

static struct dd dd_from_sum(double a, double b)
{
    double sum = a + b, part = sum - a;
    return (struct dd){sum, (a - (sum - part)) + (b - part)};
}

static struct dd dd_add(struct dd a, struct dd b)
{
    struct dd sum = dd_from_sum(a.hi, b.hi);
    return dd_from_sum(sum.hi, sum.lo + (a.lo + b.lo));
}

/* The exact product: both factors are split into halves of 26 bits. */
static struct dd dd_from_product(double a, double b)
{
    const double splitter = 134217729; /* 2^27 + 1 */
    double a_big = a * splitter, b_big = b * splitter;
    double a_hi = a_big - (a_big - a), b_hi = b_big - (b_big - b);
    double a_lo = a - a_hi, b_lo = b - b_hi;
    double p = a * b;
    return (struct dd){p, ((a_hi * b_hi - p) + a_hi * b_lo + a_lo * b_hi) + a_lo * b_lo};
}

static struct dd dd_mul(struct dd a, struct dd b)
{
    struct dd p = dd_from_product(a.hi, b.hi);
    return dd_from_sum(p.hi, p.lo + (a.hi * b.lo + a.lo * b.hi));
}

static struct dd dd_div(struct dd a, double b)
{
    double q = a.hi / b;
    struct dd p = dd_from_product(q, b);
    double rest = ((a.hi - p.hi) - p.lo) + a.lo;
    return dd_from_sum(q, rest / b);
}

/* 1 - a^2 / (n (n - 1)) (1 - a^2 / ((n - 2) (n - 3)) (...)) down from n = last: the Taylor series
 * of sin a / a for last = 27 and of cos a for last = 28; |a| <= pi / 4 leaves 2^-105. */
static struct dd taylor(struct dd a, int last)
{
    struct dd minus_a2 = dd_mul(a, (struct dd){-a.hi, -a.lo}), sum = {1, 0};
    for (int n = last; n >= 2; n -= 2)
        sum = dd_add((struct dd){1, 0}, dd_mul(dd_div(minus_a2, n * (n - 1.0)), sum));
    return sum;
}

/* sin of quarter_turns * pi / 2 + x */
static double sin_from(double x, int quarter_turns)
{
    assert(fabs(x) <= 4);
    double q = rint(x / HALF_PI.hi);
    struct dd a = dd_add((struct dd){x, 0}, dd_mul((struct dd){-q, 0}, HALF_PI));
    int quadrant = ((int)q + quarter_turns) & 3;
    struct dd y = quadrant % 2 == 0 ? dd_mul(a, taylor(a, 27)) : taylor(a, 28);
    return quadrant < 2 ? y.hi : -y.hi;
}

/*
 * SciPy's windows and twiddles come from the C library. glibc's sine and cosine are within 0.55
 * ulp, so that a few of its results are the neighbour of the correctly rounded one. These are all
 * the arguments where that happens for transforms of up to 8192 points; with them librosa's spectra
 * are met bit for bit also where they hold nothing but rounding noise. Made by
 * tests/golden/features/make_exceptions.py.
 */
struct exception {
    double x, y;
};

static const struct exception SIN_EXCEPTIONS[] = {
    {0x1.534ac0f19860cp-3, 0x1.51bdf8597c5f2p-3}, {0x1.54dce0a6dca40p-3, 0x1.534a900abb762p-3},
    {0x1.66243d70cb830p-3, 0x1.6451a831d8314p-3}, {0x1.297834b75eedcp+0, 0x1.d5cf29d3bfa70p-1},
    {0x1.4ce9202133115p+1, 0x1.078eaeef907d6p-1},
};
static const struct exception COS_EXCEPTIONS[] = {
    {0x1.e8e90d233e3d4p-1, 0x1.27c6b582b36bcp-1},  {0x1.39c43db003230p+0, 0x1.5a742ac0ff78cp-2},
    {0x1.537d04e840e92p+0, 0x1.f0197b7fb2592p-3},  {0x1.626932224963ep+0, 0x1.7b7f5a2a2410ep-3},
    {0x1.64f6a5a8d8508p+0, 0x1.676987f7216b6p-3},  {0x1.687f6d00b1e6dp+0, 0x1.4b8b17f79fa8ap-3},
    {0x1.aa465cc73c54dp+0, -0x1.81d7ccbbd1fe2p-4}, {0x1.f57a0acd6053cp+0, -0x1.838290bb359c6p-2},
    {0x1.0e91d5b72df58p+1, -0x1.089112032b08ep-1}, {0x1.5c853b3a89695p+1, -0x1.d3c1ae79f2b4ep-1},
};

static bool exception_find(const struct exception *list, size_t n, double x, double *out)
{
    for (size_t i = 0; i < n; i++)
        if (list[i].x == x) {
            *out = list[i].y;
            return true;
        }
    return false;
}

double elementary_sin(double x)
{
    double y;
    if (exception_find(SIN_EXCEPTIONS, ARRAY_LEN(SIN_EXCEPTIONS), fabs(x), &y))
        return x < 0 ? -y : y;
    return sin_from(x, 0);
}

double elementary_cos(double x)
{
    double y;
    if (exception_find(COS_EXCEPTIONS, ARRAY_LEN(COS_EXCEPTIONS), fabs(x), &y))
        return y;
    return sin_from(x, 1);
}
