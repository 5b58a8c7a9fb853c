/*
 * Rows without a usable link are resolved by artist: one query serves all rows of one, so that
 * quota is spent by artists and not by rows.
 *
 * A job is an artist with its rows. It asks the sources in their order: an artist with several rows
 * for the artist's songs, page by page while rows are open; what is open then, and an artist with
 * one row, for the one song, by fields and by words. A row that all sources have nothing for is
 * NO_MATCH; only an answer that says so counts, never a refusal or a failure.
 *
 * Nothing here knows the network or reads a clock: the stage asks for requests, sends them and
 * hands the answers back.
 */
#ifndef REFRAIN_RESOLVE_H
#define REFRAIN_RESOLVE_H

#include "ingest/source.h"
#include "ingest/todo.h"

enum {
    RESOLVE_ROWS_MAX = 512, /* at a time: their links must not expire while they wait */
    RESOLVE_JOBS_MAX = 64,
    RESOLVE_JOB_ROWS_MAX = 256, /* more rows of one artist are more jobs */
};

/* Called for each row that is through, with its item. RESOLVED: item->url, source, expires_s and
 * match_permille are set. */
typedef void resolved_fn(void *arg, struct todo_item *item, enum row_state state,
                         const char *cause);

struct resolver_params {
    struct catalog *catalog;
    struct todo *todo;
    enum source_id sources[SOURCES]; /* in order */
    size_t n_sources;
    const char *bases[SOURCES]; /* by source: where its API is */
    const char *country;        /* ISO 3166, "US" */
    uint32_t pages_max;         /* of one artist at one source */
    uint32_t tries_max;         /* failures in a row that make a job leave a source */
    bool allow_http;
    uint64_t seed, backoff_ms, backoff_max_ms;
    resolved_fn *on_resolved;
    void *arg;
};

struct resolver;
struct resolve_job;

struct resolver *resolver_new(const struct resolver_params *p); /* borrows the pointers for life */
void resolver_free(struct resolver *r);                         /* NULL is fine */

/* Takes rows in need from the catalogue while there is room. */
MUST_CHECK bool resolver_refill(struct resolver *r, struct err *e);
/* Rows may have come into need again: look from the beginning. */
void resolver_rewind(struct resolver *r);
size_t resolver_open_rows(const struct resolver *r); /* of its jobs */
bool resolver_is_idle(const struct resolver *r); /* no job, and no row in need that it knows of */

/* The first job that wants to ask this source now, NULL for none. */
struct resolve_job *resolver_ready(struct resolver *r, enum source_id source, uint64_t now_ns);
/* When one may want to; UINT64_MAX: none waits for time. */
uint64_t resolver_next_ns(const struct resolver *r, enum source_id source);

/* The job's request, which is then on the way until one of the three below. */
void resolver_request(struct resolver *r, struct resolve_job *job, char out_url[URL_BYTES_MAX]);
enum source_id resolve_job_source(const struct resolve_job *job, const struct resolver *r);

/* An answer: SOURCE_PAGE with its page, or SOURCE_NOTHING. May free the job. */
void resolver_take_page(struct resolver *r, struct resolve_job *job,
                        const struct source_page *page);
/* It failed and is tried again after a while, but not for ever: then `cause` is what its rows end
 * with if no other source has them. May free the job. */
void resolver_failed(struct resolver *r, struct resolve_job *job, const char *cause,
                     uint64_t now_ns);
/* It was refused or withdrawn: as if it had not been sent. */
void resolver_unsent(struct resolver *r, struct resolve_job *job);
/* The source will not serve us in this run: its jobs go on with the next one. */
void resolver_give_up_source(struct resolver *r, enum source_id source);

#endif
