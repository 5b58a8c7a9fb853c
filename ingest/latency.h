/*
 * How long requests take, as a histogram of which any quantile is known within 6 %: eight buckets
 * to an octave, from 16 us to four minutes. 768 bytes, whatever the number of requests.
 */
#ifndef REFRAIN_LATENCY_H
#define REFRAIN_LATENCY_H

#include "base/base.h"

enum { LATENCY_OCTAVE_FIRST = 4, LATENCY_OCTAVES = 24, LATENCY_BUCKETS = 8 * LATENCY_OCTAVES };

struct latency {
    uint32_t counts[LATENCY_BUCKETS]; /* full ones stay full */
};

/* Faster and slower ones count in the first and the last bucket. */
void latency_add(struct latency *l, uint64_t us);

uint64_t latency_count(const struct latency *l);

/* The time that a share of `q` (0 to 1) did not exceed, in ms: the middle of its bucket. 0 without
 * any. */
double latency_quantile_ms(const struct latency *l, double q);

#endif
