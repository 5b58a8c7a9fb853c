/*
 * exp, log and sine that are the same on every machine. The C library's differ in the last bit
 * between processors (it has variants with and without fused multiply-add); these use only + - * /
 * in a fixed order. Within about 1 ulp of the true value over the ranges used here. For tables and
 * parameters, not for inner loops.
 */
#ifndef REFRAIN_ELEMENTARY_H
#define REFRAIN_ELEMENTARY_H

#include "base/base.h"

double elementary_exp(double x);   /* |x| <= 700 */
double elementary_log(double x);   /* normal x > 0 */
double elementary_exp10(double x); /* 10^x, |x| <= 300 */
double elementary_exp2(double x);  /* 2^x, |x| <= 1000 */

/* Sine and cosine of the i-th n-th part of the full circle, i < n <= 2^40; exact at the octants'
 * symmetric points. */
void elementary_sincos(uint64_t i, uint64_t n, double *out_sin, double *out_cos);

#endif
