/*
 * Small changes to training pictures as they are read, beside the augmented views that the store
 * holds, so that no picture is seen twice in the same form: a raised noise floor, a tilted
 * spectrum, a step along the mel axis, a masked band and a masked moment. Each is a pure function
 * of (seed, step, picture): resuming repeats it.
 */
#ifndef REFRAIN_JITTER_H
#define REFRAIN_JITTER_H

#include "base/base.h"

/* Changes one picture of dB values, (n_frames, n_mels), in place. `fill_db` (n_mels) is what a
 * masked place shows: the data set's mean, which is 0 once standardised. */
void jitter_apply(uint64_t seed, uint64_t step, uint64_t picture_i, float *picture,
                  uint32_t n_frames, uint32_t n_mels, const float *fill_db);

#endif
