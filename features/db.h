/*
 * Decibels as librosa.power_to_db(S, ref=np.max, amin=1e-10, top_db), in librosa's order of float
 * operations. log10 is our own: in double, within 1e-11, then rounded, so that it is the correctly
 * rounded float in all but a few of 10^4 cases and the same on every machine.
 */
#ifndef REFRAIN_DB_H
#define REFRAIN_DB_H

#include "features/lanes.h"

/* values: n powers in, decibels relative to the largest out, in [-top_db, 0], maximum exactly 0.
 * Returns the level of the largest, 10 log10(max(1e-10, largest)). */
float db_from_power(float *values, size_t n, double top_db, enum simd simd);

/* The same with ref=1: absolute levels, none further than top_db below the largest; 0: no floor. */
void db_absolute_from_power(float *values, size_t n, double top_db, enum simd simd);

/* ln(max(2^-23, value)), as Kaldi's fbank. */
void db_ln_from_power(float *values, size_t n, enum simd simd);

/* L = log10(max(1e-10, value)); (max(L, largest L - 8) + 4) / 4, as Whisper. */
void db_whisper_from_power(float *values, size_t n, enum simd simd);

/* log10 of one positive normal number, as the loop computes it. */
float db_log10(float x);

#endif
