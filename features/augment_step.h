/*
 * The transforms, one by one: a table of names, limits and functions. Inside of features/augment.
 */
#ifndef REFRAIN_AUGMENT_STEP_H
#define REFRAIN_AUGMENT_STEP_H

#include "base/err.h"
#include "features/lanes.h"
#include "features/vocoder.h"

/* What a thread needs to apply any step; grows to the longest signal it saw. */
struct augment_scratch {
    uint32_t rate_hz;
    enum simd simd;
    struct vocoder *vocoder; /* made when first needed */
    float *stretched, *other;
    size_t cap_stretched, cap_other;
};
void augment_scratch_init(struct augment_scratch *s, uint32_t rate_hz);
void augment_scratch_release(struct augment_scratch *s);

/* A step with everything drawn. */
struct augment_draw {
    double value;       /* 0 for steps without a parameter */
    uint64_t noise_key; /* for kinds with has_noise */
};

struct augment_kind {
    const char *name;
    const char *parameter; /* its name in the record; NULL: none */
    double min, max;       /* what LO and HI may be */
    bool is_whole, has_noise;
    bool (*apply)(struct augment_scratch *s, const struct augment_draw *draw, float *x, size_t n,
                  struct err *e); /* n > 0 */
};

extern const struct augment_kind augment_kinds[];
extern const size_t augment_n_kinds;

/* NULL when there is none of this name. */
const struct augment_kind *augment_kind_find(const char *name, size_t name_bytes);

#endif
