#include "programs/rows.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* ERR_PERM is "not there": before a stage has run, or in the moment in which it makes its files. */
static bool open_maybe(bool opened, const struct err *open_e, struct err *e)
{
    if (opened || open_e->kind == ERR_PERM)
        return true;
    *e = *open_e;
    return false;
}

bool catalog_open_maybe(const char *dataset_dir, struct catalog **out, struct err *e)
{
    char path[PATH_BYTES];
    struct err open_e = {0};
    if (!path_join(path, dataset_dir, "catalog.mdb", e))
        return false;
    return !file_exists(path) ||
           open_maybe(catalog_open(dataset_dir, false, out, &open_e), &open_e, e);
}

bool store_open_maybe(const char *dataset_dir, struct store **out, struct err *e)
{
    char path[PATH_BYTES];
    struct err open_e = {0};
    if (!path_join(path, dataset_dir, "features.mdb", e))
        return false;
    return !file_exists(path) || open_maybe(store_open(dataset_dir, out, &open_e), &open_e, e);
}

/* The spool's own open makes what is missing; a reader makes nothing. */
bool spool_open_maybe(const char *dataset_dir, struct spool **out, struct err *e)
{
    char path[PATH_BYTES];
    if (!path_join(path, dataset_dir, "spool/bad", e))
        return false;
    return !file_exists(path) || spool_open(dataset_dir, out, e);
}

/* ---------------------------------------------------------------- set aside by extract */

static void bad_add(void *arg, uint64_t row, const char *cause, const char *why)
{
    (void)why;
    struct bad_list *list = arg;
    if (list->n == list->cap) {
        list->cap = size_max(64, list->cap * 2);
        list->items = mem_resize(list->items, list->cap, sizeof list->items[0]);
    }
    struct bad_item *item = &list->items[list->n++];
    *item = (struct bad_item){.row = row};
    memcpy(item->cause, cause, strnlen(cause, sizeof item->cause - 1));
}

static int bad_order(const void *a, const void *b)
{
    const struct bad_item *x = a, *y = b;
    return x->row < y->row ? -1 : x->row > y->row;
}

bool bad_list_read(struct spool *spool, struct bad_list *out, struct err *e)
{
    if (!spool_each_bad(spool, bad_add, out, e))
        return false;
    if (out->n > 0)
        qsort(out->items, out->n, sizeof out->items[0], bad_order);
    return true;
}

void bad_list_release(struct bad_list *list)
{
    mem_free(list->items);
    *list = (struct bad_list){0};
}

static struct bad_item *bad_find(struct bad_list *list, uint64_t row)
{
    struct bad_item key = {.row = row};
    if (list == NULL || list->n == 0)
        return NULL;
    return bsearch(&key, list->items, list->n, sizeof list->items[0], bad_order);
}

/* ---------------------------------------------------------------- the join */

struct join {
    struct bad_list *bad;
    struct store *store;
    joined_row_fn *fn;
    void *arg;
};

static bool join_row(void *arg, const struct catalog_row *row)
{
    const struct join *join = arg;
    struct joined_row joined = {.row = row, .state = row->state, .cause = row->cause};
    if (row->state == ROW_DONE) {
        joined.cause = "";
        struct bad_item *bad = bad_find(join->bad, row->row);
        if (bad != NULL) {
            bad->joined = true;
            joined.state = ROW_REJECTED;
            joined.cause = bad->cause;
        }
    }
    struct store_track_info track = {0};
    struct err ignored = {0}; /* a track that is not stored has no views */
    if (join->store != NULL && store_get_track(join->store, row->row, &track, &ignored))
        joined.n_views = track.n_views;
    return join->fn(join->arg, &joined);
}

bool rows_each(struct catalog *catalog, struct bad_list *bad, struct store *store,
               joined_row_fn *fn, void *arg, struct err *e)
{
    struct join join = {.bad = bad, .store = store, .fn = fn, .arg = arg};
    return catalog_each(catalog, join_row, &join, e);
}
