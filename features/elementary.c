#include "features/elementary.h"

#include <math.h>

/* ln 2 in two parts: the high one has 21 trailing zero bits, so that k * LN2_HI is exact for
 * |k| < 2^21 (the split is fdlibm's, which every C library uses). */
static const double LN2_HI = 6.93147180369123816490e-01;
static const double LN2_LO = 1.90821492927058770002e-10;
static const double LN10 = 2.30258509299404568402;
static const double PI_4 = 0.78539816339744830962;

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

/* Taylor on [0, pi/4]; the remainders are below 2^-58. */
static double sin_small(double a)
{
    double a2 = a * a;
    double sum = 0;
    for (int n = 17; n >= 3; n -= 2)
        sum = -(a2 / (n * (n - 1))) * (1 + sum);
    return a + a * sum;
}

static double cos_small(double a)
{
    double a2 = a * a;
    double sum = 0;
    for (int n = 18; n >= 4; n -= 2)
        sum = -(a2 / (n * (n - 1))) * (1 + sum);
    return 1 - a2 / 2 * (1 + sum);
}

void elementary_sincos(uint64_t i, uint64_t n, double *out_sin, double *out_cos)
{
    assert(i < n);
    assert(n <= UINT64_C(1) << 40);
    uint64_t octant = 8 * i / n;
    uint64_t rest = octant % 2 == 0 ? 8 * i - octant * n : (octant + 1) * n - 8 * i;
    double a = PI_4 * ((double)rest / (double)n);
    double s = sin_small(a), c = cos_small(a);
    bool swap = (octant + 1) / 2 % 2 == 1; /* octants 1, 2, 5, 6 lie around an odd pi/2 */
    double abs_sin = swap ? c : s, abs_cos = swap ? s : c;
    *out_sin = octant < 4 ? abs_sin : -abs_sin;
    *out_cos = octant < 2 || octant >= 6 ? abs_cos : -abs_cos;
}
