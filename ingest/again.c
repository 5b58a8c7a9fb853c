#include "ingest/again.h"

#include "ingest/row.h"
#include "ingest/title.h"

#include <string.h>

/* As many as LMDB may keep in memory until a commit, see plan.c. */
enum { GROUP_ROWS = 8192 };

struct again {
    struct catalog *c;
    const char *causes;      /* of again_by_cause */
    uint8_t sources;         /* of again_by_source */
    struct catalog_write *w; /* NULL until a row is found */
    size_t n_in_group;
    uint64_t n;
    struct err *e;
    bool failed;
};

static bool list_has(const char *list, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = list; *at != '\0';) {
        size_t n = strcspn(at, ",");
        if (n == len && len > 0 && memcmp(at, word, len) == 0)
            return true;
        at += n + (at[n] == ',');
    }
    return false;
}

static bool commit(struct again *a)
{
    struct catalog_write *w = a->w;
    a->w = NULL;
    a->n_in_group = 0;
    return w == NULL || catalog_commit(w, a->e);
}

static bool put(struct again *a, const struct catalog_row *row)
{
    a->failed = (a->w == NULL && !catalog_begin(a->c, &a->w, a->e)) ||
                !catalog_put(a->w, row, a->e) || (++a->n_in_group == GROUP_ROWS && !commit(a));
    a->n += !a->failed;
    return !a->failed;
}

/* Called from a read transaction: it keeps seeing the rows as they were. */
static bool again_row(void *arg, const struct catalog_row *row)
{
    struct again *a = arg;
    bool is_unfound = row->state == ROW_NO_MATCH && strcmp(row->cause, "no_link") != 0;
    bool has_failed = row->state == ROW_GONE || row->state == ROW_REJECTED ||
                      row->state == ROW_DEAD || is_unfound;
    if (!has_failed || !(strcmp(a->causes, "all") == 0 || list_has(a->causes, row->cause)))
        return true;
    struct catalog_row fresh = *row;
    bool has_link = row->url[0] != '\0';
    fresh.state = has_link ? ROW_DIRECT : ROW_NO_MATCH;
    row_set_text(fresh.cause, sizeof fresh.cause, has_link ? "" : "no_link");
    fresh.resolved_url[0] = '\0';
    fresh.source = fresh.sources_tried = 0;
    fresh.n_spares_tried = 0;
    fresh.attempts = 0;
    fresh.not_before_s = fresh.not_before_ms = 0;
    return put(a, &fresh);
}

bool again_by_cause(struct catalog *c, const char *causes, uint64_t *out_n, struct err *e)
{
    struct again a = {.c = c, .causes = causes, .e = e};
    bool ok = catalog_each(c, again_row, &a, e) && !a.failed && commit(&a);
    catalog_abort(a.w);
    *out_n = a.n;
    return ok;
}

static bool need_row(void *arg, const struct catalog_row *row)
{
    struct again *a = arg;
    struct catalog_row fresh = *row;
    if (a->sources == 0) {
        if (row->state != ROW_NEED)
            return true;
        fresh.state = row->url[0] != '\0' ? ROW_DIRECT : ROW_NO_MATCH;
        row_set_text(fresh.cause, sizeof fresh.cause, row->url[0] != '\0' ? "" : "no_link");
        return put(a, &fresh);
    }
    bool is_refused = row->state == ROW_DEAD && strcmp(row->cause, "http_403") == 0;
    bool is_lost = row->state == ROW_NO_MATCH || row->state == ROW_GONE || is_refused;
    if (!is_lost || row->name[0] == '\0' || row->artist[0] == '\0' ||
        (row->sources_tried & a->sources) == a->sources)
        return true;
    fresh.state = ROW_NEED;
    fresh.artist_key = title_artist_key(row->artist);
    fresh.resolved_url[0] = '\0';
    fresh.source = 0;
    fresh.attempts = 0;
    return put(a, &fresh);
}

bool again_by_source(struct catalog *c, uint8_t sources, uint64_t *out_n, struct err *e)
{
    struct again a = {.c = c, .sources = sources, .e = e};
    bool ok = catalog_each(c, need_row, &a, e) && !a.failed && commit(&a);
    catalog_abort(a.w);
    *out_n = a.n;
    return ok;
}
