/*
 * What is remembered of host groups across runs, as a note in the catalogue: a version byte, then
 * for each group
 *
 *     u8 length of the name, name, u32 level, u32 ceiling, i64 ceiling_s, i64 paused_until_ms
 *
 * in native order, for one machine. Ceilings are forgotten after a day.
 */
#include "base/clock.h"
#include "ingest/hosts_inside.h"

#include <string.h>

enum { NOTE_VERSION = 1, FIXED_BYTES = 24, MEMORY_S = 86400, PAUSE_KEPT_MS = 1000 };

static bool is_worth_keeping(const struct host_memory *m, int64_t wall_ms)
{
    bool has_ceiling = m->ceiling > 0 && wall_ms / 1000 - m->ceiling_s < MEMORY_S;
    return has_ceiling || m->paused_until_ms > wall_ms + PAUSE_KEPT_MS;
}

static struct host_memory *find_memory(struct hosts *h, const char *name)
{
    for (size_t i = 0; i < h->n_memories; i++)
        if (strcmp(h->memories[i].name, name) == 0)
            return &h->memories[i];
    return NULL;
}

/* ---------------------------------------------------------------- recalling */

static const uint8_t *decode(const uint8_t *at, const uint8_t *end, struct host_memory *out)
{
    *out = (struct host_memory){0};
    size_t len = *at++;
    if (len == 0 || len >= CONF_NAME_BYTES || (size_t)(end - at) < len + FIXED_BYTES ||
        memchr(at, '\0', len) != NULL)
        return NULL;
    memcpy(out->name, at, len);
    at += len;
    memcpy(&out->level, at, 4);
    memcpy(&out->ceiling, at + 4, 4);
    memcpy(&out->ceiling_s, at + 8, 8);
    memcpy(&out->paused_until_ms, at + 16, 8);
    return at + FIXED_BYTES;
}

/* A clock that was set back must not make a pause longer than a host can ask for. */
static void clamp(struct host_memory *m, int64_t wall_ms)
{
    int64_t latest_ms = wall_ms + (int64_t)RATELIMIT_WAIT_MAX_MS;
    if (m->paused_until_ms > latest_ms)
        m->paused_until_ms = latest_ms;
    if (m->ceiling_s > wall_ms / 1000)
        m->ceiling_s = wall_ms / 1000;
    if (m->ceiling_s < 0 || m->paused_until_ms < 0) /* nobody wrote that */
        *m = (struct host_memory){.name = ""};
}

void hosts_recall(struct hosts *h, struct span note, uint64_t now_ns, int64_t wall_ms)
{
    const uint8_t *at = note.ptr, *end = at + note.len;
    h->recalled_ms = wall_ms;
    h->recalled_ns = now_ns;
    if (note.len == 0 || *at++ != NOTE_VERSION)
        return;
    while (at != NULL && at < end && h->n_memories < HOSTS_REMEMBERED_MAX) {
        struct host_memory *m = &h->memories[h->n_memories];
        at = decode(at, end, m);
        if (at == NULL)
            break;
        clamp(m, wall_ms);
        h->n_memories += is_worth_keeping(m, wall_ms);
    }
}

/* As of the moment of hosts_recall: what has passed since is in the past of the times it sets. */
void hosts_recall_group(struct hosts *h, struct host_group *g)
{
    const struct host_memory *m = find_memory(h, g->name);
    if (m == NULL)
        return;
    if (m->ceiling > 0) {
        uint64_t age_s = (uint64_t)(h->recalled_ms / 1000 - m->ceiling_s);
        pace_recall(&g->pace, m->level, m->ceiling, age_s * NS_PER_S, h->recalled_ns);
        if (g->has_rate)
            limiter_set_level(&g->limiter, g->pace.level);
    }
    if (m->paused_until_ms > h->recalled_ms) {
        g->paused_until_ns =
            h->recalled_ns + (uint64_t)(m->paused_until_ms - h->recalled_ms) * NS_PER_MS;
        g->is_suspect = true;
    }
}

/* ---------------------------------------------------------------- remembering */

static void memorize(struct hosts *h, const struct host_group *g, uint64_t now_ns, int64_t wall_ms)
{
    struct host_memory *m = find_memory(h, g->name);
    bool has_ceiling = g->pace.ceiling<g->pace.max, is_paused = g->paused_until_ns> now_ns;
    if (m == NULL && (h->n_memories == HOSTS_REMEMBERED_MAX || (!has_ceiling && !is_paused)))
        return;
    if (m == NULL)
        m = &h->memories[h->n_memories++];
    *m = (struct host_memory){0};
    memcpy(m->name, g->name, sizeof m->name);
    if (has_ceiling) {
        m->level = g->pace.level;
        m->ceiling = g->pace.ceiling;
        m->ceiling_s = wall_ms / 1000 - (int64_t)((now_ns - g->pace.ceiling_ns) / NS_PER_S);
    }
    if (is_paused)
        m->paused_until_ms = wall_ms + (int64_t)((g->paused_until_ns - now_ns) / NS_PER_MS);
}

size_t hosts_remember(struct hosts *h, uint64_t now_ns, int64_t wall_ms,
                      uint8_t out[HOSTS_NOTE_BYTES_MAX])
{
    size_t n = 0;
    out[n++] = NOTE_VERSION;
    for (size_t i = 0; i < h->n_groups; i++)
        memorize(h, h->groups[i], now_ns, wall_ms);
    for (size_t i = 0; i < h->n_memories; i++) {
        const struct host_memory *m = &h->memories[i];
        size_t len = strlen(m->name);
        if (!is_worth_keeping(m, wall_ms) || n + 1 + len + FIXED_BYTES > HOSTS_NOTE_BYTES_MAX)
            continue;
        out[n++] = (uint8_t)len;
        memcpy(out + n, m->name, len);
        n += len;
        memcpy(out + n, &m->level, 4);
        memcpy(out + n + 4, &m->ceiling, 4);
        memcpy(out + n + 8, &m->ceiling_s, 8);
        memcpy(out + n + 16, &m->paused_until_ms, 8);
        n += FIXED_BYTES;
    }
    h->has_news = false;
    return n;
}

bool hosts_has_news(const struct hosts *h)
{
    return h->has_news;
}
