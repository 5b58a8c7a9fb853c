#include "ingest/committer.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/queue.h"
#include "ingest/row.h"
#include "ingest/source.h"
#include "ingest/spare.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { RECOVER_GROUP_ROWS = 1024 };
#define MEASURE_NS NS_PER_S
/* Counts and standing are written without an outcome too. */
#define COMMIT_QUIET_NS (5 * NS_PER_S)

/* An outcome on its way through the two threads. */
struct pending {
    struct outcome outcome;
    struct spool_item file; /* in spool/tmp, with has_file */
    bool has_file;
};

struct committer {
    struct committer_params params;
    /* Of struct pending. The writer takes from the first and gives to the second. */
    struct queue *pushed, *written;
    struct pending hurry; /* a mark in both queues: what lies before it is committed at once */
    pthread_t writer, thread;
    bool has_writer, has_thread;
    int fd;

    /* The committing thread's own. */
    struct pending *group[COMMIT_GROUP_MAX];
    size_t n_group;
    uint64_t group_began_ns, measured_ns, committed_ns;

    pthread_mutex_t mu;
    /* below: under mu */
    struct outcome *done; /* ring of max_outcomes */
    size_t done_head, n_done;
    size_t n_uncollected;   /* outcomes that were pushed and not collected */
    size_t n_pending;       /* outcomes that a kill would cost: neither published nor committed */
    uint64_t waiting_bytes; /* of bodies in memory */
    uint64_t tmp_bytes;     /* of files in spool/tmp */
    uint64_t spool_bytes, disk_free_bytes; /* spool/tmp included */
    uint64_t requests, throttled, bytes;
    bool is_hurrying; /* the mark is in a queue */
    bool has_new;     /* outcomes were pushed since the mark was */
    bool has_news;
    struct standing standing;
    struct err error;
};

static void wake(struct committer *c)
{
    uint64_t one = 1;
    ssize_t n = write(c->fd, &one, sizeof one);
    (void)n; /* full: it is readable anyway */
}

/* ---------------------------------------------------------------- committing */

static bool measure(struct committer *c, uint64_t now_ns, struct err *e)
{
    struct spool_usage usage;
    uint64_t free_bytes;
    if (!spool_measure(c->params.spool, &usage, e) ||
        !file_free_bytes(c->params.dataset_dir, &free_bytes, e))
        return false;
    c->measured_ns = now_ns;
    pthread_mutex_lock(&c->mu);
    c->spool_bytes = usage.new_bytes + c->tmp_bytes;
    c->disk_free_bytes = free_bytes;
    pthread_mutex_unlock(&c->mu);
    return true;
}

/* What is known of other links than the CSV's. */
static void set_resolved(struct catalog_row *row, const struct outcome *o)
{
    const struct todo_item *item = o->item;
    row->sources_tried = item->sources_tried;
    row->n_spares_tried = item->n_spares_tried;
    if (o->state != ROW_RESOLVED && o->state != ROW_NEED)
        return;
    bool has_link = o->state == ROW_RESOLVED;
    row_set_text(row->resolved_url, sizeof row->resolved_url, has_link ? item->url : "");
    row->expires_s = has_link ? item->expires_s : 0;
    row->source = has_link ? item->source : SOURCE_NONE;
    row->match_permille = has_link ? item->match_permille : 0;
    row->artist_key = item->artist_key;
}

static bool write_states(struct committer *c, struct err *e)
{
    struct catalog_write *w;
    struct catalog_row row;
    if (!catalog_begin(c->params.catalog, &w, e))
        return false;
    for (size_t i = 0; i < c->n_group; i++) {
        const struct outcome *o = &c->group[i]->outcome;
        if (!catalog_read(w, o->item->due.row, &row, e))
            goto failed;
        row.state = o->state;
        row_set_text(row.cause, sizeof row.cause, o->cause);
        row.attempts = o->attempts;
        row.not_before_ms = o->not_before_ms;
        row.preview_bytes = o->state == ROW_DONE ? o->body.len : 0;
        set_resolved(&row, o);
        if (!catalog_put(w, &row, e))
            goto failed;
    }
    pthread_mutex_lock(&c->mu);
    uint64_t requests = c->requests, throttled = c->throttled, bytes = c->bytes;
    struct standing standing = c->standing;
    bool has_news = c->has_news;
    c->requests = c->throttled = c->bytes = 0;
    c->has_news = false;
    pthread_mutex_unlock(&c->mu);
    catalog_count(w, requests, throttled, bytes);
    if (has_news && !standing_write(w, &standing, e))
        goto failed;
    c->committed_ns = clock_now_ns();
    return catalog_commit(w, e);
failed:
    catalog_abort(w);
    return false;
}

static void deliver_group(struct committer *c)
{
    pthread_mutex_lock(&c->mu);
    for (size_t i = 0; i < c->n_group; i++) {
        assert(c->n_done < c->params.max_outcomes);
        c->done[(c->done_head + c->n_done++) % c->params.max_outcomes] = c->group[i]->outcome;
        c->n_pending -= !c->group[i]->has_file;
        mem_free(c->group[i]);
    }
    pthread_mutex_unlock(&c->mu);
    c->n_group = 0;
    wake(c);
}

static bool has_counts(struct committer *c)
{
    pthread_mutex_lock(&c->mu);
    bool has = c->requests > 0 || c->throttled > 0 || c->bytes > 0 || c->has_news;
    pthread_mutex_unlock(&c->mu);
    return has;
}

static bool publish_group(struct committer *c, struct err *e)
{
    struct spool_item items[COMMIT_GROUP_MAX];
    size_t n = 0;
    uint64_t n_bytes = 0;
    for (size_t i = 0; i < c->n_group; i++)
        if (c->group[i]->has_file) {
            n_bytes += c->group[i]->file.bytes;
            items[n++] = c->group[i]->file;
        }
    if (!spool_publish(c->params.spool, items, n, e))
        return false;
    /* What is published is found again after a kill: it is not at risk any more. */
    pthread_mutex_lock(&c->mu);
    c->tmp_bytes -= n_bytes;
    c->n_pending -= n;
    pthread_mutex_unlock(&c->mu);
    if (n > 0)
        wake(c);
    return true;
}

static bool commit_group(struct committer *c, struct err *e)
{
    if (c->n_group == 0 && !has_counts(c))
        return true;
    if (!publish_group(c, e) || !write_states(c, e))
        return false;
    deliver_group(c);
    return true;
}

static void mark_passed(struct committer *c)
{
    pthread_mutex_lock(&c->mu);
    c->is_hurrying = false;
    pthread_mutex_unlock(&c->mu);
}

static bool is_group_due(const struct committer *c, uint64_t now_ns)
{
    bool has_waited = c->n_group > 0 && now_ns - c->group_began_ns >= c->params.group_ns;
    bool may_grow = c->params.group_ns == 0 && queue_len(c->written) > 0;
    return c->n_group == COMMIT_GROUP_MAX || (has_waited && !may_grow) ||
           now_ns - c->committed_ns >= COMMIT_QUIET_NS;
}

static bool thread_loop(struct committer *c, struct err *e)
{
    for (;;) {
        void *item = NULL;
        uint64_t deadline_ns =
            c->n_group > 0 ? c->group_began_ns + c->params.group_ns : c->measured_ns + MEASURE_NS;
        enum queue_result result = queue_pop_until(c->written, deadline_ns, &item);
        uint64_t now_ns = clock_now_ns();
        bool is_mark = result == QUEUE_OK && item == &c->hurry;
        if (is_mark) {
            mark_passed(c);
        } else if (result == QUEUE_OK) {
            c->group_began_ns = c->n_group == 0 ? now_ns : c->group_began_ns;
            c->group[c->n_group++] = item;
        }
        bool is_due = is_mark || result == QUEUE_CLOSED || is_group_due(c, now_ns);
        if (is_due && !commit_group(c, e))
            return false;
        if (result == QUEUE_CLOSED)
            return true;
        if (now_ns - c->measured_ns >= MEASURE_NS) {
            if (!measure(c, now_ns, e))
                return false;
            wake(c);
        }
    }
}

/* After a failure what comes is taken and dropped: it was never promised. */
static void drop(struct committer *c, struct pending *p)
{
    buf_release(&p->outcome.body);
    if (p != &c->hurry)
        mem_free(p);
}

static void drain(struct committer *c, struct queue *queue)
{
    void *item;
    while (queue_pop(queue, &item) == QUEUE_OK)
        drop(c, item);
}

/* The first failure counts. */
static void fail(struct committer *c, const struct err *e)
{
    pthread_mutex_lock(&c->mu);
    if (c->error.kind == ERR_NONE)
        c->error = *e;
    pthread_mutex_unlock(&c->mu);
    wake(c);
}

static void *thread_main(void *arg)
{
    struct committer *c = arg;
    struct err e = {0};
    if (!thread_loop(c, &e)) {
        fail(c, &e);
        for (size_t i = 0; i < c->n_group; i++)
            mem_free(c->group[i]);
        drain(c, c->written);
    }
    return NULL;
}

/* ---------------------------------------------------------------- writing */

static bool take_local(struct committer *c, struct pending *p, struct err *e)
{
    struct local_end end;
    struct outcome *o = &p->outcome;
    if (!local_take(c->params.local, c->params.spool, o->item->due.row, o->item->track_id,
                    o->item->url, &end, e))
        return false;
    bool has_spare = end.state != ROW_DONE && spare_take(c->params.catalog, o->item);
    o->state = has_spare ? ROW_RESOLVED : end.state;
    o->attempts = o->item->attempts;
    row_set_text(o->cause, sizeof o->cause, has_spare ? "" : end.cause);
    p->has_file = end.state == ROW_DONE;
    p->file = end.item;
    return true;
}

/* The body goes to the disk at once, and its memory is free again; it is not durable yet. */
static bool write_body(struct committer *c, struct pending *p, struct err *e)
{
    struct outcome *o = &p->outcome;
    size_t body_bytes = o->body.len;
    if (o->is_local ? !take_local(c, p, e)
                    : o->state == ROW_DONE &&
                          !spool_write(c->params.spool, o->item->due.row, o->item->track_id,
                                       buf_span(&o->body), &p->file, e))
        return false;
    p->has_file = o->state == ROW_DONE;
    buf_release(&o->body);
    o->body.len = p->has_file ? (size_t)p->file.bytes : 0; /* still tells the size */
    pthread_mutex_lock(&c->mu);
    c->waiting_bytes -= body_bytes;
    c->tmp_bytes += o->body.len;
    c->spool_bytes += o->body.len;
    pthread_mutex_unlock(&c->mu);
    return true;
}

static void *writer_main(void *arg)
{
    struct committer *c = arg;
    struct err e = {0};
    void *item;
    while (queue_pop(c->pushed, &item) == QUEUE_OK) {
        struct pending *p = item;
        if (p != &c->hurry && !write_body(c, p, &e)) {
            fail(c, &e);
            drop(c, p);
            drain(c, c->pushed);
            break;
        }
        bool ok = queue_push(c->written, p);
        assert(ok);
    }
    queue_close(c->written);
    return NULL;
}

/* ---------------------------------------------------------------- the loop's side */

bool committer_open(const struct committer_params *p, struct committer **out, struct err *e)
{
    struct committer *c = mem_zalloc(1, sizeof *c);
    c->params = *p;
    pthread_mutex_init(&c->mu, NULL);
    c->pushed = queue_new(p->max_outcomes + 1); /* and the mark */
    c->written = queue_new(p->max_outcomes + 1);
    c->done = mem_alloc(p->max_outcomes, sizeof *c->done);
    c->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    c->committed_ns = clock_now_ns();
    if (c->fd < 0) {
        err_set_errno(e, ERR_FATAL, errno, "cannot make an eventfd");
        goto failed;
    }
    if (!measure(c, clock_now_ns(), e))
        goto failed;
    int rc = pthread_create(&c->thread, NULL, thread_main, c);
    c->has_thread = rc == 0;
    if (rc == 0)
        rc = pthread_create(&c->writer, NULL, writer_main, c);
    c->has_writer = rc == 0;
    if (rc != 0) {
        err_set_errno(e, ERR_FATAL, rc, "cannot start a thread");
        goto failed;
    }
    *out = c;
    return true;
failed:
    committer_close(c);
    return false;
}

void committer_push(struct committer *c, struct outcome *outcome)
{
    struct pending *p = mem_zalloc(1, sizeof *p);
    p->outcome = *outcome;
    outcome->body = (struct buf){0};
    pthread_mutex_lock(&c->mu);
    c->n_pending++;
    c->n_uncollected++;
    c->has_new = true;
    c->waiting_bytes += p->outcome.body.len;
    pthread_mutex_unlock(&c->mu);
    assert(queue_len(c->pushed) <= c->params.max_outcomes);
    bool ok = queue_push(c->pushed, p);
    assert(ok);
}

void committer_hurry(struct committer *c)
{
    pthread_mutex_lock(&c->mu);
    bool is_wanted = c->has_new && !c->is_hurrying;
    if (is_wanted) {
        c->is_hurrying = true;
        c->has_new = false;
    }
    pthread_mutex_unlock(&c->mu);
    if (is_wanted && !queue_push(c->pushed, &c->hurry))
        assert(false); /* it is closed by committer_finish alone */
}

void committer_tell(struct committer *c, const struct standing *s)
{
    pthread_mutex_lock(&c->mu);
    c->standing = *s;
    c->has_news = true;
    pthread_mutex_unlock(&c->mu);
}

void committer_count(struct committer *c, uint64_t requests, uint64_t throttled, uint64_t bytes)
{
    pthread_mutex_lock(&c->mu);
    c->requests += requests;
    c->throttled += throttled;
    c->bytes += bytes;
    pthread_mutex_unlock(&c->mu);
}

enum committer_room committer_room(struct committer *c)
{
    enum committer_room room = ROOM_OK;
    pthread_mutex_lock(&c->mu);
    if (c->disk_free_bytes < c->params.disk_floor_bytes)
        room = ROOM_DISK_LOW;
    else if (c->spool_bytes + c->waiting_bytes >= c->params.high_water_bytes)
        room = ROOM_SPOOL_FULL;
    else if (c->waiting_bytes >= c->params.max_waiting_bytes || c->n_pending >= COMMIT_PENDING_MAX)
        room = ROOM_BUSY;
    pthread_mutex_unlock(&c->mu);
    return room;
}

size_t committer_pending(struct committer *c)
{
    pthread_mutex_lock(&c->mu);
    size_t n = c->n_uncollected;
    pthread_mutex_unlock(&c->mu);
    return n;
}

size_t committer_collect(struct committer *c, struct outcome *out, size_t max)
{
    size_t n = 0;
    pthread_mutex_lock(&c->mu);
    for (; n < max && c->n_done > 0; c->n_done--) {
        out[n++] = c->done[c->done_head];
        c->done_head = (c->done_head + 1) % c->params.max_outcomes;
    }
    c->n_uncollected -= n;
    pthread_mutex_unlock(&c->mu);
    return n;
}

int committer_fd(const struct committer *c)
{
    return c->fd;
}

void committer_fd_clear(struct committer *c)
{
    uint64_t n;
    ssize_t got = read(c->fd, &n, sizeof n);
    (void)got; /* EAGAIN: nothing to clear */
}

bool committer_check(struct committer *c, struct err *e)
{
    pthread_mutex_lock(&c->mu);
    bool ok = c->error.kind == ERR_NONE;
    if (!ok)
        *e = c->error;
    pthread_mutex_unlock(&c->mu);
    return ok;
}

bool committer_finish(struct committer *c, struct err *e)
{
    queue_close(c->pushed);
    if (c->has_writer)
        pthread_join(c->writer, NULL);
    else
        queue_close(c->written);
    if (c->has_thread)
        pthread_join(c->thread, NULL);
    c->has_writer = c->has_thread = false;
    return committer_check(c, e);
}

void committer_close(struct committer *c)
{
    struct err ignored = {0};
    if (c == NULL)
        return;
    (void)!committer_finish(c, &ignored);
    queue_free(c->pushed);
    queue_free(c->written);
    if (c->fd >= 0)
        close(c->fd);
    pthread_mutex_destroy(&c->mu);
    mem_free(c->done);
    mem_free(c);
}

/* ---------------------------------------------------------------- recovery */

struct recovery {
    struct catalog *c;
    struct catalog_write *w; /* NULL until there is something to write */
    size_t n_in_group;
    uint64_t n;
    struct err *e;
};

static bool recover_item(void *arg, const struct spool_item *item)
{
    struct recovery *r = arg;
    struct catalog_row row;
    struct err missing = {0};
    bool is_known = r->w != NULL ? catalog_read(r->w, item->row, &row, &missing)
                                 : catalog_get(r->c, item->row, &row, &missing);
    if (!is_known && missing.kind == ERR_FATAL) {
        *r->e = missing;
        return false;
    }
    if (!is_known || strcmp(row.track_id, item->track_id) != 0) {
        log_warn("a preview in the spool belongs to no row", "name=%s", item->name);
        return true;
    }
    if (row.state == ROW_DONE)
        return true;
    if (r->w == NULL && !catalog_begin(r->c, &r->w, r->e))
        return false;
    row.state = ROW_DONE;
    row.cause[0] = '\0';
    row.attempts++; /* the one that brought it */
    row.preview_bytes = item->bytes;
    row.not_before_ms = 0;
    r->n++;
    if (!catalog_put(r->w, &row, r->e))
        return false;
    if (++r->n_in_group < RECOVER_GROUP_ROWS)
        return true;
    struct catalog_write *w = r->w;
    r->w = NULL;
    r->n_in_group = 0;
    return catalog_commit(w, r->e);
}

bool committer_recover(struct catalog *c, struct spool *s, uint64_t *out_n, struct err *e)
{
    struct recovery r = {.c = c, .e = e};
    *out_n = 0;
    if (!spool_each(s, recover_item, &r, e) || e->kind != ERR_NONE) {
        catalog_abort(r.w);
        return false;
    }
    if (r.w != NULL && !catalog_commit(r.w, e))
        return false;
    *out_n = r.n;
    return true;
}
