/*
 * Two sequences of codes, laid over each other at every offset. Where they are the same recording a
 * run of codes differs in few bits; each code counts MATCH_BITS minus the bits in which it differs,
 * and the best run is the one with the largest sum (Kadane's scan of each offset): a local
 * alignment without gaps, whose scores between unrelated songs follow an extreme-value law.
 */
#include "match/copy_align.h"

#include <math.h>

/* Codes of unrelated songs differ in 14 bits on average, those of a copy in 1 to 6; a run between
 * unrelated ones must fall more than it rises. */
enum { MATCH_BITS = 8, BLOCK = 256 };

/* gain[i] = MATCH_BITS - bits in which a[i] and b[i] differ, 0 where either says nothing. The bits
 * of a word are counted in pairs, nibbles and bytes (Warren, Hacker's Delight, 5-1). */
LANE_BODY void gains_body(const uint32_t *a, const uint32_t *b, int32_t *gain)
{
    LANE_LOOP
    for (size_t i = 0; i < BLOCK; i++) {
        uint32_t x = a[i] ^ b[i];
        x = x - (x >> 1 & 0x55555555u);
        x = (x & 0x33333333u) + (x >> 2 & 0x33333333u);
        x = (x + (x >> 4)) & 0x0f0f0f0fu;
        x = x + (x >> 8);
        x = (x + (x >> 16)) & 63u;
        int32_t counts = (a[i] != FINGERPRINT_VOID) & (b[i] != FINGERPRINT_VOID);
        gain[i] = (MATCH_BITS - (int32_t)x) * counts;
    }
}
LANE_VERSIONS(gains, (const uint32_t *a, const uint32_t *b, int32_t *gain), (a, b, gain))

static int32_t gain_of(uint32_t a, uint32_t b)
{
    if (a == FINGERPRINT_VOID || b == FINGERPRINT_VOID)
        return 0;
    return MATCH_BITS - __builtin_popcount(a ^ b);
}

/* The best run of one offset, in codes of `a` and `b` from the given places. */
static void scan_offset(enum simd simd, const uint32_t *a, const uint32_t *b, size_t n, size_t a_at,
                        size_t b_at, struct copy_run *best)
{
    int32_t gain[BLOCK], sum = 0;
    size_t from = 0;
    for (size_t at = 0; at < n; at += BLOCK) {
        size_t len = size_min(BLOCK, n - at);
        if (len == BLOCK)
            LANE_CALL(simd, gains, (a + at, b + at, gain));
        else
            for (size_t i = 0; i < len; i++)
                gain[i] = gain_of(a[at + i], b[at + i]);
        for (size_t i = 0; i < len; i++) {
            if (sum <= 0) {
                sum = 0;
                from = at + i;
            }
            sum += gain[i];
            if (sum > best->score)
                *best = (struct copy_run){sum, a_at + from, b_at + from, at + i + 1 - from};
        }
    }
}

void copy_best_run(enum simd simd, const struct fingerprint *a, const struct fingerprint *b,
                   int64_t offset_from, int64_t offset_to, struct copy_run *best)
{
    for (int64_t offset = offset_from; offset <= offset_to; offset++) {
        size_t a_at = offset > 0 ? (size_t)offset : 0, b_at = offset < 0 ? (size_t)-offset : 0;
        if (a_at >= a->n_codes || b_at >= b->n_codes)
            continue;
        size_t n = size_min(a->n_codes - a_at, b->n_codes - b_at);
        scan_offset(simd, a->codes + a_at, b->codes + b_at, n, a_at, b_at, best);
    }
}

static double run_bit_errors(const struct fingerprint *a, const struct fingerprint *b,
                             const struct copy_run *r)
{
    uint64_t wrong = 0, bits = 0;
    for (size_t i = 0; i < r->n_codes; i++) {
        uint32_t x = a->codes[r->a_at + i], y = b->codes[r->b_at + i];
        if (x == FINGERPRINT_VOID || y == FINGERPRINT_VOID)
            continue;
        wrong += (uint64_t)__builtin_popcount(x ^ y);
        bits += 32;
    }
    return bits > 0 ? (double)wrong / (double)bits : 0.5;
}

/* ---------------------------------------------------------------- what a run says */

/* Codes of a take are laid out in the time of what is known. */
void copy_describe(const struct copy_query *q, const struct copy_take *t,
                   const struct fingerprint *known, const struct copy_run *run,
                   struct copy_match *out)
{
    uint64_t part_ms = t == q->takes ? 0 : q->part_from_ms;
    double tempo = (double)t->tempo_ratio;
    uint64_t from = part_ms + (uint64_t)(fingerprint_ms(run->b_at) / tempo);
    uint64_t len = (uint64_t)((fingerprint_ms(run->n_codes) + FINGERPRINT_SPAN_MS) / tempo);
    uint64_t to = from + len < q->len_ms ? from + len : q->len_ms;
    *out = (struct copy_match){
        .score = run->score,
        .bit_error_rate = run_bit_errors(known, &t->print, run),
        .change = t->change,
        .pitch_ratio = t->pitch_ratio,
        .tempo_ratio = t->tempo_ratio,
        .from_ms = fingerprint_ms(run->a_at),
        .to_ms = fingerprint_ms(run->a_at + run->n_codes) + FINGERPRINT_SPAN_MS,
        .query_from_ms = (uint32_t)from,
        .query_to_ms = (uint32_t)to,
        .share = q->len_ms > 0 ? (double)(to - from) / (double)q->len_ms : 0,
    };
}

void copy_compare(const struct fingerprint *known, const struct copy_query *query, double n_songs,
                  struct copy_match *out)
{
    enum simd simd = simd_best();
    const struct copy_take *best_take = NULL;
    struct copy_run best = {0};
    for (size_t i = 0; i < query->n_takes; i++) {
        const struct copy_take *t = &query->takes[i];
        int32_t before = best.score;
        copy_best_run(simd, known, &t->print, -(int64_t)t->print.n_codes, known->n_codes, &best);
        if (best.score > before)
            best_take = t;
    }
    *out = (struct copy_match){
        .evalue = n_songs, .bit_error_rate = 0.5, .pitch_ratio = 1, .tempo_ratio = 1};
    if (best_take == NULL)
        return;
    copy_describe(query, best_take, known, &best, out);
    out->evalue = copy_evalue(best.score, known->n_codes, query->takes[0].print.n_codes,
                              query->n_takes, n_songs);
}

/* ---------------------------------------------------------------- chance */

/* Best scores of 16,000 unrelated pairs of composed songs, every take tried: the tail from one in
 * ten to one in a thousand. Where 302 codes (30 s) lie against 302, it begins at LOCATION and falls
 * by e each SCALE; it moves with the area by SLOPE and with the number of takes by TAKES_SLOPE (1
 * in theory, less because neighbouring offsets and takes are alike). Above AREA the scale grows
 * with a power of it: two long recordings have some held chord that is like one of the other's
 * (pieces of 10 s to two minutes of real ones; docs/MATCH.md). Below, where it would shrink, it
 * stays: a tone that both songs hold is no copy. Beyond AREA_MAX times AREA, some four minutes
 * against four, nothing was measured. */
static const double LOCATION = 12.5, SCALE = 5, SLOPE = 0.57, AREA = 302.0 * 302.0;
static const double SCALE_SLOPE = 0.13, AREA_MAX = 64;
static const double TAKES_SLOPE = 0.48, TAKES = 101;

double copy_evalue(double score, size_t n_a, size_t n_b, size_t n_takes, double n_songs)
{
    double area = fmax(1, (double)n_a) * fmax(1, (double)n_b) / AREA;
    double takes = fmax(1, (double)n_takes) / TAKES;
    double wider = SLOPE * log(area) + TAKES_SLOPE * log(takes);
    double scale = SCALE * pow(fmin(fmax(area, 1), AREA_MAX), SCALE_SLOPE);
    return n_songs * exp(-(score - LOCATION) / scale + wider);
}
