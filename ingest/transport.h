/*
 * The network and the clocks as the fetch stage sees them. The real ones are libcurl's and the
 * kernel's (ingest/fetch.h); tests put a simulated network on a virtual clock in their place, and
 * the same stage replays 40 hours in seconds.
 */
#ifndef REFRAIN_TRANSPORT_H
#define REFRAIN_TRANSPORT_H

#include "base/buf.h"
#include "ingest/ratelimit.h"
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

enum { FETCH_DETAIL_BYTES = 256 };

/* Lent until the hook returns, but for the body. */
struct fetch_answer {
    enum net_result net;
    unsigned status;  /* 0 without an answer */
    uint64_t n_bytes; /* received, also when dropped */
    struct buf body;  /* of a 200; the hook may take it by zeroing it, else it is released */
    bool has_length;  /* of the body: it was announced */
    char redirect[URL_BYTES_MAX];    /* absolute target of a 3xx, "" for none */
    struct ratelimit_fields limits;  /* what the head says about the limits of the host */
    char detail[FETCH_DETAIL_BYTES]; /* the library's sentence for a failure */
};

/* Called from poll and cancel_all. No hook may start an exchange. */
struct fetch_hooks {
    void *arg;
    /* A request is about to leave. libcurl sends one again by itself when a kept-alive connection
     * turns out to be dead, so it may be called more than once; false withdraws. */
    bool (*on_send)(void *arg, void *exchange);
    /* The first byte of the answer came: the host has the request. */
    void (*on_answer)(void *arg, void *exchange);
    /* More of a 200's body came; `body` is all of it so far. False: the rest need not come, and the
     * exchange ends as NET_OK with what has come. */
    bool (*on_body)(void *arg, void *exchange, struct span body);
    /* The exchange is over. */
    void (*on_done)(void *arg, void *exchange, struct fetch_answer *answer);
};

/* Exchanges side by side. An implementation begins with this struct. */
struct transport {
    size_t (*in_flight)(const struct transport *t);
    /* Starts a GET; in_flight must be below the maximum. `exchange` is handed to the hooks. */
    bool (*start)(struct transport *t, const char *url, void *exchange, struct err *e);
    /* Waits for the network, for one of `wake_fds` to be readable or for the timeout, and drives
     * all exchanges. */
    bool (*poll)(struct transport *t, const int *wake_fds, size_t n_wake_fds, uint64_t timeout_ms,
                 struct err *e);
    /* Ends everything in flight as NET_WITHDRAWN. */
    void (*cancel_all)(struct transport *t);
    void (*close)(struct transport *t); /* nothing may be in flight */
};

/* What a run happens in. */
struct world {
    void *arg;
    uint64_t (*now_ns)(void *arg); /* monotonic, never 0 */
    int64_t (*wall_ms)(void *arg); /* since 1970 UTC */
    bool (*open_transport)(void *arg, const struct fetch_params *p, const struct fetch_hooks *hooks,
                           struct transport **out, struct err *e);
    /* Time stands still while outcomes are not durable: a run is then the same each time. */
    bool awaits_commits;
};

#endif
