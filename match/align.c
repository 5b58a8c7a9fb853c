#include "match/align.h"

#include "base/mem.h"
#include "match/align_matrix.h"
#include "match/wide.h"

/*
 * Paths through the cells of align_matrix.h. Whole numbers only, so that all machines give the same
 * bits.
 */
enum {
    EDGE = BLOCK, /* zeros in front of a row of scores */
    SCORE_MAX = 32000,
    SKIP_COST = 5, /* 0.3 deviations for a step that leaves a frame out */
    TRIM_COST = 8, /* half a deviation a cell */
    NEAR = 7,      /* columns: a second */
};

struct aligner {
    struct align_matrix matrix;
    int16_t *scores; /* (3 or n_rows + 2, EDGE + stride) */
    struct align_cell *path;
    size_t cap_scores, cap_path;
};

struct align_side align_side_of(const struct sequence *s, uint32_t from, uint32_t n_frames)
{
    assert(from + n_frames <= s->n_frames);
    struct align_side side = {.n_frames = n_frames};
    for (size_t i = 0; i < ASPECTS; i++)
        side.levels[i] = sequence_aspect(s, (enum aspect)i) + (size_t)from * SEQUENCE_CLASSES;
    return side;
}

struct aligner *aligner_new(enum simd simd)
{
    struct aligner *al = mem_zalloc(1, sizeof *al);
    align_matrix_init(&al->matrix, simd);
    return al;
}

void aligner_free(struct aligner *al)
{
    if (!al)
        return;
    align_matrix_release(&al->matrix);
    mem_free(al->scores);
    mem_free(al->path);
    mem_free(al);
}

void aligner_set_a(struct aligner *al, const struct align_side *a)
{
    align_matrix_set_a(&al->matrix, a);
}

static void reserve_scores(struct aligner *al, size_t n_rows)
{
    size_t n = n_rows * (EDGE + al->matrix.stride);
    if (n <= al->cap_scores)
        return;
    mem_free(al->scores);
    al->scores = mem_alloc_aligned(n, sizeof *al->scores);
    al->cap_scores = n;
}

/* The cells of one rotation; they are lent until the next ones are made. */
static int16_t *const *make_cells(struct aligner *al, unsigned modes, unsigned rotation)
{
    const unsigned half = rotation / MATRIX_ROTATIONS;
    align_matrix_make(&al->matrix, modes, rotation % MATRIX_ROTATIONS, 1U << half);
    return al->matrix.cells[half];
}

void aligner_cells(struct aligner *al, const struct align_side *b, enum align_mode mode,
                   unsigned rotation, int8_t *out)
{
    const struct align_matrix *m = &al->matrix;
    align_matrix_set_b(&al->matrix, b);
    const int16_t *cells = make_cells(al, 1U << mode, rotation)[mode];
    for (size_t i = 0; i < m->n_rows; i++)
        for (size_t j = 0; j < m->n_columns; j++)
            out[i * m->n_columns + j] = (int8_t)cells[i * m->stride + j];
}

/* ---------------------------------------------------------------- paths */

/* One row of scores from the two before it, which have EDGE zeros in front, and its best one. */
LANE_BODY void advance_body(const int16_t *cells, const int16_t *before, const int16_t *before2,
                            size_t stride, int16_t *out, int16_t *out_most)
{
    int16_t best[BLOCK] = {0}, most = 0;
    for (size_t at = 0; at < stride; at += BLOCK) {
        LANE_LOOP
        for (size_t l = 0; l < BLOCK; l++) {
            const int16_t *one = before + at + l;
            int16_t straight = one[-1];
            int16_t b_skips = (int16_t)(one[-2] - SKIP_COST);
            int16_t a_skips = (int16_t)(before2[at + l - 1] - SKIP_COST);
            int16_t from = b_skips > a_skips ? b_skips : a_skips;
            from = straight > from ? straight : from;
            int16_t score = (int16_t)(from + cells[at + l]);
            score = score > 0 ? score : 0;
            score = score < SCORE_MAX ? score : SCORE_MAX;
            out[at + l] = score;
            best[l] = score > best[l] ? score : best[l];
        }
    }
    for (size_t l = 0; l < BLOCK; l++)
        most = best[l] > most ? best[l] : most;
    *out_most = most;
}
LANE_VERSIONS(advance,
              (const int16_t *cells, const int16_t *before, const int16_t *before2, size_t stride,
               int16_t *out, int16_t *out_most),
              (cells, before, before2, stride, out, out_most))

/* The best path's end in a mode's cells. keep: rows of scores stay, row i at i + 2; otherwise three
 * rows take turns. */
static struct align_end find_best(struct aligner *al, const int16_t *cells, bool keep)
{
    const struct align_matrix *m = &al->matrix;
    const size_t width = EDGE + m->stride, n_kept = keep ? m->n_rows + 2 : 3;
    struct align_end end = {0};
    reserve_scores(al, n_kept);
    memset(al->scores, 0, 2 * width * sizeof *al->scores);
    for (size_t r = 2; r < n_kept; r++)
        memset(al->scores + r * width, 0, EDGE * sizeof *al->scores);
    int16_t most, *before2 = al->scores + EDGE, *before = before2 + width, *row = before + width;
    for (size_t i = 0; i < m->n_rows; i++) {
        LANE_CALL(m->simd, advance,
                  (cells + i * m->stride, before, before2, m->stride, row, &most));
        if (most > end.score) {
            size_t j = 0;
            while (row[j] != most)
                j++;
            end = (struct align_end){.score = most, .a = (uint32_t)i, .b = (uint32_t)j};
        }
        int16_t *next = keep ? row + width : before2;
        before2 = before;
        before = row;
        row = next;
    }
    return end;
}

/* Of equal ones the first rotation's. */
static bool is_better(const struct align_end *x, const struct align_end *y)
{
    return x->score > y->score ||
           (x->score == y->score && x->score > 0 && x->rotation < y->rotation);
}

void aligner_score(struct aligner *al, const struct align_side *b, unsigned modes,
                   unsigned rotations, struct align_end out[ALIGN_MODES])
{
    assert((rotations & ~(unsigned)ALIGN_ROTATIONS) == 0);
    struct align_matrix *m = &al->matrix;
    align_matrix_set_b(m, b);
    memset(out, 0, ALIGN_MODES * sizeof *out);
    for (unsigned r = 0; r < MATRIX_ROTATIONS; r++) {
        const unsigned halves = (rotations >> r & 1) | (rotations >> (r + MATRIX_ROTATIONS) & 1)
                                                           << 1;
        if (halves != 0)
            align_matrix_make(m, modes, r, halves);
        for (unsigned h = 0; h < MATRIX_HALVES; h++)
            for (size_t mode = 0; mode < ALIGN_MODES; mode++) {
                if ((halves >> h & 1) == 0 || (modes >> mode & 1) == 0)
                    continue;
                struct align_end end = find_best(al, m->cells[h][mode], false);
                end.rotation = r + h * MATRIX_ROTATIONS;
                if (is_better(&end, &out[mode]))
                    out[mode] = end;
            }
    }
}

/* ---------------------------------------------------------------- tracing */

/* Back from the end of a path over kept scores, each time to the cell that the score came from. */
static size_t walk_back(const struct aligner *al, const struct align_end *end,
                        struct align_cell *cells)
{
    const size_t width = EDGE + al->matrix.stride;
    size_t n = 0, i = end->a, j = end->b;
    for (;;) {
        cells[n++] = (struct align_cell){(uint16_t)i, (uint16_t)j};
        const int16_t *before = al->scores + (i + 1) * width + EDGE + j;
        const int16_t *before2 = al->scores + i * width + EDGE + j;
        int32_t straight = before[-1], b_skips = before[-2] - SKIP_COST;
        int32_t a_skips = before2[-1] - SKIP_COST;
        if (straight <= 0 && b_skips <= 0 && a_skips <= 0)
            break;
        if (straight >= b_skips && straight >= a_skips) {
            i--;
            j--;
        } else if (b_skips >= a_skips) {
            i--;
            j -= 2;
        } else {
            i -= 2;
            j--;
        }
    }
    for (size_t k = 0; k < n / 2; k++) {
        struct align_cell swap = cells[k];
        cells[k] = cells[n - 1 - k];
        cells[n - 1 - k] = swap;
    }
    return n;
}

/* What other paths may not use: the cells NEAR to this one (Waterman and Eggert, "A new algorithm
 * for best subsequence alignments", Journal of Molecular Biology 197, 1987, with some room). */
static void blot_out(int16_t *cells, size_t stride, const struct align_path *path)
{
    for (size_t k = 0; k < path->n_cells; k++) {
        const size_t i = path->cells[k].a, j = path->cells[k].b;
        int16_t *row = cells + i * stride;
        for (size_t at = j > NEAR ? j - NEAR : 0; at <= j + NEAR && at < stride; at++)
            row[at] = -SCORE_MAX / 2;
    }
}

/* A local alignment runs on beyond a passage as long as chance gives it anything. The part of the
 * path whose cells add up to most after TRIM_COST is taken off each is where the passage is. */
static void trim(const int16_t *cells, size_t stride, struct align_path *path)
{
    int32_t sum = 0, best = INT32_MIN;
    size_t from = 0, best_from = 0, best_to = 0;
    for (size_t k = 0; k < path->n_cells; k++) {
        if (sum < 0) {
            sum = 0;
            from = k;
        }
        sum += cells[path->cells[k].a * stride + path->cells[k].b] - TRIM_COST;
        if (sum > best) {
            best = sum;
            best_from = from;
            best_to = k + 1;
        }
    }
    path->cells += best_from;
    path->n_cells = best_to - best_from;
}

static void sum_aspects(int16_t *const cells[ALIGN_MODES], size_t stride, struct align_path *path)
{
    static const enum align_mode mode_of[ASPECTS] = {ALIGN_HARMONY, ALIGN_MELODY};
    for (size_t aspect = 0; aspect < ASPECTS; aspect++) {
        int32_t sum = 0;
        for (size_t k = 0; k < path->n_cells; k++)
            sum += cells[mode_of[aspect]][path->cells[k].a * stride + path->cells[k].b];
        path->aspect_score[aspect] = sum;
    }
}

size_t aligner_trace(struct aligner *al, const struct align_side *b, enum align_mode mode,
                     unsigned rotation, int32_t min_score, size_t max, struct align_path *out)
{
    assert(max <= ALIGN_PATHS_MAX && min_score > 0);
    align_matrix_set_b(&al->matrix, b);
    int16_t *const *cells = make_cells(al, ALIGN_ALL, rotation);
    const size_t stride = al->matrix.stride;
    const size_t longest = al->matrix.n_rows; /* each step takes a row at least */
    if (max * longest > al->cap_path) {
        mem_free(al->path);
        al->cap_path = max * longest;
        al->path = mem_alloc(al->cap_path, sizeof *al->path);
    }
    size_t n = 0;
    while (n < max) {
        struct align_path *p = &out[n];
        *p = (struct align_path){.cells = al->path + n * longest,
                                 .end = find_best(al, cells[mode], true)};
        if (p->end.score < min_score)
            break;
        p->end.rotation = rotation;
        p->n_cells = walk_back(al, &p->end, p->cells);
        n++;
        blot_out(cells[mode], stride, p);
    }
    if (n > 0) /* once more, without blots */
        cells = make_cells(al, ALIGN_ALL, rotation);
    for (size_t k = 0; k < n; k++) {
        trim(cells[mode], stride, &out[k]);
        sum_aspects(cells, stride, &out[k]);
    }
    return n;
}

unsigned align_likely_rotations(const struct align_side *a, const struct align_side *b,
                                enum aspect aspect, unsigned n)
{
    const struct align_side *sides[2] = {a, b};
    uint64_t sums[2][SEQUENCE_CLASSES] = {{0}}, agreement[SEQUENCE_CLASSES] = {0};
    for (size_t s = 0; s < 2; s++)
        for (size_t i = 0; i < (size_t)sides[s]->n_frames * SEQUENCE_CLASSES; i++)
            sums[s][i % SEQUENCE_CLASSES] += sides[s]->levels[aspect][i];
    for (size_t r = 0; r < SEQUENCE_CLASSES; r++)
        for (size_t c = 0; c < SEQUENCE_CLASSES; c++)
            agreement[r] += sums[0][c] * sums[1][(c + r) % SEQUENCE_CLASSES];
    unsigned chosen = 0;
    for (unsigned k = 0; k < n && k < SEQUENCE_CLASSES; k++) {
        unsigned best = SEQUENCE_CLASSES;
        for (unsigned r = 0; r < SEQUENCE_CLASSES; r++)
            if ((chosen >> r & 1) == 0 &&
                (best == SEQUENCE_CLASSES || agreement[r] > agreement[best]))
                best = r;
        chosen |= 1U << best;
    }
    return chosen;
}
