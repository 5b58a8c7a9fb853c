/*
 * At most N requests reach a host in any window of W, whatever the network does.
 *
 * A permit is taken before a request is sent and comes back W after the host is known to have
 * received it, that is W after the first byte of its answer (or after it was given up, plus a
 * grace). Claim: if the arrival r of each request lies between its send s and that moment c, no
 * half-open interval of length W holds more than N arrivals. Proof: suppose N + 1 arrivals span
 * less than W, and let L be the last one sent. For any other k of them s_k <= s_L <= r_L < r_k + W
 * <= c_k + W, so k still holds its permit when L is sent; N others hold permits, and L could not
 * start. So fixed windows of any phase, sliding logs and token buckets of capacity N refilled at
 * N/W are all kept. The price: N / (W + round trip) instead of N / W, 98 % at 50/5 s and 100 ms.
 *
 * The usual token bucket (rate N/W, burst N) is not this: it lets 2N through in a window.
 *
 * Two things only ever withhold permits and so leave the proof as it is: a level below N, which the
 * host's refusals ask for (ingest/hosts.h), and a gap from one start to the next. A rate may join
 * while requests are on the way, when a host publishes its limit; then what it cannot know to be
 * free counts as used just now.
 *
 * Time is passed in, monotonic, and never goes back.
 */
#ifndef REFRAIN_LIMITER_H
#define REFRAIN_LIMITER_H

#include "base/err.h"

enum { LIMITER_RATES_MAX = 4, LIMITER_PERMITS_MAX = 65536 };

/* How long after we gave up on a request it may still arrive: what is in flight in buffers. */
#define LIMITER_GRACE_NS UINT64_C(1000000000)

struct limiter_rate {
    uint32_t n; /* permits; 0: no limit, the rate is left out */
    uint64_t window_ns;
};

/* Several rates hold at the same time. Without any, everything may start at once. */
struct limiter {
    size_t n_rates;
    struct limiter_part {
        struct limiter_rate rate;
        uint32_t n_out;     /* permits that are out: of requests on the way, and returning ones */
        uint32_t n_allowed; /* of rate.n, by the level */
        uint64_t *returns;  /* ring of n_slots: when permits come back, in order */
        size_t n_slots, head, n_returns;
    } parts[LIMITER_RATES_MAX];
    size_t n_on_the_way; /* started, and neither finished nor given up nor cancelled */
    uint64_t gap_ns;
    uint64_t last_start_ns; /* 0: none; a start that was cancelled counts */
};

/* ERR_USAGE for more than LIMITER_PERMITS_MAX permits or a window of 0. */
MUST_CHECK bool limiter_init(struct limiter *l, const struct limiter_rate *rates, size_t n_rates,
                             struct err *e);
/* From one start to the next at least this; 0: no gap. */
void limiter_set_gap(struct limiter *l, uint64_t gap_ns);

/* Only so many permits of the first rate, and in the same proportion of the others, at least one
 * each. From 1 to the first rate's n. */
void limiter_set_level(struct limiter *l, uint32_t level);

/* One more rate. Of its permits `n_known_free` at most are free, less what is on the way; the
 * others come back at `full_ns`, or a window and the grace from now when that is earlier. False
 * when there is no room for it. */
MUST_CHECK bool limiter_add_rate(struct limiter *l, struct limiter_rate rate, uint64_t n_known_free,
                                 uint64_t full_ns, uint64_t now_ns);

void limiter_release(struct limiter *l); /* safe on {0}, may run twice */

/* After a restart: what was sent before is not known, so every permit is out until its window and
 * the grace have passed. */
void limiter_hold_all(struct limiter *l, uint64_t now_ns);

/* Takes a permit of every rate, or none and false. `now_ns` is read before the request is sent. */
MUST_CHECK bool limiter_start(struct limiter *l, uint64_t now_ns);

/* The host has received a request: its permit comes back W from now. `now_ns` is read after the
 * answer began. */
void limiter_finish(struct limiter *l, uint64_t now_ns);

/* A request was given up after it was sent: it may arrive within the grace. */
void limiter_abandon(struct limiter *l, uint64_t now_ns);

/* A permit was taken and no request was sent. */
void limiter_cancel(struct limiter *l);

/* When limiter_start may succeed at the earliest; UINT64_MAX: not before a finish. */
uint64_t limiter_next_ns(struct limiter *l, uint64_t now_ns);

#endif
