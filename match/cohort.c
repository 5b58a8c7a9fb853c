#include "match/cohort.h"

#include "base/mem.h"
#include "base/permute.h"
#include "match/workers.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

/*
 * Threads take songs by a counter and write to places of their own; sums are then made in the order
 * of the sample. So the result is the same for any number of threads. A song's excess is a function
 * of the song, the members and the sample's mean, whenever it is found.
 */
enum { HARMONY_EVERY = 8, GROUPS = 8 /* of the jackknife */ };

/* A song's scores with the members. */
struct work {
    const struct library *library;
    const struct cohort *cohort;
    const uint32_t *songs;
    size_t n;
    atomic_size_t next, n_done;
    atomic_bool stop;
    float *levels; /* (n, n_members, ALIGN_MODES), NAN: not scored */
};

/* The members, then the others of the sample. */
static uint32_t *sample_make(const struct cohort *c, uint64_t seed)
{
    uint32_t *songs = mem_alloc(size_max(1, c->n_sample), sizeof *songs);
    for (size_t i = 0; i < c->n_sample; i++)
        songs[i] = (uint32_t)permute_at(seed, 0, c->n_songs, i);
    return songs;
}

/* The first window of a long song stands for it. */
static struct align_side side_of(const struct sequence *s)
{
    return align_side_of(s, 0, (uint32_t)size_min(s->n_frames, ALIGN_FRAMES_MAX));
}

/* levels: (n_members, ALIGN_MODES). self: a member that is the song itself; SIZE_MAX: none. Now and
 * then all modes are scored, so that they have laws too. */
static bool score_members(const struct cohort *c, const struct library *l, struct aligner *al,
                          const struct sequence *song, size_t self, size_t harmony_at,
                          float *levels, struct err *e)
{
    struct align_side a = side_of(song);
    aligner_set_a(al, &a);
    for (size_t k = 0; k < c->n_members; k++) {
        struct align_end ends[ALIGN_MODES];
        float *out = levels + k * ALIGN_MODES;
        unsigned modes = (harmony_at + k) % HARMONY_EVERY == 0 ? ALIGN_ALL : ALIGN_ONLY_MELODY;
        struct align_side b = side_of(&l->songs[c->members[k]].sequence);
        for (size_t mode = 0; mode < ALIGN_MODES; mode++)
            out[mode] = NAN;
        if (c->members[k] == self)
            continue;
        if (!library_check_song(l, c->members[k], e))
            return false;
        aligner_score(al, &b, modes, ALIGN_ROTATIONS, ends);
        for (size_t mode = 0; mode < ALIGN_MODES; mode++)
            if ((modes >> mode & 1) != 0)
                out[mode] = (float)null_law_level(&null_model_default.laws[mode], ends[mode].score,
                                                  a.n_frames, b.n_frames);
    }
    return true;
}

static bool work_run(void *arg, struct err *e)
{
    struct work *w = arg;
    struct aligner *al = aligner_new(simd_best());
    const size_t width = w->cohort->n_members * ALIGN_MODES;
    bool ok = true;
    for (size_t i; ok && !atomic_load(&w->stop) && (i = atomic_fetch_add(&w->next, 1)) < w->n;) {
        const uint32_t song_i = w->songs[i];
        ok = library_check_song(w->library, song_i, e) &&
             score_members(w->cohort, w->library, al, &w->library->songs[song_i].sequence, song_i,
                           i, w->levels + i * width, e);
        atomic_fetch_add(&w->n_done, 1);
    }
    if (!ok)
        atomic_store(&w->stop, true);
    aligner_free(al);
    return ok;
}

/* ---------------------------------------------------------------- progress */

/* Shows progress from the calling thread while another one has the workers. */
struct watched {
    struct work *work;
    unsigned threads;
    atomic_bool done;
    bool ok;
    struct err why;
};

static void *watched_run(void *arg)
{
    struct watched *w = arg;
    w->ok = workers_run(w->threads, work_run, w->work, &w->why);
    atomic_store(&w->done, true);
    return NULL;
}

static bool run_watched(struct work *work, unsigned threads, cohort_progress_fn *progress,
                        void *arg, struct err *e)
{
    struct watched w = {.work = work, .threads = threads};
    const uint64_t n_members = work->cohort->n_members;
    pthread_t id;
    bool stop = false;
    if (pthread_create(&id, NULL, watched_run, &w) != 0)
        return err_set(e, ERR_FATAL, "no thread can be started");
    while (!atomic_load(&w.done)) {
        struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
        nanosleep(&pause, NULL);
        stop = stop || (progress != NULL && !progress(arg, atomic_load(&work->n_done) * n_members,
                                                      work->n * n_members));
        if (stop)
            atomic_store(&work->stop, true);
    }
    pthread_join(id, NULL);
    if (!w.ok)
        *e = w.why;
    return w.ok && (!stop || err_set(e, ERR_STOP, "asked to stop"));
}

/* ---------------------------------------------------------------- sums */

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

static void find_excesses(struct cohort *c, const struct work *w)
{
    double sum = 0;
    for (size_t i = 0; i < w->n; i++) {
        float mean = (float)robust_mean(w->levels + i * c->n_members * ALIGN_MODES, c->n_members);
        c->excess[w->songs[i]] = mean;
        sum += (double)mean;
    }
    c->mean = sum / (double)w->n;
    for (size_t i = 0; i < w->n; i++)
        c->excess[w->songs[i]] -= (float)c->mean;
}

/* A mode's levels with excesses off, without those of a group of songs or of members (GROUPS: none
 * is left out); returns how many. */
static size_t gather(const struct cohort *c, const struct work *w, enum align_mode mode,
                     size_t songs_out, size_t members_out, double *levels)
{
    size_t n = 0;
    for (size_t i = 0; i < w->n; i++)
        for (size_t k = 0; k < c->n_members; k++) {
            double x = (double)w->levels[(i * c->n_members + k) * ALIGN_MODES + mode];
            if (mode == ALIGN_MELODY)
                x -= (double)(c->excess[w->songs[i]] + c->excess[c->members[k]]);
            if (!isnan(x) && i % GROUPS != songs_out && k % GROUPS != members_out)
                levels[n++] = x;
        }
    return n;
}

/* How far E moves with the songs and with the members that are drawn: the jackknife over groups
 * (Tukey, 1958), of the logarithm of E where it is 1. */
static double find_factor(const struct cohort *c, const struct work *w, double *levels)
{
    const struct null_law *law = &c->null.laws[ALIGN_MELODY];
    const double level = null_law_score(law, 1 / (double)c->n_songs, NULL_FRAMES, NULL_FRAMES);
    double variance = 0;
    for (size_t by_members = 0; by_members < 2; by_members++) {
        double sum = 0, squares = 0;
        for (size_t g = 0; g < GROUPS; g++) {
            struct null_law part = *law;
            size_t n = gather(c, w, ALIGN_MELODY, by_members ? GROUPS : g, by_members ? g : GROUPS,
                              levels);
            if (!null_law_fit(levels, n, &part))
                return NAN;
            double moved =
                log(fmax(1e-9, null_law_chance_of_level(&part, level) * (double)c->n_songs));
            sum += moved;
            squares += moved * moved;
        }
        variance += (GROUPS - 1) * (squares / GROUPS - sum / GROUPS * (sum / GROUPS));
    }
    return exp(1.96 * sqrt(fmax(0, variance)));
}

static void fit_laws(struct cohort *c, const struct work *w)
{
    double *levels = mem_alloc(w->n * c->n_members, sizeof *levels);
    for (size_t mode = 0; mode < ALIGN_MODES; mode++) {
        size_t n = gather(c, w, (enum align_mode)mode, GROUPS, GROUPS, levels);
        if (null_law_fit(levels, n, &c->null.laws[mode]) && mode == ALIGN_MELODY)
            c->null.n_pairs = n;
    }
    if (c->null.n_pairs > 0)
        c->evalue_factor = find_factor(c, w, levels);
    mem_free(levels);
}

/* ---------------------------------------------------------------- */

bool cohort_make(const struct library *l, uint64_t seed, unsigned threads,
                 cohort_progress_fn *progress, void *arg, struct cohort *out, struct err *e)
{
    struct cohort c = {.null = null_model_default, .evalue_factor = NAN, .n_songs = l->n_songs};
    const bool has_sample = l->n_songs >= COHORT_LIBRARY_MIN;
    c.n_sample = size_min(l->n_songs, COHORT_SAMPLE);
    c.n_members = size_min(l->n_songs, COHORT_SONGS);
    c.excess = mem_alloc(size_max(1, l->n_songs), sizeof *c.excess);
    for (size_t i = 0; i < l->n_songs; i++)
        c.excess[i] = has_sample ? NAN : 0;
    uint32_t *sample = sample_make(&c, seed);
    memcpy(c.members, sample, c.n_members * sizeof *sample);
    bool ok = true;
    if (has_sample) {
        struct work w = {.library = l, .cohort = &c, .songs = sample, .n = c.n_sample};
        w.levels = mem_alloc(w.n * c.n_members * ALIGN_MODES, sizeof *w.levels);
        ok = run_watched(&w, threads, progress, arg, e);
        if (ok) {
            find_excesses(&c, &w);
            fit_laws(&c, &w);
        }
        mem_free(w.levels);
    }
    mem_free(sample);
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

bool cohort_learn(struct cohort *c, const struct library *l, const uint32_t *songs, size_t n,
                  unsigned threads, struct err *e)
{
    uint32_t *unknown = mem_alloc(size_max(1, n), sizeof *unknown);
    struct work w = {.library = l, .cohort = c, .songs = unknown};
    for (size_t i = 0; i < n; i++)
        if (isnan(c->excess[songs[i]]))
            unknown[w.n++] = songs[i];
    bool ok = true;
    if (w.n > 0) {
        const size_t width = c->n_members * ALIGN_MODES;
        w.levels = mem_alloc(w.n * width, sizeof *w.levels);
        ok = workers_run(threads, work_run, &w, e);
        for (size_t i = 0; ok && i < w.n; i++)
            c->excess[unknown[i]] =
                (float)robust_mean(w.levels + i * width, c->n_members) - (float)c->mean;
        c->is_new = c->is_new || ok;
        mem_free(w.levels);
    }
    mem_free(unknown);
    return ok;
}

bool cohort_excess(const struct cohort *c, const struct library *l, const struct sequence *s,
                   struct aligner *al, double *out, struct err *e)
{
    float levels[COHORT_SONGS * ALIGN_MODES];
    *out = 0;
    if (c->n_songs < COHORT_LIBRARY_MIN)
        return true;
    if (!score_members(c, l, al, s, SIZE_MAX, 0, levels, e))
        return false;
    *out = robust_mean(levels, c->n_members) - c->mean;
    return true;
}

double cohort_chance(const struct cohort *c, double level)
{
    return null_law_chance_of_level(&c->null.laws[ALIGN_MELODY], level);
}
