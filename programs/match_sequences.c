#include "programs/match_sequences.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/program.h"
#include "base/progress.h"
#include "features/resample.h"
#include "ingest/spool.h"
#include "match/library.h"
#include "programs/extract_worker.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    RECORD_BYTES_MAX = 2 << 20, /* an hour is 620 KB before compression */
    ZSTD_LEVEL = 3,
    FILES_MAX = 1 << 24,
    THREADS_MAX = 64,
    COMMIT_SONGS = 256, /* a batch is as many as wait: at most one a thread */
};

/*
 * LMDB wants a transaction begun and ended by one thread, so a thread of its own writes: callers
 * hand it a record and wait until it is durable. All that wait at the same time share a commit.
 */
struct request {
    struct store_track track;
    struct request *next;
    bool done, ok;
    struct err why;
};

struct sequence_writer {
    struct store_writer *store;
    struct extract_listener listener;
    pthread_t thread;
    bool started;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    /* below: under mutex */
    struct request *waiting;
    bool closing;
};

/* One thread's. */
struct ear {
    struct sequence_writer *writer;
    struct sequencer *sequencer;
    struct sequence sequence;
    struct fingerprint print;
    struct record_encoder *encoder;
    struct buf record, print_record;
    float *samples;
    size_t cap_samples;
    uint64_t cpu_ns;
};

/* ---------------------------------------------------------------- one song */

static bool ear_init(struct ear *ear, struct sequence_writer *w, struct err *e)
{
    *ear = (struct ear){.writer = w};
    buf_init(&ear->record, RECORD_BYTES_MAX);
    buf_init(&ear->print_record, RECORD_BYTES_MAX);
    ear->encoder = record_encoder_new(RECORD_U8, ZSTD_LEVEL);
    return sequencer_new(simd_best(), &ear->sequencer, e);
}

static void ear_release(struct ear *ear)
{
    sequencer_free(ear->sequencer);
    sequence_release(&ear->sequence);
    fingerprint_release(&ear->print);
    record_encoder_free(ear->encoder);
    buf_release(&ear->record);
    buf_release(&ear->print_record);
    mem_free(ear->samples);
}

static uint64_t thread_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static bool ear_hear(struct ear *ear, const struct clip *whole, uint64_t source_id, struct err *e)
{
    size_t n = resample_n_out(whole->n_samples, whole->rate_hz, SEQUENCE_RATE_HZ);
    if (n > ear->cap_samples) {
        mem_free(ear->samples);
        ear->samples = mem_alloc_aligned(n, sizeof *ear->samples);
        ear->cap_samples = n;
    }
    uint64_t began_ns = thread_cpu_ns();
    bool ok = resample(whole->samples, whole->n_samples, whole->rate_hz, SEQUENCE_RATE_HZ,
                       ear->samples, e) &&
              sequencer_run(ear->sequencer, ear->samples, n, &ear->sequence, e) &&
              library_encode(ear->encoder, &ear->sequence, source_id, &ear->record, e) &&
              fingerprint_compute(ear->samples, n, SEQUENCE_RATE_HZ, 1, &ear->print, e) &&
              (ear->print.n_codes == 0 ||
               library_encode_print(ear->encoder, &ear->print, source_id, &ear->print_record, e));
    ear->cpu_ns += thread_cpu_ns() - began_ns;
    return ok;
}

/* A failed commit fails all that were in it. */
static void write_batch(struct sequence_writer *w, struct request *batch)
{
    struct err e = {0};
    bool ok = true, added;
    for (struct request *r = batch; r != NULL; r = r->next)
        ok = ok && store_put_track(w->store, &r->track, clock_now_ns(), &added, &e);
    ok = ok && store_commit(w->store, &e);
    pthread_mutex_lock(&w->mutex);
    for (struct request *r = batch, *next; r != NULL; r = next) {
        next = r->next; /* r is its caller's once it is done */
        r->ok = ok;
        r->why = e;
        r->done = true;
    }
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
}

static void *writer_run(void *arg)
{
    struct sequence_writer *w = arg;
    for (;;) {
        pthread_mutex_lock(&w->mutex);
        while (w->waiting == NULL && !w->closing)
            pthread_cond_wait(&w->changed, &w->mutex);
        struct request *batch = w->waiting;
        w->waiting = NULL;
        pthread_mutex_unlock(&w->mutex);
        if (batch == NULL)
            return NULL;
        write_batch(w, batch);
    }
}

/* Durable when it returns true. */
static bool put(struct ear *ear, uint64_t row, const char *track_id, uint64_t source_id,
                struct err *e)
{
    struct sequence_writer *w = ear->writer;
    const struct store_view views[] = {
        {store_key(row, LIBRARY_SEQUENCE, 0), buf_span(&ear->record), ""},
        {store_key(row, LIBRARY_PRINT, 0), buf_span(&ear->print_record), ""},
    };
    size_t n_views = ear->print.n_codes > 0 ? 2 : 1;
    struct request r = {.track = {row, track_id, source_id, views, n_views}};
    pthread_mutex_lock(&w->mutex);
    r.next = w->waiting;
    w->waiting = &r;
    pthread_cond_broadcast(&w->changed);
    while (!r.done)
        pthread_cond_wait(&w->changed, &w->mutex);
    pthread_mutex_unlock(&w->mutex);
    if (!r.ok)
        *e = r.why;
    return r.ok;
}

/* ---------------------------------------------------------------- extract's listener */

static void *listener_begin(void *arg)
{
    struct ear *ear = mem_alloc(1, sizeof *ear);
    struct err ignored = {0};
    if (!ear_init(ear, arg, &ignored)) { /* without a sequencer every preview fails with a cause */
        sequencer_free(ear->sequencer);
        ear->sequencer = NULL;
    }
    return ear;
}

static void listener_end(void *state)
{
    ear_release(state);
    mem_free(state);
}

/* A preview that gives no sequence (too short, silent) may still give clips: it has none, and that
 * is all. */
static bool listener_hear(void *state, struct extract_job *job, const struct clip *whole,
                          struct err *e)
{
    struct ear *ear = state;
    struct err why = {0};
    if (ear->sequencer == NULL)
        return err_set(e, ERR_FATAL, "the transform of sequences could not be planned");
    if (!ear_hear(ear, whole, job->source_id, &why)) {
        log_info("no sequence", "row=%" PRIu64 " why=\"%s\"", job->item.row, why.msg);
        return true;
    }
    return put(ear, job->item.row, job->item.track_id, job->source_id, e);
}

bool sequence_writer_open(const struct dataset *d, struct sequence_writer **out, struct err *e)
{
    char path[PATH_BYTES];
    struct store_recipe recipe;
    const struct settings *s = &d->settings;
    const struct store_writer_params params = {.map_bytes = s->store.map_gib << 30,
                                               .commit_clips = COMMIT_SONGS,
                                               .commit_bytes = STORE_COMMIT_BYTES,
                                               .commit_ns = s->store.commit_ms * NS_PER_MS,
                                               .disk_floor_bytes = s->disk_floor_mib << 20};
    struct sequence_writer *w = mem_zalloc(1, sizeof *w);
    library_recipe(&recipe);
    if (!library_path(path, d->dir, e) ||
        !store_writer_open(path, &recipe, &params, &w->store, e)) {
        mem_free(w);
        return false;
    }
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->changed, NULL);
    w->started = pthread_create(&w->thread, NULL, writer_run, w) == 0;
    if (!w->started) {
        sequence_writer_close(w);
        return err_set(e, ERR_FATAL, "no thread can be started to write sequences");
    }
    w->listener = (struct extract_listener){listener_begin, listener_end, listener_hear, w};
    *out = w;
    return true;
}

void sequence_writer_close(struct sequence_writer *w)
{
    if (w == NULL)
        return;
    if (w->started) {
        pthread_mutex_lock(&w->mutex);
        w->closing = true;
        pthread_cond_broadcast(&w->changed);
        pthread_mutex_unlock(&w->mutex);
        pthread_join(w->thread, NULL);
    }
    store_writer_close(w->store);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->mutex);
    mem_free(w);
}

const struct extract_listener *sequence_writer_listener(struct sequence_writer *w)
{
    return &w->listener;
}

/* ---------------------------------------------------------------- a folder */

struct pass {
    const char *folder;
    const struct extract_plan *plan;
    struct sandbox *sandbox;
    struct sequence_writer *writer;
    struct spool_item *items;
    size_t n_items;
    pthread_mutex_t mutex;
    /* below: under mutex */
    size_t next, n_done;
    struct sequence_report report;
    uint64_t cpu_ns;
    struct err why; /* the first that ends the pass */
    bool failed, stopping;
};

static int item_compare(const void *a, const void *b)
{
    const struct spool_item *x = a, *y = b;
    return (x->row > y->row) - (x->row < y->row);
}

/* Files of the folder whose rows have no sequence yet, in the order of rows. */
static bool list_items(struct pass *p, struct err *e)
{
    DIR *dir = opendir(p->folder);
    struct dirent *entry;
    size_t cap = 0;
    if (dir == NULL)
        return err_set_errno(e, ERR_USAGE, errno, "cannot list %.200s for audio that was kept",
                             p->folder);
    bool ok = true;
    while (ok && (entry = readdir(dir)) != NULL) {
        struct spool_item item;
        bool there = false;
        if (!spool_name_parse(entry->d_name, &item))
            continue;
        p->report.n_files++;
        ok = store_has_track(p->writer->store, item.row, &there, e);
        p->report.n_there += there;
        if (!ok || there)
            continue;
        if (p->n_items == cap) {
            cap = size_max(1024, 2 * cap);
            if (cap > FILES_MAX)
                ok = err_set(e, ERR_PERM, "%s holds more than %d files", p->folder, FILES_MAX);
            else
                p->items = mem_resize(p->items, cap, sizeof *p->items);
        }
        if (ok)
            p->items[p->n_items++] = item;
    }
    closedir(dir);
    if (ok && p->n_items > 0)
        qsort(p->items, p->n_items, sizeof *p->items, item_compare);
    return ok;
}

static bool hear_file(struct pass *p, struct ear *ear, struct sandbox_decoder *decoder,
                      const struct spool_item *item, struct buf *file, struct clip *whole,
                      struct err *e)
{
    char path[PATH_BYTES];
    struct decode_info info;
    enum decode_verdict verdict;
    const struct pcm *pcm;
    struct decode_limits limits = p->plan->limits;
    limits.max_pcm_bytes = p->plan->large_pcm_bytes;
    buf_reset(file);
    if (!path_join(path, p->folder, item->name, e) || !file_read_all(path, file, e))
        return false;
    uint64_t source_id = hash64(file->data, file->len, 0);
    if (!sandbox_decoder_open(decoder, buf_span(file), &limits, &info, &verdict, e) ||
        !sandbox_decoder_read(decoder, 0, info.n_frames, &pcm, &verdict, e))
        return err_wrap(e, "%s", decode_verdict_name(verdict));
    clip_whole(pcm, whole);
    return ear_hear(ear, whole, source_id, e) && put(ear, item->row, item->track_id, source_id, e);
}

/* The next item, or NULL when there is none or the pass ends. */
static const struct spool_item *pass_next(struct pass *p)
{
    pthread_mutex_lock(&p->mutex);
    const struct spool_item *item =
        p->failed || p->stopping || p->next == p->n_items ? NULL : &p->items[p->next++];
    pthread_mutex_unlock(&p->mutex);
    return item;
}

static void pass_count(struct pass *p, const struct spool_item *item, bool ok, const struct err *e)
{
    pthread_mutex_lock(&p->mutex);
    p->n_done++;
    if (ok) {
        p->report.n_added++;
    } else if (e->kind == ERR_PERM) {
        p->report.n_bad++;
        log_warn("no sequence", "row=%" PRIu64 " why=\"%s\"", item->row, e->msg);
    } else if (!p->failed) {
        p->failed = true;
        p->why = *e;
    }
    pthread_mutex_unlock(&p->mutex);
}

static void *pass_run(void *arg)
{
    struct pass *p = arg;
    struct ear ear;
    struct sandbox_decoder *decoder = NULL;
    struct buf file;
    struct clip whole = {0};
    struct err e = {0};
    const struct sandbox_decoder_params params = {.max_file_bytes = p->plan->limits.max_bytes,
                                                  .max_pcm_bytes = p->plan->large_pcm_bytes,
                                                  .n_files_each = p->plan->n_files_each};
    buf_init(&file, p->plan->limits.max_bytes);
    bool ok =
        ear_init(&ear, p->writer, &e) && sandbox_decoder_new(p->sandbox, &params, &decoder, &e);
    for (const struct spool_item *item; ok && (item = pass_next(p)) != NULL;) {
        e = (struct err){0};
        bool heard = hear_file(p, &ear, decoder, item, &file, &whole, &e);
        pass_count(p, item, heard, &e);
    }
    pthread_mutex_lock(&p->mutex);
    if (!ok && !p->failed) {
        p->failed = true;
        p->why = e;
    }
    p->cpu_ns += ear.cpu_ns;
    pthread_mutex_unlock(&p->mutex);
    sandbox_decoder_free(decoder);
    clip_release(&whole);
    buf_release(&file);
    ear_release(&ear);
    return NULL;
}

/* Shows progress until all is done, stopped or failed. */
static void pass_watch(struct pass *p)
{
    struct progress progress;
    progress_init(&progress, "sequences", "songs", p->n_items);
    for (bool busy = true; busy;) {
        struct timespec pause = {.tv_nsec = 100 * NS_PER_MS};
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&p->mutex);
        p->stopping = program_stop_requested();
        busy = !p->failed && !p->stopping && p->n_done < p->n_items;
        uint64_t done = p->n_done, bad = p->report.n_bad;
        pthread_mutex_unlock(&p->mutex);
        progress_update(&progress, clock_now_ns(), done, "bad=%" PRIu64, bad);
    }
    progress_finish(&progress, clock_now_ns());
}

static bool pass_work(struct pass *p, unsigned threads, struct err *e)
{
    pthread_t ids[THREADS_MAX];
    unsigned n = 0;
    while (n < threads && n < THREADS_MAX && n < p->n_items &&
           pthread_create(&ids[n], NULL, pass_run, p) == 0)
        n++;
    if (n == 0 && p->n_items > 0)
        return err_set(e, ERR_FATAL, "no thread can be started");
    if (n > 0)
        pass_watch(p);
    for (unsigned i = 0; i < n; i++)
        pthread_join(ids[i], NULL);
    if (p->failed)
        *e = p->why;
    else if (p->stopping)
        err_set(e, ERR_STOP, "asked to stop");
    return !p->failed && !p->stopping;
}

bool sequences_add_folder(const struct dataset *d, const char *folder, unsigned threads,
                          struct sequence_report *out, struct err *e)
{
    struct extract_plan plan = {0};
    struct pass p = {.folder = folder, .plan = &plan};
    uint64_t began_ns = clock_now_ns();
    pthread_mutex_init(&p.mutex, NULL);
    bool ok = extract_plan_init(&d->settings, &plan, e) &&
              extract_plan_sandbox(&plan, &p.sandbox, e) && sequence_writer_open(d, &p.writer, e) &&
              list_items(&p, e) && pass_work(&p, threads, e);
    p.report.seconds = (double)(clock_now_ns() - began_ns) / NS_PER_S;
    if (p.report.n_added > 0)
        p.report.cpu_ms_each = (double)p.cpu_ns / NS_PER_MS / (double)p.report.n_added;
    *out = p.report;
    mem_free(p.items);
    sequence_writer_close(p.writer);
    sandbox_close(p.sandbox);
    extract_plan_release(&plan);
    pthread_mutex_destroy(&p.mutex);
    return ok;
}
