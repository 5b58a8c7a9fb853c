/*
 * What a clip costs: bytes, encoding, decoding, writing with full sync, random reads from a warm
 * cache and from a cold one, with the goal beside each. Times are given beside a plain memcpy of
 * the same float32 values in the same run, because a figure in clips/s means little without the
 * machine; rates are the best of several short windows, because machines have other things to do.
 *
 *     bench_store [LOGMELS.f32 [DTYPE]]     raw float32 clips of 431 frames by 128 mels, or made-up
 *                                           ones; of all dtypes, or of one
 *
 * Cold means: the file is dropped from the page cache, and an epoch reads each record once. No
 * memory limit makes that worse, and none is needed to measure it.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/queue.h"
#include "base/rng.h"
#include "store/batch.h"
#include "store/compact.h"
#include "store/order.h"
#include "store/pin.h"
#include "store/stream.h"

#include <fcntl.h>
#include <inttypes.h>
#include <lmdb.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    FRAMES = 431,
    MELS = 128,
    VALUES = FRAMES * MELS,
    MADE_UP = 24,
    WRITTEN = 4000,
    BATCH = 64,
    DECODED = 16, /* in a row, of which the best time counts */
    BATCHES_AHEAD = 3,
    STREAM_SLOTS = 6,
    WINDOWS = 60, /* of WINDOW_MS: the best one counts */
    WINDOW_MS = 25,
    SMALL_BATCH = 4, /* stays in a core's cache */
    THREADS_MAX = 2,
    RUN_BYTES = 4 << 20, /* of the device's sequential rate */
    COMMIT_BYTES = 8 << 20,
    STAGED = 256,
    PURPOSE = 77
};

struct clips {
    float *db;
    size_t n;
};

static void die(const struct err *e)
{
    fprintf(stderr, "bench_store: %s\n", e->msg);
    exit(1);
}

/* ---------------------------------------------------------------- material */

/* A note: partials on the mel axis that decay, as power. */
static void add_note(double *power, struct rng *r)
{
    size_t start = rng_below(r, FRAMES);
    double pitch = rng_range(r, 4, 50), gain = pow(10, rng_range(r, -3, 0));
    double decay = rng_range(r, 0.9, 0.985);
    for (size_t t = start; t < FRAMES && gain > 1e-9; t++, gain *= decay) {
        double partial_gain = gain;
        for (int k = 1; k <= 10; k++, partial_gain *= 0.35) {
            double centre = pitch + 18.0 * log2(k);
            for (int m = (int)centre - 3; m <= (int)centre + 3; m++) {
                if (m >= 0 && m < MELS)
                    power[t * MELS + (size_t)m] += partial_gain * exp(-(m - centre) * (m - centre));
            }
        }
    }
}

/* Notes, drum hits and a floor of noise; each band of noise is the mean of a few exponential
 * variables, as a mel band over a noise spectrum is, more of them the wider the band. */
static void make_clip(uint64_t item, float *db)
{
    struct rng r;
    double *power = mem_zalloc(VALUES, sizeof *power), hit = 0, top = 1e-10;
    rng_init(&r, 1, PURPOSE, item);
    for (int i = 0; i < 120; i++)
        add_note(power, &r);
    for (size_t t = 0; t < FRAMES; t++) {
        hit = t % 22 == 0 ? 0.05 : hit * 0.6;
        for (size_t m = 0; m < MELS; m++) {
            double noise = 0, n_bins = 1 + (double)m * (double)m / 800;
            for (int k = 0; k < (int)n_bins; k++)
                noise -= log(1 - rng_uniform(&r)) / (int)n_bins;
            double colour = pow(10, -6.0 - 3.0 * (double)m / MELS);
            power[t * MELS + m] = (power[t * MELS + m] + colour + hit * colour * 1e3) * noise;
            top = fmax(top, power[t * MELS + m]);
        }
    }
    for (size_t i = 0; i < VALUES; i++)
        db[i] = (float)fmax(-80, 10 * log10(fmax(power[i], 1e-10) / top));
    mem_free(power);
}

static struct clips clips_load(const char *path)
{
    struct err e = {0};
    struct buf bytes;
    struct clips clips = {0};
    buf_init(&bytes, (size_t)1 << 31);
    if (path) {
        if (!file_read_all(path, &bytes, &e))
            die(&e);
        clips.n = bytes.len / (VALUES * sizeof(float));
    } else {
        clips.n = MADE_UP;
    }
    clips.db = mem_alloc_aligned(clips.n * VALUES, sizeof(float));
    if (path)
        memcpy(clips.db, bytes.data, clips.n * VALUES * sizeof(float));
    for (size_t i = 0; i < clips.n && !path; i++)
        make_clip(i, clips.db + i * VALUES);
    buf_release(&bytes);
    return clips;
}

/* ---------------------------------------------------------------- records */

static const struct record_info meta_template = {
    .n_frames = FRAMES, .n_mels = MELS, .spec_hash = 1, .source_id = 2};

static double memcpy_us(const struct clips *clips)
{
    float *out = mem_alloc_aligned(VALUES, sizeof *out);
    uint64_t start = clock_now_ns(), n = 0;
    while (clock_now_ns() - start < NS_PER_S / 4) {
        memcpy(out, clips->db + n % clips->n * VALUES, VALUES * sizeof *out);
        __asm__ volatile("" : : "r"(out) : "memory");
        n++;
    }
    double us = (double)(clock_now_ns() - start) / 1e3 / (double)n;
    mem_free(out);
    return us;
}

static void bench_records(const struct clips *clips, enum record_dtype dtype, double copy_us)
{
    struct err e = {0};
    struct record_encoder *enc = record_encoder_new(dtype, 1);
    struct record_decoder *dec = record_decoder_new();
    struct buf *records = mem_zalloc(clips->n, sizeof *records);
    float *out = mem_alloc_aligned(VALUES, sizeof *out);
    size_t bytes = 0, n = 0;
    double max_err = 0;
    uint64_t start = clock_now_ns();
    for (size_t i = 0; i < clips->n; i++) {
        struct record_info info;
        buf_init(&records[i], RECORD_MAX_BYTES);
        if (!record_encode(enc, clips->db + i * VALUES, 80, &meta_template, &records[i], &e) ||
            !record_parse(buf_span(&records[i]), &info, &e))
            die(&e);
        bytes += records[i].len;
        max_err = fmax(max_err, (double)info.max_err_db);
    }
    double encode_us = (double)(clock_now_ns() - start) / 1e3 / (double)clips->n, decode_us = 1e9;
    for (uint64_t end = clock_now_ns() + NS_PER_S / 2; clock_now_ns() < end;) {
        start = clock_now_ns();
        for (size_t i = 0; i < DECODED; i++) {
            if (!record_decode(dec, buf_span(&records[n++ % clips->n]), out, VALUES, &e))
                die(&e);
        }
        decode_us = fmin(decode_us, (double)(clock_now_ns() - start) / 1e3 / DECODED);
    }
    printf("record dtype=%s bytes_per_clip=%zu of_float32=%.3f max_error_db=%.4f encode_us=%.1f "
           "decode_us=%.1f decode_to_memcpy=%.1f\n",
           record_dtype_name(dtype), bytes / clips->n,
           (double)bytes / (double)clips->n / (VALUES * sizeof(float)), max_err, encode_us,
           decode_us, decode_us / copy_us);
    for (size_t i = 0; i < clips->n; i++)
        buf_release(&records[i]);
    mem_free(records);
    mem_free(out);
    record_encoder_free(enc);
    record_decoder_free(dec);
}

/* ---------------------------------------------------------------- the store */

static uint64_t cpu_ns(clockid_t whose)
{
    struct timespec t;
    clock_gettime(whose, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* A clip on its way from the encoder to the writer. */
struct staged {
    struct buf record;
    uint64_t row;
};

struct encoder {
    const struct clips *clips;
    enum record_dtype dtype;
    struct queue *empty, *full; /* of struct staged */
    uint64_t cpu_ns;
};

static void *encoder_run(void *arg)
{
    struct encoder *encoder = arg;
    struct record_encoder *enc = record_encoder_new(encoder->dtype, 1);
    struct record_info meta = meta_template;
    struct err e = {0};
    for (uint64_t row = 0; row < WRITTEN; row++) {
        void *item;
        bool ok = queue_pop(encoder->empty, &item) == QUEUE_OK;
        struct staged *staged = item;
        staged->row = meta.source_id = row; /* no two are equal: each is stored */
        if (!ok || !record_encode(enc, encoder->clips->db + row % encoder->clips->n * VALUES, 80,
                                  &meta, &staged->record, &e))
            die(&e);
        ok = queue_push(encoder->full, staged);
        assert(ok);
    }
    queue_close(encoder->full);
    encoder->cpu_ns = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
    record_encoder_free(enc);
    return NULL;
}

static bool put_staged(struct store_writer *w, const struct staged *staged, struct err *e)
{
    char id[32];
    bool added;
    uint64_t now = clock_now_ns();
    snprintf(id, sizeof id, "TR%" PRIu64, staged->row);
    struct store_view view = {store_key(staged->row, 0, 0), buf_span(&staged->record), ""};
    struct store_track track = {staged->row, id, staged->row, &view, 1};
    return store_put_track(w, &track, now, &added, e) &&
           (!store_commit_due(w, now) || store_commit(w, e));
}

/* As extract does it: encoding goes on in another thread, up to STAGED clips ahead, while the
 * writer waits for the disk. Both on one core. Returns clips/s, and by their processor time. */
static double write_store(const char *dir, const struct clips *clips, enum record_dtype dtype,
                          double *per_cpu_s)
{
    struct err e = {0};
    struct store_recipe recipe = {.spec_hash = 1, .dtype = dtype, .text = "bench"};
    struct store_writer_params params = {.map_bytes = UINT64_C(1) << 40,
                                         .commit_clips = 256,
                                         .commit_bytes = COMMIT_BYTES,
                                         .commit_ns = 5 * NS_PER_S};
    struct store_writer *w = NULL;
    struct staged *staged = mem_zalloc(STAGED, sizeof *staged);
    struct encoder encoder = {clips, dtype, queue_new(STAGED), queue_new(STAGED), 0};
    pthread_t thread;
    void *item;
    for (size_t i = 0; i < STAGED; i++) {
        buf_init(&staged[i].record, RECORD_MAX_BYTES);
        bool pushed = queue_push(encoder.empty, &staged[i]);
        assert(pushed);
    }
    if (!store_writer_open(dir, &recipe, &params, &w, &e))
        die(&e);
    uint64_t start = clock_now_ns(), cpu = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
    if (pthread_create(&thread, NULL, encoder_run, &encoder) != 0)
        abort();
    while (queue_pop(encoder.full, &item) == QUEUE_OK) {
        if (!put_staged(w, item, &e))
            die(&e);
        bool pushed = queue_push(encoder.empty, item);
        assert(pushed);
    }
    if (!store_commit(w, &e))
        die(&e);
    pthread_join(thread, NULL);
    double s = (double)(clock_now_ns() - start) / 1e9;
    cpu = cpu_ns(CLOCK_THREAD_CPUTIME_ID) - cpu + encoder.cpu_ns;
    *per_cpu_s = WRITTEN / ((double)cpu / 1e9);
    store_writer_close(w);
    queue_close(encoder.empty);
    while (queue_pop(encoder.empty, &item) == QUEUE_OK) {
        struct staged *done = item;
        buf_release(&done->record);
    }
    mem_free(staged);
    queue_free(encoder.empty);
    queue_free(encoder.full);
    return WRITTEN / s;
}

/* What the disk takes of the same bytes written as a commit writes them: COMMIT_BYTES, waited for,
 * then one page, waited for. Bytes a second. */
static double sync_rate(const char *dir, uint64_t total)
{
    struct err e = {0};
    char path[PATH_BYTES];
    uint8_t *bytes = mem_alloc_aligned(COMMIT_BYTES, 1);
    memset(bytes, 0x5a, COMMIT_BYTES);
    if (!path_join(path, dir, "sync_rate", &e))
        die(&e);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int page_fd = open(path, O_WRONLY | O_DSYNC | O_CLOEXEC);
    uint64_t start = clock_now_ns(), at = 0;
    for (; at < total; at += COMMIT_BYTES) {
        if (pwrite(fd, bytes, COMMIT_BYTES, (off_t)at) != COMMIT_BYTES || fdatasync(fd) != 0 ||
            pwrite(page_fd, bytes, 4096, 0) != 4096)
            abort();
    }
    double rate = (double)at / ((double)(clock_now_ns() - start) / 1e9);
    close(fd);
    close(page_fd);
    unlink(path);
    mem_free(bytes);
    return rate;
}

static void bench_write(const char *dir, const struct clips *clips, enum record_dtype dtype)
{
    struct err e = {0};
    struct store *store = NULL;
    struct store_stat st;
    cpu_set_t all, one;
    double per_cpu_s;
    pthread_getaffinity_np(pthread_self(), sizeof all, &all);
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    pthread_setaffinity_np(pthread_self(), sizeof one, &one);
    double rate = write_store(dir, clips, dtype, &per_cpu_s);
    pthread_setaffinity_np(pthread_self(), sizeof all, &all);
    if (!store_open(dir, &store, &e) || !store_stat(store, &st, &e))
        die(&e);
    store_close(store);
    double disk = sync_rate(dir, st.file_bytes) / ((double)st.file_bytes / WRITTEN);
    printf("write dtype=%s clips_per_s=%.0f goal=2000 clips_per_cpu_s=%.0f disk_clips_per_s=%.0f "
           "to_disk=%.2f with encoding, on one core, commits of 8 MB with full sync\n",
           record_dtype_name(dtype), rate, per_cpu_s, disk, rate / disk);
}

/* ---------------------------------------------------------------- warm */

struct reader {
    struct store *s;
    size_t batch;
    uint64_t thread_i, end_ns, n, cpu_ns, start_ns, last_ns;
};

static void *reader_run(void *arg)
{
    struct reader *reader = arg;
    struct err e = {0};
    struct rng r;
    uint64_t keys[BATCH], cpu = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
    size_t batch = reader->batch;
    float *out = mem_alloc_aligned(BATCH * VALUES, sizeof *out);
    memset(out, 0, BATCH * VALUES * sizeof *out);
    rng_init(&r, 5, PURPOSE, reader->end_ns + reader->thread_i);
    reader->start_ns = reader->last_ns = clock_now_ns();
    while (reader->last_ns < reader->end_ns) {
        for (size_t i = 0; i < batch; i++)
            keys[i] = store_key(rng_below(&r, WRITTEN), 0, 0);
        if (!store_read_batch(reader->s, keys, batch, FRAMES, MELS, out, &e))
            die(&e);
        reader->n += batch;
        reader->last_ns = clock_now_ns();
    }
    reader->cpu_ns = cpu_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
    mem_free(out);
    return NULL;
}

/* Clips a second by the clock, and (*per_cpu_s) by the processor's time that was got. */
static double read_window(struct store *s, size_t n_threads, size_t batch, double *per_cpu_s)
{
    pthread_t threads[THREADS_MAX];
    struct reader readers[THREADS_MAX] = {0};
    uint64_t start = clock_now_ns(), n = 0, cpu = 0;
    double rate = 0;
    assert(n_threads <= THREADS_MAX);
    for (size_t i = 0; i < n_threads; i++) {
        readers[i] = (struct reader){
            .s = s, .batch = batch, .thread_i = i, .end_ns = start + WINDOW_MS * NS_PER_MS};
        if (pthread_create(&threads[i], NULL, reader_run, &readers[i]) != 0)
            abort();
    }
    for (size_t i = 0; i < n_threads; i++) {
        pthread_join(threads[i], NULL);
        n += readers[i].n;
        cpu += readers[i].cpu_ns;
        rate += (double)readers[i].n / ((double)(readers[i].last_ns - readers[i].start_ns) / 1e9);
    }
    *per_cpu_s = (double)n / ((double)cpu / 1e9);
    return rate;
}

static double read_best(struct store *s, size_t n_threads, size_t batch, double *per_cpu_s)
{
    double best = 0, cpu;
    *per_cpu_s = 0;
    for (int i = 0; i < WINDOWS; i++) {
        best = fmax(best, read_window(s, n_threads, batch, &cpu));
        *per_cpu_s = fmax(*per_cpu_s, cpu);
    }
    return best;
}

static void bench_reads(const char *dir, double copy_us, const char *goal)
{
    struct err e = {0};
    struct store *s = NULL;
    struct store_stat st;
    double cpu, ignored;
    if (!store_open(dir, &s, &e) || !store_stat(s, &st, &e))
        die(&e);
    double small = read_best(s, 1, SMALL_BATCH, &ignored);
    double one = read_best(s, 1, BATCH, &cpu), two = read_best(s, 2, BATCH, &ignored);
    const char *dtype = record_dtype_name(st.dtype);
    printf("warm dtype=%s threads=1 batch=%d clips_per_s=%.0f%s\n", dtype, SMALL_BATCH, small,
           goal);
    printf("warm dtype=%s threads=1 batch=%d clips_per_s=%.0f%s clips_per_cpu_s=%.0f "
           "to_memcpy=%.1f\n",
           dtype, BATCH, one, goal, cpu, 1e6 / one / copy_us);
    printf("warm dtype=%s threads=2 batch=%d clips_per_s=%.0f to_one=%.2f goal=1.9\n", dtype, BATCH,
           two, two / one);
    printf("file dtype=%s bytes_per_clip=%" PRIu64 " slack=%.3f\n", dtype, st.file_bytes / st.clips,
           (double)st.file_bytes / (double)(st.payload_bytes + 64 * st.clips) - 1);
    store_close(s);
}

/* ---------------------------------------------------------------- cold */

static void data_path(const char *dir, char out[PATH_BYTES])
{
    struct err e = {0};
    if (!path_join(out, dir, "features.mdb/data.mdb", &e))
        die(&e);
}

/* Drops the file from the page cache; nobody may have it mapped. */
static void make_cold(const char *dir)
{
    char path[PATH_BYTES];
    data_path(dir, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        fdatasync(fd);
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        close(fd);
    }
}

/* Bytes a second from one end to the other: past the cache, or through it with the kernel reading
 * ahead. */
static double sequential_rate(const char *dir, int flags)
{
    char path[PATH_BYTES];
    uint8_t *buffer = NULL;
    uint64_t total = 0;
    ssize_t n;
    make_cold(dir);
    data_path(dir, path);
    if (posix_memalign((void **)&buffer, 4096, RUN_BYTES) != 0)
        abort();
    int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
    uint64_t start = clock_now_ns();
    while (fd >= 0 && (n = read(fd, buffer, RUN_BYTES)) > 0)
        total += (uint64_t)n;
    double rate = (double)total / ((double)(clock_now_ns() - start) / 1e9);
    if (fd >= 0)
        close(fd);
    free(buffer);
    return rate;
}

/* What a loader on plain LMDB does: get, decode, one after the other. */
static double cold_plain(const char *dir, const uint64_t *keys)
{
    char path[PATH_BYTES];
    struct err e = {0};
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi clip;
    struct record_decoder *dec = record_decoder_new();
    float *out = mem_alloc_aligned(VALUES, sizeof *out);
    if (!store_folder(path, dir, &e))
        die(&e);
    make_cold(dir);
    uint64_t start = clock_now_ns();
    if (mdb_env_create(&env) != 0 || mdb_env_set_maxdbs(env, 4) != 0 ||
        mdb_env_open(env, path, MDB_RDONLY | MDB_NORDAHEAD, 0) != 0 ||
        mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) != 0 ||
        mdb_dbi_open(txn, "clip", MDB_INTEGERKEY, &clip) != 0)
        abort();
    for (size_t i = 0; i < WRITTEN; i++) {
        uint64_t key = keys[i];
        MDB_val k = {sizeof key, &key}, v;
        if (mdb_get(txn, clip, &k, &v) != 0 ||
            !record_decode(dec, record_unpad((struct span){v.mv_data, v.mv_size}), out, VALUES, &e))
            die(&e);
    }
    double s = (double)(clock_now_ns() - start) / 1e9;
    mdb_txn_abort(txn);
    mdb_env_close(env);
    mem_free(out);
    record_decoder_free(dec);
    return WRITTEN / s;
}

/* Batches, BATCHES_AHEAD of them asked for while this one is decoded; pin_bytes kept beforehand. */
static double cold_store(const char *dir, const uint64_t *keys, uint32_t n_threads,
                         uint64_t pin_bytes, double *cpu_us)
{
    struct err e = {0};
    struct store *s = NULL;
    struct store_snapshot snap;
    struct store_pin_report pinned;
    float *out = mem_alloc_aligned(BATCH * VALUES, sizeof *out);
    memset(out, 0, BATCH * VALUES * sizeof *out);
    if (!store_open(dir, &s, &e) || !store_snapshot_init(s, &snap, &e) ||
        (pin_bytes > 0 && !store_pin(s, &snap, pin_bytes, &pinned, &e)))
        die(&e);
    make_cold(dir); /* what the pinning read; the tree's pages stay, they are mapped */
    uint64_t start = clock_now_ns(), cpu = cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
    store_prefetch(s, keys, BATCHES_AHEAD * BATCH);
    for (size_t at = 0; at < WRITTEN; at += BATCH) {
        size_t n = size_min(BATCH, WRITTEN - at);
        size_t next = size_min(WRITTEN, at + BATCHES_AHEAD * BATCH);
        store_prefetch(s, keys + next, size_min(BATCH, WRITTEN - next));
        struct store_batch batch = {
            .keys = keys + at, .n = n, .n_frames = FRAMES, .n_mels = MELS, .db = out};
        if (!store_read_parallel(s, &batch, n_threads, &e))
            die(&e);
    }
    double seconds = (double)(clock_now_ns() - start) / 1e9;
    *cpu_us = fmin(*cpu_us, (double)(cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu) / 1e3 / WRITTEN);
    store_snapshot_release(&snap);
    store_close(s);
    mem_free(out);
    return WRITTEN / seconds;
}

static size_t stream_keys(void *arg, uint64_t i, uint64_t *keys)
{
    size_t from = size_min(WRITTEN, i * BATCH), n = size_min(BATCH, WRITTEN - from);
    memcpy(keys, (const uint64_t *)arg + from, n * sizeof *keys);
    return n;
}

/* The same with threads that do not wait for each other at the end of a batch. */
static double cold_stream(const char *dir, uint64_t *keys, uint32_t n_threads, double *cpu_us)
{
    struct err e = {0};
    struct store *s = NULL;
    struct store_stream *stream = NULL;
    struct store_stream_batch batch = {.n = 1};
    make_cold(dir);
    if (!store_open(dir, &s, &e))
        die(&e);
    struct store_stream_params params = {.store = s,
                                         .n_frames = FRAMES,
                                         .n_mels = MELS,
                                         .batch = BATCH,
                                         .keys_fn = stream_keys,
                                         .keys_arg = keys,
                                         .n_threads = n_threads,
                                         .n_slots = STREAM_SLOTS};
    if (!store_stream_open(&params, &stream, &e))
        die(&e);
    uint64_t start = clock_now_ns(), cpu = cpu_ns(CLOCK_PROCESS_CPUTIME_ID), n = 0;
    for (; batch.n > 0; n += batch.n) {
        if (!store_stream_next(stream, &batch, &e))
            die(&e);
    }
    double seconds = (double)(clock_now_ns() - start) / 1e9;
    *cpu_us = fmin(*cpu_us, (double)(cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu) / 1e3 / WRITTEN);
    assert(n == WRITTEN);
    store_stream_close(stream);
    store_close(s);
    return WRITTEN / seconds;
}

static void keys_in_order(enum store_order_mode mode, uint64_t keys[WRITTEN])
{
    struct store_order order = {
        .mode = mode, .size = mode == STORE_ORDER_BLOCK ? STORE_WINDOW_BLOCKS : 0, .seed = 9};
    store_order_next(&order, WRITTEN, keys, WRITTEN);
    for (size_t i = 0; i < WRITTEN; i++)
        keys[i] = store_key(keys[i], 0, 0);
}

static void bench_cold(const char *dir, const char *dtype)
{
    enum { TIMES = 3 };
    struct err e = {0};
    struct compact_report compacted;
    uint64_t *full = mem_alloc(WRITTEN, sizeof *full), *block = mem_alloc(WRITTEN, sizeof *block);
    double plain = 0, ours = 0, two = 0, pinned = 0, one_run = 0, runs = 0;
    double stream = 0, device = 0;
    double full_us = 1e9, pinned_us = 1e9, block_us = 1e9, stream_us = 1e9;
    if (!store_compact(dir, &compacted, &e))
        die(&e);
    double clip_bytes = (double)compacted.bytes_after / WRITTEN;
    keys_in_order(STORE_ORDER_FULL, full);
    keys_in_order(STORE_ORDER_BLOCK, block);
    for (int i = 0; i < TIMES; i++) {
        plain = fmax(plain, cold_plain(dir, full));
        ours = fmax(ours, cold_store(dir, full, 1, 0, &full_us));
        two = fmax(two, cold_store(dir, full, 2, 0, &full_us));
        pinned = fmax(pinned, cold_store(dir, full, 2, compacted.bytes_after / 4, &pinned_us));
        one_run = fmax(one_run, cold_store(dir, block, 1, 0, &block_us));
        runs = fmax(runs, cold_store(dir, block, 2, 0, &block_us));
        stream = fmax(stream, cold_stream(dir, block, 2, &stream_us));
        device = fmax(device, fmax(sequential_rate(dir, O_DIRECT), sequential_rate(dir, 0)));
    }
    printf("cold dtype=%s order=full threads=1 clips_per_s=%.0f plain_lmdb=%.0f to_plain=%.1f "
           "goal=5\n",
           dtype, ours, plain, ours / plain);
    printf("cold dtype=%s order=full threads=2 clips_per_s=%.0f to_plain=%.1f MB_per_s=%.0f "
           "cpu_us_per_clip=%.0f\n",
           dtype, two, two / plain, two * clip_bytes / 1e6, full_us);
    printf("cold dtype=%s order=full threads=2 clips_per_s=%.0f cpu_us_per_clip=%.0f with a "
           "quarter of the "
           "data pinned\n",
           dtype, pinned, pinned_us);
    printf("cold dtype=%s order=block threads=1 clips_per_s=%.0f to_device=%.2f\n", dtype, one_run,
           one_run * clip_bytes / device);
    printf(
        "cold dtype=%s order=block threads=2 clips_per_s=%.0f to_device=%.2f cpu_us_per_clip=%.0f "
        "batch by batch\n",
        dtype, runs, runs * clip_bytes / device, block_us);
    printf(
        "cold dtype=%s order=block threads=2 clips_per_s=%.0f MB_per_s=%.0f device_MB_per_s=%.0f "
        "to_device=%.2f goal=0.70 cpu_us_per_clip=%.0f in a stream\n",
        dtype, stream, stream * clip_bytes / 1e6, device / 1e6, stream * clip_bytes / device,
        stream_us);
    mem_free(full);
    mem_free(block);
}

static void remove_store(const char *dir)
{
    static const char *const names[] = {"features.mdb/data.mdb", "features.mdb/lock.mdb",
                                        "features.mdb/writer.lock"};
    char path[PATH_BYTES];
    struct err ignored;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (path_join(path, dir, names[i], &ignored))
            unlink(path);
    }
    if (path_join(path, dir, "features.mdb", &ignored))
        rmdir(path);
}

int main(int argc, char **argv)
{
    static const enum record_dtype read[] = {RECORD_U8, RECORD_RAW, RECORD_ARCHIVE};
    const char *tmp = getenv("TMPDIR");
    char dir[PATH_BYTES];
    struct clips clips = clips_load(argc > 1 ? argv[1] : NULL);
    double copy_us = memcpy_us(&clips);
    printf("material clips=%zu frames=%d mels=%d from=%s memcpy_us=%.1f\n", clips.n, FRAMES, MELS,
           argc > 1 ? argv[1] : "made-up", copy_us);
    const char *only = argc > 2 ? argv[2] : NULL;
    for (int t = 1; t < RECORD_DTYPES; t++) {
        const char *name = record_dtype_name((enum record_dtype)t);
        if (strcmp(only ? only : name, name) == 0 && strcmp(name, "?") != 0)
            bench_records(&clips, (enum record_dtype)t, copy_us);
    }
    snprintf(dir, sizeof dir, "%.3000s/refrain-bench-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir))
        return 1;
    for (size_t i = 0; i < ARRAY_LEN(read); i++) {
        if (only && strcmp(only, record_dtype_name(read[i])) != 0)
            continue;
        bench_write(dir, &clips, read[i]);
        bench_reads(dir, copy_us, read[i] == RECORD_U8 ? " goal=20000" : "");
        if (read[i] != RECORD_ARCHIVE)
            bench_cold(dir, record_dtype_name(read[i]));
        remove_store(dir);
    }
    rmdir(dir);
    mem_free(clips.db);
    return 0;
}
