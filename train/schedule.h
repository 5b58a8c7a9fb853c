/*
 * The learning rate as a pure function of the step, so that a resumed run has the same. A linear
 * warm-up from 1/warmup of the rate (never from 0: that step would be lost), then constant, a
 * straight line to 0, or half a cosine to 0 (Loshchilov, Hutter 2017, without restarts).
 */
#ifndef REFRAIN_SCHEDULE_H
#define REFRAIN_SCHEDULE_H

#include "base/base.h"

enum schedule_kind { SCHEDULE_CONSTANT, SCHEDULE_LINEAR, SCHEDULE_COSINE };

struct schedule {
    enum schedule_kind kind;
    uint64_t warmup_steps;
    uint64_t n_steps; /* of the whole run, warm-up included; not used by SCHEDULE_CONSTANT */
};

/* The factor of the learning rate at `step`, from 0; in (0, 1] before the last step is done. */
double schedule_factor(const struct schedule *s, uint64_t step);

#endif
