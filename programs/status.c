#include "programs/status.h"

#include "base/clock.h"
#include "programs/quota.h"
#include "programs/rows.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
    return true;
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

/* RFC 4180: quoted when it holds a comma, a quote or a line end. */
static void csv_field(FILE *out, const char *text)
{
    putc(',', out);
    if (strpbrk(text, ",\"\r\n") == NULL) {
        fputs(text, out);
        return;
    }
    putc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"')
            putc('"', out);
        putc(*text, out);
    }
    putc('"', out);
}

static bool write_row(void *arg, const struct joined_row *joined)
{
    FILE *out = arg;
    const struct catalog_row *row = joined->row;
    fprintf(out, "%" PRIu64, row->row);
    csv_field(out, row->track_id);
    csv_field(out, row_state_name(joined->state));
    csv_field(out, joined->cause);
    fprintf(out, ",%" PRIu32 ",", row->attempts);
    if (row->state == ROW_WAIT)
        fprintf(out, "%" PRId64, row->not_before_s);
    fprintf(out, ",%" PRIu64 ",", row->preview_bytes);
    if (row->state == ROW_DUP)
        fprintf(out, "%" PRIu64, row->dup_of);
    fprintf(out, ",%" PRIu32, joined->n_views);
    csv_field(out, row->artist);
    csv_field(out, row->name);
    putc('\n', out);
    return ferror(out) == 0;
}

static bool write_rows(const struct dataset *d, FILE *out, struct err *e)
{
    struct catalog *catalog = NULL;
    struct store *store = NULL;
    struct spool *spool = NULL;
    struct bad_list bad = {0};
    bool ok = catalog_open_maybe(d->dir, &catalog, e) && store_open_maybe(d->dir, &store, e) &&
              spool_open_maybe(d->dir, &spool, e) &&
              (spool == NULL || bad_list_read(spool, &bad, e));
    if (ok)
        fputs("row,track_id,state,cause,attempts,not_before,preview_bytes,dup_of,clips,artist,"
              "name\n",
              out);
    ok = ok && (catalog == NULL || rows_each(catalog, &bad, store, write_row, out, e));
    bad_list_release(&bad);
    spool_close(spool);
    store_close(store);
    catalog_close(catalog);
    if (ok && (fflush(out) != 0 || ferror(out)))
        return err_set_errno(e, ERR_FATAL, errno, "cannot write the rows");
    return ok;
}

/* Streamed into a file beside it, because a catalogue may be larger than memory should hold. */
bool status_write_rows(const struct dataset *d, const char *path, struct err *e)
{
    if (strcmp(path, "-") == 0)
        return write_rows(d, stdout, e);
    char temp[PATH_BYTES];
    int len = snprintf(temp, sizeof temp, "%s.tmp", path);
    if (len < 0 || (size_t)len >= sizeof temp)
        return err_set(e, ERR_USAGE, "the path is longer than %d bytes", PATH_BYTES - 5);
    FILE *out = fopen(temp, "we");
    if (out == NULL)
        return err_set_errno(e, ERR_FATAL, errno, "cannot write %s", temp);
    bool ok = write_rows(d, out, e);
    if (fclose(out) != 0 && ok)
        ok = err_set_errno(e, ERR_FATAL, errno, "cannot write %s", temp);
    if (ok && rename(temp, path) != 0)
        ok = err_set_errno(e, ERR_FATAL, errno, "cannot rename %s to %s", temp, path);
    if (!ok)
        unlink(temp);
    return ok;
}
