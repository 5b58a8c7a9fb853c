/*
 * The transforms, one by one: a table of names, limits and functions. Inside of features/augment.
 */
#ifndef REFRAIN_AUGMENT_STEP_H
#define REFRAIN_AUGMENT_STEP_H

#include "base/err.h"
#include "features/convolve.h"
#include "features/lanes.h"
#include "features/vocoder.h"

enum { AUGMENT_PARAMETERS_MAX = 3 };

/* What a thread needs to apply any step; grows to the longest signal it saw. */
struct augment_scratch {
    uint32_t rate_hz;
    enum simd simd;
    struct vocoder *vocoder;   /* made when first needed */
    struct convolve *convolve; /* also */
    float *stretched, *other;
    size_t cap_stretched, cap_other;
};
void augment_scratch_init(struct augment_scratch *s, uint32_t rate_hz);
void augment_scratch_release(struct augment_scratch *s);

/* A step with everything drawn. */
struct augment_draw {
    double values[AUGMENT_PARAMETERS_MAX];
    uint64_t noise_key;     /* for kinds with has_noise */
    enum vocoder_mode mode; /* for kinds with has_mode */
};

struct augment_parameter {
    const char *name; /* in the record */
    double min, max;  /* what LO and HI may be */
    bool is_whole;
    bool is_mel; /* drawn evenly in mel, a frequency in Hz */
};

struct augment_kind {
    const char *name;
    struct augment_parameter parameters[AUGMENT_PARAMETERS_MAX];
    size_t n_parameters;
    bool has_noise, has_mode;
    bool (*apply)(struct augment_scratch *s, const struct augment_draw *draw, float *x, size_t n,
                  struct err *e); /* n > 0 */
};

extern const struct augment_kind augment_kinds[];
extern const size_t augment_n_kinds;

/* NULL when there is none of this name. */
const struct augment_kind *augment_kind_find(const char *name, size_t name_bytes);

#endif
