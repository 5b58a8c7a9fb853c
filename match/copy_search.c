#include "match/copy_search.h"

#include "base/mem.h"
#include "match/copy_align.h"
#include "match/workers.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/*
 * An index of the catalogue would take twelve bytes a code and longer to build than this takes to
 * read it: a query has some ten thousand codes, and nearly all of a song's meet empty bins.
 *
 * Threads take songs by a counter; each keeps its best candidates in an order that has no ties, so
 * that the best of all are the same whoever met them.
 */
enum {
    HALVES = 2,
    BINS = 1 << 16,
    OTHER_BITS_MAX = 4,      /* that may differ in the other half */
    DIAGONAL_CODES = 8,      /* votes this far apart are for one offset */
    DIAGONAL_ZERO = 1 << 17, /* larger than any fingerprint is long */
    VOTES_MAX = 1 << 20,     /* of a song */
    TAKE_SONGS = 256,        /* that a thread takes at a time */
};

/* ---------------------------------------------------------------- the query's codes */

struct entry {
    uint32_t at; /* in its take */
    uint16_t other;
    uint8_t take;
};

/* By one of their halves. */
struct half {
    uint64_t filled[BINS / 64]; /* a bit a bin, small enough for the nearest cache */
    uint32_t first[BINS + 1];
    struct entry *entries;
};

static uint32_t half_of(uint32_t code, size_t half)
{
    return half == 0 ? code >> 16 : code & 0xffff;
}

static bool is_filed(const struct copy_query *q, size_t take, size_t i)
{
    /* The codes of the other changes are those of speed, stretched: the diagonals are wide enough.
     */
    return q->takes[take].change == COPY_SPEED && q->takes[take].print.codes[i] != FINGERPRINT_VOID;
}

/* Counting sort. */
static void half_init(struct half *h, size_t half, const struct copy_query *q)
{
    size_t n = 0;
    memset(h, 0, sizeof *h);
    for (size_t t = 0; t < q->n_takes; t++)
        n += q->takes[t].print.n_codes;
    h->entries = mem_alloc(n + 1, sizeof *h->entries);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t t = 0; t < q->n_takes; t++)
            for (uint32_t i = 0; i < q->takes[t].print.n_codes; i++) {
                if (!is_filed(q, t, i))
                    continue;
                const uint32_t code = q->takes[t].print.codes[i], bin = half_of(code, half);
                const uint32_t at = h->first[bin + (pass == 0)]++;
                h->filled[bin / 64] |= UINT64_C(1) << bin % 64;
                if (pass == 1)
                    h->entries[at] =
                        (struct entry){i, (uint16_t)half_of(code, 1 - half), (uint8_t)t};
            }
        if (pass == 0) /* counts to beginnings */
            for (size_t bin = 0; bin < BINS; bin++)
                h->first[bin + 1] += h->first[bin];
    }
    /* The second pass moved each beginning to its end, which is the next one's beginning. */
    memmove(h->first + 1, h->first, BINS * sizeof h->first[0]);
    h->first[0] = 0;
}

/* ---------------------------------------------------------------- candidates */

struct candidate {
    size_t song;
    uint32_t take, n_votes;
};

static bool is_better(const struct candidate *a, const struct candidate *b)
{
    return a->n_votes > b->n_votes || (a->n_votes == b->n_votes && a->song < b->song);
}

/* The best ones; the list is in no order. */
struct candidates {
    struct candidate list[COPY_HITS_MAX];
    size_t n;
};

static void keep_best(struct candidates *c, const struct candidate *new)
{
    size_t least = 0;
    if (c->n < COPY_HITS_MAX) {
        c->list[c->n++] = *new;
        return;
    }
    for (size_t i = 1; i < c->n; i++)
        if (is_better(&c->list[least], &c->list[i]))
            least = i;
    if (is_better(new, &c->list[least]))
        c->list[least] = *new;
}

/* ---------------------------------------------------------------- votes */

/* A vote is a take and an offset in one number, so that sorting brings equal ones together: 8 bits
 * and 16. */
struct ballot {
    uint32_t *votes;
    size_t n, cap;
};

static void cast(struct ballot *b, uint32_t take, int64_t diagonal)
{
    if (b->n == VOTES_MAX)
        return;
    if (b->n == b->cap) {
        b->cap = size_max(1024, 2 * b->cap);
        b->votes = mem_resize(b->votes, b->cap, sizeof *b->votes);
    }
    b->votes[b->n++] = take << 16 | (uint32_t)(diagonal + DIAGONAL_ZERO) / DIAGONAL_CODES;
}

static void vote(const struct half halves[HALVES], const struct fingerprint *print,
                 struct ballot *b)
{
    b->n = 0;
    for (size_t i = 0; i < print->n_codes; i++) {
        if (print->codes[i] == FINGERPRINT_VOID)
            continue;
        for (size_t half = 0; half < HALVES; half++) {
            const struct half *h = &halves[half];
            const uint32_t bin = half_of(print->codes[i], half);
            const uint32_t other = half_of(print->codes[i], 1 - half);
            if ((h->filled[bin / 64] >> bin % 64 & 1) == 0)
                continue;
            for (uint32_t k = h->first[bin]; k < h->first[bin + 1]; k++)
                if (__builtin_popcount(h->entries[k].other ^ other) <= OTHER_BITS_MAX)
                    cast(b, h->entries[k].take, (int64_t)i - (int64_t)h->entries[k].at);
        }
    }
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* The take and offset with most votes. Neighbouring offsets count together: a copy lies across
 * their border, or drifts. */
static void count_votes(struct ballot *b, struct candidate *out)
{
    if (b->n > 1)
        qsort(b->votes, b->n, sizeof *b->votes, by_number);
    for (size_t i = 0, next; i < b->n; i = next) {
        uint32_t n = 0;
        for (next = i; next < b->n && b->votes[next] == b->votes[i]; next++)
            n++;
        for (size_t k = next; k < b->n && b->votes[k] == b->votes[i] + 1; k++)
            n++;
        if (n > out->n_votes) {
            out->n_votes = n;
            out->take = b->votes[i] >> 16;
        }
    }
}

struct sweep {
    const struct fingerprint *const *prints;
    size_t n_prints;
    const struct half *halves; /* (HALVES) */
    atomic_size_t next, next_list;
    struct candidates *lists; /* one a thread */
};

static bool sweep_run(void *arg, struct err *e)
{
    (void)e;
    struct sweep *w = arg;
    struct candidates *mine = &w->lists[atomic_fetch_add(&w->next_list, 1)];
    struct ballot b = {0};
    for (size_t from; (from = atomic_fetch_add(&w->next, TAKE_SONGS)) < w->n_prints;)
        for (size_t i = from; i < size_min(from + TAKE_SONGS, w->n_prints); i++) {
            struct candidate c = {.song = i};
            vote(w->halves, w->prints[i], &b);
            count_votes(&b, &c);
            if (c.n_votes > 1)
                keep_best(mine, &c);
        }
    mem_free(b.votes);
    return true;
}

/* ---------------------------------------------------------------- comparing */

/* Takes whose pitch is that of the votes or a step beside it. */
static bool is_near(const struct copy_take *t, const struct copy_take *voted)
{
    return fabsf(t->pitch_ratio / voted->pitch_ratio - 1) < 0.0055f;
}

static void verify(const struct fingerprint *known, const struct copy_query *q,
                   const struct candidate *c, double n_songs, struct copy_hit *out)
{
    enum simd simd = simd_best();
    const struct copy_take *best_take = q->takes;
    struct copy_run best = {0};
    for (size_t i = 0; i < q->n_takes; i++) {
        const struct copy_take *t = &q->takes[i];
        int32_t before = best.score;
        if (is_near(t, &q->takes[c->take]))
            copy_best_run(simd, known, &t->print, -(int64_t)t->print.n_codes, known->n_codes,
                          &best);
        if (best.score > before)
            best_take = t;
    }
    out->song = c->song;
    copy_describe(q, best_take, known, &best, &out->match);
    out->match.evalue =
        copy_evalue(best.score, known->n_codes, q->takes[0].print.n_codes, q->n_takes, n_songs);
}

static int by_evalue(const void *a, const void *b)
{
    const struct copy_hit *x = a, *y = b;
    if (x->match.evalue != y->match.evalue)
        return x->match.evalue < y->match.evalue ? -1 : 1;
    return (x->song > y->song) - (x->song < y->song);
}

bool copy_search(const struct fingerprint *const *prints, size_t n_prints,
                 const struct copy_query *query, double evalue, unsigned threads,
                 struct copy_hit out[COPY_HITS_MAX], size_t *out_n, struct err *e)
{
    static_assert((2 * DIAGONAL_ZERO) / DIAGONAL_CODES <= 1 << 16, "an offset has 16 bits");
    static_assert((int)FINGERPRINT_CODES_MAX < (int)DIAGONAL_ZERO, "no offset is below zero");
    assert(query->n_takes < 256 && threads >= 1 && threads <= WORKERS_MAX);
    struct half *halves = mem_alloc(HALVES, sizeof *halves);
    struct sweep w = {.prints = prints, .n_prints = n_prints, .halves = halves};
    struct candidates best = {.n = 0};
    for (size_t half = 0; half < HALVES; half++)
        half_init(&halves[half], half, query);
    w.lists = mem_zalloc(threads, sizeof *w.lists);
    bool ok = workers_run(threads, sweep_run, &w, e);
    for (size_t t = 0; ok && t < threads; t++)
        for (size_t i = 0; i < w.lists[t].n; i++)
            keep_best(&best, &w.lists[t].list[i]);
    *out_n = 0;
    for (size_t i = 0; i < best.n; i++) {
        const struct candidate *c = &best.list[i];
        verify(prints[c->song], query, c, (double)n_prints, &out[*out_n]);
        *out_n += out[*out_n].match.evalue <= evalue;
    }
    qsort(out, *out_n, sizeof *out, by_evalue);
    for (size_t half = 0; half < HALVES; half++)
        mem_free(halves[half].entries);
    mem_free(halves);
    mem_free(w.lists);
    return ok;
}
