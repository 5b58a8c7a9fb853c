#include "ingest/standing.h"

#include <string.h>

enum { STANDING_VERSION = 1, HEAD_BYTES = offsetof(struct standing, latency) };
static_assert((int)HEAD_BYTES <= (int)CATALOG_NOTE_BYTES_MAX, "it fits a note");
static_assert((int)sizeof(struct latency) <= (int)CATALOG_NOTE_BYTES_MAX, "it fits a note");
static_assert(sizeof(struct standing_host) == 120, "no padding on disk");

bool standing_write(struct catalog_write *w, const struct standing *s, struct err *e)
{
    struct standing copy = *s;
    copy.version = STANDING_VERSION;
    return catalog_note_set(w, "standing", (struct span){&copy, HEAD_BYTES}, e) &&
           catalog_note_set(w, "latency", (struct span){&copy.latency, sizeof copy.latency}, e);
}

bool standing_read(struct catalog *c, struct standing *out, struct err *e)
{
    uint8_t bytes[CATALOG_NOTE_BYTES_MAX];
    size_t n;
    *out = (struct standing){0};
    if (!catalog_note_get(c, "standing", bytes, &n, e))
        return false;
    if (n == HEAD_BYTES)
        memcpy(out, bytes, n);
    if (out->version != STANDING_VERSION || out->n_hosts > STANDING_HOSTS_MAX)
        *out = (struct standing){0};
    for (size_t i = 0; i < out->n_hosts; i++)
        out->hosts[i].name[STANDING_NAME_BYTES - 1] = '\0';
    if (!catalog_note_get(c, "latency", bytes, &n, e))
        return false;
    if (n == sizeof out->latency)
        memcpy(&out->latency, bytes, n);
    return true;
}
