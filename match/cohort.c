#include "match/cohort.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/permute.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

/*
 * Threads take songs by a counter and write to places of their own; sums are then made in the order
 * of songs. So the result is the same for any number of threads.
 */
enum { HARMONY_EVERY = 8, FILE_MAGIC_BYTES = 8, FILE_SONGS_MAX = 1 << 24 };

static const char file_magic[FILE_MAGIC_BYTES] = "RFRNULL3";

struct work {
    const struct library *library;
    const struct cohort *cohort;
    atomic_size_t next;
    atomic_bool stop;
    float *levels; /* (n_songs, n_members, ALIGN_MODES) scores, NAN: not scored */
    atomic_size_t n_done;
};

static void members_choose(struct cohort *c, size_t n_songs, uint64_t seed)
{
    c->n_members = size_min(n_songs, COHORT_SONGS);
    for (size_t i = 0; i < c->n_members; i++)
        c->members[i] = (uint32_t)permute_at(seed, 0, n_songs, i);
}

/* The first window of a long song stands for it. */
static struct align_side side_of(const struct sequence *s)
{
    return align_side_of(s, 0, (uint32_t)size_min(s->n_frames, ALIGN_FRAMES_MAX));
}

static void *work_run(void *arg)
{
    struct work *w = arg;
    struct aligner *al = aligner_new(simd_best());
    const struct cohort *c = w->cohort;
    for (size_t i; (i = atomic_fetch_add(&w->next, 1)) < w->library->n_songs;) {
        struct align_side a = side_of(&w->library->songs[i].sequence);
        aligner_set_a(al, &a);
        for (size_t k = 0; k < c->n_members && !atomic_load(&w->stop); k++) {
            struct align_end ends[ALIGN_MODES];
            float *out = w->levels + (i * c->n_members + k) * ALIGN_MODES;
            unsigned modes = (i + k) % HARMONY_EVERY == 0 ? ALIGN_ALL : ALIGN_ONLY_MELODY;
            struct align_side b = side_of(&w->library->songs[c->members[k]].sequence);
            for (size_t mode = 0; mode < ALIGN_MODES; mode++)
                out[mode] = NAN;
            if (c->members[k] == i)
                continue;
            aligner_score(al, &b, modes, ALIGN_ROTATIONS, ends);
            for (size_t mode = 0; mode < ALIGN_MODES; mode++)
                if ((modes >> mode & 1) != 0)
                    out[mode] = (float)null_law_level(&null_model_default.laws[mode],
                                                      ends[mode].score, a.n_frames, b.n_frames);
        }
        atomic_fetch_add(&w->n_done, 1);
    }
    aligner_free(al);
    return NULL;
}

/* The calling thread is the last worker when there is one only, else it shows progress. */
static bool run_threads(struct work *w, unsigned threads, cohort_progress_fn *progress, void *arg,
                        struct err *e)
{
    pthread_t ids[COHORT_THREADS_MAX];
    unsigned n = 0;
    const size_t total = w->library->n_songs;
    while (n < threads && n < COHORT_THREADS_MAX && pthread_create(&ids[n], NULL, work_run, w) == 0)
        n++;
    if (n == 0)
        return err_set(e, ERR_FATAL, "no thread can be started");
    bool stop = false;
    while (!stop && atomic_load(&w->n_done) < total) {
        struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
        nanosleep(&pause, NULL);
        stop = progress != NULL && !progress(arg, atomic_load(&w->n_done) * w->cohort->n_members,
                                             total * w->cohort->n_members);
        if (stop) {
            atomic_store(&w->stop, true);
            atomic_store(&w->next, total);
        }
    }
    for (unsigned i = 0; i < n; i++)
        pthread_join(ids[i], NULL);
    return !stop || err_set(e, ERR_STOP, "asked to stop");
}

/* The mean without the two largest, which may be relatives. */
static double robust_mean(const float *levels, size_t n)
{
    double sum = 0, most = -INFINITY, second = -INFINITY;
    size_t count = 0;
    for (size_t k = 0; k < n; k++) {
        double x = (double)levels[k * ALIGN_MODES + ALIGN_MELODY];
        if (isnan(x))
            continue;
        sum += x;
        count++;
        if (x > most) {
            second = most;
            most = x;
        } else if (x > second) {
            second = x;
        }
    }
    return count > 2 ? (sum - most - second) / (double)(count - 2) : NAN;
}

static void find_excesses(struct cohort *c, const float *levels)
{
    double sum = 0;
    for (size_t i = 0; i < c->n_songs; i++) {
        c->excess[i] = (float)robust_mean(levels + i * c->n_members * ALIGN_MODES, c->n_members);
        sum += (double)c->excess[i];
    }
    c->mean = sum / (double)c->n_songs;
    for (size_t i = 0; i < c->n_songs; i++)
        c->excess[i] -= (float)c->mean;
}

static void fit_laws(struct cohort *c, const float *levels)
{
    size_t n_pairs = c->n_songs * c->n_members;
    double *scores = mem_alloc(n_pairs, sizeof *scores);
    for (size_t mode = 0; mode < ALIGN_MODES; mode++) {
        size_t n = 0;
        for (size_t i = 0; i < n_pairs; i++) {
            double x = (double)levels[i * ALIGN_MODES + mode];
            if (mode == ALIGN_MELODY)
                x -=
                    (double)(c->excess[i / c->n_members] + c->excess[c->members[i % c->n_members]]);
            if (!isnan(x))
                scores[n++] = x;
        }
        if (null_law_fit(scores, n, &c->null.laws[mode]) && mode == ALIGN_MELODY)
            c->null.n_pairs = n;
    }
    mem_free(scores);
}

bool cohort_make(const struct library *l, uint64_t seed, unsigned threads,
                 cohort_progress_fn *progress, void *arg, struct cohort *out, struct err *e)
{
    struct cohort c = {.null = null_model_default, .n_songs = l->n_songs};
    c.excess = mem_zalloc(size_max(1, l->n_songs), sizeof *c.excess);
    members_choose(&c, l->n_songs, seed);
    struct work w = {.library = l, .cohort = &c};
    bool ok = true;
    if (l->n_songs >= COHORT_LIBRARY_MIN) {
        w.levels = mem_alloc(c.n_songs * c.n_members * ALIGN_MODES, sizeof *w.levels);
        ok = run_threads(&w, threads, progress, arg, e);
        if (ok) {
            find_excesses(&c, w.levels);
            fit_laws(&c, w.levels);
        }
        mem_free(w.levels);
    }
    if (ok)
        *out = c;
    else
        cohort_release(&c);
    return ok;
}

void cohort_release(struct cohort *c)
{
    mem_free(c->excess);
    *c = (struct cohort){0};
}

double cohort_excess(const struct cohort *c, const struct library *l, const struct sequence *s,
                     struct aligner *al)
{
    float levels[COHORT_SONGS * ALIGN_MODES];
    struct align_side a = side_of(s);
    if (c->n_songs < COHORT_LIBRARY_MIN || c->n_members < 3)
        return 0;
    aligner_set_a(al, &a);
    for (size_t k = 0; k < c->n_members; k++) {
        struct align_end ends[ALIGN_MODES];
        struct align_side b = side_of(&l->songs[c->members[k]].sequence);
        aligner_score(al, &b, ALIGN_ONLY_MELODY, ALIGN_ROTATIONS, ends);
        levels[k * ALIGN_MODES + ALIGN_MELODY] =
            (float)null_law_level(&null_model_default.laws[ALIGN_MELODY], ends[ALIGN_MELODY].score,
                                  a.n_frames, b.n_frames);
    }
    return robust_mean(levels, c->n_members) - c->mean;
}

double cohort_chance(const struct cohort *c, double level)
{
    return null_law_chance_of_level(&c->null.laws[ALIGN_MELODY], level);
}

/* ---------------------------------------------------------------- file */

/* What stands in front of the excesses; docs/FORMAT.md. */
struct file_head {
    char magic[FILE_MAGIC_BYTES];
    uint64_t spec_hash, root, seed, n_songs, n_members, n_pairs;
    double mean;
    struct null_law laws[ALIGN_MODES];
    uint32_t members[COHORT_SONGS];
    uint64_t checksum; /* of the excesses, seeded with the hash of what stands before */
};

static uint64_t checksum_of(const struct file_head *h, const float *excess, size_t n)
{
    return hash64(excess, n * sizeof *excess, hash64(h, offsetof(struct file_head, checksum), 0));
}

/* False for whatever is not exactly this library's: it is made anew then. */
static bool file_read(const char *path, const struct library *l, uint64_t seed, struct cohort *out)
{
    struct err ignored = {0};
    struct file_head h;
    struct buf file;
    buf_init(&file, sizeof h + (size_t)FILE_SONGS_MAX * sizeof(float));
    bool ok = file_exists(path) && file_read_all(path, &file, &ignored) &&
              file.len == sizeof h + l->n_songs * sizeof(float);
    if (ok) {
        memcpy(&h, file.data, sizeof h);
        ok = memcmp(h.magic, file_magic, sizeof h.magic) == 0 &&
             h.spec_hash == sequence_spec_hash() && h.root == l->root && h.seed == seed &&
             h.n_songs == l->n_songs && h.n_members == size_min(l->n_songs, COHORT_SONGS);
    }
    if (ok) {
        struct cohort c = {.n_songs = l->n_songs, .n_members = h.n_members, .mean = h.mean};
        c.null.n_pairs = h.n_pairs;
        memcpy(c.null.laws, h.laws, sizeof h.laws);
        memcpy(c.members, h.members, sizeof h.members);
        c.excess = mem_alloc(size_max(1, c.n_songs), sizeof *c.excess);
        memcpy(c.excess, (const uint8_t *)file.data + sizeof h, c.n_songs * sizeof *c.excess);
        ok = h.checksum == checksum_of(&h, c.excess, c.n_songs);
        for (size_t i = 0; i < c.n_members; i++)
            ok = ok && c.members[i] < c.n_songs;
        if (ok)
            *out = c;
        else
            cohort_release(&c);
    }
    buf_release(&file);
    return ok;
}

static bool file_write(const char *path, const struct library *l, uint64_t seed,
                       const struct cohort *c, struct err *e)
{
    struct file_head h;
    struct buf file;
    memset(&h, 0, sizeof h); /* padding too */
    memcpy(h.magic, file_magic, sizeof h.magic);
    h.spec_hash = sequence_spec_hash();
    h.root = l->root;
    h.seed = seed;
    h.n_songs = c->n_songs;
    h.n_members = c->n_members;
    h.n_pairs = c->null.n_pairs;
    h.mean = c->mean;
    memcpy(h.laws, c->null.laws, sizeof h.laws);
    memcpy(h.members, c->members, sizeof h.members);
    h.checksum = checksum_of(&h, c->excess, c->n_songs);
    buf_init(&file, sizeof h + (size_t)FILE_SONGS_MAX * sizeof(float));
    bool ok = buf_append(&file, &h, sizeof h, e) &&
              buf_append(&file, c->excess, c->n_songs * sizeof *c->excess, e) &&
              file_write_atomic(path, buf_span(&file), e);
    buf_release(&file);
    return ok;
}

bool cohort_open(const char *dataset_dir, const struct library *l, uint64_t seed, unsigned threads,
                 cohort_progress_fn *progress, void *arg, struct cohort *out, struct err *e)
{
    char path[PATH_BYTES];
    if (!path_join(path, dataset_dir, "sequences.null", e))
        return false;
    if (file_read(path, l, seed, out))
        return true;
    if (!cohort_make(l, seed, threads, progress, arg, out, e))
        return false;
    if (!file_write(path, l, seed, out, e)) {
        cohort_release(out);
        return err_wrap(e, "%s", path);
    }
    return true;
}
