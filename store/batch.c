#include "store/batch.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

/*
 * The threads take runs of keys from one counter until there are none: one that the machine keeps
 * waiting holds up no more than the run it is at. A run is long enough for its pages to be asked
 * for together and for its floats to go past the cache (store/reader.c).
 */
enum { RUN_KEYS_MAX = 16, RUNS_A_THREAD = 2 };

struct job {
    struct store *store;
    const struct store_batch *batch;
    size_t run_keys;
    _Atomic size_t next; /* the first key that nobody has taken */
    pthread_mutex_t mutex;
    /* below: under mutex */
    size_t failed_at; /* the first key of the first failing run; SIZE_MAX: none */
    struct err err;
};

static bool read_run(const struct job *job, size_t from, size_t n, struct err *e)
{
    const struct store_batch *b = job->batch;
    size_t skipped = from * b->n_frames * b->n_mels;
    if (b->db)
        return store_read_batch(job->store, b->keys + from, n, b->n_frames, b->n_mels,
                                b->db + skipped, e);
    return store_read_levels(job->store, b->keys + from, n, b->n_frames, b->n_mels, b->scale,
                             b->offset, b->levels + skipped, e);
}

/* Runs are taken in order, so all before a failing one have been taken and are read: the first that
 * fails is the same whatever the threads. */
static void *work(void *arg)
{
    struct job *job = arg;
    size_t from;
    bool ok = true;
    while (ok && (from = atomic_fetch_add(&job->next, job->run_keys)) < job->batch->n) {
        struct err e = {0};
        ok = read_run(job, from, size_min(job->run_keys, job->batch->n - from), &e);
        if (ok)
            continue;
        atomic_store(&job->next, job->batch->n); /* nothing more to take */
        pthread_mutex_lock(&job->mutex);
        if (from < job->failed_at) {
            job->failed_at = from;
            job->err = e;
        }
        pthread_mutex_unlock(&job->mutex);
    }
    return NULL;
}

bool store_read_parallel(struct store *s, const struct store_batch *batch, uint32_t n_threads,
                         struct err *e)
{
    pthread_t threads[STORE_BATCH_THREADS_MAX];
    size_t n_started = 0, n_runs = (size_t)n_threads * RUNS_A_THREAD;
    sigset_t all, before;
    assert(n_threads > 0 && n_threads <= STORE_BATCH_THREADS_MAX);
    struct job job = {.store = s,
                      .batch = batch,
                      .run_keys = size_min(RUN_KEYS_MAX, (batch->n + n_runs - 1) / n_runs),
                      .failed_at = SIZE_MAX};
    if (n_threads == 1 || batch->n <= 1)
        return read_run(&job, 0, batch->n, e);
    pthread_mutex_init(&job.mutex, NULL);
    /* The host's signals are for the host's threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (n_started + 1 < size_min(n_threads, batch->n) &&
           pthread_create(&threads[n_started], NULL, work, &job) == 0)
        n_started++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    work(&job); /* ours, and all of it where there was no thread */
    for (size_t i = 0; i < n_started; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&job.mutex);
    if (job.failed_at == SIZE_MAX)
        return true;
    *e = job.err;
    return false;
}
