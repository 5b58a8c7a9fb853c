#include "programs/status.h"
#include "ingest/source.h"

#include "base/clock.h"
#include "programs/csv_out.h"
#include "programs/quota.h"
#include "programs/rows.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { CAUSES_MAX = 256 };

/* ---------------------------------------------------------------- reading */

struct rows_scan {
    struct status *status;
    struct quota *quota;
    int64_t now_s;
};

static bool scan_row(void *arg, const struct joined_row *joined)
{
    struct rows_scan *scan = arg;
    const struct catalog_row *row = joined->row;
    scan->status->rows++;
    scan->status->states[joined->state]++;
    if (joined->cause[0] != '\0')
        tally_add_str(scan->status->causes, joined->cause, false);
    if (row->url[0] != '\0' && !row_state_is_final(row->state)) {
        int64_t wait_s = row->state == ROW_WAIT ? row->not_before_s - scan->now_s : 0;
        quota_add(scan->quota, row->url, wait_s > 0 ? (double)wait_s : 0);
    }
    return true;
}

static bool read_totals(struct catalog *c, struct status *out, struct err *e)
{
    struct catalog_totals totals = {0};
    if (!catalog_totals(c, &totals, e))
        return false;
    out->has_catalog = true;
    out->rows = totals.rows;
    memcpy(out->states, totals.states, sizeof out->states);
    out->requests = totals.requests;
    out->throttled = totals.throttled;
    out->fetched_bytes = totals.bytes;
    return standing_read(c, &out->standing, e);
}

static bool read_store(const char *dir, struct status *out, struct err *e)
{
    struct store *store = NULL;
    if (!store_open_maybe(dir, &store, e))
        return false;
    bool ok = store == NULL || store_stat(store, &out->store, e);
    out->has_store = store != NULL && ok;
    store_close(store);
    return ok;
}

static int name_order(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bool read_models(const char *dir, struct status *out, struct err *e)
{
    char path[PATH_BYTES];
    if (!path_join(path, dir, "models", e))
        return false;
    DIR *models = opendir(path);
    if (models == NULL)
        return errno == ENOENT ||
               err_set_errno(e, ERR_FATAL, errno, "cannot read the directory %s", path);
    for (struct dirent *d; out->n_models < STATUS_MODELS_MAX && (d = readdir(models)) != NULL;) {
        size_t len = strlen(d->d_name);
        struct stat st;
        if (d->d_name[0] != '.' && len < STATUS_MODEL_NAME_BYTES &&
            fstatat(dirfd(models), d->d_name, &st, 0) == 0 && S_ISDIR(st.st_mode))
            memcpy(out->models[out->n_models++], d->d_name, len + 1);
    }
    closedir(models);
    qsort(out->models, out->n_models, sizeof out->models[0], name_order);
    return true;
}

/* The rows are counted one by one, not taken from the totals: states and causes must be of one
 * moment, and the totals know nothing of what extract set aside. */
static bool read_rows(const struct dataset *d, struct catalog *catalog, struct bad_list *bad,
                      struct status *out, struct err *e)
{
    struct rows_scan scan = {.status = out, .now_s = clock_wall_s()};
    out->rows = 0;
    memset(out->states, 0, sizeof out->states);
    scan.quota = quota_new(&d->settings.fetch.limit);
    bool ok = catalog == NULL || rows_each(catalog, bad, NULL, scan_row, &scan, e);
    out->eta_s = quota_eta_s(scan.quota);
    quota_free(scan.quota);
    for (size_t i = 0; i < bad->n; i++) /* extract may be a moment ahead of fetch's commit */
        if (!bad->items[i].joined)
            tally_add_str(out->causes, bad->items[i].cause, false);
    return ok;
}

bool status_read(const struct dataset *d, struct status *out, struct err *e)
{
    *out = (struct status){.causes = tally_new(CAUSES_MAX)};
    struct catalog *catalog = NULL;
    struct spool *spool = NULL;
    struct bad_list bad = {0};
    bool ok = catalog_open_maybe(d->dir, &catalog, e) &&
              (catalog == NULL || read_totals(catalog, out, e)) &&
              spool_open_maybe(d->dir, &spool, e) &&
              (spool == NULL ||
               (spool_measure(spool, &out->spool, e) && bad_list_read(spool, &bad, e))) &&
              read_rows(d, catalog, &bad, out, e) && read_store(d->dir, out, e) &&
              read_models(d->dir, out, e);
    bad_list_release(&bad);
    spool_close(spool);
    catalog_close(catalog);
    return ok;
}

void status_release(struct status *s)
{
    tally_free(s->causes);
    s->causes = NULL;
}

bool status_read_totals(const struct dataset *d, struct status *out, struct err *e)
{
    *out = (struct status){.eta_s = NAN};
    struct catalog *catalog = NULL;
    struct spool *spool = NULL;
    bool ok = catalog_open_maybe(d->dir, &catalog, e) &&
              (catalog == NULL || read_totals(catalog, out, e)) &&
              spool_open_maybe(d->dir, &spool, e) &&
              (spool == NULL || spool_measure(spool, &out->spool, e)) && read_store(d->dir, out, e);
    spool_close(spool);
    catalog_close(catalog);
    return ok;
}

uint64_t status_rows_ended(const struct status *s)
{
    uint64_t n = 0;
    for (enum row_state state = 0; state < ROW_STATES; state++)
        n += row_state_is_final(state) ? s->states[state] : 0;
    return n;
}

/* ---------------------------------------------------------------- every row as CSV */

static bool write_row(void *arg, const struct joined_row *joined)
{
    struct csv_out *out = arg;
    const struct catalog_row *row = joined->row;
    char not_before[24] = "", dup_of[24] = "", match[24] = "";
    bool is_sourced = row->source != SOURCE_NONE && row->source < SOURCES;
    if (is_sourced)
        snprintf(match, sizeof match, "%.3f", row->match_permille / 1000.0);
    if (row->state == ROW_WAIT)
        snprintf(not_before, sizeof not_before, "%" PRId64, row->not_before_s);
    if (row->state == ROW_DUP)
        snprintf(dup_of, sizeof dup_of, "%" PRIu64, row->dup_of);
    csv_out_u64(out, row->row);
    csv_out_text(out, row->track_id);
    csv_out_text(out, row_state_name(joined->state));
    csv_out_text(out, joined->cause);
    csv_out_u64(out, row->attempts);
    csv_out_text(out, not_before);
    csv_out_u64(out, row->preview_bytes);
    csv_out_text(out, dup_of);
    csv_out_u64(out, joined->n_views);
    csv_out_text(out, row->artist);
    csv_out_text(out, row->name);
    csv_out_text(out, is_sourced ? source_get(row->source)->name : "");
    csv_out_text(out, match);
    return csv_out_end(out);
}

static bool write_rows(const struct dataset *d, struct csv_out *out, struct err *e)
{
    static const char *const columns[] = {
        "row",    "track_id", "state",  "cause", "attempts", "not_before", "preview_bytes",
        "dup_of", "clips",    "artist", "name",  "source",   "match"};
    struct catalog *catalog = NULL;
    struct store *store = NULL;
    struct spool *spool = NULL;
    struct bad_list bad = {0};
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        csv_out_text(out, columns[i]);
    bool ok = csv_out_end(out) && catalog_open_maybe(d->dir, &catalog, e) &&
              store_open_maybe(d->dir, &store, e) && spool_open_maybe(d->dir, &spool, e) &&
              (spool == NULL || bad_list_read(spool, &bad, e)) &&
              (catalog == NULL || rows_each(catalog, &bad, store, write_row, out, e));
    bad_list_release(&bad);
    spool_close(spool);
    store_close(store);
    catalog_close(catalog);
    return ok;
}

bool status_write_rows(const struct dataset *d, const char *path, struct err *e)
{
    struct csv_out out;
    if (!csv_out_open(&out, path, e))
        return false;
    return csv_out_close(&out, write_rows(d, &out, e), e);
}
