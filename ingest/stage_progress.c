/*
 * How far it is, and how long it still takes. The rest is a matter of quotas, not of recent speed:
 * each host group needs the rows it has left times its window over its permits, after its pause,
 * and groups go side by side, so the slowest one decides.
 */
#include "base/mem.h"
#include "ingest/stage_inside.h"
#include "ingest/url.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TELL_NS (2 * NS_PER_S)

static bool count_due(void *arg, struct catalog_due due, const struct catalog_row *row)
{
    struct stage *s = arg;
    char host[HOST_BYTES_MAX];
    (void)due;
    if (row->url[0] == '\0' || local_is_link(row->url))
        return true;
    url_host(row->url, host);
    s->n_left[hosts_find(s->hosts, host)]++;
    return true;
}

bool stage_count_left(struct stage *s, struct err *e)
{
    memset(s->n_left, 0, sizeof s->n_left);
    return catalog_each_due(s->catalog, (struct catalog_due){0}, count_due, s, e) &&
           stage_count_artists(s, e);
}

void stage_row_ended(struct stage *s, const struct todo_item *item)
{
    s->n_ended++;
    s->n_left[item->group_i] -= s->n_left[item->group_i] > 0;
}

/* ---------------------------------------------------------------- the rest */

/* Negative: no limit tells. */
static double group_eta_s(const struct stage *s, size_t group_i)
{
    const struct host_group *g = hosts_group(s->hosts, group_i);
    const struct limiter *l = &g->limiter;
    double left = (double)s->n_left[group_i], eta_ns = -1;
    if (left <= 0)
        return -1;
    for (size_t i = 0; i < l->n_rates; i++)
        eta_ns = fmax(eta_ns, left * (double)l->parts[i].rate.window_ns / l->parts[i].n_allowed);
    if (l->gap_ns > 0)
        eta_ns = fmax(eta_ns, left * (double)l->gap_ns);
    if (g->paused_until_ns > s->now_ns)
        eta_ns = fmax(eta_ns, 0) + (double)(g->paused_until_ns - s->now_ns);
    return eta_ns < 0 ? -1 : eta_ns / (double)NS_PER_S;
}

static double eta_s(const struct stage *s)
{
    double all_s = -1;
    for (size_t i = 0; i < hosts_count(s->hosts); i++)
        all_s = fmax(all_s, group_eta_s(s, i));
    return all_s;
}

static int most_left_first(const void *a, const void *b)
{
    const struct standing_host *x = a, *y = b;
    return x->n_left != y->n_left ? (x->n_left < y->n_left ? 1 : -1) : strcmp(x->name, y->name);
}

static void describe_host(const struct stage *s, size_t group_i, struct standing_host *out)
{
    const struct host_group *g = hosts_group(s->hosts, group_i);
    const struct limiter_part *part = &g->limiter.parts[0];
    *out = (struct standing_host){.n_in_flight = (uint32_t)g->n_in_flight,
                                  .n_left = s->n_left[group_i],
                                  .n_requests = g->n_sent,
                                  .n_throttled = g->n_throttled};
    snprintf(out->name, sizeof out->name, "%.*s", (int)sizeof out->name - 1, g->name);
    if (g->limiter.n_rates > 0) {
        out->n_permits = part->n_allowed;
        out->n_free = part->n_allowed > part->n_out ? part->n_allowed - part->n_out : 0;
        out->window_ms = part->rate.window_ns / NS_PER_MS;
    }
    if (g->paused_until_ns > s->now_ns)
        out->paused_until_ms =
            stage_wall_ms(s) + (int64_t)((g->paused_until_ns - s->now_ns) / NS_PER_MS);
}

void stage_tell_standing(struct stage *s)
{
    size_t n = hosts_count(s->hosts);
    struct standing_host *hosts = mem_zalloc(size_max(n, 1), sizeof *hosts);
    double rest_s = eta_s(s);
    struct standing now = {.wall_ms = stage_wall_ms(s),
                           .eta_ms = rest_s < 0 ? -1 : (int64_t)(rest_s * 1000),
                           .n_hosts = (uint32_t)size_min(n, STANDING_HOSTS_MAX),
                           .latency = s->latency};
    for (size_t i = 0; i < n; i++)
        describe_host(s, i, &hosts[i]);
    qsort(hosts, n, sizeof *hosts, most_left_first);
    memcpy(now.hosts, hosts, now.n_hosts * sizeof *hosts);
    mem_free(hosts);
    committer_tell(s->committer, &now);
    s->told_ns = s->now_ns;
}

/* ---------------------------------------------------------------- the line */

/* The host whose pause ends last: " paused=example.org:12s". */
static void describe_pause(const struct stage *s, char *out, size_t cap)
{
    const struct host_group *last = NULL;
    for (size_t i = 0; i < hosts_count(s->hosts); i++) {
        const struct host_group *g = hosts_group(s->hosts, i);
        if (s->n_left[i] > 0 && g->paused_until_ns > s->now_ns + NS_PER_S &&
            (last == NULL || g->paused_until_ns > last->paused_until_ns))
            last = g;
    }
    out[0] = '\0';
    if (last != NULL)
        snprintf(out, cap, " paused=%.40s:%" PRIu64 "s", last->name,
                 (last->paused_until_ns - s->now_ns) / NS_PER_S);
}

static const char *room_name(enum committer_room room)
{
    switch (room) {
    case ROOM_SPOOL_FULL:
        return " paused=spool_full";
    case ROOM_DISK_LOW:
        return " paused=disk_low";
    default:
        return "";
    }
}

void stage_show_progress(struct stage *s)
{
    char pause[80];
    describe_pause(s, pause, sizeof pause);
    s->progress.has_eta = (s->progress.eta_s = eta_s(s)) >= 0;
    progress_update(&s->progress, s->now_ns, s->n_ended,
                    "requests=%" PRIu64 " throttled=%" PRIu64 " in_flight=%zu failed=%" PRIu64
                    " p50=%.3gms p99=%.3gms%s%s",
                    s->result->requests, s->result->throttled,
                    s->transport->in_flight(s->transport), s->result->n_failed,
                    latency_quantile_ms(&s->latency, 0.5), latency_quantile_ms(&s->latency, 0.99),
                    pause, room_name(committer_room(s->committer)));
    if (s->now_ns - s->told_ns >= TELL_NS)
        stage_tell_standing(s);
}
