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
        uint32_t n_free;
        uint64_t *returns; /* ring of rate.n: when permits come back, in order */
        size_t head, n_returns;
    } parts[LIMITER_RATES_MAX];
};

/* ERR_USAGE for more than LIMITER_PERMITS_MAX permits or a window of 0. */
MUST_CHECK bool limiter_init(struct limiter *l, const struct limiter_rate *rates, size_t n_rates,
                             struct err *e);
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
