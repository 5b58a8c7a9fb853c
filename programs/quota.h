/*
 * How long the remaining requests take at least, by the limits of refrain.conf: per host, requests
 * left times window over N. Hosts are fetched side by side, so the slowest one decides.
 */
#ifndef REFRAIN_QUOTA_H
#define REFRAIN_QUOTA_H

#include "base/conf.h"

/* The limit that holds for a host: the longest `name` that is the host itself or a suffix of it at
 * a label border, else "default"; NULL when there is none or it is "off". */
const struct conf_rate *quota_rate(const struct conf_rate_list *limits, const char *host);

struct quota;
struct quota *quota_new(const struct conf_rate_list *limits); /* borrows the limits for life */
void quota_free(struct quota *q);

/* One request for this URL is still to be made, not before `wait_s` seconds from now. */
void quota_add(struct quota *q, const char *url, double wait_s);

/* 0 when nothing is left; NAN when requests are left and none of their hosts has a limit. */
double quota_eta_s(struct quota *q);

#endif
