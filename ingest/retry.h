/*
 * What an answer means for its row and for its host, as a table, and how long to wait.
 *
 *     DONE          the bytes are there
 *     THROTTLED     the host wants less: it pauses, the row is not charged
 *     UNREACHABLE   no connection: the row is charged, and the host is tried by one request at a
 *                   time until it answers
 *     AGAIN         the row is charged and waits; out of attempts it ends as `end`
 *     NEVER         the row ends as `end` at once
 */
#ifndef REFRAIN_RETRY_H
#define REFRAIN_RETRY_H

#include "ingest/catalog.h"

/* How the exchange itself went; the status counts only with NET_OK. */
enum net_result {
    NET_OK,
    NET_DNS,
    NET_CONNECT,
    NET_TLS,
    NET_TIMEOUT,   /* connecting, in whole, or too slow */
    NET_RESET,     /* the connection broke */
    NET_TRUNCATED, /* less than the announced length, or chunks without an end */
    NET_TOO_LARGE, /* over fetch.max_bytes */
    NET_PRIVATE,   /* a private or loopback address */
    NET_PROTOCOL,  /* not HTTP, or a link that the client library does not take */
    NET_ENCODING,  /* a Content-Encoding that is not known, or its bytes are damaged */
    NET_WITHDRAWN, /* we withdrew the request ourselves; nobody is charged */
    NET_RESULTS,
};

/* Does the body look like audio. */
enum sniff_verdict {
    SNIFF_AUDIO,
    SNIFF_EMPTY,
    SNIFF_SHORT,
    SNIFF_HTML,
    SNIFF_XML,
    SNIFF_JSON,
    SNIFF_OTHER,
    SNIFF_CUT,     /* audio, and not all of it */
    SNIFF_DAMAGED, /* audio with much between that is none */
    SNIFF_VERDICTS,
    SNIFF_MORE = SNIFF_VERDICTS, /* not a verdict: more bytes are needed */
};

enum retry_action {
    RETRY_DONE,
    RETRY_THROTTLED,
    RETRY_UNREACHABLE,
    RETRY_AGAIN,
    RETRY_NEVER,
    RETRY_WITHDRAWN,
};

struct retry_verdict {
    enum retry_action action;
    enum row_state end;
    uint32_t attempts_max; /* a lower budget than the configured one; 0: none */
    char cause[CATALOG_CAUSE_BYTES];
};

/* `sniff` counts only with status 200. Redirects are the caller's: a 3xx that comes here leads
 * nowhere. */
struct retry_verdict retry_classify(enum net_result net, unsigned status, enum sniff_verdict sniff);

/* Full jitter: uniform in [0, min(max_ms, base_ms * 2^(attempt - 1))], a pure function of its
 * arguments. https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ */
uint64_t retry_delay_ms(uint64_t seed, uint64_t row, uint32_t attempt, uint64_t base_ms,
                        uint64_t max_ms);

#endif
