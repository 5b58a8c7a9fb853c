#include "programs/store_bench.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "store/pin.h"

#include <pthread.h>
#include <string.h>

enum { BENCH_PURPOSE = 0x6265 };

/* One thread's work and what came of it; read by the others only after the join. */
struct bench_reader {
    struct store *store;
    const struct store_snapshot *snap;
    uint64_t thread_i, start_ns, end_ns;
    uint64_t clips;
    bool ok;
    struct err err;
};

static void *bench_run(void *arg)
{
    struct bench_reader *b = arg;
    const struct store_snapshot *snap = b->snap;
    uint64_t keys[STORE_BENCH_BATCH];
    size_t n_values = (size_t)snap->n_frames * snap->n_mels;
    float *out = mem_alloc_aligned(STORE_BENCH_BATCH * n_values, sizeof *out);
    struct rng r;
    rng_init(&r, 1, BENCH_PURPOSE, b->thread_i);
    memset(out, 0, STORE_BENCH_BATCH * n_values * sizeof *out);
    b->ok = true;
    for (uint64_t now = clock_now_ns(); b->ok && now < b->end_ns; now = clock_now_ns()) {
        for (size_t i = 0; i < STORE_BENCH_BATCH; i++)
            keys[i] = snap->keys[rng_below(&r, snap->n_keys)];
        b->ok = store_read_batch(b->store, keys, STORE_BENCH_BATCH, snap->n_frames, snap->n_mels,
                                 out, &b->err);
        if (now >= b->start_ns)
            b->clips += STORE_BENCH_BATCH;
    }
    mem_free(out);
    return NULL;
}

bool store_bench(struct store *s, size_t n_threads, double seconds, uint64_t pin_bytes,
                 struct store_bench_result *out, struct err *e)
{
    struct store_pin_report pinned = {0};
    struct store_snapshot snap;
    pthread_t threads[STORE_BENCH_THREADS_MAX];
    struct bench_reader readers[STORE_BENCH_THREADS_MAX];
    size_t n_started = 0;
    bool ok = true;
    assert(n_threads >= 1 && n_threads <= STORE_BENCH_THREADS_MAX);
    if (!store_snapshot_init(s, &snap, e))
        return false;
    if (pin_bytes > 0 && !store_pin(s, &snap, pin_bytes, &pinned, e)) {
        store_snapshot_release(&snap);
        return false;
    }
    uint64_t start_ns = clock_now_ns() + NS_PER_S;
    uint64_t end_ns = start_ns + (uint64_t)(seconds * 1e9);
    *out = (struct store_bench_result){.pinned = pinned.fraction};
    for (; n_started < n_threads; n_started++) {
        struct bench_reader *b = &readers[n_started];
        *b = (struct bench_reader){s, &snap, n_started, start_ns, end_ns, 0, false, {0}};
        if (pthread_create(&threads[n_started], NULL, bench_run, b) != 0) {
            ok = err_set(e, ERR_FATAL, "cannot start %zu threads", n_threads);
            break;
        }
    }
    for (size_t i = 0; i < n_started; i++) {
        pthread_join(threads[i], NULL);
        out->clips += readers[i].clips;
        if (ok && !readers[i].ok) {
            *e = readers[i].err;
            ok = false;
        }
    }
    out->seconds = (double)(clock_now_ns() - start_ns) / 1e9;
    out->clips_per_s = (double)out->clips / out->seconds;
    store_snapshot_release(&snap);
    return ok;
}
