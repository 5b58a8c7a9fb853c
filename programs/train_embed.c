#include "programs/train_embed.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/npy.h"
#include "base/permute.h"
#include "base/progress.h"
#include "programs/csv_out.h"
#include "programs/delegate.h"
#include "store/store.h"
#include "train/mapping.h"
#include "train/safetensors.h"
#include "train/vectorizer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    BATCH = 32,
    FILES_MAX = 64,
    COHORT_MAX =
        1500, /* songs of the data set that a pair of files is compared with: 1.1 M pairs */
    NPY_MAX_BYTES = 64 << 20,
};

extern char **environ;

/* The data set's clips as the model sees them. */
struct source {
    struct store *store;
    struct store_snapshot snap;
    struct vectorizer model;
    float *pictures;
};

static bool source_open(struct source *s, const struct dataset *d, const struct embed_options *o,
                        struct err *e)
{
    if (!store_open(d->dir, &s->store, e))
        return false;
    store_stay_small(s->store);
    if (!store_snapshot_init(s->store, &s->snap, e) ||
        !vectorizer_open(d->dir, o->name, (uint32_t)o->threads, BATCH, &s->model, e))
        return false;
    const struct recipe *r = &s->model.recipe;
    if (s->snap.spec_hash != r->spec_hash || (int32_t)s->snap.n_frames != r->model.n_frames ||
        (int32_t)s->snap.n_mels != r->model.n_mels)
        return err_set(e, ERR_USAGE,
                       "the model %s was trained on features of spec %016" PRIx64
                       " and the store has %016" PRIx64 ": its numbers would mean nothing",
                       o->name, r->spec_hash, s->snap.spec_hash);
    s->pictures =
        mem_alloc_aligned((size_t)BATCH * s->snap.n_frames * s->snap.n_mels, sizeof *s->pictures);
    return true;
}

static void source_close(struct source *s)
{
    vectorizer_close(&s->model);
    store_snapshot_release(&s->snap);
    store_close(s->store);
    mem_free(s->pictures);
}

static bool source_vectors(struct source *s, const uint64_t *keys, size_t n, float *out,
                           struct err *e)
{
    for (size_t done = 0; done < n;) {
        size_t now = size_min(BATCH, n - done);
        if (!store_read_batch(s->store, keys + done, now, s->snap.n_frames, s->snap.n_mels,
                              s->pictures, e) ||
            !vectorizer_run(&s->model, s->pictures, now, out + done * EMBEDDING_DIM, e))
            return false;
        done += now;
    }
    return true;
}

/* ---------------------------------------------------------------- a data set */

static bool ends_with(const char *text, const char *end)
{
    size_t a = strlen(text), b = strlen(end);
    return a > b && strcmp(text + a - b, end) == 0;
}

static bool write_ids(struct source *s, const uint64_t *keys, size_t n, const char *output,
                      struct err *e)
{
    struct csv_out c;
    char path[PATH_BYTES];
    const char *dot = strrchr(output, '.');
    int len = snprintf(path, sizeof path, "%.*s.csv", (int)(dot - output), output);
    if (len < 0 || (size_t)len >= sizeof path)
        return err_set(e, ERR_USAGE, "%.200s: the path is too long", output);
    if (!csv_out_open(&c, path, e))
        return false;
    static const char *const header[] = {"index", "track_id", "row", "clip", "view"};
    for (size_t i = 0; i < ARRAY_LEN(header); i++)
        csv_out_text(&c, header[i]);
    bool ok = csv_out_end(&c);
    struct store_track_info info = {0};
    for (size_t i = 0; ok && i < n; i++) {
        uint64_t row = store_key_row(keys[i]);
        if (i == 0 || row != store_key_row(keys[i - 1]))
            ok = store_get_track(s->store, row, &info, e);
        csv_out_u64(&c, i);
        csv_out_text(&c, info.track_id);
        csv_out_u64(&c, row);
        csv_out_u64(&c, store_key_clip(keys[i]));
        csv_out_u64(&c, store_key_view(keys[i]));
        ok = csv_out_end(&c) && ok;
    }
    return csv_out_close(&c, ok, e);
}

static bool write_vectors(const uint64_t *keys, const float *vectors, size_t n, const char *output,
                          struct err *e)
{
    uint64_t shape[2] = {n, EMBEDDING_DIM};
    if (ends_with(output, ".npy"))
        return npy_write(output, "<f4", shape, 2,
                         (struct span){vectors, n * EMBEDDING_DIM * sizeof *vectors}, e);
    struct safetensors *st = mem_zalloc(1, sizeof *st);
    safetensors_init(st);
    safetensors_add(st, "embedding", "F32", shape, 2, vectors);
    safetensors_add(st, "key", "U64", shape, 1, keys);
    bool ok = safetensors_write(st, output, e);
    safetensors_release(st);
    mem_free(st);
    return ok;
}

static void print_dataset_json(size_t n, const char *output)
{
    struct json j;
    json_init(&j, stdout);
    json_object(&j, NULL);
    json_u64(&j, "clips", n);
    json_u64(&j, "dim", EMBEDDING_DIM);
    json_str(&j, "output", output);
    json_end(&j);
    json_finish(&j);
}

bool embed_dataset(const struct dataset *d, const struct embed_options *o, struct err *e)
{
    struct source s = {0};
    struct mapping keys_map = {0}, vectors_map = {0};
    bool ok = false;
    if (o->output == NULL ||
        (!ends_with(o->output, ".npy") && !ends_with(o->output, ".safetensors")))
        return err_set(e, ERR_USAGE, "give the result's name with -o FILE.npy or FILE.safetensors");
    if (!source_open(&s, d, o, e))
        goto out;
    size_t n = 0;
    if (!mapping_init(&keys_map, d->dir, s.snap.n_keys * sizeof(uint64_t), e))
        goto out;
    uint64_t *keys = keys_map.base;
    for (size_t i = 0; i < s.snap.n_keys; i++)
        if (!o->originals || store_key_view(s.snap.keys[i]) == 0)
            keys[n++] = s.snap.keys[i];
    if (!mapping_init(&vectors_map, d->dir, n * EMBEDDING_DIM * sizeof(float), e))
        goto out;
    struct progress progress;
    progress_init(&progress, "embed", "clips", n);
    for (size_t done = 0; done < n;) {
        size_t now = size_min(BATCH, n - done);
        if (!source_vectors(&s, keys + done, now, (float *)vectors_map.base + done * EMBEDDING_DIM,
                            e))
            goto out;
        done += now;
        progress_update(&progress, clock_now_ns(), done, "%s", o->name);
    }
    progress_finish(&progress, clock_now_ns());
    ok = write_vectors(keys, vectors_map.base, n, o->output, e) &&
         write_ids(&s, keys, n, o->output, e);
    if (ok && o->json)
        print_dataset_json(n, o->output);
    else if (ok)
        printf("%zu vectors of %d numbers in %s, ids in the .csv beside it\n", n, EMBEDDING_DIM,
               o->output);
out:
    mapping_release(&keys_map);
    mapping_release(&vectors_map);
    source_close(&s);
    return ok;
}

/* ---------------------------------------------------------------- single files */

/* The clip's log-mel by refrain-extract: audio of strangers is decoded in its sandbox, not here. */
static bool run_features(const struct dataset *d, const struct embed_options *o, const char *file,
                         const char *output, struct err *e)
{
    char program[PATH_BYTES], start[32], length[32];
    delegate_locate("refrain-extract", program);
    snprintf(start, sizeof start, "%" PRIu64, o->start_ms);
    snprintf(length, sizeof length, "%" PRIu64, d->settings.clip.ms);
    const char *argv[] = {
        "refrain-extract", "features", file,      "-o", output, "--like", d->dir, "--ms", length,
        "--start-ms",      start,      "--quiet", NULL};
    pid_t pid;
    int status = 0;
    posix_spawn_file_actions_t actions; /* its result is the file, not what it says */
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    int failed =
        posix_spawnp(&pid, program, &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed != 0)
        return err_set_errno(e, ERR_FATAL, failed, "%s cannot be started", program);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return err_set(e, ERR_PERM, "%s: no clip of %s ms from %s ms could be made of it", file,
                       length, start);
    return true;
}

/* What refrain-extract wrote: (mels, frames) float32. */
static bool read_picture(const char *path, uint32_t n_frames, uint32_t n_mels, float *out,
                         struct err *e)
{
    struct buf file;
    uint16_t header_len;
    bool ok = false;
    buf_init(&file, NPY_MAX_BYTES);
    if (!file_read_all(path, &file, e))
        goto out;
    size_t bytes = (size_t)n_frames * n_mels * sizeof(float);
    memcpy(&header_len, file.len >= 10 ? file.data + 8 : (const uint8_t *)"\0\0",
           sizeof header_len);
    if (file.len != 10u + header_len + bytes) {
        err_set(e, ERR_PERM, "the clip is not %u frames of %u bands: is the file long enough?",
                n_frames, n_mels);
        goto out;
    }
    const uint8_t *values = file.data + 10 + header_len;
    for (size_t m = 0; m < n_mels; m++)
        for (size_t f = 0; f < n_frames; f++)
            memcpy(&out[f * n_mels + m], values + (m * n_frames + f) * sizeof(float),
                   sizeof(float));
    ok = true;
out:
    buf_release(&file);
    return ok;
}

static bool embed_file(struct source *s, const struct dataset *d, const struct embed_options *o,
                       const char *file, float *vector, struct err *e)
{
    const char *base = getenv("TMPDIR");
    char dir[PATH_BYTES], path[PATH_BYTES];
    if (!path_join(dir, base != NULL ? base : "/tmp", "refrain-embed-XXXXXX", e))
        return false;
    if (mkdtemp(dir) == NULL)
        return err_set_errno(e, ERR_FATAL, errno, "%s: cannot make a temporary folder", dir);
    bool ok = path_join(path, dir, "clip.npy", e) && run_features(d, o, file, path, e) &&
              read_picture(path, s->snap.n_frames, s->snap.n_mels, s->pictures, e) &&
              vectorizer_run(&s->model, s->pictures, 1, vector, e);
    unlink(path);
    rmdir(dir);
    return ok;
}

static float cosine(const float *x, const float *y)
{
    double sum = 0.0;
    for (size_t i = 0; i < EMBEDDING_DIM; i++)
        sum += (double)x[i] * (double)y[i];
    return (float)sum;
}

static int compare_floats(const void *x, const void *y)
{
    float a = *(const float *)x, b = *(const float *)y;
    return a < b ? -1 : a > b;
}

/* Cosines of all pairs of up to COHORT_MAX songs of the data set, one clip each, ascending. */
static bool cohort_cosines(struct source *s, float **out, size_t *out_n, struct err *e)
{
    uint64_t *keys = mem_alloc(COHORT_MAX, sizeof *keys);
    size_t n_songs = 0, n = 0, k = 0, n_pairs = 0;
    for (size_t i = 0; i < s->snap.n_keys; i++)
        n_songs += i == 0 || store_key_row(s->snap.keys[i]) != store_key_row(s->snap.keys[i - 1]);
    size_t step = size_max(1, n_songs / COHORT_MAX);
    for (size_t i = 0; i < s->snap.n_keys && n < COHORT_MAX; i++)
        if (i == 0 || store_key_row(s->snap.keys[i]) != store_key_row(s->snap.keys[i - 1]))
            if (k++ % step == 0)
                keys[n++] = s->snap.keys[i];
    float *vectors = mem_alloc(n * EMBEDDING_DIM, sizeof *vectors);
    float *pairs = mem_alloc(size_max(1, n * (n - 1) / 2), sizeof *pairs);
    bool ok = source_vectors(s, keys, n, vectors, e);
    for (size_t a = 0; ok && a < n; a++)
        for (size_t b = a + 1; b < n; b++)
            pairs[n_pairs++] = cosine(vectors + a * EMBEDDING_DIM, vectors + b * EMBEDDING_DIM);
    qsort(pairs, n_pairs, sizeof *pairs, compare_floats);
    mem_free(vectors);
    mem_free(keys);
    *out = pairs;
    *out_n = n_pairs;
    return ok;
}

static double share_below(const float *sorted, size_t n, float value)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (sorted[mid] < value)
            lo = mid + 1;
        else
            hi = mid;
    }
    return n == 0 ? 0.0 : (double)lo / (double)n;
}

static void print_pairs(char *const *files, size_t n_files, const float *vectors,
                        const float *cohort, size_t n_cohort, bool as_json)
{
    struct json j;
    if (as_json) {
        json_init(&j, stdout);
        json_object(&j, NULL);
        json_u64(&j, "cohort_pairs", n_cohort);
        json_array(&j, "pairs");
    }
    for (size_t a = 0; a < n_files; a++)
        for (size_t b = a + 1; b < n_files; b++) {
            float value = cosine(vectors + a * EMBEDDING_DIM, vectors + b * EMBEDDING_DIM);
            double below = share_below(cohort, n_cohort, value);
            if (as_json) {
                json_object(&j, NULL);
                json_str(&j, "a", files[a]);
                json_str(&j, "b", files[b]);
                json_f64(&j, "cosine", (double)value);
                json_f64(&j, "percentile", 100.0 * below);
                json_end(&j);
            } else {
                printf("%s and %s: cosine %.4f, more alike than %.2f %% of the data set's pairs of "
                       "songs (%zu pairs)\n",
                       files[a], files[b], (double)value, 100.0 * below, n_cohort);
            }
        }
    if (as_json) {
        json_end(&j);
        json_end(&j);
        json_finish(&j);
    }
}

bool embed_files(const struct dataset *d, const struct embed_options *o, char *const *files,
                 size_t n_files, struct err *e)
{
    struct source s = {0};
    float *vectors = NULL, *cohort = NULL;
    size_t n_cohort = 0;
    bool ok = false;
    if (n_files < 2 || n_files > FILES_MAX)
        return err_set(e, ERR_USAGE, "--audio compares 2 to %d files, %zu were given", FILES_MAX,
                       n_files);
    if (!source_open(&s, d, o, e))
        goto out;
    vectors = mem_alloc(n_files * EMBEDDING_DIM, sizeof *vectors);
    for (size_t i = 0; i < n_files; i++)
        if (!embed_file(&s, d, o, files[i], vectors + i * EMBEDDING_DIM, e))
            goto out;
    if (!cohort_cosines(&s, &cohort, &n_cohort, e))
        goto out;
    print_pairs(files, n_files, vectors, cohort, n_cohort, o->json);
    ok = true;
out:
    mem_free(vectors);
    mem_free(cohort);
    source_close(&s);
    return ok;
}
