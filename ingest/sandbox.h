/*
 * Work on foreign bytes in processes that may do nothing else (ingest/confine.h).
 *
 *     caller's thread ── call ──► worker process      one socket each, messages of a few hundred
 * bytes │   input, read-only there; output: two pieces of shared memory └─ start, end ──► fork
 * server ── fork ──► worker process
 *
 * A worker that crashes, takes more processor time than a call may, or asks for more memory than it
 * may, costs the call that it was at: SANDBOX_DIED, with a sentence that says how. The next call
 * gets a new worker. Nothing that a worker sends is more than bytes: the caller checks what it
 * says.
 *
 * The fork server is a small process with one thread, so that a program with threads may have
 * workers forked at any time. Open the sandbox before the first thread starts, and in a thread that
 * outlives it: the server ends when that thread does, the workers end with the server.
 */
#ifndef REFRAIN_SANDBOX_H
#define REFRAIN_SANDBOX_H

#include "base/err.h"

enum { SANDBOX_MESSAGE_BYTES = 1024 };

/* What a worker does: `open` once, then `serve` for each call, until it is ended. */
struct sandbox_service {
    /* Before the process is confined; lends the shared memory for life. */
    void *(*open)(struct span input, void *output, size_t output_bytes);
    /* Answers one call: reply[SANDBOX_MESSAGE_BYTES], zeroed; returns how much of it is used. */
    size_t (*serve)(void *state, struct span request, void *reply);
};

struct sandbox_params {
    const struct sandbox_service *service; /* static */
    uint64_t memory_bytes; /* that a worker may allocate; shared memory does not count */
    uint64_t call_cpu_ms;  /* processor time of a call; waiting for a core does not count */
    uint64_t life_cpu_s;   /* of a worker's whole life: the kernel's limit, should we not look */
    bool needs_filter;     /* no workers without a system call filter */
};

struct sandbox;

/* Starts the fork server and tries what workers may be denied. ERR_FATAL: a process or a filter
 * that is needed cannot be had. */
MUST_CHECK bool sandbox_open(const struct sandbox_params *params, struct sandbox **out,
                             struct err *e);
void sandbox_close(struct sandbox *s); /* NULL is fine; after its workers are freed */

/* 0, or the errno with which the kernel refused the filter: then only resource limits hold. */
int sandbox_filter_error(const struct sandbox *s);

/* ---------------------------------------------------------------- workers, one a thread */

struct sandbox_worker;

/* Shared memory is taken page by page as it is written. Starts nothing yet. Borrows s for life. */
MUST_CHECK bool sandbox_worker_new(struct sandbox *s, size_t input_bytes, size_t output_bytes,
                                   struct sandbox_worker **out, struct err *e);
void sandbox_worker_free(struct sandbox_worker *w); /* NULL is fine */

/* The shared memory, lent for life. A worker may change the output at any time: read numbers once.
 */
void *sandbox_worker_input(struct sandbox_worker *w);
const void *sandbox_worker_output(const struct sandbox_worker *w);

enum sandbox_result {
    SANDBOX_OK,
    SANDBOX_DIED,   /* ERR_PERM: the worker ended; what it knew of earlier calls is gone */
    SANDBOX_FAILED, /* ERR_FATAL: no worker can be had */
};

/* One message there and one back, starting a worker when there is none. reply has
 * SANDBOX_MESSAGE_BYTES, the unused ones zero. */
MUST_CHECK enum sandbox_result sandbox_call(struct sandbox_worker *w, struct span request,
                                            void *reply, size_t *out_bytes, struct err *e);

/* Ends the process and gives the output's memory back; the next call starts a new one. */
void sandbox_worker_renew(struct sandbox_worker *w);

/* 0 when there is none: for tests. */
int sandbox_worker_pid(const struct sandbox_worker *w);

#endif
