/*
 * Is a host worth asking: a circuit breaker and a retry budget for each host group.
 *
 * The breaker opens when half or more of the last requests failed for reasons that are the host's
 * (5xx, time-outs, broken connections; not refusals, which the pace deals with, and not what is
 * about one link). Then the group pauses and one request at a time asks whether it is over.
 *
 * The budget keeps retries from multiplying a host's trouble: each request earns a fifth of a retry
 * and time earns ten a second (Finagle's defaults); a retry beyond that waits until it is earned.
 */
#ifndef REFRAIN_HEALTH_H
#define REFRAIN_HEALTH_H

#include "base/base.h"

enum { HEALTH_SAMPLES = 32, HEALTH_SAMPLES_LEAST = 20 };

struct breaker {
    uint32_t failures; /* a bit for each of the last n, 1: failed */
    uint32_t n;
    uint32_t n_trips; /* in a row */
    bool is_open;     /* tripped, and no answer since */
};

/* Notes how a request went. True when the breaker trips. */
bool breaker_note(struct breaker *b, bool failed);

struct retry_budget {
    double balance;     /* retries; negative: owed */
    uint64_t earned_ns; /* until when time has earned */
};

void retry_budget_request(struct retry_budget *b);
/* Spends one. Returns after how many ms it is earned, 0 for at once. */
uint64_t retry_budget_spend(struct retry_budget *b, uint64_t now_ns);

#endif
