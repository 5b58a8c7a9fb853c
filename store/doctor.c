#include "store/doctor.h"

#include "base/mem.h"
#include "store/content.h"
#include "store/generation.h"
#include "store/reader.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum {
    FREE_TABLE = 0, /* LMDB's own: lists of free pages, each with its length in front */
    PAGE_HEADER_BYTES = 16
};

double doctor_lru_hit_rate(double c)
{
    if (c <= 0 || c >= 1)
        return c <= 0 ? 0 : 1;
    return c + (1 - c) * log(1 - c);
}

/* ---------------------------------------------------------------- records */

struct layout {
    struct doctor_report *report;
    const uint8_t *end; /* of the record before, or NULL */
};

static void layout_add(struct layout *l, MDB_val value, size_t page_bytes)
{
    const uint8_t *at = value.mv_data;
    if (content_is_alias(value)) {
        l->report->aliases++;
        return;
    }
    /* A value with pages of its own begins behind the first one's header; a short one lies in the
     * tree, in whatever order. */
    if ((uintptr_t)at % page_bytes != PAGE_HEADER_BYTES) {
        l->report->record_bytes += value.mv_size;
        return;
    }
    l->report->record_bytes += PAGE_HEADER_BYTES + value.mv_size;
    if (l->end && (at < l->end || at > l->end + STORE_MERGE_GAP_BYTES))
        l->report->jumps++;
    l->end = at + value.mv_size;
}

/* Lengths are in the nodes: no record's page is touched. */
static int layout_walk(struct store *s, MDB_txn *txn, struct doctor_report *out)
{
    struct layout layout = {.report = out};
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc = mdb_cursor_open(txn, s->env.clip, &cursor);
    if (rc != MDB_SUCCESS)
        return rc;
    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == MDB_SUCCESS)
        layout_add(&layout, value, s->env.page_bytes);
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? MDB_SUCCESS : rc;
}

static int free_walk(struct store *s, MDB_txn *txn, struct doctor_report *out)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc = mdb_cursor_open(txn, FREE_TABLE, &cursor);
    if (rc != MDB_SUCCESS)
        return rc;
    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == MDB_SUCCESS) {
        size_t n_pages = 0;
        if (value.mv_size >= sizeof n_pages)
            memcpy(&n_pages, value.mv_data, sizeof n_pages);
        out->free_bytes += (uint64_t)n_pages * s->env.page_bytes;
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? MDB_SUCCESS : rc;
}

/* ---------------------------------------------------------------- memory, readers */

static bool residency(struct store *s, uint64_t *out, struct err *e)
{
    struct stat st;
    int fd;
    if (mdb_env_get_fd(s->env.mdb, &fd) != MDB_SUCCESS || fstat(fd, &st) != 0)
        return err_set(e, ERR_FATAL, "%s: cannot ask the size of data.mdb", s->env.dir);
    size_t n_bytes = (size_t)st.st_size, page_bytes = s->env.page_bytes;
    size_t n_pages = (n_bytes + page_bytes - 1) / page_bytes;
    void *map = mmap(NULL, n_bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return err_set_errno(e, ERR_FATAL, errno, "cannot map %s", s->env.dir);
    unsigned char *pages = mem_alloc(n_pages, sizeof *pages);
    bool ok = mincore(map, n_bytes, pages) == 0 ||
              err_set_errno(e, ERR_FATAL, errno, "cannot ask what of %s is in memory", s->env.dir);
    *out = 0;
    for (size_t i = 0; i < n_pages && ok; i++)
        *out += pages[i] & 1 ? page_bytes : 0;
    mem_free(pages);
    munmap(map, n_bytes);
    return ok;
}

static bool structure(struct store *s, struct doctor_report *out, struct err *e)
{
    struct store_seat *seat;
    MDB_envinfo info;
    if (!store_enter(s, &seat, e))
        return false;
    int rc = layout_walk(s, seat->txn, out);
    if (rc == MDB_SUCCESS)
        rc = free_walk(s, seat->txn, out);
    if (rc == MDB_SUCCESS)
        rc = mdb_env_info(s->env.mdb, &info);
    store_leave(s, seat);
    if (rc != MDB_SUCCESS)
        return env_err(e, rc, "cannot walk through it", &s->env);
    out->n_readers = info.me_numreaders;
    out->n_stale_readers = s->env.n_stale_readers;
    return true;
}

bool store_examine(struct store *s, const char *path, struct doctor_report *out, struct err *e)
{
    struct doctor_report report = {0};
    char folder[PATH_BYTES];
    if (!store_stat(s, &report.stat, e) || !residency(s, &report.resident_bytes, e) ||
        !structure(s, &report, e))
        return false;
    uint64_t owned = report.stat.clips - report.aliases;
    /* Payloads of aliases are counted with the records': take the mean. */
    double payload = report.stat.clips == 0 ? 0
                                            : (double)report.stat.payload_bytes * (double)owned /
                                                  (double)report.stat.clips;
    uint64_t used = (uint64_t)payload + owned * RECORD_HEADER_BYTES;
    report.slack_bytes = report.record_bytes > used ? report.record_bytes - used : 0;
    uint64_t known = report.record_bytes + report.free_bytes;
    report.tree_bytes = report.stat.file_bytes > known ? report.stat.file_bytes - known : 0;
    while (store_generation(path, report.n_generations + 1, folder))
        report.n_generations++;
    *out = report;
    return true;
}
