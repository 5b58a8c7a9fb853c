#include "match/align.h"

#include "base/mem.h"
#include "match/wide.h"

#include <math.h>

/*
 * Cells. Two stacks of ALIGN_STACK frames are compared by the sum of their frames' products. A cell
 * counts by how many standard deviations it lies above the mean of its row and of its column,
 * whichever is less, minus CELL_OFFSET and cut at +-CELL_CAP. The binary recurrence of Serra et al.
 * sets a fixed share of each row whether or not anything stands out, which is what loses short
 * passages (docs/MATCH.md has the figures).
 *
 * Inner loops run over BLOCK neighbouring columns, so that compilers turn them into vectors. The
 * values are whole numbers, so that all machines give the same bits. Rows are filled up to whole
 * blocks with cells that only lower a path.
 */
enum {
    EDGE = BLOCK, /* zeros in front of a row of scores */
    PRODUCT_SHIFT = 5,
    FLUSH_ROWS = 256, /* squares of so many stacks fit 32 bits */
    SCORE_MAX = 32000,
    MEAN_UNIT = 8,      /* a stack's sum is below 2^12 */
    DEVIATION_MIN = 60, /* of stacks' sums, whose largest is 2520 */
    CELL_OFFSET = 24,   /* 1.5 deviations */
    CELL_CAP = 24,
    SKIP_COST = 5,   /* 0.3 deviations for a step that leaves a frame out */
    TRIM_COST = 8,   /* half a deviation a cell */
    NEAR = 7,        /* columns: a second */
    HARMONY_PART = 5 /* of 16, in both; the rest is the melody's */
};

struct aligner {
    enum simd simd;
    struct align_side a;
    size_t n_rows, n_columns, stride;      /* of the present matrix; stride in whole blocks */
    int16_t *b_classes;                    /* (ASPECTS, 2 * SEQUENCE_CLASSES, stride + BLOCK) */
    int16_t *products;                     /* (ALIGN_STACK, stride + BLOCK): a ring of rows */
    int16_t *stacked;                      /* (n_rows, stride) */
    int16_t *cells[ALIGN_MODES];           /* (n_rows, stride) */
    int16_t *scores;                       /* (3 or n_rows + 2, EDGE + stride) */
    int16_t *row_mean, *row_inverse;       /* (n_rows) */
    int16_t *column_mean, *column_inverse; /* (stride) */
    uint32_t *column_part, *column_part_squares; /* (stride), of at most FLUSH_ROWS rows */
    double *column_sum, *column_squares;         /* (stride), whole numbers */
    double *row_sum, *row_squares;               /* (n_rows) */
    struct align_cell *path;
    size_t cap_stride, cap_rows, cap_cells, cap_scores, cap_path;
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
    al->simd = wide_simd(simd);
    return al;
}

static void rows_release(struct aligner *al)
{
    mem_free(al->row_mean);
    mem_free(al->row_inverse);
    mem_free(al->row_sum);
    mem_free(al->row_squares);
}

static void columns_release(struct aligner *al)
{
    mem_free(al->b_classes);
    mem_free(al->products);
    mem_free(al->column_mean);
    mem_free(al->column_inverse);
    mem_free(al->column_part);
    mem_free(al->column_part_squares);
    mem_free(al->column_sum);
    mem_free(al->column_squares);
}

static void cells_release(struct aligner *al)
{
    mem_free(al->stacked);
    for (size_t i = 0; i < ALIGN_MODES; i++)
        mem_free(al->cells[i]);
}

void aligner_free(struct aligner *al)
{
    if (!al)
        return;
    columns_release(al);
    cells_release(al);
    mem_free(al->scores);
    rows_release(al);
    mem_free(al->path);
    mem_free(al);
}

static size_t whole_blocks(size_t n)
{
    return (n + BLOCK - 1) / BLOCK * BLOCK;
}

void aligner_set_a(struct aligner *al, const struct align_side *a)
{
    assert(a->n_frames >= ALIGN_STACK && a->n_frames <= ALIGN_FRAMES_MAX);
    al->a = *a;
    al->n_rows = a->n_frames - ALIGN_STACK + 1;
    const size_t n = whole_blocks(al->n_rows);
    if (n > al->cap_rows) {
        rows_release(al);
        al->row_mean = mem_alloc_aligned(n, sizeof *al->row_mean);
        al->row_inverse = mem_alloc_aligned(n, sizeof *al->row_inverse);
        al->row_sum = mem_alloc_aligned(n, sizeof *al->row_sum);
        al->row_squares = mem_alloc_aligned(n, sizeof *al->row_squares);
        memset(al->row_sum, 0, n * sizeof *al->row_sum);
        memset(al->row_squares, 0, n * sizeof *al->row_squares);
        al->cap_rows = n;
    }
}

static void reserve_columns(struct aligner *al, size_t stride)
{
    if (stride <= al->cap_stride)
        return;
    columns_release(al);
    const size_t classes = (size_t)ASPECTS * 2 * SEQUENCE_CLASSES, padded = stride + BLOCK;
    al->b_classes = mem_alloc_aligned(classes * padded, sizeof *al->b_classes);
    al->products = mem_alloc_aligned(ALIGN_STACK * padded, sizeof *al->products);
    al->column_mean = mem_alloc_aligned(stride, sizeof *al->column_mean);
    al->column_inverse = mem_alloc_aligned(stride, sizeof *al->column_inverse);
    al->column_part = mem_alloc_aligned(stride, sizeof *al->column_part);
    al->column_part_squares = mem_alloc_aligned(stride, sizeof *al->column_part_squares);
    al->column_sum = mem_alloc_aligned(stride, sizeof *al->column_sum);
    al->column_squares = mem_alloc_aligned(stride, sizeof *al->column_squares);
    al->cap_stride = stride;
}

static void reserve_cells(struct aligner *al)
{
    size_t n = al->n_rows * al->stride;
    if (n <= al->cap_cells)
        return;
    cells_release(al);
    al->stacked = mem_alloc_aligned(n, sizeof *al->stacked);
    for (size_t i = 0; i < ALIGN_MODES; i++)
        al->cells[i] = mem_alloc_aligned(n, sizeof *al->cells[i]);
    al->cap_cells = n;
}

static void reserve_scores(struct aligner *al, size_t n_rows)
{
    size_t n = n_rows * (EDGE + al->stride);
    if (n <= al->cap_scores)
        return;
    mem_free(al->scores);
    al->scores = mem_alloc_aligned(n, sizeof *al->scores);
    al->cap_scores = n;
}

/* Classes of b as rows, each twice, so that a rotation is an offset. */
static void set_b(struct aligner *al, const struct align_side *b)
{
    assert(b->n_frames >= ALIGN_STACK && b->n_frames <= ALIGN_FRAMES_MAX);
    al->n_columns = b->n_frames - ALIGN_STACK + 1;
    al->stride = whole_blocks(b->n_frames);
    reserve_columns(al, al->stride);
    reserve_cells(al);
    const size_t padded = al->stride + BLOCK;
    memset(al->b_classes, 0,
           (size_t)ASPECTS * 2 * SEQUENCE_CLASSES * padded * sizeof *al->b_classes);
    for (size_t aspect = 0; aspect < ASPECTS; aspect++)
        for (size_t c = 0; c < SEQUENCE_CLASSES; c++) {
            int16_t *row = al->b_classes + (aspect * 2 * SEQUENCE_CLASSES + c) * padded;
            for (size_t j = 0; j < b->n_frames; j++)
                row[j] = b->levels[aspect][j * SEQUENCE_CLASSES + c];
            memcpy(row + SEQUENCE_CLASSES * padded, row, padded * sizeof *row);
        }
}

/* ---------------------------------------------------------------- cells */

/* Frames are at most 127 long, so that a product is below 2^14 and a stack's sum below 2^12. */
LANE_BODY void products_body(const uint8_t *frame, const int16_t *classes, size_t stride,
                             int16_t *out)
{
    for (size_t at = 0; at < stride; at += BLOCK) {
        int16_t sum[BLOCK] = {0};
        for (size_t c = 0; c < SEQUENCE_CLASSES; c++) {
            const int16_t level = frame[c], *b = classes + c * stride + at;
            LANE_LOOP
            for (size_t l = 0; l < BLOCK; l++)
                sum[l] = (int16_t)(sum[l] + level * b[l]);
        }
        LANE_LOOP
        for (size_t l = 0; l < BLOCK; l++)
            out[at + l] = (int16_t)(sum[l] >> PRODUCT_SHIFT);
    }
}
WIDE_VERSIONS(products, (const uint8_t *frame, const int16_t *classes, size_t stride, int16_t *out),
              (frame, classes, stride, out))

/* rows: ALIGN_STACK rows of products; the k-th is read k columns further on. */
LANE_BODY void stack_body(const int16_t *const rows[ALIGN_STACK], size_t stride, int16_t *out)
{
    for (size_t at = 0; at < stride; at += BLOCK) {
        int16_t sum[BLOCK] = {0};
        for (size_t k = 0; k < ALIGN_STACK; k++) {
            const int16_t *row = rows[k] + at + k;
            LANE_LOOP
            for (size_t l = 0; l < BLOCK; l++)
                sum[l] = (int16_t)(sum[l] + row[l]);
        }
        memcpy(out + at, sum, sizeof sum);
    }
}
WIDE_VERSIONS(stack, (const int16_t *const rows[ALIGN_STACK], size_t stride, int16_t *out),
              (rows, stride, out))

/* Adds a row to the columns' sums and gives its own, in lanes that hold at most
 * ALIGN_FRAMES_MAX / BLOCK values each. */
LANE_BODY void add_row_body(const int16_t *row, size_t stride, uint32_t *sums, uint32_t *squares,
                            uint32_t row_sum[BLOCK], uint32_t row_squares[BLOCK])
{
    for (size_t at = 0; at < stride; at += BLOCK) {
        LANE_LOOP
        for (size_t l = 0; l < BLOCK; l++) {
            uint32_t x = (uint32_t)row[at + l], xx = x * x;
            sums[at + l] += x;
            squares[at + l] += xx;
            row_sum[l] += x;
            row_squares[l] += xx;
        }
    }
}
WIDE_VERSIONS(add_row,
              (const int16_t *row, size_t stride, uint32_t *sums, uint32_t *squares,
               uint32_t row_sum[BLOCK], uint32_t row_squares[BLOCK]),
              (row, stride, sums, squares, row_sum, row_squares))

/* From sums over n values each: the mean in 1 / MEAN_UNIT, and what a difference from it is
 * multiplied by to be in ALIGN_UNITs times 2^16. Where little differs, little stands out: a
 * deviation is at least DEVIATION_MIN. */
LANE_BODY void deviations_body(const double *sums, const double *squares, double n, size_t n_values,
                               int16_t *means, int16_t *inverses)
{
    const double least = DEVIATION_MIN * DEVIATION_MIN;
    for (size_t at = 0; at < n_values; at += BLOCK) {
        LANE_LOOP
        for (size_t l = 0; l < BLOCK; l++) {
            double mean = sums[at + l] / n, variance = squares[at + l] / n - mean * mean;
            double over = variance - least; /* the greater of both, without a branch: */
            double deviation = sqrt(least + (over + fabs(over)) / 2);
            means[at + l] = (int16_t)(int32_t)(mean * MEAN_UNIT);
            inverses[at + l] = (int16_t)(int32_t)(ALIGN_UNIT * 65536 / MEAN_UNIT / deviation);
        }
    }
}
WIDE_VERSIONS(deviations,
              (const double *sums, const double *squares, double n, size_t n_values, int16_t *means,
               int16_t *inverses),
              (sums, squares, n, n_values, means, inverses))

/* Adds 32-bit parts to sums and clears them. */
LANE_BODY void flush_body(uint32_t *parts, size_t n, double *sums)
{
    for (size_t at = 0; at < n; at += BLOCK) {
        LANE_LOOP
        for (size_t l = 0; l < BLOCK; l++) {
            sums[at + l] += (double)(int32_t)parts[at + l];
            parts[at + l] = 0;
        }
    }
}
WIDE_VERSIONS(flush, (uint32_t * parts, size_t n, double *sums), (parts, n, sums))

static void flush_columns(struct aligner *al)
{
    LANE_CALL(al->simd, flush, (al->column_part, al->stride, al->column_sum));
    LANE_CALL(al->simd, flush, (al->column_part_squares, al->stride, al->column_squares));
}

static void stack_rows(struct aligner *al, enum aspect aspect, unsigned rotation)
{
    const size_t padded = al->stride + BLOCK;
    const int16_t *classes =
        al->b_classes + ((size_t)aspect * 2 * SEQUENCE_CLASSES + rotation) * padded;
    memset(al->column_sum, 0, al->stride * sizeof *al->column_sum);
    memset(al->column_squares, 0, al->stride * sizeof *al->column_squares);
    memset(al->column_part, 0, al->stride * sizeof *al->column_part);
    memset(al->column_part_squares, 0, al->stride * sizeof *al->column_part_squares);
    for (size_t t = 0; t < al->a.n_frames; t++) {
        const uint8_t *frame = al->a.levels[aspect] + t * SEQUENCE_CLASSES;
        LANE_CALL(al->simd, products,
                  (frame, classes, padded, al->products + t % ALIGN_STACK * padded));
        if (t + 1 < ALIGN_STACK)
            continue;
        const size_t i = t + 1 - ALIGN_STACK;
        const int16_t *rows[ALIGN_STACK];
        for (size_t k = 0; k < ALIGN_STACK; k++)
            rows[k] = al->products + (i + k) % ALIGN_STACK * padded;
        int16_t *row = al->stacked + i * al->stride;
        LANE_CALL(al->simd, stack, (rows, al->stride, row));
        memset(row + al->n_columns, 0, (al->stride - al->n_columns) * sizeof *row);

        uint32_t sums[BLOCK] = {0}, squares[BLOCK] = {0};
        LANE_CALL(al->simd, add_row,
                  (row, al->stride, al->column_part, al->column_part_squares, sums, squares));
        uint64_t sum = 0, square = 0;
        for (size_t l = 0; l < BLOCK; l++) {
            sum += sums[l];
            square += squares[l];
        }
        al->row_sum[i] = (double)sum;
        al->row_squares[i] = (double)square;
        if ((i + 1) % FLUSH_ROWS == 0)
            flush_columns(al);
    }
    flush_columns(al);
    LANE_CALL(al->simd, deviations,
              (al->column_sum, al->column_squares, (double)al->n_rows, al->stride, al->column_mean,
               al->column_inverse));
    LANE_CALL(al->simd, deviations,
              (al->row_sum, al->row_squares, (double)al->n_columns, whole_blocks(al->n_rows),
               al->row_mean, al->row_inverse));
}

/* (x - mean) / deviation in ALIGN_UNITs, in the upper half of a 32-bit product. */
LANE_BODY void grade_body(const int16_t *row, int16_t mean, int16_t inverse, const int16_t *means,
                          const int16_t *inverses, size_t stride, int16_t *out)
{
    for (size_t at = 0; at < stride; at += BLOCK) {
        LANE_LOOP
        for (size_t l = 0; l < BLOCK; l++) {
            int16_t x = (int16_t)(row[at + l] * MEAN_UNIT);
            int16_t over_row = (int16_t)(x - mean), over_column = (int16_t)(x - means[at + l]);
            int16_t by_row = (int16_t)(over_row * inverse >> 16);
            int16_t by_column = (int16_t)(over_column * inverses[at + l] >> 16);
            int16_t z = (int16_t)((by_row < by_column ? by_row : by_column) - CELL_OFFSET);
            z = z > CELL_CAP ? CELL_CAP : z;
            out[at + l] = z < -CELL_CAP ? -CELL_CAP : z;
        }
    }
}
WIDE_VERSIONS(grade,
              (const int16_t *row, int16_t mean, int16_t inverse, const int16_t *means,
               const int16_t *inverses, size_t stride, int16_t *out),
              (row, mean, inverse, means, inverses, stride, out))

LANE_BODY void mix_body(const int16_t *harmony, const int16_t *melody, size_t n, int16_t *out)
{
    for (size_t at = 0; at < n; at += BLOCK) {
        LANE_LOOP
        for (size_t l = 0; l < BLOCK; l++)
            out[at + l] =
                (int16_t)((harmony[at + l] * HARMONY_PART + melody[at + l] * (16 - HARMONY_PART)) >>
                          4);
    }
}
WIDE_VERSIONS(mix, (const int16_t *harmony, const int16_t *melody, size_t n, int16_t *out),
              (harmony, melody, n, out))

static void make_cells(struct aligner *al, unsigned modes, unsigned rotation)
{
    static const enum align_mode mode_of[ASPECTS] = {ALIGN_HARMONY, ALIGN_MELODY};
    const bool both = (modes >> ALIGN_BOTH & 1) != 0;
    for (size_t aspect = 0; aspect < ASPECTS; aspect++) {
        if (!both && (modes >> mode_of[aspect] & 1) == 0)
            continue;
        stack_rows(al, (enum aspect)aspect, rotation);
        for (size_t i = 0; i < al->n_rows; i++)
            LANE_CALL(al->simd, grade,
                      (al->stacked + i * al->stride, al->row_mean[i], al->row_inverse[i],
                       al->column_mean, al->column_inverse, al->stride,
                       al->cells[mode_of[aspect]] + i * al->stride));
    }
    if (both)
        LANE_CALL(al->simd, mix,
                  (al->cells[ALIGN_HARMONY], al->cells[ALIGN_MELODY], al->n_rows * al->stride,
                   al->cells[ALIGN_BOTH]));
}

void aligner_cells(struct aligner *al, const struct align_side *b, enum align_mode mode,
                   unsigned rotation, int8_t *out)
{
    set_b(al, b);
    make_cells(al, 1U << mode, rotation);
    for (size_t i = 0; i < al->n_rows; i++)
        for (size_t j = 0; j < al->n_columns; j++)
            out[i * al->n_columns + j] = (int8_t)al->cells[mode][i * al->stride + j];
}

/* ---------------------------------------------------------------- paths */

/* One row of scores from the two before it, which have EDGE zeros in front; the best of the row by
 * lane. */
LANE_BODY void advance_body(const int16_t *cells, const int16_t *before, const int16_t *before2,
                            size_t stride, int16_t *out, int16_t best[BLOCK])
{
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
}
WIDE_VERSIONS(advance,
              (const int16_t *cells, const int16_t *before, const int16_t *before2, size_t stride,
               int16_t *out, int16_t best[BLOCK]),
              (cells, before, before2, stride, out, best))

/* The best path's end in one mode's cells. keep: rows of scores stay, row i at i + 2; otherwise
 * three rows take turns. */
static void find_best(struct aligner *al, enum align_mode mode, bool keep, struct align_end *out)
{
    const size_t width = EDGE + al->stride, n_kept = keep ? al->n_rows + 2 : 3;
    reserve_scores(al, n_kept);
    memset(al->scores, 0, 2 * width * sizeof *al->scores);
    for (size_t r = 2; r < n_kept; r++)
        memset(al->scores + r * width, 0, EDGE * sizeof *al->scores);
    *out = (struct align_end){0};
    for (size_t i = 0; i < al->n_rows; i++) {
        int16_t best[BLOCK] = {0}, most = 0;
        int16_t *row = al->scores + (i + 2) % n_kept * width + EDGE;
        const int16_t *before = al->scores + (i + 1) % n_kept * width + EDGE;
        const int16_t *before2 = al->scores + i % n_kept * width + EDGE;
        LANE_CALL(al->simd, advance,
                  (al->cells[mode] + i * al->stride, before, before2, al->stride, row, best));
        for (size_t l = 0; l < BLOCK; l++)
            most = best[l] > most ? best[l] : most;
        if (most <= out->score)
            continue;
        size_t j = 0;
        while (row[j] != most)
            j++;
        *out = (struct align_end){.score = most, .a = (uint32_t)i, .b = (uint32_t)j};
    }
}

void aligner_score(struct aligner *al, const struct align_side *b, unsigned modes,
                   unsigned rotations, struct align_end out[ALIGN_MODES])
{
    assert((rotations & ~(unsigned)ALIGN_ROTATIONS) == 0);
    set_b(al, b);
    memset(out, 0, ALIGN_MODES * sizeof *out);
    for (unsigned r = 0; r < SEQUENCE_CLASSES; r++) {
        if ((rotations >> r & 1) == 0)
            continue;
        make_cells(al, modes, r);
        for (size_t mode = 0; mode < ALIGN_MODES; mode++) {
            struct align_end end;
            if ((modes >> mode & 1) == 0)
                continue;
            find_best(al, (enum align_mode)mode, false, &end);
            end.rotation = r;
            if (end.score > out[mode].score)
                out[mode] = end;
        }
    }
}

/* ---------------------------------------------------------------- tracing */

/* Back from the end of a path over kept scores, each time to the cell that the score came from. */
static size_t walk_back(const struct aligner *al, const struct align_end *end,
                        struct align_cell *cells)
{
    const size_t width = EDGE + al->stride;
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
static void blot_out(struct aligner *al, enum align_mode mode, const struct align_path *path)
{
    for (size_t k = 0; k < path->n_cells; k++) {
        const size_t i = path->cells[k].a, j = path->cells[k].b;
        int16_t *row = al->cells[mode] + i * al->stride;
        for (size_t at = j > NEAR ? j - NEAR : 0; at <= j + NEAR && at < al->stride; at++)
            row[at] = -SCORE_MAX / 2;
    }
}

/* A local alignment runs on beyond a passage as long as chance gives it anything. The part of the
 * path whose cells add up to most after TRIM_COST is taken off each is where the passage is. */
static void trim(const struct aligner *al, enum align_mode mode, struct align_path *path)
{
    int32_t sum = 0, best = INT32_MIN;
    size_t from = 0, best_from = 0, best_to = 0;
    for (size_t k = 0; k < path->n_cells; k++) {
        if (sum < 0) {
            sum = 0;
            from = k;
        }
        sum += al->cells[mode][path->cells[k].a * al->stride + path->cells[k].b] - TRIM_COST;
        if (sum > best) {
            best = sum;
            best_from = from;
            best_to = k + 1;
        }
    }
    path->cells += best_from;
    path->n_cells = best_to - best_from;
}

static void sum_aspects(const struct aligner *al, struct align_path *path)
{
    static const enum align_mode mode_of[ASPECTS] = {ALIGN_HARMONY, ALIGN_MELODY};
    for (size_t aspect = 0; aspect < ASPECTS; aspect++) {
        int32_t sum = 0;
        for (size_t k = 0; k < path->n_cells; k++)
            sum += al->cells[mode_of[aspect]][path->cells[k].a * al->stride + path->cells[k].b];
        path->aspect_score[aspect] = sum;
    }
}

size_t aligner_trace(struct aligner *al, const struct align_side *b, enum align_mode mode,
                     unsigned rotation, int32_t min_score, size_t max, struct align_path *out)
{
    assert(max <= ALIGN_PATHS_MAX && min_score > 0);
    set_b(al, b);
    make_cells(al, ALIGN_ALL, rotation);
    const size_t longest = al->n_rows; /* each step takes a row at least */
    if (max * longest > al->cap_path) {
        mem_free(al->path);
        al->cap_path = max * longest;
        al->path = mem_alloc(al->cap_path, sizeof *al->path);
    }
    size_t n = 0;
    while (n < max) {
        struct align_path *p = &out[n];
        *p = (struct align_path){.cells = al->path + n * longest};
        find_best(al, mode, true, &p->end);
        if (p->end.score < min_score)
            break;
        p->end.rotation = rotation;
        p->n_cells = walk_back(al, &p->end, p->cells);
        n++;
        blot_out(al, mode, p);
    }
    if (n > 0) /* once more, without blots */
        make_cells(al, ALIGN_ALL, rotation);
    for (size_t k = 0; k < n; k++) {
        trim(al, mode, &out[k]);
        sum_aspects(al, &out[k]);
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
