#include "ingest/again.h"

#include <string.h>

/* As many as LMDB may keep in memory until a commit, see plan.c. */
enum { GROUP_ROWS = 8192 };

struct again {
    struct catalog *c;
    const char *causes;
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

/* Called from a read transaction: it keeps seeing the rows as they were. */
static bool again_row(void *arg, const struct catalog_row *row)
{
    struct again *a = arg;
    bool has_failed =
        row->state == ROW_GONE || row->state == ROW_REJECTED || row->state == ROW_DEAD;
    if (!has_failed || !(strcmp(a->causes, "all") == 0 || list_has(a->causes, row->cause)))
        return true;
    struct catalog_row fresh = *row;
    fresh.state = ROW_DIRECT;
    fresh.cause[0] = '\0';
    fresh.attempts = 0;
    fresh.not_before_s = fresh.not_before_ms = 0;
    a->failed = (a->w == NULL && !catalog_begin(a->c, &a->w, a->e)) ||
                !catalog_put(a->w, &fresh, a->e) || (++a->n_in_group == GROUP_ROWS && !commit(a));
    a->n += !a->failed;
    return !a->failed;
}

bool again_by_cause(struct catalog *c, const char *causes, uint64_t *out_n, struct err *e)
{
    struct again a = {.c = c, .causes = causes, .e = e};
    bool ok = catalog_each(c, again_row, &a, e) && !a.failed && commit(&a);
    catalog_abort(a.w);
    *out_n = a.n;
    return ok;
}
