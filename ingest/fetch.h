/*
 * HTTP exchanges side by side over kept-alive connections: the only file that knows libcurl. One
 * exchange is one request; redirects are reported and not followed, because each hop needs a permit
 * of its own. The loop that decides what to start is in ingest/stage.c.
 *
 * HTTP/1.1 only: the HTTP/2 of libcurl 7.88.0 gave right sizes with wrong bytes (curl #10525), and
 * previews gain nothing from multiplexing. Proxies from the environment are not used: behind one,
 * the address that is checked would be the proxy's.
 */
#ifndef REFRAIN_FETCH_H
#define REFRAIN_FETCH_H

#include "base/buf.h"
#include "ingest/retry.h"
#include "ingest/url.h"

struct fetch_params {
    size_t n_in_flight; /* most exchanges at the same time */
    const char *user_agent;
    uint64_t connect_timeout_ms, timeout_ms, low_speed_bytes_per_s, low_speed_s;
    uint64_t max_bytes; /* of a body */
    bool allow_private; /* else a connection to an address that is not public is refused */
    bool allow_http;
};

enum { FETCH_HEADER_BYTES = 128, FETCH_DETAIL_BYTES = 256 };

/* Lent until the hook returns, but for the body. */
struct fetch_answer {
    enum net_result net;
    unsigned status;  /* 0 without an answer */
    uint64_t n_bytes; /* received, also when dropped */
    struct buf body;  /* of a 200; the hook may take it by zeroing it, else it is released */
    char redirect[URL_BYTES_MAX]; /* absolute target of a 3xx, "" for none */
    char retry_after[FETCH_HEADER_BYTES], date[FETCH_HEADER_BYTES];
    char detail[FETCH_DETAIL_BYTES]; /* the library's sentence for a failure */
};

/* Called from fetcher_poll and fetcher_cancel_all. No hook may start an exchange. */
struct fetch_hooks {
    void *arg;
    /* A request is about to leave. libcurl sends one again by itself when a kept-alive connection
     * turns out to be dead, so it may be called more than once; false withdraws. */
    bool (*on_send)(void *arg, void *exchange);
    /* The first byte of the answer came: the host has the request. */
    void (*on_answer)(void *arg, void *exchange);
    /* The exchange is over. */
    void (*on_done)(void *arg, void *exchange, struct fetch_answer *answer);
};

struct fetcher;

MUST_CHECK bool fetcher_open(const struct fetch_params *p, const struct fetch_hooks *hooks,
                             struct fetcher **out, struct err *e);
void fetcher_close(struct fetcher *f); /* NULL is fine; nothing may be in flight */

size_t fetcher_in_flight(const struct fetcher *f);

/* Starts a GET; fetcher_in_flight must be below the maximum. `exchange` is handed to the hooks. */
MUST_CHECK bool fetcher_start(struct fetcher *f, const char *url, void *exchange, struct err *e);

/* Waits for the network, for one of `wake_fds` to be readable or for the timeout, and drives all
 * exchanges. */
MUST_CHECK bool fetcher_poll(struct fetcher *f, const int *wake_fds, size_t n_wake_fds,
                             uint64_t timeout_ms, struct err *e);

/* Ends everything in flight as NET_WITHDRAWN. */
void fetcher_cancel_all(struct fetcher *f);

#endif
