/*
 * The owner's loop never blocks while a worker could: it pushes to `todo` only when there is room
 * and waits on `done` alone, with a deadline. Jobs are made once and go round: free -> todo ->
 * worker -> done -> free; their number is the bound on what is in flight.
 *
 * A claimed item stays in spool/new until its commit, so every listing shows it again; `claims`
 * says which those are. The number of claims is bounded as well: at its limit the owner commits.
 */
#include "programs/extract_pipeline.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/program.h"
#include "base/progress.h"
#include "base/queue.h"
#include "programs/match_sequences.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    TODO_PER_THREAD = 2,     /* enough that no worker waits while the owner commits */
    DEFAULT_THREADS_MAX = 8, /* of extract.threads = 0: some 300 previews/s, more than any fetch */
    JOB_RECORDS_MAX_BYTES = 64 << 20, /* of all jobs together */
    UNCOMMITTED_MAX = 2048,           /* tracks */
    LIST_AHEAD = 1024,                /* items a listing finds beside the claimed ones */
};

#define POLL_NS (NS_PER_S / 5)        /* how often an empty spool is looked at */
#define SAMPLE_NS (NS_PER_S / 4)      /* of resident memory */
#define IDLE_COMMIT_NS (NS_PER_S / 2) /* nothing came for so long: commit early */

/* A thread and what it works with. */
struct seat {
    struct stage *stage;
    struct extract_worker *worker;
    pthread_t thread;
};

struct stage {
    const struct dataset *dataset;
    bool watch;
    struct extract_plan plan;
    struct sandbox *sandbox;
    struct spool *spool;
    struct store_writer *writer;
    struct sequence_writer *sequences; /* NULL without match.sequences */
    int lock_fd;
    char audio_dir[PATH_BYTES]; /* keep_audio */

    struct queue *todo, *done;
    pthread_mutex_t large_mu;
    struct seat *seats;
    uint32_t n_threads, n_started;
    struct extract_job *jobs;
    struct extract_job **free_jobs; /* n_free of n_jobs */
    size_t n_jobs, n_free, todo_cap;

    struct spool_item *listed; /* the last listing; [next_listed, n_listed) wait to be claimed */
    size_t n_listed, next_listed, list_max;
    uint64_t next_scan_ns;

    uint64_t *claims; /* rows that are in work or put but not committed */
    size_t n_claims;
    struct spool_item *uncommitted; /* in the open batch: to be retired after the commit */
    size_t n_uncommitted;
    uint64_t last_put_ns;

    struct progress progress;
    uint64_t next_sample_ns;
    struct extract_report *report;
};

/* ---------------------------------------------------------------- workers */

static void *seat_main(void *arg)
{
    struct seat *seat = arg;
    void *item;
    while (queue_pop(seat->stage->todo, &item) == QUEUE_OK) {
        extract_worker_run(seat->worker, item);
        if (!queue_push(seat->stage->done, item))
            break; /* the stage failed; jobs belong to the owner */
    }
    return NULL;
}

static uint32_t usable_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return (uint32_t)CPU_COUNT(&set);
    return 1;
}

static bool start_workers(struct stage *s, struct err *e)
{
    for (; s->n_started < s->n_threads; s->n_started++) {
        struct seat *seat = &s->seats[s->n_started];
        seat->stage = s;
        if (!extract_worker_new(&s->plan, s->sandbox, s->spool, &s->large_mu, &seat->worker, e))
            return false;
        int error = pthread_create(&seat->thread, NULL, seat_main, seat);
        if (error != 0)
            return err_set_errno(e, ERR_FATAL, error, "cannot start thread %" PRIu32 " of %" PRIu32,
                                 s->n_started + 1, s->n_threads);
    }
    return true;
}

static void queue_empty(struct queue *q)
{
    void *item;
    while (queue_pop_until(q, 0, &item) == QUEUE_OK)
        continue;
}

static void stop_workers(struct stage *s)
{
    if (s->todo == NULL)
        return;
    queue_close(s->todo);
    queue_close(s->done);
    for (uint32_t i = 0; i < s->n_started; i++)
        pthread_join(s->seats[i].thread, NULL);
    s->n_started = 0;
    queue_empty(s->todo);
    queue_empty(s->done);
}

/* ---------------------------------------------------------------- open, close */

static void make_jobs(struct stage *s)
{
    const struct settings *set = &s->dataset->settings;
    s->n_threads = (uint32_t)set->extract.threads;
    if (s->n_threads == 0)
        s->n_threads = (uint32_t)size_min(usable_cores(), DEFAULT_THREADS_MAX);
    s->todo_cap = (size_t)s->n_threads * TODO_PER_THREAD;
    size_t wanted = s->n_threads + s->todo_cap + set->extract.queue;
    size_t affordable = JOB_RECORDS_MAX_BYTES / extract_plan_track_bytes(&s->plan);
    s->n_jobs = size_max(size_min(wanted, affordable), s->n_threads + 1);
    s->todo = queue_new(s->todo_cap);
    s->done = queue_new(s->n_jobs);
    s->seats = mem_zalloc(s->n_threads, sizeof *s->seats);
    s->jobs = mem_zalloc(s->n_jobs, sizeof *s->jobs);
    s->free_jobs = mem_zalloc(s->n_jobs, sizeof *s->free_jobs);
    for (size_t i = 0; i < s->n_jobs; i++)
        s->free_jobs[s->n_free++] = &s->jobs[i];
    size_t claims_max = s->n_jobs + UNCOMMITTED_MAX;
    s->claims = mem_zalloc(claims_max, sizeof *s->claims);
    s->uncommitted = mem_zalloc(UNCOMMITTED_MAX, sizeof *s->uncommitted);
    s->list_max = claims_max + LIST_AHEAD;
    s->listed = mem_zalloc(s->list_max, sizeof *s->listed);
}

static bool open_sandbox(struct stage *s, struct err *e)
{
    if (!extract_plan_sandbox(&s->plan, &s->sandbox, e))
        return false;
    int refused = sandbox_filter_error(s->sandbox);
    if (refused != 0)
        log_warn("no system call filter",
                 "why=\"%s\" decoders=\"limited in memory, time, files and processes\" "
                 "stop_instead=\"sandbox.filter = require\"",
                 strerror(refused));
    return true;
}

static bool open_store(struct stage *s, struct err *e)
{
    const struct settings *set = &s->dataset->settings;
    struct store_recipe recipe;
    struct store_writer_params params = {
        .map_bytes = set->store.map_gib << 30,
        .commit_clips = set->store.commit_clips,
        .commit_bytes = STORE_COMMIT_BYTES,
        .commit_ns = set->store.commit_ms * NS_PER_MS,
        .disk_floor_bytes = set->disk_floor_mib << 20,
    };
    return extract_plan_recipe(&s->plan, set, &recipe, e) &&
           store_writer_open(s->dataset->dir, &recipe, &params, &s->writer, e);
}

static bool stage_open(struct stage *s, struct err *e)
{
    char lock_path[PATH_BYTES];
    /* First of all: before locks and databases are there to be inherited, and before threads. */
    if (!extract_plan_init(&s->dataset->settings, &s->plan, e) || !open_sandbox(s, e))
        return false;
    if (!path_join(lock_path, s->dataset->dir, "extract.lock", e) ||
        !path_join(s->audio_dir, s->dataset->dir, "audio", e))
        return false;
    if (!file_lock(lock_path, &s->lock_fd, e))
        return err_wrap(e, "another extract works on this data set");
    if (!spool_open(s->dataset->dir, &s->spool, e) || !open_store(s, e))
        return false;
    spool_limit_bad(s->spool, s->dataset->settings.spool.bad_max_mib << 20);
    if (s->dataset->settings.match.sequences) {
        if (!sequence_writer_open(s->dataset, &s->sequences, e))
            return false;
        s->plan.listener = sequence_writer_listener(s->sequences);
    }
    make_jobs(s);
    return start_workers(s, e);
}

static void stage_close(struct stage *s)
{
    stop_workers(s);
    queue_free(s->todo);
    queue_free(s->done);
    for (uint32_t i = 0; s->seats != NULL && i < s->n_threads; i++)
        extract_worker_free(s->seats[i].worker);
    sandbox_close(s->sandbox);
    for (size_t i = 0; i < s->n_jobs; i++)
        extract_job_release(&s->jobs[i]);
    mem_free(s->jobs);
    mem_free(s->free_jobs);
    mem_free(s->seats);
    mem_free(s->claims);
    mem_free(s->uncommitted);
    mem_free(s->listed);
    store_writer_close(s->writer);
    sequence_writer_close(s->sequences);
    spool_close(s->spool);
    extract_plan_release(&s->plan);
    pthread_mutex_destroy(&s->large_mu);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
}

/* ---------------------------------------------------------------- claims */

static bool is_claimed(const struct stage *s, uint64_t row)
{
    for (size_t i = 0; i < s->n_claims; i++)
        if (s->claims[i] == row)
            return true;
    return false;
}

static void claim_drop(struct stage *s, uint64_t row)
{
    for (size_t i = 0; i < s->n_claims; i++)
        if (s->claims[i] == row) {
            s->claims[i] = s->claims[--s->n_claims];
            return;
        }
    assert(!"the row was claimed");
}

/* ---------------------------------------------------------------- after the commit */

static bool retire(struct stage *s, const struct spool_item *item, struct err *e)
{
    claim_drop(s, item->row);
    if (s->dataset->settings.keep_audio)
        return spool_keep(s->spool, item, s->audio_dir, e);
    return spool_remove(s->spool, item, e);
}

static bool commit(struct stage *s, struct err *e)
{
    if (s->n_uncommitted == 0)
        return true;
    uint64_t began_ns = clock_now_ns();
    if (!store_commit(s->writer, e))
        return false;
    s->report->commit_seconds += (double)(clock_now_ns() - began_ns) / 1e9;
    s->report->n_commits++;
    log_debug("committed", "tracks=%zu", s->n_uncommitted);
    for (size_t i = 0; i < s->n_uncommitted; i++)
        if (!retire(s, &s->uncommitted[i], e))
            return false;
    s->n_uncommitted = 0;
    return true;
}

/* The item's file goes with the open batch. */
static void retire_with_batch(struct stage *s, const struct spool_item *item)
{
    assert(s->n_uncommitted < UNCOMMITTED_MAX);
    s->uncommitted[s->n_uncommitted++] = *item;
    s->last_put_ns = clock_now_ns();
}

static bool commit_if_due(struct stage *s, struct err *e)
{
    uint64_t now_ns = clock_now_ns();
    bool idle = s->n_free == s->n_jobs && now_ns - s->last_put_ns >= IDLE_COMMIT_NS;
    if (s->n_uncommitted == UNCOMMITTED_MAX || store_commit_due(s->writer, now_ns) || idle)
        return commit(s, e);
    return true;
}

/* ---------------------------------------------------------------- finished jobs */

static bool put(struct stage *s, const struct extract_job *job, struct err *e)
{
    struct store_view views[STORE_VIEWS_MAX];
    assert(job->n_tensors <= STORE_VIEWS_MAX);
    for (size_t i = 0; i < job->n_tensors; i++) {
        const struct extract_tensor *t = &job->tensors[i];
        views[i] = (struct store_view){.key = store_key(job->item.row, t->clip_i, t->view_i),
                                       .record = buf_span(&t->record),
                                       .augment = t->augment};
    }
    struct store_track track = {.row = job->item.row,
                                .track_id = job->item.track_id,
                                .source_id = job->source_id,
                                .views = views,
                                .n_views = job->n_tensors};
    bool added;
    if (!store_put_track(s->writer, &track, clock_now_ns(), &added, e))
        return false;
    retire_with_batch(s, &job->item);
    s->report->n_tracks += added;
    s->report->n_clips += added ? job->n_tensors : 0;
    s->report->n_silent += added ? job->n_silent : 0;
    s->report->n_skipped += !added;
    log_debug("stored", "row=%" PRIu64 " track=%s", job->item.row, job->item.track_id);
    return true;
}

static bool set_aside(struct stage *s, const struct extract_job *job, struct err *e)
{
    log_warn("item set aside", "row=%" PRIu64 " track=%s cause=%s why=\"%s\"", job->item.row,
             job->item.track_id, job->cause, job->why.msg);
    s->report->n_bad++;
    claim_drop(s, job->item.row);
    return spool_set_aside(s->spool, &job->item, job->cause, job->why.msg, e);
}

static bool finish_job(struct stage *s, struct extract_job *job, struct err *e)
{
    bool ok = false;
    for (size_t i = 0; i < EXTRACT_STEPS; i++)
        s->report->cpu_seconds[i] += (double)job->cpu_ns[i] / 1e9;
    switch (job->outcome) {
    case EXTRACT_DONE:
        ok = put(s, job, e);
        break;
    case EXTRACT_BAD:
        ok = set_aside(s, job, e);
        break;
    case EXTRACT_FAILED:
        *e = job->why;
        break;
    }
    s->free_jobs[s->n_free++] = job;
    return ok || err_wrap(e, "row %" PRIu64 ", track %s", job->item.row, job->item.track_id);
}

/* ---------------------------------------------------------------- new jobs */

/* Lists the spool anew. Claimed items are left out here and now: later, when a claim is dropped,
 * its file is gone as well. */
static bool scan(struct stage *s, struct err *e)
{
    size_t n = 0;
    if (!spool_list(s->spool, s->listed, s->list_max, &n, e))
        return false;
    s->n_listed = s->next_listed = 0;
    for (size_t i = 0; i < n; i++)
        if (!is_claimed(s, s->listed[i].row))
            s->listed[s->n_listed++] = s->listed[i];
    s->next_scan_ns = clock_now_ns() + (s->n_listed > 0 ? 0 : POLL_NS);
    return true;
}

/* Gives one listed item to the workers, or to the batch when the store has it already: then a crash
 * came between its commit and its removal. */
static bool claim(struct stage *s, const struct spool_item *item, struct err *e)
{
    bool has;
    if (is_claimed(s, item->row))
        return true;
    if (!store_has_track(s->writer, item->row, &has, e))
        return false;
    s->claims[s->n_claims++] = item->row;
    if (has) {
        s->report->n_skipped++;
        if (store_commit_deadline_ns(s->writer) == UINT64_MAX)
            return retire(s, item, e);
        retire_with_batch(s, item);
        return true;
    }
    struct extract_job *job = s->free_jobs[--s->n_free];
    job->item = *item;
    bool pushed = queue_push(s->todo, job); /* there is room: only we push */
    assert(pushed);
    return true;
}

static bool give_work(struct stage *s, struct err *e)
{
    while (!program_stop_requested() && s->n_free > 0 && s->n_uncommitted < UNCOMMITTED_MAX &&
           queue_len(s->todo) < s->todo_cap) {
        if (s->next_listed == s->n_listed) {
            if (clock_now_ns() < s->next_scan_ns)
                return true;
            if (!scan(s, e))
                return false;
            if (s->n_listed == 0)
                return true;
        }
        if (!claim(s, &s->listed[s->next_listed++], e))
            return false;
    }
    return true;
}

/* ---------------------------------------------------------------- the loop */

/* Anonymous resident memory; what is mapped from the store's file is the page cache's. */
static uint64_t rss_anon_bytes(void)
{
    char line[256];
    uint64_t kib = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "RssAnon: %" SCNu64, &kib) == 1)
            break;
    if (f != NULL)
        fclose(f);
    return kib << 10;
}

static void observe(struct stage *s)
{
    uint64_t now_ns = clock_now_ns();
    struct extract_report *r = s->report;
    progress_update(&s->progress, now_ns, r->n_tracks + r->n_bad + r->n_skipped,
                    "bad=%" PRIu64 " skipped=%" PRIu64, r->n_bad, r->n_skipped);
    if (now_ns < s->next_sample_ns)
        return;
    s->next_sample_ns = now_ns + SAMPLE_NS;
    r->rss_anon_peak_bytes = u64_max(r->rss_anon_peak_bytes, rss_anon_bytes());
}

/* True when all is done: nothing is in work, and there is or may be nothing more. */
static bool is_finished(const struct stage *s)
{
    if (s->n_free < s->n_jobs)
        return false;
    if (program_stop_requested())
        return true;
    return !s->watch && s->n_listed == 0;
}

static bool run_loop(struct stage *s, struct err *e)
{
    for (;;) {
        void *job;
        if (!give_work(s, e))
            return false;
        if (is_finished(s))
            return commit(s, e);
        uint64_t deadline_ns =
            u64_min(store_commit_deadline_ns(s->writer), clock_now_ns() + POLL_NS);
        enum queue_result result = queue_pop_until(s->done, deadline_ns, &job);
        while (result == QUEUE_OK) { /* all that is there, so that one commit takes them */
            if (!finish_job(s, job, e) || !commit_if_due(s, e))
                return false;
            result = s->n_free < s->todo_cap ? queue_pop_until(s->done, 0, &job) : QUEUE_TIMEOUT;
        }
        if (!commit_if_due(s, e))
            return false;
        observe(s);
    }
}

bool extract_run(const struct dataset *d, bool watch, struct extract_report *out, struct err *e)
{
    struct stage s = {.dataset = d, .watch = watch, .lock_fd = -1, .report = out};
    struct spool_usage usage;
    uint64_t began_ns = clock_now_ns();
    *out = (struct extract_report){0};
    pthread_mutex_init(&s.large_mu, NULL);
    bool ok = stage_open(&s, e) && spool_measure(s.spool, &usage, e);
    if (ok) {
        progress_init(&s.progress, "extract", "tracks", watch ? 0 : usage.new_files);
        observe(&s);
        ok = run_loop(&s, e);
        s.next_sample_ns = 0;
        observe(&s);
        progress_finish(&s.progress, clock_now_ns());
    }
    out->n_threads = s.n_threads;
    stage_close(&s);
    out->seconds = (double)(clock_now_ns() - began_ns) / 1e9;
    return ok;
}
