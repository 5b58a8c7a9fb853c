#include "match/search.h"

#include "base/mem.h"
#include "match/workers.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

/*
 * Threads take songs, or groups of songs, by a counter and write to places of their own, so that
 * the result is the same for any number of them.
 *
 * A song's own excess costs an alignment with each member of the cohort. Up to COHORT_SAMPLE songs
 * all are known. In a larger library the candidates, the first by what is known without, have
 * theirs taken off and are ordered anew; the others come behind them. A candidate's excess is kept,
 * but never looked at in a song that is no candidate: what was searched for before changes nothing.
 */
enum { TAKE = 64 /* songs that a thread takes at a time */ };

/* ---------------------------------------------------------------- windows */

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

/* ---------------------------------------------------------------- first pass */

struct ranked {
    uint32_t song_i;
    float level;
};

struct coarse_sweep {
    const struct library *library;
    const struct null_law *law;
    struct sequence query; /* coarse */
    bool grouped;          /* the query may meet groups */
    size_t n_items;        /* groups, then songs one by one */
    atomic_size_t next;
    struct ranked *ranked; /* (n_songs) */
};

/* A song's melody at a quarter of its resolution, its harmony zeros. */
static struct sequence coarse_sequence(const struct sequence *in)
{
    struct sequence out = {.n_frames = coarse_frames(in->n_frames)};
    out.levels = mem_zalloc(size_max(1, out.n_frames), LIBRARY_RECORD_COLUMNS);
    coarse_make(in, out.levels + (size_t)ASPECT_MELODY * out.n_frames * SEQUENCE_CLASSES);
    return out;
}

static void rank(struct coarse_sweep *w, uint32_t song_i, int32_t score)
{
    const uint32_t n = coarse_frames(w->library->songs[song_i].sequence.n_frames);
    w->ranked[song_i] =
        (struct ranked){song_i, (float)null_law_level(w->law, score, w->query.n_frames, n)};
}

static bool score_group(struct coarse_sweep *w, struct coarse_scorer *scorer, size_t group_i,
                        struct err *e)
{
    const struct coarse_group *g = &w->library->plan.groups[group_i];
    int16_t scores[COARSE_SONGS];
    if (!library_check_group(w->library, group_i, e))
        return false;
    coarse_scorer_run(scorer, g, w->library->coarse + g->levels_at, scores);
    for (size_t k = 0; k < g->n_songs; k++)
        rank(w, g->songs[k], scores[k]);
    return true;
}

static bool score_song(struct coarse_sweep *w, struct aligner *al, uint32_t song_i, struct err *e)
{
    struct align_end end;
    if (!library_check_song(w->library, song_i, e))
        return false;
    struct sequence song = coarse_sequence(&w->library->songs[song_i].sequence);
    align_windows(al, &w->query, &song, &end);
    rank(w, song_i, end.score);
    sequence_release(&song);
    return true;
}

static bool coarse_run(void *arg, struct err *e)
{
    struct coarse_sweep *w = arg;
    const struct coarse_plan *plan = &w->library->plan;
    const size_t n_groups = w->grouped ? plan->n_groups : 0;
    struct coarse_scorer *scorer = coarse_scorer_new(simd_best());
    struct aligner *al = aligner_new(simd_best());
    bool ok = true;
    if (w->grouped)
        coarse_scorer_set_query(scorer, sequence_aspect(&w->query, ASPECT_MELODY),
                                w->query.n_frames);
    for (size_t i; ok && (i = atomic_fetch_add(&w->next, 1)) < w->n_items;)
        ok = i < n_groups
                 ? score_group(w, scorer, i, e)
                 : score_song(w, al, w->grouped ? plan->singles[i - n_groups] : (uint32_t)i, e);
    aligner_free(al);
    coarse_scorer_free(scorer);
    return ok;
}

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
    const struct library *l = s->library;
    const size_t n = l->n_songs;
    const size_t n_kept = size_min(n, size_max(SEARCH_KEPT_MIN, n / SEARCH_KEPT_SHARE));
    struct coarse_sweep w = {.library = l,
                             .law = &s->cohort->null.laws[ALIGN_MELODY],
                             .query = coarse_sequence(q->sequence),
                             .grouped = coarse_meets_groups(q->sequence->n_frames)};
    w.n_items = w.grouped ? l->plan.n_groups + l->plan.n_singles : n;
    w.ranked = mem_alloc(size_max(1, n), sizeof *w.ranked);
    bool ok = workers_run(q->threads, coarse_run, &w, e);
    if (ok) {
        qsort(w.ranked, n, sizeof *w.ranked, ranked_compare);
        for (size_t i = 0; i < n_kept; i++)
            kept[i] = w.ranked[i].song_i;
        *out_n = n_kept;
    }
    mem_free(w.ranked);
    sequence_release(&w.query);
    return ok;
}

/* ---------------------------------------------------------------- exact */

/* One alignment of a query with each song of a list. */
struct sweep {
    const struct sequence *query;
    const struct library *library;
    const uint32_t *songs; /* NULL: all */
    size_t n;
    atomic_size_t next;
    struct align_end *ends; /* (n): of the melody */
};

static bool sweep_run(void *arg, struct err *e)
{
    struct sweep *w = arg;
    struct aligner *al = aligner_new(simd_best());
    bool ok = true;
    for (size_t from; ok && (from = atomic_fetch_add(&w->next, TAKE)) < w->n;)
        for (size_t i = from; ok && i < size_min(from + TAKE, w->n); i++) {
            const size_t song_i = w->songs != NULL ? w->songs[i] : i;
            ok = library_check_song(w->library, song_i, e);
            if (ok)
                align_windows(al, w->query, &w->library->songs[song_i].sequence, &w->ends[i]);
        }
    aligner_free(al);
    return ok;
}

static int hit_compare(const void *a, const void *b)
{
    const struct search_hit *x = a, *y = b;
    if (x->level != y->level)
        return x->level > y->level ? -1 : 1;
    return (x->song_i > y->song_i) - (x->song_i < y->song_i);
}

static void set_level(const struct search *s, struct search_hit *hit, double level)
{
    hit->level = level;
    hit->evalue = cohort_chance(s->cohort, level) * (double)s->library->n_songs;
}

/* All that were aligned but the query itself, by their levels without their own excesses; returns
 * how many. */
static size_t make_hits(const struct search *s, const struct search_query *q, const struct sweep *w,
                        double excess, struct search_hit *hits)
{
    size_t n = 0;
    for (size_t i = 0; i < w->n; i++) {
        const size_t song_i = w->songs != NULL ? w->songs[i] : i;
        if (song_i == q->self_i)
            continue;
        hits[n] = (struct search_hit){.song_i = song_i, .rotation = w->ends[i].rotation};
        set_level(s, &hits[n++],
                  cohort_level(s->cohort, w->ends[i].score, q->sequence,
                               &s->library->songs[song_i].sequence, excess, 0));
    }
    qsort(hits, n, sizeof *hits, hit_compare);
    return n;
}

/* Takes the candidates' own excesses off and orders them anew. */
static bool take_excesses(const struct search *s, unsigned threads, struct search_hit *hits,
                          size_t n, struct err *e)
{
    uint32_t *songs = mem_alloc(size_max(1, n), sizeof *songs);
    for (size_t i = 0; i < n; i++)
        songs[i] = (uint32_t)hits[i].song_i;
    bool ok = cohort_learn(s->cohort, s->library, songs, n, threads, e);
    for (size_t i = 0; ok && i < n; i++)
        set_level(s, &hits[i], hits[i].level - (double)s->cohort->excess[hits[i].song_i]);
    if (ok)
        qsort(hits, n, sizeof *hits, hit_compare);
    mem_free(songs);
    return ok;
}

static bool query_excess(const struct search *s, const struct search_query *q, double *out,
                         struct err *e)
{
    if (q->self_i < s->library->n_songs) {
        const uint32_t self = (uint32_t)q->self_i;
        if (!cohort_learn(s->cohort, s->library, &self, 1, 1, e))
            return false;
        *out = (double)s->cohort->excess[self];
        return true;
    }
    struct aligner *al = aligner_new(simd_best());
    bool ok = cohort_excess(s->cohort, s->library, q->sequence, al, out, e);
    aligner_free(al);
    return ok;
}

static void put_top(const struct search_hit *hits, size_t n, size_t n_top, struct search_hit *out,
                    size_t *out_n)
{
    double *evalues = mem_alloc(size_max(1, n), 2 * sizeof *evalues), *qvalues = evalues + n;
    for (size_t i = 0; i < n; i++)
        evalues[i] = hits[i].evalue;
    significance_qvalues(evalues, n, qvalues);
    *out_n = size_min(n_top, n);
    for (size_t i = 0; i < *out_n; i++) {
        out[i] = hits[i];
        out[i].qvalue = qvalues[i];
    }
    mem_free(evalues);
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
    struct search_hit *hits = mem_alloc(size_max(1, w.n), sizeof *hits);
    double excess = 0;
    ok = ok && workers_run(q->threads, sweep_run, &w, e) && query_excess(s, q, &excess, e);
    if (ok) {
        const size_t n_hits = make_hits(s, q, &w, excess, hits);
        const size_t n_candidates =
            n <= COHORT_SAMPLE ? n_hits : size_min(n_hits, n_top + SEARCH_CANDIDATES);
        ok = take_excesses(s, q->threads, hits, n_candidates, e);
        if (ok)
            put_top(hits, n_hits, n_top, out, out_n);
    }
    mem_free(hits);
    mem_free(w.ends);
    mem_free(kept);
    return ok;
}
