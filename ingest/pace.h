/*
 * How much of what is allowed a host group uses. Configured limits are guesses about a host; its
 * refusals are evidence. A refusal takes three tenths off the level and remembers the level that
 * failed as a ceiling; quiet time brings the level back up to just below that ceiling and no
 * further, and only every ten minutes is the ceiling itself tried one higher. So the level settles
 * where the host is content, where plain AIMD would run into it again and again.
 *
 * A level is a number of permits (of the group's limit) or of requests at a time (without one).
 */
#ifndef REFRAIN_PACE_H
#define REFRAIN_PACE_H

#include "base/base.h"

#define PACE_PROBE_NS (UINT64_C(600) * 1000000000)

struct pace {
    uint32_t max;                    /* configured */
    uint32_t level, ceiling;         /* 1 <= level <= ceiling <= max */
    uint64_t quiet_ns;               /* of quiet that raise the level by a step */
    uint64_t changed_ns, ceiling_ns; /* when level and ceiling changed last */
};

void pace_init(struct pace *p, uint32_t max, uint64_t quiet_ns);

/* The host refused while `in_use` of the level were in use. */
void pace_refused(struct pace *p, uint32_t in_use, uint64_t now_ns);

/* An answer that is no refusal. True when the level rose. */
bool pace_answered(struct pace *p, uint64_t now_ns);

/* Takes up what an earlier run learnt, `age_ns` ago. */
void pace_recall(struct pace *p, uint32_t level, uint32_t ceiling, uint64_t age_ns,
                 uint64_t now_ns);

#endif
