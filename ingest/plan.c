/*
 * Every record of the file has an identity that survives other line endings, other line numbers and
 * another order of columns: the k-th occurrence of its track id, or for a bad row the k-th
 * occurrence of its bytes. The identity is looked up in the catalogue; so an import that was killed
 * half-way and started again, or run on a longer file, finds its rows and adds only what is
 * missing.
 *
 * k is counted in memory, four bytes for each row of the catalogue.
 */
#include "ingest/plan.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "ingest/csv.h"
#include "ingest/identity.h"
#include "ingest/local.h"
#include "ingest/row.h"
#include "ingest/source.h"
#include "ingest/spare.h"
#include "ingest/url.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static_assert((int)CSV_TRACK_ID_BYTES_MAX == (int)TRACK_ID_MAX_BYTES, "one limit");
static_assert((int)URL_BYTES_MAX == (int)CATALOG_URL_BYTES, "one limit");

/* LMDB keeps the pages of a transaction in memory until the commit: about 10 MB of them. */
enum { GROUP_ROWS = 8192, READ_BYTES = 1 << 20, BAD_ROWS_LOGGED = 20 };
static const uint64_t ROWS_MAX = UINT64_C(100000000);

struct plan {
    struct catalog *c;
    const struct plan_params *params;
    struct plan_result *result;
    struct catalog_write *w;
    size_t n_in_group;
    uint32_t *n_seen; /* by row: occurrences in this pass of the file */
    size_t n_seen_cap;
};

/* ---------------------------------------------------------------- fingerprint of the file */

struct fingerprint {
    uint64_t digest, n_bytes, options;
};

static bool fingerprint_read(const struct plan_params *p, struct fingerprint *out, struct err *e)
{
    uint8_t *block = mem_alloc(READ_BYTES, 1);
    bool ok = false;
    int fd = open(p->csv_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        err_set_errno(e, ERR_USAGE, errno, "cannot open the catalogue %s", p->csv_path);
        goto out;
    }
    *out = (struct fingerprint){.options = p->allow_http};
    for (;;) {
        ssize_t n = read(fd, block, READ_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            err_set_errno(e, ERR_USAGE, errno, "cannot read the catalogue %s", p->csv_path);
            goto out;
        }
        if (n == 0)
            break;
        out->digest = hash64(block, (size_t)n, out->digest);
        out->n_bytes += (uint64_t)n;
    }
    ok = true;
out:
    if (fd >= 0)
        close(fd);
    mem_free(block);
    return ok;
}

static bool fingerprint_is_known(struct catalog *c, const struct fingerprint *f, bool *out_known,
                                 struct err *e)
{
    uint8_t note[CATALOG_NOTE_BYTES_MAX];
    size_t n;
    if (!catalog_note_get(c, "import", note, &n, e))
        return false;
    *out_known = n == sizeof *f && memcmp(note, f, n) == 0;
    return true;
}

/* ---------------------------------------------------------------- identities */

/* Counts this occurrence of the row; the first is 1. */
static uint32_t count_seen(struct plan *p, uint64_t row)
{
    if (row >= p->n_seen_cap) {
        size_t cap = size_max(1024, p->n_seen_cap);
        while (cap <= row)
            cap *= 2;
        p->n_seen = mem_resize(p->n_seen, cap, sizeof *p->n_seen);
        memset(p->n_seen + p->n_seen_cap, 0, (cap - p->n_seen_cap) * sizeof *p->n_seen);
        p->n_seen_cap = cap;
    }
    return ++p->n_seen[row];
}

/* Finds the record's row. *out_first is the row of the first occurrence, 0 when this is it; `id` is
 * then the identity to look up or add. */
static bool identity_resolve(struct plan *p, struct identity *id, uint64_t *out_row,
                             bool *out_found, uint64_t *out_first, struct err *e)
{
    *out_first = 0;
    if (!catalog_find(p->w, identity_span(id), out_row, out_found, e))
        return false;
    if (!*out_found)
        return true;
    uint32_t k = count_seen(p, *out_row);
    if (k == 1)
        return true;
    *out_first = *out_row;
    identity_set_occurrence(id, k);
    return catalog_find(p->w, identity_span(id), out_row, out_found, e);
}

static bool add_row(struct plan *p, const struct identity *id, bool is_first,
                    struct catalog_row *row, struct err *e)
{
    if (!catalog_add(p->w, identity_span(id), row, e))
        return false;
    if (row->row > ROWS_MAX)
        return err_set(e, ERR_FATAL, "%s has more than %" PRIu64 " rows", p->params->csv_path,
                       ROWS_MAX);
    if (is_first)
        count_seen(p, row->row);
    p->result->n_new++;
    p->result->n_bad += row->state == ROW_BAD_ROW;
    p->result->n_duplicate += row->state == ROW_DUP;
    p->result->n_no_link += row->state == ROW_NO_MATCH;
    return true;
}

/* ---------------------------------------------------------------- records */

/* "2004" and "2004.0" are 2004; what is no number, or none between lo and hi, is 0. */
static uint32_t parse_number(const char *text, double lo, double hi)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= lo && value <= hi))
        return 0;
    return (uint32_t)value;
}

static void fill_row(const struct csv_row *record, struct catalog_row *row)
{
    const char *const *f = record->fields;
    row_set_text(row->name, sizeof row->name, f[CSV_NAME]);
    row_set_text(row->artist, sizeof row->artist, f[CSV_ARTIST]);
    row_set_text(row->genre, sizeof row->genre, f[CSV_GENRE]);
    row_set_text(row->tags, sizeof row->tags, f[CSV_TAGS]);
    row->year = parse_number(f[CSV_YEAR], 1000, 9999);
    row->duration_ms = parse_number(f[CSV_DURATION_MS], 0, 1e9);
}

/* Without a usable link a row needs a resolver, and there is none yet: NEED ends as NO_MATCH. */
static void set_link(struct catalog_row *row, const char *url)
{
    bool has_link = url[0] != '\0';
    row_set_text(row->url, sizeof row->url, url);
    row->resolved_url[0] = '\0';
    row->expires_s = 0;
    row->source = SOURCE_NONE;
    row->match_permille = 0;
    row->n_spares_tried = 0;
    row_set_text(row->cause, sizeof row->cause, has_link ? "" : "no_link");
    row->state = has_link ? ROW_DIRECT : ROW_NO_MATCH;
    row->attempts = 0;
    row->not_before_s = row->not_before_ms = 0;
}

static void normalize_link(const struct plan *p, const char *text, char out[URL_BYTES_MAX])
{
    if (!local_normalize(text, out))
        (void)url_normalize(text, p->params->allow_http, out);
}

/* The row that has this link already, 0 for none: one preview under two ids is fetched once. */
static bool find_twin(struct plan *p, const char *url, uint64_t *out_row, struct err *e)
{
    struct identity id, twins;
    struct catalog_row twin;
    bool found;
    *out_row = 0;
    if (url[0] == '\0')
        return true;
    identity_of_link(&id, url);
    if (!catalog_find(p->w, identity_span(&id), out_row, &found, e))
        return false;
    if (!found)
        *out_row = 0;
    if (*out_row == 0)
        return true;
    if (!catalog_read(p->w, *out_row, &twin, e))
        return false;
    identity_of_link(&twins, twin.url); /* it may have another link by now */
    if (twins.len != id.len || memcmp(twins.bytes, id.bytes, id.len) != 0)
        *out_row = 0;
    return true;
}

static bool claim_link(struct plan *p, const struct catalog_row *row, struct err *e)
{
    struct identity id;
    if (row->url[0] == '\0')
        return true;
    identity_of_link(&id, row->url);
    return catalog_alias(p->w, identity_span(&id), row->row, e);
}

static void set_duplicate(struct catalog_row *row, uint64_t of, const char *cause)
{
    row->state = ROW_DUP;
    row->dup_of = of;
    row_set_text(row->cause, sizeof row->cause, cause);
}

/* A known row's link is another one now. */
static bool change_link(struct plan *p, struct catalog_row *row, const char *url, struct err *e)
{
    uint64_t twin;
    if (!find_twin(p, url, &twin, e))
        return false;
    set_link(row, url);
    row->dup_of = 0;
    if (twin == 0 || twin == row->row)
        return claim_link(p, row, e);
    set_duplicate(row, twin, "same_link");
    return true;
}

/* The same id again, the `k`-th time, with a link: good for the first row if that has none, or if
 * none of those before was any good. Else it is a spare (ingest/spare.h). */
static bool offer_link(struct plan *p, uint64_t first, uint32_t k, const char *url, struct err *e)
{
    struct catalog_row row;
    if (url[0] == '\0')
        return true;
    if (!catalog_read(p->w, first, &row, e))
        return false;
    if (row.url[0] == '\0' && (row.state == ROW_NO_MATCH || !row_state_is_final(row.state)))
        return change_link(p, &row, url, e) && catalog_put(p->w, &row, e);
    bool has_failed = row.state == ROW_NO_MATCH || row.state == ROW_GONE ||
                      row.state == ROW_REJECTED || row.state == ROW_DEAD;
    if (!has_failed)
        return true;
    spare_set(&row, k, url);
    return catalog_put(p->w, &row, e);
}

static bool is_settled_duplicate(const struct catalog_row *row)
{
    return row->state == ROW_DUP && strcmp(row->cause, "same_link") != 0;
}

/* A known further row of an id, which may have another link now. */
static bool refresh_spare(struct plan *p, const struct identity *id, struct catalog_row *row,
                          const char *url, struct err *e)
{
    if (url[0] == '\0' || strcmp(url, row->url) == 0)
        return true;
    p->result->n_changed++;
    row_set_text(row->url, sizeof row->url, url);
    return catalog_put(p->w, row, e) && offer_link(p, row->dup_of, id->occurrence, url, e);
}

/* A known row again. Only a link that is usable and new changes what will be fetched. */
static bool refresh_row(struct plan *p, const struct identity *id, uint64_t number,
                        const struct csv_row *record, const char *url, struct err *e)
{
    struct catalog_row row, old;
    uint8_t bytes[ROW_BYTES_MAX], old_bytes[ROW_BYTES_MAX];
    if (!catalog_read(p->w, number, &old, e))
        return false;
    if (old.state == ROW_BAD_ROW)
        return true;
    if (is_settled_duplicate(&old))
        return refresh_spare(p, id, &old, url, e);
    row = old;
    fill_row(record, &row);
    bool is_changed = row.state != ROW_DONE && url[0] != '\0' && strcmp(url, row.url) != 0;
    if (is_changed && !change_link(p, &row, url, e))
        return false;
    size_t n = row_encode(&row, bytes), n_old = row_encode(&old, old_bytes);
    if (n == n_old && memcmp(bytes, old_bytes, n) == 0)
        return true;
    p->result->n_changed++;
    return catalog_put(p->w, &row, e);
}

static bool import_record(struct plan *p, const struct csv_row *record, struct err *e)
{
    struct identity id;
    char url[URL_BYTES_MAX];
    uint64_t number, first;
    bool found;
    identity_of_track(&id, record->fields[CSV_TRACK_ID]);
    if (!identity_resolve(p, &id, &number, &found, &first, e))
        return false;
    normalize_link(p, record->fields[CSV_URL], url);
    if (found)
        return refresh_row(p, &id, number, record, url, e);
    struct catalog_row row = {.csv_line = record->line};
    row_set_text(row.track_id, sizeof row.track_id, record->fields[CSV_TRACK_ID]);
    fill_row(record, &row);
    set_link(&row, url);
    if (first != 0) {
        set_duplicate(&row, first, "same_track_id");
        return add_row(p, &id, false, &row, e) && offer_link(p, first, id.occurrence, url, e);
    }
    uint64_t twin;
    if (!find_twin(p, url, &twin, e))
        return false;
    if (twin != 0)
        set_duplicate(&row, twin, "same_link");
    return add_row(p, &id, true, &row, e) && (twin != 0 || claim_link(p, &row, e));
}

static bool import_bad(struct plan *p, const struct csv_bad *bad, struct err *e)
{
    struct identity id;
    uint64_t number, first;
    bool found;
    identity_of_bad(&id, bad->digest);
    if (!identity_resolve(p, &id, &number, &found, &first, e))
        return false;
    if (found)
        return true;
    struct catalog_row row = {.csv_line = bad->line, .state = ROW_BAD_ROW};
    row_set_text(row.name, sizeof row.name, bad->why);
    row_set_text(row.cause, sizeof row.cause, bad->cause);
    if (!add_row(p, &id, first == 0, &row, e))
        return false;
    if (p->result->n_bad <= BAD_ROWS_LOGGED)
        log_warn("row set aside", "line=%" PRIu64 " row=%" PRIu64 " cause=%s why=\"%s\"", bad->line,
                 row.row, bad->cause, bad->why);
    return true;
}

/* ---------------------------------------------------------------- the pass */

static bool group_begin(struct plan *p, struct err *e)
{
    p->n_in_group = 0;
    return catalog_begin(p->c, &p->w, e);
}

static bool group_commit(struct plan *p, struct err *e)
{
    struct catalog_write *w = p->w;
    p->w = NULL;
    return catalog_commit(w, e);
}

static bool import_all(struct plan *p, struct csv_reader *reader, struct err *e)
{
    struct csv_row record;
    struct csv_bad bad;
    for (;;) {
        enum csv_event event = csv_reader_next(reader, &record, &bad, e);
        if (event == CSV_FAILED)
            return false;
        if (event == CSV_END)
            return true;
        p->result->n_records++;
        if (!(event == CSV_ROW ? import_record(p, &record, e) : import_bad(p, &bad, e)))
            return err_wrap(e, "%s line %" PRIu64, p->params->csv_path,
                            event == CSV_ROW ? record.line : bad.line);
        if (++p->n_in_group == GROUP_ROWS && (!group_commit(p, e) || !group_begin(p, e)))
            return false;
    }
}

bool plan_import(struct catalog *c, const struct plan_params *params, struct plan_result *out,
                 struct err *e)
{
    struct plan p = {.c = c, .params = params, .result = out};
    struct csv_reader *reader = NULL;
    struct fingerprint print;
    bool ok = false;
    *out = (struct plan_result){0};
    if (!fingerprint_read(params, &print, e) ||
        !fingerprint_is_known(c, &print, &out->unchanged, e))
        return false;
    if (out->unchanged)
        return true;
    if (!csv_reader_open(params->csv_path, &reader, e))
        return false;
    if (params->leave_open_tail)
        csv_reader_leave_open_tail(reader);
    const char *foreign = csv_reader_foreign_columns(reader);
    if (foreign[0] != '\0')
        log_info("columns not used", "csv=\"%s\" columns=\"%s\"", params->csv_path, foreign);
    if (!group_begin(&p, e) || !import_all(&p, reader, e))
        goto out;
    /* A file that grew while it was read has another fingerprint and is read again next time. */
    if (!csv_reader_left_tail(reader) &&
        !catalog_note_set(p.w, "import", (struct span){&print, sizeof print}, e))
        goto out;
    ok = group_commit(&p, e);
    if (out->n_bad > BAD_ROWS_LOGGED)
        log_warn("more rows set aside", "n=%" PRIu64, out->n_bad - BAD_ROWS_LOGGED);
out:
    catalog_abort(p.w);
    csv_reader_close(reader);
    mem_free(p.n_seen);
    return ok;
}
