#include "programs/quota.h"

#include "base/mem.h"
#include "programs/tally.h"

#include <math.h>
#include <string.h>
#include <strings.h>

enum { HOSTS_MAX = 65536 };

struct quota {
    const struct conf_rate_list *limits;
    struct tally *hosts;
    uint64_t n_left;
    double wait_s; /* the longest that a row has to wait */
};

static bool host_matches(struct span host, const char *suffix)
{
    size_t len = strlen(suffix);
    if (len == 0 || len > host.len)
        return false;
    const char *end = (const char *)host.ptr + host.len;
    if (strncasecmp(end - len, suffix, len) != 0)
        return false;
    return len == host.len || end[-(ptrdiff_t)len - 1] == '.';
}

const struct conf_rate *quota_rate(const struct conf_rate_list *limits, struct span host)
{
    const struct conf_rate *best = NULL;
    size_t best_len = 0;
    for (size_t i = 0; i < limits->n; i++) {
        const char *name = limits->items[i].name;
        size_t len = strlen(name);
        if (strcmp(name, "default") == 0 ? best == NULL
                                         : host_matches(host, name) && len > best_len) {
            best = &limits->items[i].rate;
            best_len = strcmp(name, "default") == 0 ? 0 : len;
        }
    }
    return best == NULL || best->n == 0 ? NULL : best;
}

struct span quota_url_host(const char *url)
{
    const char *at = strstr(url, "://");
    if (at == NULL)
        return (struct span){url, 0};
    at += 3;
    size_t len = strcspn(at, "/?#");
    const char *user_end = memrchr(at, '@', len);
    if (user_end != NULL) {
        len -= (size_t)(user_end + 1 - at);
        at = user_end + 1;
    }
    if (len > 0 && at[0] == '[') { /* IPv6 */
        const char *close = memchr(at, ']', len);
        return (struct span){at + 1, close == NULL ? 0 : (size_t)(close - at - 1)};
    }
    const char *port = memchr(at, ':', len);
    return (struct span){at, port == NULL ? len : (size_t)(port - at)};
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
    tally_add(q->hosts, quota_url_host(url), false);
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
        struct span host = {hosts[i].name, strlen(hosts[i].name)};
        const struct conf_rate *rate = quota_rate(q->limits, host);
        if (rate != NULL)
            eta_s = fmax(eta_s, (double)hosts[i].n * rate->window_s / rate->n);
    }
    return eta_s;
}
