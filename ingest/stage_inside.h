/*
 * What the parts of the fetch stage share; only ingest/stage*.c include this.
 *
 *     stage.c         opens the parts, runs the loop, closes them
 *     stage_import.c  the CSV into the catalogue, and again when it grows
 *     stage_start.c   permits, the order of groups, the transport's hooks
 *     stage_answer.c  what an answer does to its row
 *     stage_host.c    and what it says of its host
 *     stage_resolve.c sources are asked for links, rows that need one are told
 *
 * Who owns an item: `todo` while it is queued, a flight while a request for it is on the way, the
 * committer while its outcome is not durable. It passes from one to the next and is settled in the
 * end; then its row may be taken again.
 *
 * Permits: a flight holds one for each request that it sent, of the group of the row's link and,
 * after a redirect to another group, of that one too. They go back to the limiter when the answer
 * begins, or with a grace when there is none (limiter.h has the proof that this is enough).
 */
#ifndef REFRAIN_STAGE_INSIDE_H
#define REFRAIN_STAGE_INSIDE_H

#include "base/clock.h"
#include "base/progress.h"
#include "ingest/committer.h"
#include "ingest/hosts.h"
#include "ingest/latency.h"
#include "ingest/resolve.h"
#include "ingest/stage.h"
#include "ingest/todo.h"
#include "ingest/verify.h"

struct flight {
    struct todo_item *item;  /* that is fetched */
    struct resolve_job *job; /* or that asks a source; both NULL: free */
    size_t group_i, target_group_i;
    uint32_t n_permits; /* sent and not answered */
    bool is_sent;
    uint64_t started_ns;
    struct verify verify; /* of the body */
};

struct watched_file {
    int64_t size, mtime_s, mtime_ns;
};

struct stage {
    const struct stage_params *p;
    const struct world *world;
    struct stage_result *result;
    struct catalog *catalog;
    struct hosts *hosts;
    struct todo *todo;
    struct local *local;
    struct resolver *resolver; /* NULL without sources */
    size_t source_groups[SOURCES];
    struct committer *committer;
    struct transport *transport;
    struct flight *flights; /* p->fetch.n_in_flight */
    size_t next_group_i;    /* whose turn it is */
    uint64_t now_ns, last_request_ns, drain_ns, watch_ns;
    bool has_session;
    int64_t skew_s; /* what the clock of the sources is ahead of ours: they sign links by it */
    uint64_t n_ended, n_rows;
    struct watched_file csv;
    struct progress progress;
    uint64_t n_left[HOSTS_MAX]; /* rows of a group that have not ended and need the network */
    struct latency latency;     /* from a request's start to its last byte, of all runs */
    uint64_t told_ns;
};

static inline uint64_t stage_now_ns(const struct stage *s)
{
    return s->world->now_ns(s->world->arg);
}

static inline int64_t stage_wall_ms(const struct stage *s)
{
    return s->world->wall_ms(s->world->arg);
}

/* The time by which links expire, in seconds. */
static inline int64_t stage_link_clock_s(const struct stage *s)
{
    return stage_wall_ms(s) / 1000 + s->skew_s;
}

/* ---------------------------------------------------------------- stage_import.c */

/* Reads the CSV, unless it is the one that was read last, and counts what is there. `is_settled`:
 * the file did not change between two looks, so its last line is whole. */
MUST_CHECK bool stage_import(struct stage *s, bool is_settled, struct err *e);
void stage_watch_begin(struct stage *s);
/* Every two seconds: has the CSV grown. */
MUST_CHECK bool stage_watch(struct stage *s, struct err *e);

/* ---------------------------------------------------------------- stage_start.c */

extern const struct fetch_hooks stage_hooks; /* but for their arg, the stage */
bool stage_may_send(struct stage *s);
/* A request with a permit of the group that was taken by hosts_start. One of item and job. */
MUST_CHECK bool stage_send(struct stage *s, const struct flight *what, const char *url,
                           struct err *e);
/* Starts what may start: groups take turns, one request each, until none can. */
MUST_CHECK bool stage_start_some(struct stage *s, struct err *e);
/* When something queued may start; UINT64_MAX: nothing waits for time alone. */
uint64_t stage_next_start_ns(struct stage *s);

/* ---------------------------------------------------------------- stage_host.c */

/* Tells a group what an exchange with one of its hosts says about it. `least_pause_ms` is for a
 * refusal without a Retry-After. Returns the Retry-After in ms, 0 for none. */
uint64_t stage_tell_host(struct stage *s, size_t group_i, const struct fetch_answer *a,
                         enum retry_action action, uint64_t least_pause_ms);
/* A page or an error as text came in place of audio. */
void stage_tell_odd_body(struct stage *s, size_t group_i);
/* Writes down what the next run should know of its hosts, when it has changed. */
MUST_CHECK bool stage_remember_hosts(struct stage *s, struct err *e);

/* ---------------------------------------------------------------- stage_resolve.c */

/* The sources there are, as bits of catalog_row.sources_tried. */
uint8_t stage_source_bits(const struct stage *s);
MUST_CHECK bool stage_open_resolver(struct stage *s, struct err *e);
/* Rows without a link become NEED for the sources there are. */
MUST_CHECK bool stage_find_needs(struct stage *s, struct err *e);
MUST_CHECK bool stage_start_queries(struct stage *s, struct err *e);
uint64_t stage_next_query_ns(struct stage *s);
/* What is left to ask the first source: a query for each artist in need. */
MUST_CHECK bool stage_count_artists(struct stage *s, struct err *e);
void stage_apply_page(struct stage *s, struct resolve_job *job, const struct fetch_answer *a);

/* ---------------------------------------------------------------- stage_answer.c */

/* Gives what became of an item, with the body, to the committer. */
void stage_push_outcome(struct stage *s, struct todo_item *item, enum row_state state,
                        const char *cause, int64_t not_before_ms, struct buf *body);
/* The link of a queued item has expired: it is not asked for. */
void stage_drop_expired(struct stage *s, struct todo_item *item);

/* A file:// link: no network, the committer takes the file over. */
void stage_take_file(struct stage *s, struct todo_item *item);
/* `sniff`: what the body of a 200 is. */
void stage_apply_answer(struct stage *s, struct todo_item *item, struct fetch_answer *a,
                        enum sniff_verdict sniff);

/* ---------------------------------------------------------------- stage_progress.c */

/* Counts what is left, from the catalogue. */
MUST_CHECK bool stage_count_left(struct stage *s, struct err *e);
void stage_row_ended(struct stage *s, const struct todo_item *item);
void stage_show_progress(struct stage *s);
/* Gives the committer what `refrain status` shows. */
void stage_tell_standing(struct stage *s);

#endif
