/*
 * Logarithm, angle, sine and cosine for the lanes of a vector: branch-free, in double, only with
 * the operations that every machine rounds alike. Good to about 1e-13, so that a result rounded to
 * float is the nearest one but for one in 10^5 cases. features/elementary.h has the exact ones, for
 * tables.
 *
 * Internal to features/.
 */
#ifndef REFRAIN_LANE_MATH_H
#define REFRAIN_LANE_MATH_H

#include "features/lanes.h"

#include <math.h>

/*
 * log x = k ln 2 + 2 artanh s: x = m 2^k with m in [sqrt 1/2, sqrt 2), where subtracting the bits
 * of sqrt 1/2 makes the exponent field floor to k, and s = (m - 1) / (m + 1), |s| <= 0.1716.
 * Returns artanh s by n_terms of its series, which leave s^(2 n + 1) / (2 n + 1): 1e-14 of eight,
 * 1e-11 of six. x is normal and above 0.
 */
LANE_BODY double lane_artanh(float x, int n_terms, int32_t *out_k)
{
    const int32_t sqrt_half_bits = 0x3f3504f3;
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    int32_t k = (bits - sqrt_half_bits) >> 23;
    bits -= k * (1 << 23);
    float mantissa;
    memcpy(&mantissa, &bits, sizeof mantissa);
    double m = mantissa;
    double s = (m - 1) / (m + 1), s2 = s * s;
    double sum = 1.0 / (2 * n_terms - 1);
#pragma GCC unroll 8
    for (int n = 2 * n_terms - 3; n >= 1; n -= 2)
        sum = sum * s2 + 1.0 / n;
    *out_k = k;
    return s * sum;
}

/* Nearest whole number, halves to even, for |x| < 2^51. */
LANE_BODY double lane_round(double x)
{
    const double big = 0x1.8p52;
    return (x + big) - big;
}

/* atan2(y, x); 0 for (0, 0). The series of arctan for |t| <= tan(pi / 8): 18 terms leave 1e-15. */
LANE_BODY double lane_angle(double y, double x)
{
    const double pi_4 = 0.78539816339744830962, pi_2 = 2 * pi_4, pi = 4 * pi_4;
    const double tan_pi_8 = 0.41421356237309504880;
    double a = fabs(x), b = fabs(y);
    double most = a > b ? a : b, least = a > b ? b : a;
    double t = least / (most > 0 ? most : 1);
    double base = t > tan_pi_8 ? pi_4 : 0;
    double u = t > tan_pi_8 ? (t - 1) / (t + 1) : t;
    double minus_u2 = -u * u;
    double sum = 1.0 / 35;
#pragma GCC unroll 20
    for (int n = 33; n >= 1; n -= 2)
        sum = sum * minus_u2 + 1.0 / n;
    double r = base + u * sum;
    r = b > a ? pi_2 - r : r;
    r = x < 0 ? pi - r : r;
    return y < 0 ? -r : r;
}

/* For |x| < 10^6. Pi / 2 in two parts (fdlibm's), of which the first has 33 bits, so that its
 * multiple is exact; then Taylor on [-pi / 4, pi / 4]. */
LANE_BODY void lane_cos_sin(double x, double *out_cos, double *out_sin)
{
    const double pi_2_high = 1.57079632673412561417e+00, pi_2_low = 6.07710050650619224932e-11;
    double k = lane_round(x * 0.63661977236758134308);
    double r = (x - k * pi_2_high) - k * pi_2_low;
    double minus_r2 = -r * r, s = 1, c = 1;
#pragma GCC unroll 8
    for (int n = 17; n >= 3; n -= 2)
        s = 1 + minus_r2 * (1.0 / (n * (n - 1))) * s;
#pragma GCC unroll 8
    for (int n = 16; n >= 2; n -= 2)
        c = 1 + minus_r2 * (1.0 / (n * (n - 1))) * c;
    s *= r;
    double quarter = k - 4 * lane_round(k * 0.25); /* -2 .. 2 */
    bool is_odd = fabs(quarter) == 1;
    double cosine = is_odd ? s : c, sine = is_odd ? c : s;
    *out_cos = quarter == 1 || fabs(quarter) == 2 ? -cosine : cosine;
    *out_sin = quarter == -1 || fabs(quarter) == 2 ? -sine : sine;
}

#endif
