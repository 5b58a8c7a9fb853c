#include "programs/quota.h"

#include "base/mem.h"
#include "ingest/url.h"
#include "programs/tally.h"

#include <math.h>
#include <string.h>

enum { HOSTS_MAX = 65536 };

struct quota {
    const struct conf_rate_list *limits;
    struct tally *hosts;
    uint64_t n_left;
    double wait_s; /* the longest that a row has to wait */
};

const struct conf_rate *quota_rate(const struct conf_rate_list *limits, const char *host)
{
    const struct conf_rate *best = NULL;
    size_t best_len = 0;
    for (size_t i = 0; i < limits->n; i++) {
        const char *name = limits->items[i].name;
        size_t len = strcmp(name, "default") == 0 ? 0 : strlen(name);
        bool fits = len == 0 || host_has_suffix(host, name);
        if (fits && (best == NULL || len > best_len)) {
            best = &limits->items[i].limit.rate;
            best_len = len;
        }
    }
    return best == NULL || best->n == 0 ? NULL : best;
}

struct quota *quota_new(const struct conf_rate_list *limits)
{
    struct quota *q = mem_zalloc(1, sizeof *q);
    q->limits = limits;
    q->hosts = tally_new(HOSTS_MAX);
    return q;
}

void quota_free(struct quota *q)
{
    if (q == NULL)
        return;
    tally_free(q->hosts);
    mem_free(q);
}

void quota_add(struct quota *q, const char *url, double wait_s)
{
    char host[HOST_BYTES_MAX];
    url_host(url, host);
    tally_add_str(q->hosts, host, false);
    q->n_left++;
    q->wait_s = fmax(q->wait_s, wait_s);
}

double quota_eta_s(struct quota *q)
{
    if (q->n_left == 0)
        return 0;
    size_t n_hosts;
    const struct tally_item *hosts = tally_sorted(q->hosts, &n_hosts);
    double eta_s = q->wait_s > 0 ? q->wait_s : NAN;
    for (size_t i = 0; i < n_hosts; i++) {
        const struct conf_rate *rate = quota_rate(q->limits, hosts[i].name);
        if (rate != NULL)
            eta_s = fmax(eta_s, (double)hosts[i].n * rate->window_s / rate->n);
    }
    return eta_s;
}
