#include "store/batch.h"

#include <pthread.h>
#include <signal.h>

struct share {
    struct store *store;
    struct store_batch batch;
    pthread_t thread;
    bool started, ok;
    struct err err;
};

static void *read_share(void *arg)
{
    struct share *share = arg;
    const struct store_batch *b = &share->batch;
    share->ok = b->db ? store_read_batch(share->store, b->keys, b->n, b->n_frames, b->n_mels, b->db,
                                         &share->err)
                      : store_read_levels(share->store, b->keys, b->n, b->n_frames, b->n_mels,
                                          b->scale, b->offset, b->levels, &share->err);
    return NULL;
}

static struct store_batch batch_part(const struct store_batch *whole, size_t from, size_t to)
{
    struct store_batch part = *whole;
    size_t skipped = from * whole->n_frames * whole->n_mels;
    part.keys += from;
    part.n = to - from;
    if (part.db)
        part.db += skipped;
    else
        part.levels += skipped;
    return part;
}

bool store_read_parallel(struct store *s, const struct store_batch *batch, uint32_t n_threads,
                         struct err *e)
{
    struct share shares[STORE_BATCH_THREADS_MAX];
    sigset_t all, before;
    assert(n_threads > 0 && n_threads <= STORE_BATCH_THREADS_MAX);
    size_t n_shares = size_max(1, size_min(n_threads, batch->n));
    for (size_t i = 0; i < n_shares; i++)
        shares[i] = (struct share){
            .store = s,
            .batch = batch_part(batch, i * batch->n / n_shares, (i + 1) * batch->n / n_shares)};
    /* The host's signals are for the host's threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (size_t i = 1; i < n_shares; i++)
        shares[i].started = pthread_create(&shares[i].thread, NULL, read_share, &shares[i]) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    for (size_t i = 0; i < n_shares; i++) {
        if (!shares[i].started)
            read_share(&shares[i]); /* ours, or one for which there was no thread */
    }
    bool ok = true;
    for (size_t i = 0; i < n_shares; i++) {
        if (shares[i].started)
            pthread_join(shares[i].thread, NULL);
        if (ok && !shares[i].ok)
            *e = shares[i].err;
        ok = ok && shares[i].ok;
    }
    return ok;
}
