#include "match/coarse.h"

#include "base/mem.h"
#include "match/wide.h"

#include <math.h>
#include <stdlib.h>

/*
 * The arithmetic is align_matrix.c's and align.c's with songs in the place of columns: every lane
 * has a song, so nothing is moved between lanes, rows need no filling up, and all songs of a group
 * have their rows' and columns' deviations at once. Deviations are floats here: additions,
 * products, quotients and roots that IEEE 754 rounds alike everywhere, so the bits are the same on
 * all machines, if not those of align_matrix.c.
 *
 * Frames from a song's end to its group's are zeros, and stacks that reach into them are set to
 * zero, which leaves a cell that only lowers a path.
 */
enum {
    LANES_N = COARSE_SONGS,
    N_ROTATIONS = SEQUENCE_CLASSES / 2, /* r and r + 6 are made together */
    HALVES = 2,
    STACKS_MAX = COARSE_FRAMES_MAX - ALIGN_STACK + 1, /* of a song, */
    ROWS_MAX = COARSE_QUERY_MAX - ALIGN_STACK + 1,    /* and of a query */
    DIAGONAL_ROWS = ALIGN_STACK + 1,
    DIAGONAL_WIDTH = COARSE_FRAMES_MAX + 1, /* a zero in front */
    PRODUCT_SHIFT = 5,
    MEAN_UNIT = 8,
    DEVIATION_MIN = 60,
    CELL_OFFSET = 24,
    CELL_CAP = 24,
    SKIP_COST = 5,
    SCORE_EDGE = 2, /* zeros in front of a row of scores */
    SURE = 40,      /* a melody frame's mean that is shorter keeps its length in proportion */
    LEVEL_MAX = 127,
    STACK_MAX = ALIGN_STACK * (2 * LEVEL_MAX * LEVEL_MAX >> (PRODUCT_SHIFT + 1)),
};
static_assert((int)LANES_N == (int)BLOCK, "a vector of songs is a block of columns elsewhere");
static_assert(STACKS_MAX * CELL_CAP < INT16_MAX, "a path has a cell a column: scores fit 16 bits");
static_assert((int64_t)ROWS_MAX * STACK_MAX * STACK_MAX < INT32_MAX, "squares of a column fit 32");

struct lanes_i16 {
    _Alignas(64) int16_t at[LANES_N];
};
struct lanes_i32 {
    _Alignas(64) int32_t at[LANES_N];
};

struct coarse_scorer {
    enum simd simd;
    const uint8_t *query;
    size_t n_query;
    struct lanes_i16 n_columns;                                 /* of each song: its stacks */
    struct lanes_i16 songs[COARSE_FRAMES_MAX][2 * N_ROTATIONS]; /* sums, then differences */
    struct lanes_i16 inside[STACKS_MAX]; /* all bits set in stacks that are */
    struct lanes_i16 diagonals[HALVES][DIAGONAL_ROWS][DIAGONAL_WIDTH];
    struct lanes_i16 *stacked[HALVES]; /* (rows, columns) */
    struct lanes_i32 column_sums[HALVES][STACKS_MAX], column_squares[HALVES][STACKS_MAX];
    struct lanes_i32 row_sums[HALVES][ROWS_MAX], row_squares[HALVES][ROWS_MAX];
    struct lanes_i16 column_means[STACKS_MAX], column_inverses[STACKS_MAX];
    struct lanes_i16 row_means[ROWS_MAX], row_inverses[ROWS_MAX];
    struct lanes_i16 scores[3][SCORE_EDGE + STACKS_MAX];
};

/* ---------------------------------------------------------------- songs */

void coarse_make(const struct sequence *in, uint8_t *out)
{
    const uint8_t *from = sequence_aspect(in, ASPECT_MELODY);
    for (size_t t = 0; t < coarse_frames(in->n_frames); t++) {
        uint32_t sum[SEQUENCE_CLASSES] = {0};
        double square = 0;
        for (size_t k = 0; k < (size_t)COARSE_POOL * SEQUENCE_CLASSES; k++)
            sum[k % SEQUENCE_CLASSES] += *from++;
        for (size_t c = 0; c < SEQUENCE_CLASSES; c++)
            square += (double)sum[c] * sum[c] / (COARSE_POOL * COARSE_POOL);
        double length = fmax(sqrt(square), SURE);
        for (size_t c = 0; c < SEQUENCE_CLASSES; c++)
            *out++ = (uint8_t)((double)sum[c] / COARSE_POOL / length * LEVEL_MAX);
    }
}

bool coarse_is_grouped(uint32_t n_frames)
{
    const uint32_t n = coarse_frames(n_frames);
    return n >= ALIGN_STACK && n <= COARSE_FRAMES_MAX;
}

bool coarse_meets_groups(uint32_t n_frames)
{
    const uint32_t n = coarse_frames(n_frames);
    return n >= ALIGN_STACK && n <= COARSE_QUERY_MAX;
}

struct place {
    uint32_t n_frames, song;
};

static int place_compare(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->n_frames != y->n_frames)
        return x->n_frames < y->n_frames ? -1 : 1;
    return (x->song > y->song) - (x->song < y->song);
}

void coarse_plan_init(struct coarse_plan *p, const uint32_t *n_frames, size_t n_songs)
{
    struct place *places = mem_alloc(size_max(1, n_songs), sizeof *places);
    size_t n = 0;
    *p = (struct coarse_plan){0};
    p->singles = mem_alloc(size_max(1, n_songs), sizeof *p->singles);
    for (size_t i = 0; i < n_songs; i++)
        if (coarse_is_grouped(n_frames[i]))
            places[n++] = (struct place){coarse_frames(n_frames[i]), (uint32_t)i};
        else
            p->singles[p->n_singles++] = (uint32_t)i;
    qsort(places, n, sizeof *places, place_compare);
    p->n_groups = (n + COARSE_SONGS - 1) / COARSE_SONGS;
    p->groups = mem_zalloc(size_max(1, p->n_groups), sizeof *p->groups);
    for (size_t i = 0; i < n; i++) {
        struct coarse_group *g = &p->groups[i / COARSE_SONGS];
        g->songs[g->n_songs] = places[i].song;
        g->n_frames[g->n_songs++] = places[i].n_frames;
        g->n_frames_max = places[i].n_frames;
    }
    for (size_t i = 0; i < p->n_groups; i++) {
        p->groups[i].levels_at = p->levels_bytes;
        p->levels_bytes += coarse_group_bytes(&p->groups[i]);
    }
    mem_free(places);
}

void coarse_plan_release(struct coarse_plan *p)
{
    mem_free(p->groups);
    mem_free(p->singles);
    *p = (struct coarse_plan){0};
}

void coarse_group_put(const struct coarse_group *g, size_t place, const uint8_t *frames,
                      uint8_t *levels)
{
    for (size_t i = 0; i < (size_t)g->n_frames[place] * SEQUENCE_CLASSES; i++)
        levels[i * COARSE_SONGS + place] = frames[i];
}

/* ---------------------------------------------------------------- scorer */

struct coarse_scorer *coarse_scorer_new(enum simd simd)
{
    struct coarse_scorer *s = mem_alloc_aligned(1, sizeof *s);
    memset(s, 0, sizeof *s);
    s->simd = simd;
    for (size_t h = 0; h < HALVES; h++)
        s->stacked[h] = mem_alloc_aligned((size_t)ROWS_MAX * STACKS_MAX, sizeof *s->stacked[h]);
    return s;
}

void coarse_scorer_free(struct coarse_scorer *s)
{
    if (!s)
        return;
    for (size_t h = 0; h < HALVES; h++)
        mem_free(s->stacked[h]);
    mem_free(s);
}

void coarse_scorer_set_query(struct coarse_scorer *s, const uint8_t *frames, uint32_t n_frames)
{
    assert(n_frames >= ALIGN_STACK && n_frames <= COARSE_QUERY_MAX);
    s->query = frames;
    s->n_query = n_frames;
}

static void set_group(struct coarse_scorer *s, const struct coarse_group *g, const uint8_t *levels)
{
    assert(g->n_frames_max >= ALIGN_STACK && g->n_frames_max <= COARSE_FRAMES_MAX);
    for (size_t l = 0; l < LANES_N; l++)
        s->n_columns.at[l] =
            g->n_frames[l] >= ALIGN_STACK ? (int16_t)align_stacks(g->n_frames[l]) : 0;
    for (size_t j = 0; j < align_stacks(g->n_frames_max); j++)
        for (size_t l = 0; l < LANES_N; l++)
            s->inside[j].at[l] = (int16_t)j < s->n_columns.at[l] ? -1 : 0;
    for (size_t t = 0; t < g->n_frames_max; t++, levels += SEQUENCE_CLASSES * LANES_N)
        for (size_t c = 0; c < N_ROTATIONS; c++)
            for (size_t l = 0; l < LANES_N; l++) {
                int16_t x = levels[c * LANES_N + l], y = levels[(c + N_ROTATIONS) * LANES_N + l];
                s->songs[t][c].at[l] = (int16_t)(x + y);
                s->songs[t][c + N_ROTATIONS].at[l] = (int16_t)(x - y);
            }
}

/* A query frame's sums and differences of classes half an octave apart, in the order in which they
 * meet those of a song under a rotation; a difference that goes once around changes its sign. */
static void factors_make(const uint8_t *frame, size_t rotation, uint16_t out[2 * N_ROTATIONS])
{
    for (size_t c = 0; c < N_ROTATIONS; c++) {
        const size_t k = (c + rotation) % N_ROTATIONS;
        const int difference = frame[c] - frame[c + N_ROTATIONS];
        out[k] = (uint16_t)(frame[c] + frame[c + N_ROTATIONS]);
        out[k + N_ROTATIONS] = (uint16_t)(c + rotation >= N_ROTATIONS ? -difference : difference);
    }
}

/* One query frame's products with all frames of the songs, added to the sums along the diagonals;
 * before and out begin with a zero. */
LANE_BODY void products_body(const uint16_t factors[2 * N_ROTATIONS],
                             const struct lanes_i16 (*songs)[2 * N_ROTATIONS], size_t n_frames,
                             const struct lanes_i16 *const before[HALVES],
                             struct lanes_i16 *const out[HALVES])
{
    for (size_t j = 0; j < n_frames; j++) {
        uint16_t same[LANES_N] = {0}, cross[LANES_N] = {0};
#pragma GCC unroll 6
        for (size_t c = 0; c < N_ROTATIONS; c++) {
            const uint16_t of_sum = factors[c], of_difference = factors[c + N_ROTATIONS];
            const int16_t *sums = songs[j][c].at, *differences = songs[j][c + N_ROTATIONS].at;
            LANE_LOOP
            for (size_t l = 0; l < LANES_N; l++) {
                same[l] = (uint16_t)(same[l] + of_sum * (uint32_t)sums[l]);
                cross[l] = (uint16_t)(cross[l] + of_difference * (uint32_t)differences[l]);
            }
        }
        const int16_t *low_before = before[0][j].at, *high_before = before[1][j].at;
        int16_t *low = out[0][j + 1].at, *high = out[1][j + 1].at;
        LANE_LOOP
        for (size_t l = 0; l < LANES_N; l++) {
            uint16_t p = (uint16_t)(same[l] + cross[l]), q = (uint16_t)(same[l] - cross[l]);
            low[l] = (int16_t)((uint16_t)low_before[l] + (p >> (PRODUCT_SHIFT + 1)));
            high[l] = (int16_t)((uint16_t)high_before[l] + (q >> (PRODUCT_SHIFT + 1)));
        }
    }
}
LANE_VERSIONS(products,
              (const uint16_t factors[2 * N_ROTATIONS],
               const struct lanes_i16 (*songs)[2 * N_ROTATIONS], size_t n_frames,
               const struct lanes_i16 *const before[HALVES], struct lanes_i16 *const out[HALVES]),
              (factors, songs, n_frames, before, out))

/* A row of stacks, added to its own sums and to the columns'. upto, before: diagonals up to the
 * stacks' last frame, and up to the one before their first. */
LANE_BODY void stack_body(const struct lanes_i16 *upto, const struct lanes_i16 *before,
                          const struct lanes_i16 *inside, size_t n_columns, struct lanes_i16 *out,
                          struct lanes_i32 *sums, struct lanes_i32 *squares,
                          struct lanes_i32 *row_sums, struct lanes_i32 *row_squares)
{
    struct lanes_i32 own_sums = {{0}}, own_squares = {{0}};
    for (size_t j = 0; j < n_columns; j++) {
        const int16_t *to = upto[j + ALIGN_STACK].at, *from = before[j].at, *in = inside[j].at;
        int16_t *x = out[j].at;
        int32_t *sum = sums[j].at, *square = squares[j].at;
        LANE_LOOP
        for (size_t l = 0; l < LANES_N; l++)
            x[l] = (int16_t)((uint16_t)to[l] - (uint16_t)from[l]) & in[l];
        LANE_LOOP
        for (size_t l = 0; l < LANES_N; l++) {
            int32_t product = x[l] * x[l];
            sum[l] += x[l];
            own_sums.at[l] += x[l];
            square[l] += product;
            own_squares.at[l] += product;
        }
    }
    *row_sums = own_sums;
    *row_squares = own_squares;
}
LANE_VERSIONS(stack,
              (const struct lanes_i16 *upto, const struct lanes_i16 *before,
               const struct lanes_i16 *inside, size_t n_columns, struct lanes_i16 *out,
               struct lanes_i32 *sums, struct lanes_i32 *squares, struct lanes_i32 *row_sums,
               struct lanes_i32 *row_squares),
              (upto, before, inside, n_columns, out, sums, squares, row_sums, row_squares))

/* Sums of counts[l] values of song l each to means in 1 / MEAN_UNIT and factors to ALIGN_UNITs
 * times 2^16, as in align_matrix.c. */
LANE_BODY void deviations_body(const struct lanes_i32 *sums, const struct lanes_i32 *squares,
                               const int16_t counts[LANES_N], size_t n, struct lanes_i16 *means,
                               struct lanes_i16 *inverses)
{
    float parts[LANES_N];
    for (size_t l = 0; l < LANES_N; l++)
        parts[l] = 1 / (float)(counts[l] > 0 ? counts[l] : 1);
    const float least = DEVIATION_MIN * DEVIATION_MIN;
    for (size_t i = 0; i < n; i++) {
        LANE_LOOP
        for (size_t l = 0; l < LANES_N; l++) {
            float mean = (float)sums[i].at[l] * parts[l];
            float over = (float)squares[i].at[l] * parts[l] - mean * mean - least;
            float deviation = sqrtf(least + (over + fabsf(over)) / 2);
            means[i].at[l] = (int16_t)(int32_t)(mean * MEAN_UNIT);
            inverses[i].at[l] = (int16_t)(int32_t)(ALIGN_UNIT * 65536 / MEAN_UNIT / deviation);
        }
    }
}
LANE_VERSIONS(deviations,
              (const struct lanes_i32 *sums, const struct lanes_i32 *squares,
               const int16_t counts[LANES_N], size_t n, struct lanes_i16 *means,
               struct lanes_i16 *inverses),
              (sums, squares, counts, n, means, inverses))

/* A row of cells and of scores at once; before, before2 and out have SCORE_EDGE zeros in front. */
LANE_BODY void advance_body(const struct lanes_i16 *stacked, const int16_t mean[LANES_N],
                            const int16_t inverse[LANES_N], const struct lanes_i16 *means,
                            const struct lanes_i16 *inverses, size_t n_columns,
                            const struct lanes_i16 *before, const struct lanes_i16 *before2,
                            struct lanes_i16 *out, int16_t best[LANES_N])
{
    for (size_t j = 0; j < n_columns; j++) {
        const int16_t *x = stacked[j].at, *column_mean = means[j].at;
        const int16_t *column_inverse = inverses[j].at;
        const int16_t *straight = before[j + SCORE_EDGE - 1].at;
        const int16_t *b_skips = before[j + SCORE_EDGE - 2].at;
        const int16_t *a_skips = before2[j + SCORE_EDGE - 1].at;
        int16_t *score = out[j + SCORE_EDGE].at;
        LANE_LOOP
        for (size_t l = 0; l < LANES_N; l++) {
            int16_t y = (int16_t)(x[l] * MEAN_UNIT);
            int16_t over_row = (int16_t)(y - mean[l]), over_column = (int16_t)(y - column_mean[l]);
            int16_t by_row = (int16_t)(over_row * inverse[l] >> 16);
            int16_t by_column = (int16_t)(over_column * column_inverse[l] >> 16);
            int16_t z = (int16_t)((by_row < by_column ? by_row : by_column) - CELL_OFFSET);
            z = z > CELL_CAP ? CELL_CAP : z;
            z = z < -CELL_CAP ? -CELL_CAP : z;
            int16_t skips = b_skips[l] > a_skips[l] ? b_skips[l] : a_skips[l];
            int16_t from = (int16_t)(skips - SKIP_COST);
            from = straight[l] > from ? straight[l] : from;
            from = (int16_t)(from + z);
            from = from > 0 ? from : 0;
            score[l] = from;
            best[l] = from > best[l] ? from : best[l];
        }
    }
}
LANE_VERSIONS(advance,
              (const struct lanes_i16 *stacked, const int16_t mean[LANES_N],
               const int16_t inverse[LANES_N], const struct lanes_i16 *means,
               const struct lanes_i16 *inverses, size_t n_columns, const struct lanes_i16 *before,
               const struct lanes_i16 *before2, struct lanes_i16 *out, int16_t best[LANES_N]),
              (stacked, mean, inverse, means, inverses, n_columns, before, before2, out, best))

static void make_stacks(struct coarse_scorer *s, size_t n_frames, size_t rotation)
{
    const size_t n_columns = n_frames - ALIGN_STACK + 1;
    for (size_t h = 0; h < HALVES; h++) {
        memset(s->column_sums[h], 0, n_columns * sizeof *s->column_sums[h]);
        memset(s->column_squares[h], 0, n_columns * sizeof *s->column_squares[h]);
        for (size_t r = 0; r < DIAGONAL_ROWS; r++)
            memset(s->diagonals[h][r], 0, (n_frames + 1) * sizeof s->diagonals[h][r][0]);
    }
    for (size_t t = 0; t < s->n_query; t++) {
        const size_t now = t % DIAGONAL_ROWS, last = (t + DIAGONAL_ROWS - 1) % DIAGONAL_ROWS;
        const struct lanes_i16 *const before[HALVES] = {s->diagonals[0][last],
                                                        s->diagonals[1][last]};
        struct lanes_i16 *const out[HALVES] = {s->diagonals[0][now], s->diagonals[1][now]};
        uint16_t factors[2 * N_ROTATIONS];
        factors_make(s->query + t * SEQUENCE_CLASSES, rotation, factors);
        LANE_CALL(s->simd, products,
                  (factors, (const struct lanes_i16(*)[2 * N_ROTATIONS]) s->songs, n_frames, before,
                   out));
        if (t + 1 < ALIGN_STACK)
            continue;
        const size_t i = t + 1 - ALIGN_STACK;
        for (size_t h = 0; h < HALVES; h++)
            LANE_CALL(s->simd, stack,
                      (s->diagonals[h][now], s->diagonals[h][(t + 1) % DIAGONAL_ROWS], s->inside,
                       n_columns, s->stacked[h] + i * n_columns, s->column_sums[h],
                       s->column_squares[h], &s->row_sums[h][i], &s->row_squares[h][i]));
    }
}

static void find_best(struct coarse_scorer *s, size_t half, size_t n_columns,
                      int16_t best[COARSE_SONGS])
{
    const size_t n_rows = s->n_query - ALIGN_STACK + 1;
    struct lanes_i16 n_rows_each;
    for (size_t l = 0; l < LANES_N; l++)
        n_rows_each.at[l] = (int16_t)n_rows;
    LANE_CALL(s->simd, deviations,
              (s->column_sums[half], s->column_squares[half], n_rows_each.at, n_columns,
               s->column_means, s->column_inverses));
    LANE_CALL(s->simd, deviations,
              (s->row_sums[half], s->row_squares[half], s->n_columns.at, n_rows, s->row_means,
               s->row_inverses));
    memset(s->scores, 0, sizeof s->scores);
    for (size_t i = 0; i < n_rows; i++)
        LANE_CALL(s->simd, advance,
                  (s->stacked[half] + i * n_columns, s->row_means[i].at, s->row_inverses[i].at,
                   s->column_means, s->column_inverses, n_columns, s->scores[(i + 1) % 3],
                   s->scores[i % 3], s->scores[(i + 2) % 3], best));
}

void coarse_scorer_run(struct coarse_scorer *s, const struct coarse_group *g, const uint8_t *levels,
                       int16_t scores[COARSE_SONGS])
{
    assert(s->n_query >= ALIGN_STACK);
    struct lanes_i16 best = {{0}};
    set_group(s, g, levels);
    for (size_t r = 0; r < N_ROTATIONS; r++) {
        make_stacks(s, g->n_frames_max, r);
        for (size_t h = 0; h < HALVES; h++)
            find_best(s, h, align_stacks(g->n_frames_max), best.at);
    }
    memcpy(scores, best.at, sizeof best.at);
}
