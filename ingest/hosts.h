/*
 * Host groups: who shares a limit and a pause. A host belongs to the rule of fetch.limit.* with the
 * longest suffix that fits, and all hosts of a rule are one group; a host that only "default" fits
 * is a group of its own. A group has a limiter, a level below it (ingest/pace.h), a breaker and a
 * retry budget (ingest/health.h), a pause and a suspicion: after a pause one request at a time
 * until the host answers well. Levels that failed and long pauses are remembered across runs.
 */
#ifndef REFRAIN_HOSTS_H
#define REFRAIN_HOSTS_H

#include "base/conf.h"
#include "ingest/health.h"
#include "ingest/limiter.h"
#include "ingest/pace.h"
#include "ingest/ratelimit.h"

/* Hosts beyond the maximum share the last group: stricter, never laxer. */
enum { HOSTS_MAX = 1024 };

struct host_group {
    char name[CONF_NAME_BYTES];
    struct limiter limiter;
    struct pace pace;
    bool has_rate;            /* the pace counts permits; else requests at a time */
    uint64_t window_ns;       /* of the limit; 0 without one */
    uint64_t paused_until_ns; /* no start before */
    uint32_t n_pauses;        /* in a row, without an answer between */
    bool is_suspect;
    size_t n_in_flight;
    uint32_t n_odd; /* pages and errors in place of audio, in a row */
    struct breaker breaker;
    struct retry_budget budget;
    uint64_t n_sent, n_answered, n_throttled, paused_ms; /* of this run; answers but for refusals */
};

struct hosts;

struct hosts_params {
    const struct conf_rate_list *limits; /* borrowed for life */
    uint64_t seed;
    uint64_t backoff_ms, backoff_max_ms; /* pause after the first trouble; the longest one */
    size_t n_in_flight;                  /* most requests at a time, of all groups */
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

/* ---------------------------------------------------------------- what an answer says of its host
 * One of the first four for each exchange that was not withdrawn. Those that may pause the group
 * return for how many ms it is paused then. */

/* The host is well. */
void hosts_answered(struct hosts *h, size_t group_i, uint64_t now_ns);
/* 429, 503, a quota error. `advice_ms` is the host's Retry-After, 0 for none; `least_ms` the least
 * pause without one, beside the window of the limit. */
uint64_t hosts_throttled(struct hosts *h, size_t group_i, uint64_t advice_ms, uint64_t least_ms,
                         uint64_t now_ns);
/* No connection. */
uint64_t hosts_unreachable(struct hosts *h, size_t group_i, uint64_t now_ns);
/* 5xx, a time-out, a connection that broke: enough of them open the breaker. 0: no pause. */
uint64_t hosts_failed(struct hosts *h, size_t group_i, uint64_t now_ns);

/* Beside hosts_answered: a page, or an error as text, in place of audio. Five in a row are how some
 * hosts refuse. 0: no pause. */
uint64_t hosts_odd(struct hosts *h, size_t group_i, uint64_t now_ns);
/* Limits that the host publishes hold beside the configured ones; nothing that remains is a pause.
 */
void hosts_published(struct hosts *h, size_t group_i, const struct ratelimit *said,
                     uint64_t now_ns);

/* A request will be tried again: after how many ms the group's retry budget allows it. */
uint64_t hosts_retry_wait_ms(struct hosts *h, size_t group_i, uint64_t now_ns);

/* ---------------------------------------------------------------- across runs */

enum { HOSTS_NOTE_BYTES_MAX = 2048 };
/* Something to remember has changed since hosts_remember. */
bool hosts_has_news(const struct hosts *h);
/* Returns the length; what does not fit is left out, oldest groups first in. */
size_t hosts_remember(struct hosts *h, uint64_t now_ns, int64_t wall_ms,
                      uint8_t out[HOSTS_NOTE_BYTES_MAX]);
/* Before the first hosts_find. What is malformed is left out. */
void hosts_recall(struct hosts *h, struct span note, uint64_t now_ns, int64_t wall_ms);

#endif
