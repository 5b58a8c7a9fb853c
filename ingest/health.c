#include "ingest/health.h"

#include "base/clock.h"

static_assert(HEALTH_SAMPLES == 32, "one bit each");

static const double EARNED_PER_REQUEST = 0.2, EARNED_PER_S = 10, BALANCE_MAX = 100;

static uint32_t count_bits(uint32_t bits)
{
    uint32_t n = 0;
    for (; bits != 0; bits &= bits - 1)
        n++;
    return n;
}

bool breaker_note(struct breaker *b, bool failed)
{
    bool was_open = b->is_open;
    b->failures = b->failures << 1 | failed;
    b->n += b->n < HEALTH_SAMPLES;
    bool is_bad = b->n >= HEALTH_SAMPLES_LEAST && count_bits(b->failures) * 2 >= b->n;
    if (!failed) {
        b->is_open = false;
        if (b->n >= HEALTH_SAMPLES_LEAST && !is_bad)
            b->n_trips = 0;
        return false;
    }
    if (!was_open && !is_bad)
        return false;
    *b = (struct breaker){.n_trips = b->n_trips + 1, .is_open = true};
    return true;
}

void retry_budget_request(struct retry_budget *b)
{
    b->balance += EARNED_PER_REQUEST;
    if (b->balance > BALANCE_MAX)
        b->balance = BALANCE_MAX;
}

uint64_t retry_budget_spend(struct retry_budget *b, uint64_t now_ns)
{
    if (b->earned_ns == 0)
        b->balance += EARNED_PER_S; /* a second's worth to begin with */
    else
        b->balance += (double)(now_ns - b->earned_ns) / (double)NS_PER_S * EARNED_PER_S;
    b->earned_ns = now_ns;
    if (b->balance > BALANCE_MAX)
        b->balance = BALANCE_MAX;
    b->balance -= 1;
    return b->balance >= 0 ? 0 : (uint64_t)(-b->balance / EARNED_PER_S * 1000) + 1;
}
