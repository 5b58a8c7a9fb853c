/*
 * Host groups: who shares a limit and a pause. A host belongs to the rule of fetch.limit.* with the
 * longest suffix that fits, and all hosts of a rule are one group; a host that only "default" fits
 * is a group of its own. A group has a limiter, a pause (after 429, 503 or a connection that
 * failed) and a suspicion: after a pause one request at a time until the host answers well.
 */
#ifndef REFRAIN_HOSTS_H
#define REFRAIN_HOSTS_H

#include "base/conf.h"
#include "ingest/limiter.h"

/* Hosts beyond the maximum share the last group: stricter, never laxer. */
enum { HOSTS_MAX = 1024 };

struct host_group {
    char name[CONF_NAME_BYTES];
    struct limiter limiter;
    uint64_t window_ns;       /* of the limit; 0 without one */
    uint64_t paused_until_ns; /* no start before */
    uint32_t n_pauses;        /* in a row, without an answer between */
    bool is_suspect;
    size_t n_in_flight;
    uint64_t n_answered; /* requests that got an answer that was not a throttle */
};

struct hosts;

struct hosts_params {
    const struct conf_rate_list *limits; /* borrowed for life */
    uint64_t seed;
    uint64_t backoff_ms, backoff_max_ms; /* pause after the first trouble; the longest one */
    bool hold;                           /* an earlier run may have sent requests just now */
    uint64_t held_since_ns;              /* its last one, on our clock */
};

/* ERR_USAGE for a limit that is not possible. */
MUST_CHECK bool hosts_open(const struct hosts_params *p, struct hosts **out, struct err *e);
void hosts_close(struct hosts *h); /* NULL is fine */

/* The group's index, below HOSTS_MAX; makes it when it is new. */
size_t hosts_find(struct hosts *h, const char *host);
struct host_group *hosts_group(struct hosts *h, size_t group_i); /* lent for life */
size_t hosts_count(const struct hosts *h);

/* Takes a permit when the group may send now. Every true is followed by exactly one of
 * limiter_finish, limiter_abandon or limiter_cancel on group->limiter. */
MUST_CHECK bool hosts_start(struct hosts *h, size_t group_i, uint64_t now_ns);
/* When hosts_start may succeed; UINT64_MAX: when something in flight ends. */
uint64_t hosts_next_ns(struct hosts *h, size_t group_i, uint64_t now_ns);

/* 429 or 503. `advice_ms` is the host's Retry-After, 0 for none. Returns the pause in ms. */
uint64_t hosts_throttled(struct hosts *h, size_t group_i, uint64_t advice_ms, uint64_t now_ns);
/* No connection. */
uint64_t hosts_unreachable(struct hosts *h, size_t group_i, uint64_t now_ns);
/* Any other answer: the host is well. */
void hosts_answered(struct hosts *h, size_t group_i);

#endif
