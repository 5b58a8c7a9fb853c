/*
 * What a host says about its limits in the head of an answer. Retry-After (RFC 9110 section 10.2.3)
 * and three generations of RateLimit fields:
 *
 *     X-RateLimit-Limit, -Remaining, -Reset                  nobody's standard; Reset is seconds or
 * an epoch (from 10^9 on) RateLimit-Limit, -Remaining, -Reset
 * draft-ietf-httpapi-ratelimit-headers-00 "100, 100;w=60"                                    to
 * -06; the policy stands in Limit RateLimit: limit=100, remaining=50, reset=5            draft -07,
 * with RateLimit-Policy: 100;w=60 RateLimit: "default";r=50;t=30                         draft -08
 * on, structured fields (RFC 9651) with RateLimit-Policy: "default";q=100;w=60
 *
 * A field that is malformed is ignored as if it were not there. All numbers are clamped: a wait to
 * RATELIMIT_WAIT_MAX_MS, a policy to what a limiter can keep. The bytes are a stranger's.
 */
#ifndef REFRAIN_RATELIMIT_H
#define REFRAIN_RATELIMIT_H

#include "ingest/limiter.h"

enum { RATELIMIT_FIELD_BYTES = 192, RATELIMIT_POLICIES_MAX = 2 };
#define RATELIMIT_WAIT_MAX_MS (UINT64_C(24) * 3600 * 1000)

enum ratelimit_field {
    FIELD_RETRY_AFTER,
    FIELD_DATE,
    FIELD_RATELIMIT,
    FIELD_POLICY,
    FIELD_LIMIT,
    FIELD_REMAINING,
    FIELD_RESET,
    FIELD_X_LIMIT,
    FIELD_X_REMAINING,
    FIELD_X_RESET,
    RATELIMIT_FIELDS,
};

/* The fields as they came, "" for one that did not; one that is too long is left out, and of one
 * that came several times the last counts. */
struct ratelimit_fields {
    char text[RATELIMIT_FIELDS][RATELIMIT_FIELD_BYTES];
};

void ratelimit_reset(struct ratelimit_fields *f);
/* Takes a header line, with or without its line end, when it is one of the fields. */
void ratelimit_take_line(struct ratelimit_fields *f, const char *line, size_t len);

struct ratelimit {
    uint64_t retry_after_ms; /* 0: the host said nothing useful */
    bool has_remaining;
    uint64_t remaining;
    uint64_t reset_ms; /* until `remaining` is full again; 0: not said */
    size_t n_policies;
    struct limiter_rate policies[RATELIMIT_POLICIES_MAX]; /* the limits that the host publishes */
};

void ratelimit_read(const struct ratelimit_fields *f, int64_t wall_s, struct ratelimit *out);

/* The host's own clock, seconds since 1970 UTC. False when it does not tell. */
bool ratelimit_server_s(const struct ratelimit_fields *f, int64_t *out_s);

/* Retry-After: seconds or a date, which is held against the server's own Date when there is one.
 * False when it is missing, malformed or not in the future. */
bool retry_after_parse(const char *value, const char *server_date, int64_t wall_s,
                       uint64_t *out_ms);

#endif
