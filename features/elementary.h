/*
 * exp, log and sine that are the same on every machine. The C library's differ in the last bit
 * between processors (it has variants with and without fused multiply-add); these use only + - * /
 * in a fixed order. For tables and parameters, not for inner loops. Exponentials and the logarithm
 * are within about 1 ulp of the true value.
 */
#ifndef REFRAIN_ELEMENTARY_H
#define REFRAIN_ELEMENTARY_H

#include "base/base.h"

double elementary_exp(double x);   /* |x| <= 700 */
double elementary_log(double x);   /* normal x > 0 */
double elementary_exp10(double x); /* 10^x, |x| <= 300 */
double elementary_exp2(double x);  /* 2^x, |x| <= 1000 */

/* Correctly rounded, but for a short list of arguments where SciPy's value is the next number. */
double elementary_sin(double x); /* |x| <= 4 */
double elementary_cos(double x);

#endif
