#include "base/log.h"
#include "ingest/stage_inside.h"

#include <inttypes.h>
#include <sys/stat.h>

#define WATCH_NS (2 * NS_PER_S)

static struct watched_file look_at_file(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return (struct watched_file){.size = -1};
    return (struct watched_file){st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec};
}

static bool is_same_file(struct watched_file a, struct watched_file b)
{
    return a.size == b.size && a.mtime_s == b.mtime_s && a.mtime_ns == b.mtime_ns;
}

bool stage_import(struct stage *s, bool is_settled, struct err *e)
{
    const struct plan_params p = {.csv_path = s->p->csv_path,
                                  .allow_http = s->p->fetch.allow_http,
                                  .leave_open_tail = !is_settled};
    struct catalog_totals totals;
    struct plan_result r;
    if (!plan_import(s->catalog, &p, &r, e))
        return false;
    bool is_first = s->n_rows == 0;
    if (((is_first || !r.unchanged) && !stage_find_needs(s, e)) ||
        !catalog_totals(s->catalog, &totals, e))
        return false;
    s->result->plan.unchanged = r.unchanged;
    s->result->plan.n_records = r.unchanged ? s->result->plan.n_records : r.n_records;
    s->result->plan.n_new += r.n_new;
    s->result->plan.n_changed += r.n_changed;
    s->result->plan.n_bad += r.n_bad;
    s->result->plan.n_duplicate += r.n_duplicate;
    s->result->plan.n_no_link += r.n_no_link;
    s->n_rows = totals.rows;
    s->n_ended = 0;
    for (size_t i = 0; i < ROW_STATES; i++)
        s->n_ended += row_state_is_final((enum row_state)i) ? totals.states[i] : 0;
    s->progress.total = s->n_rows;
    if (!r.unchanged)
        log_info("catalogue read",
                 "csv=\"%s\" records=%" PRIu64 " new=%" PRIu64 " changed=%" PRIu64 " bad=%" PRIu64
                 " duplicate=%" PRIu64 " no_link=%" PRIu64,
                 s->p->csv_path, r.n_records, r.n_new, r.n_changed, r.n_bad, r.n_duplicate,
                 r.n_no_link);
    return true;
}

void stage_watch_begin(struct stage *s)
{
    s->csv = look_at_file(s->p->csv_path);
    s->watch_ns = s->now_ns + WATCH_NS;
}

bool stage_watch(struct stage *s, struct err *e)
{
    struct err unreadable = {0};
    if (s->now_ns < s->watch_ns)
        return true;
    s->watch_ns = s->now_ns + WATCH_NS;
    struct watched_file seen = look_at_file(s->p->csv_path);
    bool is_settled = is_same_file(seen, s->csv);
    s->csv = seen;
    if (seen.size < 0)
        return true; /* being replaced: it comes back */
    if (!stage_import(s, is_settled, &unreadable)) {
        if (unreadable.kind == ERR_FATAL) {
            *e = unreadable;
            return false;
        }
        log_warn("the CSV cannot be used now", "why=\"%s\"", unreadable.msg);
        return true;
    }
    if (s->result->plan.unchanged)
        return true;
    todo_rewind(s->todo);
    return stage_count_left(s, e);
}
