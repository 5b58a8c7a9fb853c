#include "match/search.h"

#include "base/mem.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { TAKE = 64 /* songs that a thread takes at a time */, COARSE_SURE = 40 };

/* One alignment of a query with each song of a list; threads write to places of their own. */
struct sweep {
    const struct sequence *query;
    const struct library *library;
    const struct sequence *coarse; /* NULL: the library's own sequences */
    const uint32_t *songs;         /* NULL: all */
    size_t n;
    atomic_size_t next;
    struct align_end *ends; /* (n): of the melody */
};

/* Frames beyond the aligner's limit are in no first pass, and their best window counts exactly. */
static void align_windows(struct aligner *al, const struct sequence *a, const struct sequence *b,
                          struct align_end *out)
{
    *out = (struct align_end){0};
    for (uint32_t from_a = 0; from_a + ALIGN_STACK <= a->n_frames; from_a += ALIGN_FRAMES_MAX) {
        uint32_t n_a = (uint32_t)size_min(a->n_frames - from_a, ALIGN_FRAMES_MAX);
        struct align_side side = align_side_of(a, from_a, n_a);
        aligner_set_a(al, &side);
        for (uint32_t from_b = 0; from_b + ALIGN_STACK <= b->n_frames; from_b += ALIGN_FRAMES_MAX) {
            uint32_t n_b = (uint32_t)size_min(b->n_frames - from_b, ALIGN_FRAMES_MAX);
            struct align_side other = align_side_of(b, from_b, n_b);
            struct align_end ends[ALIGN_MODES];
            aligner_score(al, &other, ALIGN_ONLY_MELODY, ALIGN_ROTATIONS, ends);
            if (ends[ALIGN_MELODY].score > out->score)
                *out = ends[ALIGN_MELODY];
        }
    }
}

static void *sweep_run(void *arg)
{
    struct sweep *w = arg;
    struct aligner *al = aligner_new(simd_best());
    for (size_t from; (from = atomic_fetch_add(&w->next, TAKE)) < w->n;)
        for (size_t i = from; i < size_min(from + TAKE, w->n); i++) {
            size_t song_i = w->songs != NULL ? w->songs[i] : i;
            const struct sequence *s =
                w->coarse != NULL ? &w->coarse[song_i] : &w->library->songs[song_i].sequence;
            align_windows(al, w->query, s, &w->ends[i]);
        }
    aligner_free(al);
    return NULL;
}

static bool sweep_all(struct sweep *w, unsigned threads, struct err *e)
{
    pthread_t ids[SEARCH_THREADS_MAX];
    unsigned n = 0;
    while (n < threads && n < SEARCH_THREADS_MAX &&
           pthread_create(&ids[n], NULL, sweep_run, w) == 0)
        n++;
    if (n == 0)
        return err_set(e, ERR_FATAL, "no thread can be started");
    for (unsigned i = 0; i < n; i++)
        pthread_join(ids[i], NULL);
    return true;
}

/* ---------------------------------------------------------------- first pass */

/* Means of SEARCH_COARSE frames, as long as a frame may be where the melody is sure. */
static void coarsen(const struct sequence *in, struct sequence *out)
{
    const uint32_t n = in->n_frames / SEARCH_COARSE;
    *out = (struct sequence){.n_frames = n, .levels = mem_zalloc(n, LIBRARY_RECORD_COLUMNS)};
    for (size_t t = 0; t < n; t++) {
        const uint8_t *from =
            sequence_aspect(in, ASPECT_MELODY) + t * SEARCH_COARSE * SEQUENCE_CLASSES;
        uint8_t *to = out->levels + (ASPECT_MELODY * (size_t)n + t) * SEQUENCE_CLASSES;
        double mean[SEQUENCE_CLASSES] = {0}, square = 0;
        for (size_t k = 0; k < (size_t)SEARCH_COARSE * SEQUENCE_CLASSES; k++)
            mean[k % SEQUENCE_CLASSES] += (double)from[k] / SEARCH_COARSE;
        for (size_t c = 0; c < SEQUENCE_CLASSES; c++)
            square += mean[c] * mean[c];
        for (size_t c = 0; c < SEQUENCE_CLASSES; c++)
            to[c] = (uint8_t)(mean[c] / fmax(sqrt(square), COARSE_SURE) * 127);
    }
}

void search_init(struct search *s, const struct library *l, const struct cohort *c)
{
    *s = (struct search){.library = l, .cohort = c};
    s->coarse = mem_zalloc(size_max(1, l->n_songs), sizeof *s->coarse);
    for (size_t i = 0; i < l->n_songs; i++)
        coarsen(&l->songs[i].sequence, &s->coarse[i]);
}

void search_release(struct search *s)
{
    for (size_t i = 0; s->coarse != NULL && i < s->library->n_songs; i++)
        sequence_release(&s->coarse[i]);
    mem_free(s->coarse);
    *s = (struct search){0};
}

struct ranked {
    uint32_t song_i;
    float level;
};

static int ranked_compare(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->level != y->level)
        return x->level > y->level ? -1 : 1;
    return (x->song_i > y->song_i) - (x->song_i < y->song_i);
}

bool search_first_pass(const struct search *s, const struct search_query *q, uint32_t *kept,
                       size_t *out_n, struct err *e)
{
    const size_t n = s->library->n_songs;
    const size_t n_kept = size_min(n, size_max(SEARCH_KEPT_MIN, n / SEARCH_KEPT_SHARE));
    struct sequence query;
    coarsen(q->sequence, &query);
    struct sweep w = {.query = &query, .library = s->library, .coarse = s->coarse, .n = n};
    w.ends = mem_alloc(size_max(1, n), sizeof *w.ends);
    bool ok = sweep_all(&w, q->threads, e);
    if (ok) {
        struct ranked *ranked = mem_alloc(size_max(1, n), sizeof *ranked);
        const struct null_law *law = &s->cohort->null.laws[ALIGN_MELODY];
        for (size_t i = 0; i < n; i++)
            ranked[i] = (struct ranked){
                (uint32_t)i,
                (float)null_law_level(law, w.ends[i].score, query.n_frames, s->coarse[i].n_frames)};
        qsort(ranked, n, sizeof *ranked, ranked_compare);
        for (size_t i = 0; i < n_kept; i++)
            kept[i] = ranked[i].song_i;
        *out_n = n_kept;
        mem_free(ranked);
    }
    mem_free(w.ends);
    sequence_release(&query);
    return ok;
}

/* ---------------------------------------------------------------- exact */

static int hit_compare(const void *a, const void *b)
{
    const struct search_hit *x = a, *y = b;
    if (x->level != y->level)
        return x->level > y->level ? -1 : 1;
    return (x->song_i > y->song_i) - (x->song_i < y->song_i);
}

static void make_hits(const struct search *s, const struct search_query *q, const struct sweep *w,
                      double excess, struct search_hit *hits)
{
    for (size_t i = 0; i < w->n; i++) {
        size_t song_i = w->songs != NULL ? w->songs[i] : i;
        const struct sequence *song = &s->library->songs[song_i].sequence;
        double level = cohort_level(s->cohort, w->ends[i].score, q->sequence, song, excess,
                                    (double)s->cohort->excess[song_i]);
        if (song_i == q->self_i)
            level = -INFINITY;
        hits[i] = (struct search_hit){.song_i = song_i,
                                      .level = level,
                                      .evalue = cohort_chance(s->cohort, level) *
                                                (double)s->library->n_songs,
                                      .rotation = w->ends[i].rotation};
    }
}

static double query_excess(const struct search *s, const struct search_query *q)
{
    if (q->self_i < s->library->n_songs)
        return (double)s->cohort->excess[q->self_i];
    struct aligner *al = aligner_new(simd_best());
    double excess = cohort_excess(s->cohort, s->library, q->sequence, al);
    aligner_free(al);
    return excess;
}

bool search_run(const struct search *s, const struct search_query *q, size_t n_top,
                struct search_hit *out, size_t *out_n, struct err *e)
{
    const size_t n = s->library->n_songs;
    uint32_t *kept = NULL;
    struct sweep w = {.query = q->sequence, .library = s->library, .n = n};
    bool ok = true;
    if (!q->exhaustive && n > SEARCH_KEPT_MIN) {
        kept = mem_alloc(n, sizeof *kept);
        ok = search_first_pass(s, q, kept, &w.n, e);
        w.songs = kept;
    }
    w.ends = mem_alloc(size_max(1, w.n), sizeof *w.ends);
    ok = ok && sweep_all(&w, q->threads, e);
    if (ok) {
        struct search_hit *hits = mem_alloc(size_max(1, w.n), sizeof *hits);
        double *evalues = mem_alloc(size_max(1, w.n), 2 * sizeof *evalues);
        make_hits(s, q, &w, query_excess(s, q), hits);
        qsort(hits, w.n, sizeof *hits, hit_compare);
        size_t n_hits = w.n;
        while (n_hits > 0 && hits[n_hits - 1].level == -INFINITY)
            n_hits--;
        for (size_t i = 0; i < n_hits; i++)
            evalues[i] = hits[i].evalue;
        significance_qvalues(evalues, n_hits, evalues + w.n);
        *out_n = size_min(n_top, n_hits);
        for (size_t i = 0; i < *out_n; i++) {
            out[i] = hits[i];
            out[i].qvalue = evalues[w.n + i];
        }
        mem_free(evalues);
        mem_free(hits);
    }
    mem_free(w.ends);
    mem_free(kept);
    return ok;
}
