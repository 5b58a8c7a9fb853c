#include "programs/store_doctor.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "programs/store_probe.h"
#include "store/doctor.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

enum {
    SAMPLE = 256, /* records whose decoding is timed */
    ROUNDS = 3,   /* the best of them counts: the first warms the cache */
    ADVICE_MAX = 8,
    ADVICE_BYTES = 240,
    PURPOSE_SAMPLE = 0x73616d70
};

/* What follows for reading in one order. */
struct forecast {
    double hit_rate;
    double clips_per_s;
};

struct doctor {
    struct doctor_report report;
    struct probe_disk disk;
    uint64_t memory_bytes;
    uint32_t n_cores;
    double warm_clips_per_s; /* one core, from memory */
    double fits;             /* fraction of the file that memory holds */
    struct forecast full, pinned, block;
    char advice[ADVICE_MAX][ADVICE_BYTES];
    size_t n_advice;
};

/* ---------------------------------------------------------------- measuring */

/* Decodes a sample several times; records of any shape. */
static bool measure_warm(struct store *s, struct doctor *d, struct err *e)
{
    struct store_snapshot snap = {0};
    struct store_reading reading = {0};
    struct rng r;
    uint64_t keys[SAMPLE], best_ns = UINT64_MAX;
    if (!store_snapshot_init_mixed(s, &snap, e))
        return false;
    rng_init(&r, 1, PURPOSE_SAMPLE, 0);
    for (size_t i = 0; i < SAMPLE; i++)
        keys[i] = snap.keys[rng_below(&r, snap.n_keys)];
    bool ok = true;
    for (int round = 0; round < ROUNDS && ok; round++) {
        uint64_t start_ns = clock_now_ns();
        for (size_t i = 0; i < SAMPLE && ok; i++)
            ok = store_read_one(s, keys[i], &reading, e);
        best_ns = u64_min(best_ns, clock_now_ns() - start_ns);
    }
    d->warm_clips_per_s = SAMPLE / ((double)best_ns / 1e9);
    store_reading_release(&reading);
    store_snapshot_release(&snap);
    return ok;
}

/* Cores decode while the disk reads what memory does not hold. */
static struct forecast forecast_make(const struct doctor *d, double hit_rate, double disk_rate)
{
    double clip_bytes = (double)d->report.stat.file_bytes / (double)d->report.stat.clips;
    double decoded = d->warm_clips_per_s * d->n_cores, missed = (1 - hit_rate) * clip_bytes;
    double read = missed > 0 && d->disk.known ? disk_rate / missed : INFINITY;
    return (struct forecast){hit_rate, fmin(decoded, read)};
}

static void forecasts_make(struct doctor *d)
{
    const struct probe_disk *disk = &d->disk;
    double file_bytes = (double)d->report.stat.file_bytes;
    d->fits = fmin(1, (double)d->memory_bytes / file_bytes);
    double lru = doctor_lru_hit_rate(d->fits);
    d->full = forecast_make(d, lru, disk->random_bytes_per_s);
    d->pinned = forecast_make(d, d->fits, disk->random_bytes_per_s);
    d->block = forecast_make(d, lru, disk->sequential_bytes_per_s);
}

/* ---------------------------------------------------------------- advice */

static void PRINTF_LIKE(2, 3) advise(struct doctor *d, const char *format, ...)
{
    va_list ap;
    if (d->n_advice == ADVICE_MAX)
        return;
    va_start(ap, format);
    vsnprintf(d->advice[d->n_advice++], ADVICE_BYTES, format, ap);
    va_end(ap);
}

static double jump_rate(const struct doctor_report *r)
{
    uint64_t owned = r->stat.clips - r->aliases;
    return owned > 1 ? (double)r->jumps / (double)(owned - 1) : 0;
}

static void advise_layout(struct doctor *d, const char *path)
{
    const struct doctor_report *r = &d->report;
    double free_part = (double)r->free_bytes / (double)r->stat.file_bytes;
    if (jump_rate(r) > 0.1 || free_part > 0.1)
        advise(d,
               "refrain store compact %.80s: %.0f %% of the records do not lie behind the one "
               "before, %.1f MB are free pages",
               path, 100 * jump_rate(r), (double)r->free_bytes / 1e6);
    if (r->n_generations > 0)
        advise(d, "%" PRIu32 " retired generations lie beside it: remove those that nobody reads",
               r->n_generations);
    if (r->n_stale_readers > 0)
        advise(d,
               "%" PRIu32 " readers were killed and had held free pages back; their slots are "
               "cleared now",
               r->n_stale_readers);
}

static void advise_reading(struct doctor *d)
{
    const struct doctor_report *r = &d->report;
    double raw_bytes = (double)r->stat.file_bytes * 1.6;
    if (d->fits >= 1) {
        advise(d, "all of it fits memory: any order reads at the rate of the cores");
        if (r->stat.dtype == RECORD_U8 && raw_bytes < (double)d->memory_bytes * 0.7)
            advise(d, "store.dtype = raw would fit as well and is read almost three times as fast");
        return;
    }
    if (r->stat.dtype == RECORD_RAW)
        advise(d, "raw records do not fit memory: store.dtype = u8 takes two thirds of the room");
    if (d->pinned.hit_rate > d->full.hit_rate + 0.05)
        advise(d,
               "pin %.0f MB (refrain store bench --pin): %.0f %% of the reads from memory, the "
               "page cache alone answers %.0f %%",
               (double)d->memory_bytes * 0.8 / 1e6, 100 * d->pinned.hit_rate,
               100 * d->full.hit_rate);
    if (d->block.clips_per_s > 1.5 * d->full.clips_per_s)
        advise(d, "read in the order `block`: %.1f times the rate of `full` on this disk",
               d->block.clips_per_s / d->full.clips_per_s);
}

/* ---------------------------------------------------------------- printing */

static void forecast_json(struct json *j, const char *name, const struct forecast *f)
{
    json_object(j, name);
    json_f64(j, "hit_rate", f->hit_rate);
    json_f64(j, "clips_per_s", f->clips_per_s);
    json_end(j);
}

static void print_json(const struct doctor *d, FILE *out)
{
    const struct doctor_report *r = &d->report;
    struct json j;
    json_init(&j, out);
    json_object(&j, NULL);
    json_u64(&j, "clips", r->stat.clips);
    json_u64(&j, "aliases", r->aliases);
    json_u64(&j, "file_bytes", r->stat.file_bytes);
    json_u64(&j, "record_bytes", r->record_bytes);
    json_u64(&j, "slack_bytes", r->slack_bytes);
    json_u64(&j, "free_bytes", r->free_bytes);
    json_u64(&j, "tree_bytes", r->tree_bytes);
    json_u64(&j, "jumps", r->jumps);
    json_f64(&j, "fragmentation", jump_rate(r));
    json_u64(&j, "resident_bytes", r->resident_bytes);
    json_u64(&j, "readers", r->n_readers);
    json_u64(&j, "stale_readers", r->n_stale_readers);
    json_u64(&j, "generations", r->n_generations);
    json_u64(&j, "memory_bytes", d->memory_bytes);
    json_u64(&j, "cores", d->n_cores);
    json_f64(&j, "warm_clips_per_s", d->warm_clips_per_s);
    if (d->disk.known) {
        json_f64(&j, "disk_sequential_bytes_per_s", d->disk.sequential_bytes_per_s);
        json_f64(&j, "disk_random_bytes_per_s", d->disk.random_bytes_per_s);
    } else {
        json_null(&j, "disk_sequential_bytes_per_s");
        json_null(&j, "disk_random_bytes_per_s");
    }
    json_f64(&j, "fits", d->fits);
    forecast_json(&j, "full", &d->full);
    forecast_json(&j, "full_pinned", &d->pinned);
    forecast_json(&j, "block", &d->block);
    json_array(&j, "advice");
    for (size_t i = 0; i < d->n_advice; i++)
        json_str(&j, NULL, d->advice[i]);
    json_end(&j);
    json_end(&j);
    json_finish(&j);
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void print_forecast(const char *name, const struct forecast *f, FILE *out)
{
    fprintf(out, "  %-12s %5.1f %% from memory, %.0f clips/s\n", name, 100 * f->hit_rate,
            f->clips_per_s);
}

static void print_text(const struct doctor *d, FILE *out)
{
    const struct doctor_report *r = &d->report;
    uint64_t file = r->stat.file_bytes;
    fprintf(out,
            "file       %.1f MB: %.1f %% records, %.1f %% slack in their pages, %.1f %% free "
            "pages, %.1f %% tree\n",
            (double)file / 1e6, percent(r->record_bytes - r->slack_bytes, file),
            percent(r->slack_bytes, file), percent(r->free_bytes, file),
            percent(r->tree_bytes, file));
    fprintf(out,
            "layout     %" PRIu64 " of %" PRIu64 " records are not behind the one before; %" PRIu64
            " are aliases of equal ones\n",
            r->jumps, r->stat.clips, r->aliases);
    fprintf(out, "memory     %.1f %% of the file is in the page cache; %.1f MB could be\n",
            percent(r->resident_bytes, file), (double)d->memory_bytes / 1e6);
    fprintf(out, "readers    %" PRIu32 " slots used, %" PRIu32 " stale ones cleared\n",
            r->n_readers, r->n_stale_readers);
    fprintf(out, "decoding   %.0f clips/s on one core, %" PRIu32 " cores\n", d->warm_clips_per_s,
            d->n_cores);
    if (d->disk.known)
        fprintf(out, "disk       %.0f MB/s in sequence, %.0f MB/s in records anywhere\n",
                d->disk.sequential_bytes_per_s / 1e6, d->disk.random_bytes_per_s / 1e6);
    else
        fprintf(out, "disk       cannot be read past the cache here\n");
    fprintf(out, "forecast, an epoch over all records\n");
    print_forecast("full", &d->full, out);
    print_forecast("full, pinned", &d->pinned, out);
    print_forecast("block", &d->block, out);
    for (size_t i = 0; i < d->n_advice; i++)
        fprintf(out, "%s %s\n", i == 0 ? "advice    " : "          ", d->advice[i]);
}

static bool examine(struct store *s, const char *path, struct doctor *d, struct err *e)
{
    char folder[PATH_BYTES], file[PATH_BYTES];
    long n_cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (!store_examine(s, path, &d->report, e))
        return false;
    if (d->report.stat.clips == 0)
        return err_set(e, ERR_PERM, "%s holds no tensors yet", path);
    d->memory_bytes = probe_memory_bytes();
    d->n_cores = n_cores > 0 ? (uint32_t)n_cores : 1;
    uint64_t clip_bytes = d->report.stat.file_bytes / d->report.stat.clips;
    if (!store_folder(folder, path, e) || !path_join(file, folder, "data.mdb", e) ||
        !probe_disk(file, clip_bytes, &d->disk, e) || !measure_warm(s, d, e))
        return false;
    forecasts_make(d);
    advise_layout(d, path);
    advise_reading(d);
    return true;
}

bool store_doctor_run(const char *path, bool as_json, FILE *out, struct err *e)
{
    struct store *s;
    struct doctor d = {0};
    if (!store_open(path, &s, e))
        return false;
    bool ok = examine(s, path, &d, e);
    store_close(s);
    if (ok && as_json)
        print_json(&d, out);
    else if (ok)
        print_text(&d, out);
    return ok;
}
