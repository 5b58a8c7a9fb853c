/*
 * What a clip costs: bytes, encoding, decoding, writing with full sync, random reads from a warm
 * cache and from a cold one. Times are given beside a plain memcpy of the same float32 values in
 * the same run, because a figure in clips/s means little without the machine.
 *
 *     bench_store [LOGMELS.f32]     raw float32 clips of 431 frames by 128 mels, or made-up ones
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "store/store.h"

#include <fcntl.h>
#include <inttypes.h>
#include <lmdb.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    FRAMES = 431,
    MELS = 128,
    VALUES = FRAMES * MELS,
    MADE_UP = 24,
    WRITTEN = 2000,
    BATCH = 64,
    READ_SECONDS = 1,
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
    double encode_us = (double)(clock_now_ns() - start) / 1e3 / (double)clips->n;
    start = clock_now_ns();
    while (clock_now_ns() - start < NS_PER_S / 2) {
        if (!record_decode(dec, buf_span(&records[n++ % clips->n]), out, VALUES, &e))
            die(&e);
    }
    double decode_us = (double)(clock_now_ns() - start) / 1e3 / (double)n;
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

static void bench_write(const char *dir, const struct clips *clips)
{
    struct err e = {0};
    struct store_recipe recipe = {.spec_hash = 1, .dtype = RECORD_U8, .text = "bench"};
    struct store_writer_params params = {.map_bytes = UINT64_C(1) << 40,
                                         .commit_clips = 256,
                                         .commit_bytes = 8 << 20,
                                         .commit_ns = 5 * NS_PER_S};
    struct store_writer *w = NULL;
    struct record_encoder *enc = record_encoder_new(RECORD_U8, 1);
    struct buf record;
    buf_init(&record, RECORD_MAX_BYTES);
    if (!store_writer_open(dir, &recipe, &params, &w, &e))
        die(&e);
    uint64_t start = clock_now_ns();
    for (uint64_t row = 0; row < WRITTEN; row++) {
        uint64_t now = clock_now_ns();
        char id[32];
        bool added;
        snprintf(id, sizeof id, "TR%" PRIu64, row);
        if (!record_encode(enc, clips->db + row % clips->n * VALUES, 80, &meta_template, &record,
                           &e))
            die(&e);
        struct store_view view = {store_key(row, 0, 0), buf_span(&record), ""};
        struct store_track track = {row, id, 2, &view, 1};
        if (!store_put_track(w, &track, now, &added, &e) ||
            (store_commit_due(w, now) && !store_commit(w, &e)))
            die(&e);
    }
    if (!store_commit(w, &e))
        die(&e);
    double s = (double)(clock_now_ns() - start) / 1e9;
    printf("write clips_per_s=%.0f with encoding, commits of 8 MiB with full sync\n", WRITTEN / s);
    store_writer_close(w);
    record_encoder_free(enc);
    buf_release(&record);
}

struct reader {
    struct store *s;
    uint64_t thread_i, n;
    bool prefetch;
};

static void *reader_run(void *arg)
{
    struct reader *reader = arg;
    struct err e = {0};
    struct rng r;
    uint64_t keys[BATCH], start = clock_now_ns();
    float *out = mem_alloc_aligned(BATCH * VALUES, sizeof *out);
    rng_init(&r, 5, PURPOSE, reader->thread_i);
    while (clock_now_ns() - start < READ_SECONDS * NS_PER_S) {
        for (size_t i = 0; i < BATCH; i++)
            keys[i] = store_key(rng_below(&r, WRITTEN), 0, 0);
        if (!store_read_batch(reader->s, keys, BATCH, FRAMES, MELS, out, &e))
            die(&e);
        reader->n += BATCH;
    }
    mem_free(out);
    return NULL;
}

static double bench_read(struct store *s, size_t n_threads)
{
    pthread_t threads[2];
    struct reader readers[2] = {0};
    uint64_t start = clock_now_ns(), n = 0;
    assert(n_threads <= ARRAY_LEN(threads));
    for (size_t i = 0; i < n_threads; i++) {
        readers[i] = (struct reader){.s = s, .thread_i = i};
        if (pthread_create(&threads[i], NULL, reader_run, &readers[i]) != 0)
            abort();
    }
    for (size_t i = 0; i < n_threads; i++) {
        pthread_join(threads[i], NULL);
        n += readers[i].n;
    }
    return (double)n / ((double)(clock_now_ns() - start) / 1e9);
}

static void bench_reads(const char *dir, double copy_us)
{
    struct err e = {0};
    struct store *s = NULL;
    struct store_stat st;
    if (!store_open(dir, &s, &e) || !store_stat(s, &st, &e))
        die(&e);
    bench_read(s, 1); /* warm */
    double one = bench_read(s, 1), two = bench_read(s, 2);
    printf("read threads=1 clips_per_s=%.0f us_per_clip=%.1f to_memcpy=%.1f\n", one, 1e6 / one,
           1e6 / one / copy_us);
    printf("read threads=2 clips_per_s=%.0f to_one=%.2f\n", two, two / one);
    printf("file bytes_per_clip=%" PRIu64 " slack=%.3f\n", st.file_bytes / st.clips,
           (double)st.file_bytes / (double)(st.payload_bytes + 64 * st.clips) - 1);
    store_close(s);
}

/* ---------------------------------------------------------------- cold */

/* Drops the file from the page cache; nobody may have it mapped. */
static void make_cold(const char *dir)
{
    char path[PATH_BYTES];
    struct err ignored;
    if (!path_join(path, dir, "features.mdb/data.mdb", &ignored))
        return;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        fdatasync(fd);
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        close(fd);
    }
}

/* A permutation of the rows, the same for both ways of reading. */
static void cold_order(uint64_t rows[WRITTEN])
{
    struct rng r;
    rng_init(&r, 9, PURPOSE, 0);
    for (uint64_t i = 0; i < WRITTEN; i++) {
        uint64_t j = rng_below(&r, i + 1);
        rows[i] = rows[j];
        rows[j] = i;
    }
}

/* What a loader on plain LMDB does: get, decode, one after the other. */
static double cold_plain(const char *dir, const uint64_t *rows)
{
    char path[PATH_BYTES];
    struct err e = {0};
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi clip;
    struct record_decoder *dec = record_decoder_new();
    float *out = mem_alloc_aligned(VALUES, sizeof *out);
    if (!path_join(path, dir, "features.mdb", &e))
        die(&e);
    make_cold(dir);
    uint64_t start = clock_now_ns();
    if (mdb_env_create(&env) != 0 || mdb_env_set_maxdbs(env, 4) != 0 ||
        mdb_env_open(env, path, MDB_RDONLY | MDB_NORDAHEAD, 0) != 0 ||
        mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) != 0 ||
        mdb_dbi_open(txn, "clip", MDB_INTEGERKEY, &clip) != 0)
        abort();
    for (size_t i = 0; i < WRITTEN; i++) {
        uint64_t key = store_key(rows[i], 0, 0);
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

/* Batches, the next one asked for while this one is decoded. */
static double cold_store(const char *dir, const uint64_t *rows)
{
    struct err e = {0};
    struct store *s = NULL;
    uint64_t *keys = mem_alloc(WRITTEN, sizeof *keys);
    float *out = mem_alloc_aligned(BATCH * VALUES, sizeof *out);
    for (size_t i = 0; i < WRITTEN; i++)
        keys[i] = store_key(rows[i], 0, 0);
    make_cold(dir);
    uint64_t start = clock_now_ns();
    if (!store_open(dir, &s, &e))
        die(&e);
    for (size_t at = 0; at < WRITTEN; at += BATCH) {
        size_t n = size_min(BATCH, WRITTEN - at), next = at + n;
        store_prefetch(s, keys + next, size_min(2 * BATCH, WRITTEN - next));
        if (!store_read_batch(s, keys + at, n, FRAMES, MELS, out, &e))
            die(&e);
    }
    double seconds = (double)(clock_now_ns() - start) / 1e9;
    store_close(s);
    mem_free(out);
    mem_free(keys);
    return WRITTEN / seconds;
}

static void bench_cold(const char *dir)
{
    uint64_t rows[WRITTEN];
    cold_order(rows);
    double plain = cold_plain(dir, rows), ours = cold_store(dir, rows);
    printf("cold clips_per_s=%.0f plain_lmdb=%.0f to_plain=%.1f random order, file out of the page "
           "cache\n",
           ours, plain, ours / plain);
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
    rmdir(dir);
}

int main(int argc, char **argv)
{
    const char *tmp = getenv("TMPDIR");
    char dir[PATH_BYTES];
    struct clips clips = clips_load(argc > 1 ? argv[1] : NULL);
    double copy_us = memcpy_us(&clips);
    printf("material clips=%zu frames=%d mels=%d from=%s memcpy_us=%.1f\n", clips.n, FRAMES, MELS,
           argc > 1 ? argv[1] : "made-up", copy_us);
    for (int t = 1; t < RECORD_DTYPES; t++)
        bench_records(&clips, (enum record_dtype)t, copy_us);
    snprintf(dir, sizeof dir, "%.3000s/refrain-bench-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir))
        return 1;
    bench_write(dir, &clips);
    bench_reads(dir, copy_us);
    bench_cold(dir);
    remove_store(dir);
    mem_free(clips.db);
    return 0;
}
