/*
 * HTTP exchanges side by side over kept-alive connections: the only file that knows libcurl. One
 * exchange is one request; redirects are reported and not followed, because each hop needs a permit
 * of its own. The stage that decides what to start sees it as a struct transport.
 *
 * HTTP/1.1 only: the HTTP/2 of libcurl 7.88.0 gave right sizes with wrong bytes (curl #10525), and
 * previews gain nothing from multiplexing. Proxies from the environment are not used: behind one,
 * the address that is checked would be the proxy's.
 */
#ifndef REFRAIN_FETCH_H
#define REFRAIN_FETCH_H

#include "ingest/transport.h"

/* libcurl as a transport. */
MUST_CHECK bool fetcher_open(const struct fetch_params *p, const struct fetch_hooks *hooks,
                             struct transport **out, struct err *e);

/* libcurl and the kernel's clocks. */
extern const struct world world_real;

#endif
