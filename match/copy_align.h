/* The best run of codes that two fingerprints share. Internal to match/copy*.c and tests. */
#ifndef REFRAIN_COPY_ALIGN_H
#define REFRAIN_COPY_ALIGN_H

#include "features/lanes.h"
#include "match/copy.h"

struct copy_run {
    int32_t score;
    size_t a_at, b_at, n_codes;
};

/* Over the offsets from..to (place in a minus place in b); *best is replaced by what is better. */
void copy_best_run(enum simd simd, const struct fingerprint *a, const struct fingerprint *b,
                   int64_t offset_from, int64_t offset_to, struct copy_run *best);

/* What a run of this take says: times, ratios, share; not the E-value. */
void copy_describe(const struct copy_query *q, const struct copy_take *t,
                   const struct fingerprint *known, const struct copy_run *run,
                   struct copy_match *out);

#endif
