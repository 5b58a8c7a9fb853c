#include "match/copy_index.h"

#include "base/mem.h"
#include "match/copy_align.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    HALVES = 2,
    BINS = 1 << 16,
    OTHER_BITS_MAX = 4,      /* that may differ in the other half */
    DIAGONAL_CODES = 8,      /* votes this far apart are for one offset */
    DIAGONAL_ZERO = 1 << 17, /* larger than any fingerprint is long */
    VOTES_MAX = 1 << 23,
};

/* Codes by one of their halves: a bin holds where they are, and their other halves. */
struct half {
    uint32_t first[BINS + 1];
    uint32_t *place; /* number of the code, all fingerprints in a row */
    uint16_t *other;
};

struct copy_index {
    const struct fingerprint *const *prints; /* borrowed */
    size_t n_prints;
    uint32_t *starts; /* place of the first code of each, and the end */
    struct half half[HALVES];
};

static uint32_t half_of(uint32_t code, size_t half)
{
    return half == 0 ? code >> 16 : code & 0xffff;
}

/* Counting sort; what says nothing is not filed. */
static void fill_half(struct copy_index *x, size_t half, size_t n_codes)
{
    struct half *h = &x->half[half];
    h->place = mem_alloc(n_codes + 1, sizeof *h->place);
    h->other = mem_alloc(n_codes + 1, sizeof *h->other);
    for (int pass = 0; pass < 2; pass++) {
        uint32_t place = 0;
        for (size_t s = 0; s < x->n_prints; s++)
            for (uint32_t i = 0; i < x->prints[s]->n_codes; i++, place++) {
                uint32_t code = x->prints[s]->codes[i], bin = half_of(code, half);
                if (code == FINGERPRINT_VOID)
                    continue;
                uint32_t at = h->first[bin + (pass == 0)]++;
                if (pass == 1) {
                    h->place[at] = place;
                    h->other[at] = (uint16_t)half_of(code, 1 - half);
                }
            }
        if (pass == 0) /* counts to beginnings */
            for (size_t bin = 0; bin < BINS; bin++)
                h->first[bin + 1] += h->first[bin];
    }
    /* The second pass moved each beginning to its end, which is the next one's beginning. */
    memmove(h->first + 1, h->first, BINS * sizeof h->first[0]);
    h->first[0] = 0;
}

bool copy_index_new(const struct fingerprint *const *prints, size_t n_prints,
                    struct copy_index **out, struct err *e)
{
    uint64_t n_codes = 0;
    for (size_t i = 0; i < n_prints; i++)
        n_codes += prints[i]->n_codes;
    if (n_codes >= UINT32_MAX || n_prints > COPY_INDEX_SONGS_MAX)
        return err_set(e, ERR_PERM,
                       "%zu fingerprints of %llu codes; an index holds %d and 2^32 - 1", n_prints,
                       (unsigned long long)n_codes, COPY_INDEX_SONGS_MAX);
    struct copy_index *x = mem_zalloc(1, sizeof *x);
    x->prints = prints;
    x->n_prints = n_prints;
    x->starts = mem_alloc(n_prints + 1, sizeof *x->starts);
    x->starts[0] = 0;
    for (size_t i = 0; i < n_prints; i++)
        x->starts[i + 1] = x->starts[i] + prints[i]->n_codes;
    for (size_t half = 0; half < HALVES; half++)
        fill_half(x, half, n_codes);
    *out = x;
    return true;
}

void copy_index_free(struct copy_index *x)
{
    if (x == NULL)
        return;
    for (size_t half = 0; half < HALVES; half++) {
        mem_free(x->half[half].place);
        mem_free(x->half[half].other);
    }
    mem_free(x->starts);
    mem_free(x);
}

/* ---------------------------------------------------------------- votes */

/* A vote is a song, a take and an offset in one number, so that sorting brings equal ones together:
 * 24 bits, 8 bits, 16 bits. */
struct ballot {
    uint64_t *votes;
    size_t n, cap;
};

static void cast(struct ballot *b, size_t song, size_t take, int64_t diagonal)
{
    if (b->n == b->cap) {
        b->cap = size_max(1 << 16, 2 * b->cap);
        b->votes = mem_resize(b->votes, b->cap, sizeof *b->votes);
    }
    uint64_t bin = (uint64_t)(diagonal + DIAGONAL_ZERO) / DIAGONAL_CODES;
    b->votes[b->n++] = (uint64_t)song << 24 | (uint64_t)take << 16 | bin;
}

static size_t song_of(const struct copy_index *x, uint32_t place)
{
    size_t low = 0, high = x->n_prints; /* starts[low] <= place < starts[high] */
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (x->starts[middle] <= place)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void vote_code(const struct copy_index *x, uint32_t code, size_t at, size_t take,
                      struct ballot *b)
{
    for (size_t half = 0; half < HALVES; half++) {
        const struct half *h = &x->half[half];
        uint32_t bin = half_of(code, half), other = half_of(code, 1 - half);
        for (uint32_t i = h->first[bin]; i < h->first[bin + 1] && b->n < VOTES_MAX; i++) {
            if (__builtin_popcount(h->other[i] ^ other) > OTHER_BITS_MAX)
                continue;
            size_t song = song_of(x, h->place[i]);
            cast(b, song, take, (int64_t)(h->place[i] - x->starts[song]) - (int64_t)at);
        }
    }
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* ---------------------------------------------------------------- candidates */

struct candidate {
    uint64_t song, take;
    uint32_t n_votes;
};

/* The best ones, one a song; the list is in no order. */
static void keep_best(struct candidate *list, size_t *n, const struct candidate *c)
{
    size_t least = 0;
    for (size_t i = 0; i < *n; i++) {
        if (list[i].song == c->song) {
            if (c->n_votes > list[i].n_votes)
                list[i] = *c;
            return;
        }
        if (list[i].n_votes < list[least].n_votes)
            least = i;
    }
    if (*n < COPY_HITS_MAX)
        list[(*n)++] = *c;
    else if (c->n_votes > list[least].n_votes)
        list[least] = *c;
}

/* Neighbouring bins of an offset count together: a copy lies across their border, or drifts. */
static size_t count_votes(struct ballot *b, struct candidate list[COPY_HITS_MAX])
{
    size_t n = 0;
    if (b->n > 0)
        qsort(b->votes, b->n, sizeof *b->votes, by_number);
    for (size_t i = 0, next; i < b->n; i = next) {
        struct candidate c = {b->votes[i] >> 24, b->votes[i] >> 16 & 0xff, 0};
        for (next = i; next < b->n && b->votes[next] == b->votes[i]; next++)
            c.n_votes++;
        for (size_t k = next; k < b->n && b->votes[k] == b->votes[i] + 1; k++)
            c.n_votes++;
        if (c.n_votes > 1)
            keep_best(list, &n, &c);
    }
    return n;
}

/* Takes whose pitch is that of the votes or a step beside it. */
static bool is_near(const struct copy_take *t, const struct copy_take *voted)
{
    return fabsf(t->pitch_ratio / voted->pitch_ratio - 1) < 0.0055f;
}

static void verify(const struct copy_index *x, const struct copy_query *q,
                   const struct candidate *c, struct copy_hit *out)
{
    enum simd simd = simd_best();
    const struct fingerprint *known = x->prints[c->song];
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
    out->match.evalue = copy_evalue(best.score, known->n_codes, q->takes[0].print.n_codes,
                                    q->n_takes, (double)x->n_prints);
}

static int by_evalue(const void *a, const void *b)
{
    const struct copy_hit *x = a, *y = b;
    if (x->match.evalue != y->match.evalue)
        return x->match.evalue < y->match.evalue ? -1 : 1;
    return (x->song > y->song) - (x->song < y->song);
}

size_t copy_index_search(const struct copy_index *x, const struct copy_query *query, double evalue,
                         struct copy_hit out[COPY_HITS_MAX])
{
    struct ballot b = {0};
    struct candidate list[COPY_HITS_MAX];
    size_t n = 0;
    static_assert((2 * DIAGONAL_ZERO) / DIAGONAL_CODES <= 1 << 16, "an offset has 16 bits");
    static_assert((int)FINGERPRINT_CODES_MAX < (int)DIAGONAL_ZERO, "no offset is below zero");
    assert(query->n_takes < 256);
    for (size_t t = 0; t < query->n_takes; t++) {
        const struct fingerprint *print = &query->takes[t].print;
        /* The codes of the other changes are these, stretched: the bins are wide enough. */
        if (query->takes[t].change != COPY_SPEED)
            continue;
        for (size_t i = 0; i < print->n_codes; i++)
            if (print->codes[i] != FINGERPRINT_VOID)
                vote_code(x, print->codes[i], i, t, &b);
    }
    size_t n_candidates = count_votes(&b, list);
    mem_free(b.votes);
    for (size_t i = 0; i < n_candidates; i++) {
        verify(x, query, &list[i], &out[n]);
        n += out[n].match.evalue <= evalue;
    }
    qsort(out, n, sizeof *out, by_evalue);
    return n;
}
