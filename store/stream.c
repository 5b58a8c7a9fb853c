#include "store/stream.h"

#include "base/mem.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

/*
 * Batch i lies in slot i % n_slots from the moment its first run is taken until the caller asks for
 * the one after it. Threads take runs of keys in order from one cursor (batch, key), whatever batch
 * they are in, and stop at a slot that is not free yet; the last one to finish a run of a batch
 * says that it is whole. Whoever begins a batch asks the kernel for the pages of the one that is
 * AHEAD batches later.
 */
enum { RUN_KEYS = 16, AHEAD = 4 };

struct slot {
    uint64_t *keys;
    float *db;
    size_t n, n_left; /* keys of it, and those that are not read yet */
    size_t failed_at; /* the first key of the first failing run; SIZE_MAX: none */
    struct err err;
};

struct store_stream {
    struct store_stream_params params;
    pthread_t threads[STORE_BATCH_THREADS_MAX];
    uint32_t n_threads;
    pthread_mutex_t mutex;
    pthread_cond_t whole, room; /* a batch is; in the ring there is */
    /* below: under mutex, but for what a run's keys and values are */
    struct slot slots[STORE_STREAM_SLOTS_MAX];
    uint64_t reading; /* the cursor: the batch of which runs are taken */
    size_t taken;     /* keys of it; 0: nobody has begun it */
    uint64_t in_use;  /* the batch that the caller has, or waits for */
    bool lent, ended, closing;
};

static struct slot *slot_of(struct store_stream *stream, uint64_t i)
{
    return &stream->slots[i % stream->params.n_slots];
}

/* ---------------------------------------------------------------- threads */

struct run {
    struct slot *slot;
    uint64_t batch_i;
    size_t from, n;
};

/* The batch at the cursor, whose slot is free. Under the mutex: nobody else may begin it. */
static void batch_begin(struct store_stream *stream)
{
    const struct store_stream_params *p = &stream->params;
    struct slot *slot = slot_of(stream, stream->reading);
    slot->n = slot->n_left = p->keys_fn(p->keys_arg, stream->reading, slot->keys);
    assert(slot->n <= p->batch);
    slot->failed_at = SIZE_MAX;
    stream->ended = slot->n == 0;
    if (stream->ended)
        pthread_cond_broadcast(&stream->whole);
}

/* Waits for a free slot; false when there is nothing more to read. */
static bool run_take(struct store_stream *stream, struct run *run)
{
    pthread_mutex_lock(&stream->mutex);
    while (!stream->closing && !stream->ended &&
           stream->reading >= stream->in_use + stream->params.n_slots)
        pthread_cond_wait(&stream->room, &stream->mutex);
    if (!stream->closing && !stream->ended && stream->taken == 0)
        batch_begin(stream);
    bool ok = !stream->closing && !stream->ended;
    if (ok) {
        struct slot *slot = slot_of(stream, stream->reading);
        *run = (struct run){slot, stream->reading, stream->taken,
                            size_min(RUN_KEYS, slot->n - stream->taken)};
        stream->taken += run->n;
        if (stream->taken == slot->n) {
            stream->taken = 0;
            stream->reading++;
        }
    }
    pthread_mutex_unlock(&stream->mutex);
    return ok;
}

static void run_done(struct store_stream *stream, const struct run *run, const struct err *failed)
{
    struct slot *slot = run->slot;
    pthread_mutex_lock(&stream->mutex);
    if (failed && run->from < slot->failed_at) {
        slot->failed_at = run->from;
        slot->err = *failed;
    }
    slot->n_left -= run->n;
    if (slot->n_left == 0)
        pthread_cond_broadcast(&stream->whole);
    pthread_mutex_unlock(&stream->mutex);
}

static void *stream_work(void *arg)
{
    struct store_stream *stream = arg;
    const struct store_stream_params *p = &stream->params;
    uint64_t *ahead = mem_alloc(p->batch, sizeof *ahead);
    struct run run;
    while (run_take(stream, &run)) {
        struct err e = {0};
        const uint64_t *keys = run.slot->keys + run.from;
        float *db = run.slot->db + run.from * p->n_frames * p->n_mels;
        if (run.from == 0)
            store_prefetch(p->store, ahead, p->keys_fn(p->keys_arg, run.batch_i + AHEAD, ahead));
        bool ok = store_read_batch(p->store, keys, run.n, p->n_frames, p->n_mels, db, &e);
        run_done(stream, &run, ok ? NULL : &e);
    }
    mem_free(ahead);
    return NULL;
}

/* ---------------------------------------------------------------- open, close */

static void stream_free(struct store_stream *stream)
{
    for (size_t i = 0; i < stream->params.n_slots; i++) {
        mem_free(stream->slots[i].keys);
        mem_free(stream->slots[i].db);
    }
    pthread_cond_destroy(&stream->room);
    pthread_cond_destroy(&stream->whole);
    pthread_mutex_destroy(&stream->mutex);
    mem_free(stream);
}

/* The first batches' pages, before anybody reads. */
static void first_prefetch(const struct store_stream_params *p)
{
    uint64_t *keys = mem_alloc(p->batch, sizeof *keys);
    for (uint64_t i = 0; i < AHEAD; i++)
        store_prefetch(p->store, keys, p->keys_fn(p->keys_arg, i, keys));
    mem_free(keys);
}

bool store_stream_open(const struct store_stream_params *params, struct store_stream **out,
                       struct err *e)
{
    sigset_t all, before;
    assert(params->n_threads > 0 && params->n_threads <= STORE_BATCH_THREADS_MAX);
    assert(params->n_slots >= STORE_STREAM_SLOTS_MIN && params->n_slots <= STORE_STREAM_SLOTS_MAX);
    assert(params->batch > 0 && params->batch <= STORE_STREAM_BATCH_MAX);
    struct store_stream *stream = mem_zalloc(1, sizeof *stream);
    size_t values = params->batch * params->n_frames * params->n_mels;
    stream->params = *params;
    pthread_mutex_init(&stream->mutex, NULL);
    pthread_cond_init(&stream->whole, NULL);
    pthread_cond_init(&stream->room, NULL);
    for (size_t i = 0; i < params->n_slots; i++) {
        stream->slots[i].keys = mem_alloc(params->batch, sizeof(uint64_t));
        stream->slots[i].db = mem_alloc_aligned(values, sizeof(float));
        memset(stream->slots[i].db, 0, values * sizeof(float)); /* no batch pays for new pages */
    }
    first_prefetch(params);
    /* The host's signals are for the host's threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (stream->n_threads < params->n_threads &&
           pthread_create(&stream->threads[stream->n_threads], NULL, stream_work, stream) == 0)
        stream->n_threads++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (stream->n_threads == 0) {
        stream_free(stream);
        return err_set(e, ERR_TEMP, "not one thread to read with could be started");
    }
    *out = stream;
    return true;
}

void store_stream_close(struct store_stream *stream)
{
    if (!stream)
        return;
    pthread_mutex_lock(&stream->mutex);
    stream->closing = true;
    pthread_cond_broadcast(&stream->room);
    pthread_mutex_unlock(&stream->mutex);
    for (uint32_t i = 0; i < stream->n_threads; i++)
        pthread_join(stream->threads[i], NULL);
    stream_free(stream);
}

/* ---------------------------------------------------------------- the caller */

bool store_stream_next(struct store_stream *stream, struct store_stream_batch *out, struct err *e)
{
    pthread_mutex_lock(&stream->mutex);
    if (stream->lent) {
        stream->in_use++;
        stream->lent = false;
        pthread_cond_broadcast(&stream->room);
    }
    struct slot *slot = slot_of(stream, stream->in_use);
    /* Begun, and read to its end; or the end itself. */
    while (!(stream->reading > stream->in_use && slot->n_left == 0) &&
           !(stream->ended && stream->reading == stream->in_use))
        pthread_cond_wait(&stream->whole, &stream->mutex);
    bool is_end = stream->reading == stream->in_use;
    bool ok = is_end || slot->failed_at == SIZE_MAX;
    *out = (struct store_stream_batch){.i = stream->in_use};
    if (!ok)
        *e = slot->err; /* it is not given back: the threads stop when the ring is full */
    else if (!is_end)
        *out = (struct store_stream_batch){stream->in_use, slot->keys, slot->n, slot->db};
    stream->lent = ok && !is_end;
    pthread_mutex_unlock(&stream->mutex);
    return ok;
}
