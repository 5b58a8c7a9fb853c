#include "ingest/latency.h"

#include <math.h>

static size_t bucket_of(uint64_t us)
{
    uint64_t least = UINT64_C(1) << LATENCY_OCTAVE_FIRST;
    unsigned octave = 63 - (unsigned)__builtin_clzll(us | least);
    if (us < least)
        return 0;
    size_t i = (octave - LATENCY_OCTAVE_FIRST) * 8 + (us >> (octave - 3) & 7);
    return size_min(i, LATENCY_BUCKETS - 1);
}

/* The middle of bucket i in microseconds. */
static double middle_us(size_t i)
{
    size_t octave = i / 8 + LATENCY_OCTAVE_FIRST;
    return ((double)(8 + i % 8) + 0.5) * exp2((double)octave - 3);
}

void latency_add(struct latency *l, uint64_t us)
{
    uint32_t *count = &l->counts[bucket_of(us)];
    *count += *count < UINT32_MAX;
}

uint64_t latency_count(const struct latency *l)
{
    uint64_t n = 0;
    for (size_t i = 0; i < LATENCY_BUCKETS; i++)
        n += l->counts[i];
    return n;
}

double latency_quantile_ms(const struct latency *l, double q)
{
    uint64_t n = latency_count(l), seen = 0;
    if (n == 0)
        return 0;
    uint64_t rank = (uint64_t)ceil(q * (double)n);
    size_t i = 0;
    for (seen = l->counts[0]; seen < rank && i + 1 < LATENCY_BUCKETS;)
        seen += l->counts[++i];
    while (l->counts[i] == 0) /* q = 0: the first that has any */
        i++;
    return middle_us(i) / 1000;
}
