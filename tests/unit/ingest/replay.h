/*
 * A simulated network on a virtual clock for the fetch stage: search APIs with limits that are
 * checked by fixed window, sliding log and token bucket, and a host of signed previews. Nothing
 * sleeps; time goes from event to event.
 *
 * Songs are numbers. Song s belongs to artist a when first[a] <= s < first[a + 1].
 */
#ifndef REFRAIN_REPLAY_H
#define REFRAIN_REPLAY_H

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "ingest/stage.h"
#include "tests/test.h"

#include <stdlib.h>
#include <time.h>

enum { FLIGHTS_MAX = 64, WINDOW_LOG = 128 };
static const int64_t REPLAY_EPOCH_S = 1798761600; /* 2027-01-01 */

/* ---------------------------------------------------------------- limits */

/* N in W, as three servers see it. Arrivals come in order. */
struct watch {
    uint32_t n;
    uint64_t window_ns;
    uint64_t log[WINDOW_LOG]; /* of the last n that were admitted */
    uint64_t n_admitted;
    uint64_t fixed_window, n_in_fixed;
    uint64_t tokens, last_ns; /* in units of 1 / window_ns */
    uint64_t n_violations;
};

static void watch_init(struct watch *w, uint32_t n, uint64_t window_ns)
{
    *w = (struct watch){.n = n, .window_ns = window_ns, .tokens = n * window_ns};
    w->fixed_window = UINT64_MAX;
}

static bool watch_admit(struct watch *w, uint64_t now_ns)
{
    uint64_t window = now_ns / w->window_ns;
    w->n_in_fixed = window == w->fixed_window ? w->n_in_fixed + 1 : 1;
    w->fixed_window = window;
    uint64_t gained_ns = u64_min(now_ns - w->last_ns, w->window_ns);
    w->tokens = u64_min(w->n * w->window_ns, w->tokens + gained_ns * w->n);
    w->last_ns = now_ns;
    bool in_bucket = w->tokens >= w->window_ns;
    w->tokens -= in_bucket ? w->window_ns : 0;
    bool in_log = w->n_admitted < w->n || now_ns - w->log[w->n_admitted % w->n] >= w->window_ns;
    bool ok = in_bucket && in_log && w->n_in_fixed <= w->n;
    w->log[w->n_admitted++ % w->n] = now_ns;
    w->n_violations += !ok;
    return ok;
}

/* ---------------------------------------------------------------- the network */

struct sim_flight {
    void *exchange; /* NULL: free */
    char url[URL_BYTES_MAX];
    bool is_sent, is_answered_by_host;
    uint64_t next_ns; /* arrival, then answer */
    unsigned status;
    struct buf body;
};

struct sim {
    struct transport transport; /* first */
    struct world world;
    struct fetch_hooks hooks;
    size_t n_in_flight, n_in_flight_max;
    struct sim_flight flights[FLIGHTS_MAX];
    uint64_t now_ns;
    struct rng rng;
    uint64_t rtt_ns, jitter_ns;
    int64_t clock_off_s; /* the machine's clock is ahead of the hosts' by so much */
    uint64_t jump_ns;    /* from then on it is behind by as much */
    uint64_t crash_ns;   /* poll fails from then on; 0: never */

    size_t n_artists;
    const uint32_t *first; /* n_artists + 1 */
    struct span preview;
    struct watch deezer, itunes;
    uint64_t link_life_s;
    uint64_t banned_from_ns, banned_until_ns;         /* iTunes refuses everybody */
    uint64_t n_deezer, n_itunes, n_previews, n_stale; /* requests as they arrived */
    void (*on_preview)(void); /* so that the spool can be emptied as extract does */
};

static uint64_t sim_number(const char *url, const char *before, uint64_t otherwise)
{
    const char *at = strstr(url, before);
    return at == NULL ? otherwise : strtoull(at + strlen(before), NULL, 10);
}

static void sim_write(struct buf *b, const char *text)
{
    struct err e = {0};
    CHECK_OK(buf_append(b, text, strlen(text), &e), &e);
}

static int64_t sim_wall_s(const struct sim *s)
{
    return REPLAY_EPOCH_S + (int64_t)(s->now_ns / NS_PER_S);
}

static void sim_deezer(struct sim *s, struct sim_flight *f)
{
    char text[512];
    s->n_deezer++;
    if (!watch_admit(&s->deezer, s->now_ns)) {
        sim_write(&f->body,
                  "{\"error\":{\"type\":\"Exception\",\"message\":\"Quota limit exceeded\","
                  "\"code\":4}}");
        return;
    }
    uint64_t artist = sim_number(f->url, "Artist%20", 0);
    uint64_t song = sim_number(f->url, "Song%20", UINT64_MAX);
    uint64_t from = s->first[artist], to = s->first[artist + 1];
    if (song != UINT64_MAX) {
        from = song;
        to = song + 1;
    }
    uint64_t index = sim_number(f->url, "&index=", 0), total = to - from;
    sim_write(&f->body, "{\"data\":[");
    for (uint64_t i = index; i < total && i < index + 100; i++) {
        snprintf(text, sizeof text,
                 "%s{\"id\":%" PRIu64 ",\"title\":\"Song %" PRIu64
                 " (Remastered)\",\"duration\":%d,"
                 "\"preview\":\"http://cdn.test/%" PRIu64 ".mp3?hdnea=exp=%" PRId64 "~hmac=0\","
                 "\"artist\":{\"name\":\"Artist %" PRIu64 "\"}}",
                 i > index ? "," : "", i, from + i, 200, from + i,
                 sim_wall_s(s) + (int64_t)s->link_life_s, artist);
        sim_write(&f->body, text);
    }
    snprintf(text, sizeof text, "],\"total\":%" PRIu64 "%s}", total,
             index + 100 < total ? ",\"next\":\"https://api.deezer.com/search\"" : "");
    sim_write(&f->body, text);
}

static void sim_itunes(struct sim *s, struct sim_flight *f)
{
    char text[512];
    s->n_itunes++;
    bool is_banned = s->now_ns >= s->banned_from_ns && s->now_ns < s->banned_until_ns;
    if (!watch_admit(&s->itunes, s->now_ns) || is_banned) {
        f->status = 403; /* and not a word */
        return;
    }
    uint64_t song = sim_number(f->url, "Song%20", 0), artist = sim_number(f->url, "Artist%20", 0);
    snprintf(
        text, sizeof text,
        "\n\n\n{\"resultCount\":1,\"results\":[{\"kind\":\"song\",\"trackName\":\"Song %" PRIu64
        "\",\"artistName\":\"Artist %" PRIu64 "\",\"trackTimeMillis\":200000,\"previewUrl\":"
        "\"http://audio.test/%" PRIu64 ".mp3\"}]}",
        song, artist, song);
    sim_write(&f->body, text);
}

static void sim_preview(struct sim *s, struct sim_flight *f)
{
    struct err e = {0};
    s->n_previews++;
    int64_t expires_s = (int64_t)sim_number(f->url, "exp=", INT64_MAX);
    if (expires_s <= sim_wall_s(s)) {
        s->n_stale++;
        f->status = 403;
        return;
    }
    CHECK_OK(buf_append(&f->body, s->preview.ptr, s->preview.len, &e), &e);
    if (s->on_preview != NULL && s->n_previews % 1024 == 0)
        s->on_preview();
}

static uint64_t sim_way_ns(struct sim *s)
{
    return s->rtt_ns / 2 + rng_below(&s->rng, s->jitter_ns + 1);
}

static void sim_arrive(struct sim *s, struct sim_flight *f)
{
    f->status = 200;
    buf_init(&f->body, 1 << 20);
    if (strstr(f->url, "deezer.test") != NULL)
        sim_deezer(s, f);
    else if (strstr(f->url, "itunes.test") != NULL)
        sim_itunes(s, f);
    else
        sim_preview(s, f);
    f->is_answered_by_host = true;
    f->next_ns = s->now_ns + sim_way_ns(s);
}

static void sim_finish(struct sim *s, struct sim_flight *f, enum net_result net)
{
    static struct fetch_answer answer; /* large, and one at a time */
    void *exchange = f->exchange;
    answer = (struct fetch_answer){.net = net, .status = f->status, .n_bytes = f->body.len};
    if (net == NET_OK) {
        char line[64];
        time_t host_s = (time_t)sim_wall_s(s);
        size_t len =
            strftime(line, sizeof line, "Date: %a, %d %b %Y %H:%M:%S GMT", gmtime(&host_s));
        ratelimit_take_line(&answer.limits, line, len);
        answer.has_length = true;
        s->hooks.on_answer(s->hooks.arg, exchange);
        if (f->status == 200) {
            (void)s->hooks.on_body(s->hooks.arg, exchange, buf_span(&f->body));
            answer.body = f->body;
            f->body = (struct buf){0};
        }
    }
    buf_release(&f->body);
    *f = (struct sim_flight){0};
    s->n_in_flight--;
    s->hooks.on_done(s->hooks.arg, exchange, &answer);
    buf_release(&answer.body);
}

static struct sim *sim_of(struct transport *t)
{
    return (struct sim *)(void *)t;
}

static size_t sim_in_flight(const struct transport *t)
{
    return ((const struct sim *)(const void *)t)->n_in_flight;
}

static bool sim_start(struct transport *t, const char *url, void *exchange, struct err *e)
{
    struct sim *s = sim_of(t);
    struct sim_flight *f = s->flights;
    (void)e;
    while (f->exchange != NULL)
        f++;
    f->exchange = exchange;
    snprintf(f->url, sizeof f->url, "%s", url);
    f->next_ns = s->now_ns;
    s->n_in_flight++;
    return true;
}

static struct sim_flight *sim_next(struct sim *s)
{
    struct sim_flight *next = NULL;
    for (size_t i = 0; i < FLIGHTS_MAX; i++) {
        struct sim_flight *f = &s->flights[i];
        if (f->exchange != NULL && (next == NULL || f->next_ns < next->next_ns))
            next = f;
    }
    return next;
}

/* One event, or the timeout. */
static bool sim_poll(struct transport *t, const int *wake_fds, size_t n_wake_fds,
                     uint64_t timeout_ms, struct err *e)
{
    struct sim *s = sim_of(t);
    (void)wake_fds, (void)n_wake_fds;
    if (s->crash_ns != 0 && s->now_ns >= s->crash_ns)
        return err_set(e, ERR_FATAL, "the power went off");
    for (uint64_t until_ns = s->now_ns + timeout_ms * NS_PER_MS;;) {
        struct sim_flight *f = sim_next(s);
        if (f == NULL || f->next_ns > until_ns) {
            s->now_ns = until_ns;
            return true;
        }
        s->now_ns = u64_max(s->now_ns, f->next_ns);
        if (!f->is_sent) {
            f->is_sent = true;
            if (!s->hooks.on_send(s->hooks.arg, f->exchange)) {
                sim_finish(s, f, NET_WITHDRAWN);
                return true;
            }
            f->next_ns = s->now_ns + sim_way_ns(s);
        } else if (!f->is_answered_by_host) {
            sim_arrive(s, f);
        } else {
            sim_finish(s, f, NET_OK);
            return true;
        }
    }
}

/* What was sent arrives all the same. */
static void sim_cancel_all(struct transport *t)
{
    struct sim *s = sim_of(t);
    for (size_t i = 0; i < FLIGHTS_MAX; i++) {
        struct sim_flight *f = &s->flights[i];
        if (f->exchange == NULL)
            continue;
        if (f->is_sent && !f->is_answered_by_host)
            sim_arrive(s, f);
        sim_finish(s, f, NET_WITHDRAWN);
    }
}

static void sim_close(struct transport *t)
{
    (void)t;
}

static uint64_t sim_now_ns(void *arg)
{
    return ((struct sim *)arg)->now_ns;
}

static int64_t sim_wall_ms(void *arg)
{
    const struct sim *s = arg;
    bool has_jumped = s->jump_ns != 0 && s->now_ns >= s->jump_ns;
    int64_t off_s = has_jumped ? -s->clock_off_s : s->clock_off_s;
    return (REPLAY_EPOCH_S + off_s) * 1000 + (int64_t)(s->now_ns / NS_PER_MS);
}

static bool sim_open(void *arg, const struct fetch_params *p, const struct fetch_hooks *hooks,
                     struct transport **out, struct err *e)
{
    struct sim *s = arg;
    (void)e;
    CHECK(p->n_in_flight <= FLIGHTS_MAX);
    s->hooks = *hooks;
    *out = &s->transport;
    return true;
}

static struct sim *sim_new(size_t n_artists, const uint32_t *first, struct span preview)
{
    struct sim *s = mem_zalloc(1, sizeof *s);
    s->transport =
        (struct transport){sim_in_flight, sim_start, sim_poll, sim_cancel_all, sim_close};
    s->world = (struct world){.arg = s,
                              .now_ns = sim_now_ns,
                              .wall_ms = sim_wall_ms,
                              .open_transport = sim_open,
                              .awaits_commits = true};
    s->now_ns = NS_PER_S;
    s->rtt_ns = 100 * NS_PER_MS;
    s->n_artists = n_artists;
    s->first = first;
    s->preview = preview;
    s->link_life_s = 900;
    rng_init(&s->rng, 1, 1, 1);
    watch_init(&s->deezer, 50, 5 * NS_PER_S);
    watch_init(&s->itunes, 20, 60 * NS_PER_S);
    return s;
}

#endif
