#include "match/align_matrix.h"

#include "base/mem.h"
#include "match/wide.h"

#include <math.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/*
 * The binary recurrence of Serra et al. sets a fixed share of each row whether or not anything
 * stands out, which is what loses short passages (docs/MATCH.md has the figures): cells are graded.
 *
 * Whole numbers only, so that all machines give the same bits; inner loops run over BLOCK
 * neighbouring columns, so that compilers turn them into vectors.
 *
 * Products of two frames under rotation r and under r + 6 have the same terms: with s[c] = x[c] +
 * x[c + 6] and d[c] = x[c] - x[c + 6] of either frame, six products of sums give P(r) + P(r + 6),
 * six of differences P(r) - P(r + 6), which halves the multiplications. Both are taken modulo 2^16:
 * 2 P is below 2^15, because frames are at most 127 long.
 *
 * The sum over a stack is a difference of two sums along a diagonal, which are kept for
 * DIAGONAL_ROWS rows, modulo 2^16 as well.
 */
enum {
    EDGE = BLOCK, /* columns beside a row of diagonal sums that may be read: zeros before it */
    DIAGONAL_ROWS = ALIGN_STACK + 1,
    PRODUCT_SHIFT = 5,
    FLUSH_ROWS = 256,   /* even; squares of so many stacks fit 31 bits */
    MEAN_UNIT = 8,      /* a stack's sum is below 2^12 */
    DEVIATION_MIN = 60, /* of stacks' sums, whose largest is 2520 */
    CELL_OFFSET = 24,   /* 1.5 deviations */
    HARMONY_PART = 5    /* of 16, in both; the rest is the melody's */
};
enum { SUMS, DIFFERENCES, KINDS };

static const enum align_mode mode_of[ASPECTS] = {ALIGN_HARMONY, ALIGN_MELODY};

void align_matrix_init(struct align_matrix *m, enum simd simd)
{
    *m = (struct align_matrix){.simd = simd};
}

static void rows_release(struct align_matrix *m)
{
    mem_free(m->row_mean);
    mem_free(m->row_inverse);
    mem_free(m->row_sum);
    mem_free(m->row_squares);
}

static void columns_release(struct align_matrix *m)
{
    mem_free(m->classes);
    for (size_t h = 0; h < MATRIX_HALVES; h++)
        mem_free(m->diagonals[h]);
    mem_free(m->inside);
    mem_free(m->nothing);
    mem_free(m->column_mean);
    mem_free(m->column_inverse);
    mem_free(m->column_part);
    mem_free(m->column_part_squares);
    mem_free(m->column_sum);
    mem_free(m->column_squares);
}

void align_matrix_release(struct align_matrix *m)
{
    rows_release(m);
    columns_release(m);
    for (size_t h = 0; h < MATRIX_HALVES; h++)
        for (size_t mode = 0; mode < ALIGN_MODES; mode++)
            mem_free(m->cells[h][mode]);
    *m = (struct align_matrix){0};
}

void align_matrix_set_a(struct align_matrix *m, const struct align_side *a)
{
    assert(a->n_frames >= ALIGN_STACK && a->n_frames <= ALIGN_FRAMES_MAX);
    m->a = *a;
    m->n_rows = align_stacks(a->n_frames);
    const size_t n = whole_blocks(m->n_rows);
    if (n <= m->cap_rows)
        return;
    rows_release(m);
    m->row_mean = mem_alloc_aligned(n, sizeof *m->row_mean);
    m->row_inverse = mem_alloc_aligned(n, sizeof *m->row_inverse);
    m->row_sum = mem_alloc_aligned(n, sizeof *m->row_sum);
    m->row_squares = mem_alloc_aligned(n, sizeof *m->row_squares);
    memset(m->row_sum, 0, n * sizeof *m->row_sum);
    memset(m->row_squares, 0, n * sizeof *m->row_squares);
    m->cap_rows = n;
}

static size_t ring_bytes(const struct align_matrix *m)
{
    return DIAGONAL_ROWS * (EDGE + m->stride + EDGE) * sizeof(int16_t);
}

static void reserve_columns(struct align_matrix *m)
{
    const size_t n = m->stride;
    if (n <= m->cap_stride)
        return;
    columns_release(m);
    m->classes =
        mem_alloc_aligned((size_t)ASPECTS * KINDS * SEQUENCE_CLASSES * n, sizeof *m->classes);
    for (size_t h = 0; h < MATRIX_HALVES; h++)
        m->diagonals[h] = mem_alloc_aligned(1, ring_bytes(m));
    m->inside = mem_alloc_aligned(n, sizeof *m->inside);
    m->nothing = mem_alloc_aligned(n, sizeof *m->nothing);
    memset(m->nothing, 0, n * sizeof *m->nothing);
    m->column_mean = mem_alloc_aligned(n, sizeof *m->column_mean);
    m->column_inverse = mem_alloc_aligned(n, sizeof *m->column_inverse);
    m->column_part = mem_alloc_aligned(n, sizeof *m->column_part);
    m->column_part_squares = mem_alloc_aligned(n, sizeof *m->column_part_squares);
    m->column_sum = mem_alloc_aligned(n, sizeof *m->column_sum);
    m->column_squares = mem_alloc_aligned(n, sizeof *m->column_squares);
    m->cap_stride = n;
}

/* Sums and differences of classes half an octave apart, as rows. Differences change their sign
 * from the seventh on, so that a rotation is an offset in both. */
void align_matrix_set_b(struct align_matrix *m, const struct align_side *b)
{
    assert(b->n_frames >= ALIGN_STACK && b->n_frames <= ALIGN_FRAMES_MAX);
    m->n_columns = align_stacks(b->n_frames);
    m->stride = whole_blocks(b->n_frames);
    reserve_columns(m);
    for (size_t j = 0; j < m->stride; j++)
        m->inside[j] = j < m->n_columns ? -1 : 0;
    for (size_t aspect = 0; aspect < ASPECTS; aspect++)
        for (size_t c = 0; c < SEQUENCE_CLASSES; c++) {
            const size_t other = (c + MATRIX_ROTATIONS) % SEQUENCE_CLASSES;
            int16_t *sums =
                m->classes + ((aspect * KINDS + SUMS) * SEQUENCE_CLASSES + c) * m->stride;
            int16_t *differences = sums + SEQUENCE_CLASSES * m->stride;
            const uint8_t *frame = b->levels[aspect];
            for (size_t j = 0; j < b->n_frames; j++, frame += SEQUENCE_CLASSES) {
                sums[j] = (int16_t)(frame[c] + frame[other]);
                differences[j] = (int16_t)(frame[c] - frame[other]);
            }
            memset(sums + b->n_frames, 0, (m->stride - b->n_frames) * sizeof *sums);
            memset(differences + b->n_frames, 0, (m->stride - b->n_frames) * sizeof *differences);
        }
}

static void reserve_cells(struct align_matrix *m, unsigned modes, unsigned halves)
{
    const size_t n = m->n_rows * m->stride;
    for (size_t h = 0; h < MATRIX_HALVES; h++)
        for (size_t mode = 0; mode < ALIGN_MODES; mode++) {
            if ((halves >> h & 1) == 0 || (modes >> mode & 1) == 0 || n <= m->cap_cells[h][mode])
                continue;
            mem_free(m->cells[h][mode]);
            m->cells[h][mode] = mem_alloc_aligned(n, sizeof *m->cells[h][mode]);
            m->cap_cells[h][mode] = n;
        }
}

/* ---------------------------------------------------------------- stacks */

/* A frame's products with all of b's, added to the sums along the diagonals. before: the sums of
 * the frame before. */
LANE_BODY void products_body(const uint8_t *frame, const int16_t *classes, size_t stride,
                             const int16_t *const before[MATRIX_HALVES],
                             int16_t *const out[MATRIX_HALVES])
{
    enum { N = MATRIX_ROTATIONS };
    uint16_t of_sums[N], of_differences[N];
    for (size_t c = 0; c < N; c++) {
        of_sums[c] = (uint16_t)(frame[c] + frame[c + N]);
        of_differences[c] = (uint16_t)(frame[c] - frame[c + N]);
    }
    const int16_t *low_before = before[0], *high_before = before[1];
    int16_t *low = out[0], *high = out[1];
    for (size_t at = 0; at < stride; at += BLOCK) {
        uint16_t same[BLOCK] = {0}, cross[BLOCK] = {0};
#pragma GCC unroll 6
        for (size_t c = 0; c < N; c++) {
            const int16_t *sums = classes + c * stride + at;
            const int16_t *differences = sums + SEQUENCE_CLASSES * stride;
            LANE_LOOP
            for (size_t l = 0; l < BLOCK; l++) {
                same[l] = (uint16_t)(same[l] + of_sums[c] * (uint32_t)sums[l]);
                cross[l] = (uint16_t)(cross[l] + of_differences[c] * (uint32_t)differences[l]);
            }
        }
        LANE_LOOP
        for (size_t l = 0; l < BLOCK; l++) {
            uint16_t p = (uint16_t)(same[l] + cross[l]), q = (uint16_t)(same[l] - cross[l]);
            low[at + l] = (int16_t)((uint16_t)low_before[at + l - 1] + (p >> (PRODUCT_SHIFT + 1)));
            high[at + l] =
                (int16_t)((uint16_t)high_before[at + l - 1] + (q >> (PRODUCT_SHIFT + 1)));
        }
    }
}
LANE_VERSIONS(products,
              (const uint8_t *frame, const int16_t *classes, size_t stride,
               const int16_t *const before[MATRIX_HALVES], int16_t *const out[MATRIX_HALVES]),
              (frame, classes, stride, before, out))

/* From the diagonals up to the stack's last frame and up to the one before its first. */
LANE_BODY void stack_body(const int16_t *upto, const int16_t *before, const int16_t *inside,
                          size_t stride, int16_t *out)
{
    for (size_t at = 0; at < stride; at += BLOCK) {
        LANE_LOOP
        for (size_t l = 0; l < BLOCK; l++)
            out[at + l] =
                (int16_t)((uint16_t)upto[at + l + ALIGN_STACK - 1] - (uint16_t)before[at + l - 1]) &
                inside[at + l];
    }
}
LANE_VERSIONS(stack,
              (const int16_t *upto, const int16_t *before, const int16_t *inside, size_t stride,
               int16_t *out),
              (upto, before, inside, stride, out))

/* ---------------------------------------------------------------- sums */

struct row_sums {
    uint64_t sum, squares;
};

/* Two rows are added to the columns' sums; their own are given. */
static void add_rows_plain(const int16_t *const rows[2], size_t stride, int32_t *sums,
                           int32_t *squares, struct row_sums out[2])
{
    for (size_t r = 0; r < 2; r++) {
        out[r] = (struct row_sums){0};
        for (size_t j = 0; j < stride; j++) {
            int32_t x = rows[r][j], square = x * x;
            sums[j] += x;
            squares[j] += square;
            out[r].sum += (uint32_t)x;
            out[r].squares += (uint32_t)square;
        }
    }
}

#if defined(__x86_64__)
/* The sum of eight unsigned numbers. */
LANE_TARGET_AVX2 static inline uint64_t add_up(__m256i x)
{
    uint32_t at[8];
    uint64_t sum = 0;
    _mm256_storeu_si256((__m256i *)(void *)at, x);
    for (size_t l = 0; l < ARRAY_LEN(at); l++)
        sum += at[l];
    return sum;
}

LANE_TARGET_AVX2 static inline void add_to(int32_t *sums, __m256i x)
{
    __m256i *at = (__m256i *)(void *)sums;
    _mm256_store_si256(at, _mm256_add_epi32(_mm256_load_si256(at), x));
}

/* Columns of both rows side by side are multiplied and added by one instruction. That leaves their
 * sums in another order: of sixteen columns 0-3 and 8-11 come first, see order_columns. A lane of
 * a row's squares holds at most ALIGN_FRAMES_MAX / 8 of them, which fits 32 bits without a sign. */
LANE_TARGET_AVX2 static void add_rows_avx2(const int16_t *const rows[2], size_t stride,
                                           int32_t *sums, int32_t *squares, struct row_sums out[2])
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i sum0 = {0}, sum1 = {0}, squares0 = {0}, squares1 = {0};
    for (size_t at = 0; at < stride; at += 16) {
        __m256i x = _mm256_load_si256((const __m256i *)(const void *)(rows[0] + at));
        __m256i y = _mm256_load_si256((const __m256i *)(const void *)(rows[1] + at));
        __m256i low = _mm256_unpacklo_epi16(x, y), high = _mm256_unpackhi_epi16(x, y);
        add_to(sums + at, _mm256_madd_epi16(low, ones));
        add_to(sums + at + 8, _mm256_madd_epi16(high, ones));
        add_to(squares + at, _mm256_madd_epi16(low, low));
        add_to(squares + at + 8, _mm256_madd_epi16(high, high));
        sum0 = _mm256_add_epi32(sum0, _mm256_madd_epi16(x, ones));
        sum1 = _mm256_add_epi32(sum1, _mm256_madd_epi16(y, ones));
        squares0 = _mm256_add_epi32(squares0, _mm256_madd_epi16(x, x));
        squares1 = _mm256_add_epi32(squares1, _mm256_madd_epi16(y, y));
    }
    out[0] = (struct row_sums){add_up(sum0), add_up(squares0)};
    out[1] = (struct row_sums){add_up(sum1), add_up(squares1)};
}

LANE_TARGET_AVX2 static void order_columns(int32_t *sums, size_t n)
{
    for (size_t at = 0; at < n; at += 16) {
        __m256i *to = (__m256i *)(void *)(sums + at);
        __m256i first = _mm256_load_si256(to), second = _mm256_load_si256(to + 1);
        _mm256_store_si256(to, _mm256_permute2x128_si256(first, second, 0x20));
        _mm256_store_si256(to + 1, _mm256_permute2x128_si256(first, second, 0x31));
    }
}
#endif

static void add_rows(const struct align_matrix *m, const int16_t *const rows[2],
                     struct row_sums out[2])
{
#if defined(__x86_64__)
    if (m->simd >= SIMD_AVX2) {
        add_rows_avx2(rows, m->stride, m->column_part, m->column_part_squares, out);
        return;
    }
#endif
    add_rows_plain(rows, m->stride, m->column_part, m->column_part_squares, out);
}

/* Adds 32-bit parts to sums and clears them. */
LANE_BODY void flush_body(int32_t *parts, size_t n, double *sums)
{
    for (size_t at = 0; at < n; at += BLOCK) {
        LANE_LOOP
        for (size_t l = 0; l < BLOCK; l++) {
            sums[at + l] += (double)parts[at + l];
            parts[at + l] = 0;
        }
    }
}
LANE_VERSIONS(flush, (int32_t * parts, size_t n, double *sums), (parts, n, sums))

static void flush_columns(struct align_matrix *m)
{
#if defined(__x86_64__)
    if (m->simd >= SIMD_AVX2) {
        order_columns(m->column_part, m->stride);
        order_columns(m->column_part_squares, m->stride);
    }
#endif
    LANE_CALL(m->simd, flush, (m->column_part, m->stride, m->column_sum));
    LANE_CALL(m->simd, flush, (m->column_part_squares, m->stride, m->column_squares));
}

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
LANE_VERSIONS(deviations,
              (const double *sums, const double *squares, double n, size_t n_values, int16_t *means,
               int16_t *inverses),
              (sums, squares, n, n_values, means, inverses))

static void find_deviations(struct align_matrix *m, const int16_t *stacked)
{
    const size_t columns_bytes = m->stride * sizeof *m->column_sum;
    memset(m->column_sum, 0, columns_bytes);
    memset(m->column_squares, 0, columns_bytes);
    memset(m->column_part, 0, columns_bytes / 2);
    memset(m->column_part_squares, 0, columns_bytes / 2);
    for (size_t i = 0; i < m->n_rows; i += 2) {
        const int16_t *const rows[2] = {stacked + i * m->stride, i + 1 < m->n_rows
                                                                     ? stacked + (i + 1) * m->stride
                                                                     : m->nothing};
        struct row_sums sums[2];
        add_rows(m, rows, sums);
        for (size_t r = 0; r < 2 && i + r < m->n_rows; r++) {
            m->row_sum[i + r] = (double)sums[r].sum;
            m->row_squares[i + r] = (double)sums[r].squares;
        }
        if ((i + 2) % FLUSH_ROWS == 0)
            flush_columns(m);
    }
    flush_columns(m);
    LANE_CALL(m->simd, deviations,
              (m->column_sum, m->column_squares, (double)m->n_rows, m->stride, m->column_mean,
               m->column_inverse));
    LANE_CALL(m->simd, deviations,
              (m->row_sum, m->row_squares, (double)m->n_columns, whole_blocks(m->n_rows),
               m->row_mean, m->row_inverse));
}

/* ---------------------------------------------------------------- cells */

/* (x - mean) / deviation in ALIGN_UNITs, in the upper half of a 32-bit product, in place. */
LANE_BODY void grade_body(int16_t *row, int16_t mean, int16_t inverse, const int16_t *means,
                          const int16_t *inverses, size_t stride)
{
    for (size_t at = 0; at < stride; at += BLOCK) {
        LANE_LOOP
        for (size_t l = 0; l < BLOCK; l++) {
            int16_t x = (int16_t)(row[at + l] * MEAN_UNIT);
            int16_t over_row = (int16_t)(x - mean), over_column = (int16_t)(x - means[at + l]);
            int16_t by_row = (int16_t)(over_row * inverse >> 16);
            int16_t by_column = (int16_t)(over_column * inverses[at + l] >> 16);
            int16_t z = (int16_t)((by_row < by_column ? by_row : by_column) - CELL_OFFSET);
            z = z > MATRIX_CELL_CAP ? MATRIX_CELL_CAP : z;
            row[at + l] = z < -MATRIX_CELL_CAP ? -MATRIX_CELL_CAP : z;
        }
    }
}
LANE_VERSIONS(grade,
              (int16_t * row, int16_t mean, int16_t inverse, const int16_t *means,
               const int16_t *inverses, size_t stride),
              (row, mean, inverse, means, inverses, stride))

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
LANE_VERSIONS(mix, (const int16_t *harmony, const int16_t *melody, size_t n, int16_t *out),
              (harmony, melody, n, out))

/* Stacks of an aspect where its cells are to be. */
static void make_stacks(struct align_matrix *m, enum aspect aspect, unsigned rotation,
                        unsigned halves)
{
    const size_t width = EDGE + m->stride + EDGE;
    const int16_t *classes =
        m->classes + ((size_t)aspect * KINDS * SEQUENCE_CLASSES + rotation) * m->stride;
    for (size_t h = 0; h < MATRIX_HALVES; h++)
        memset(m->diagonals[h], 0, ring_bytes(m));
    for (size_t t = 0; t < m->a.n_frames; t++) {
        int16_t *row[MATRIX_HALVES];
        const int16_t *before[MATRIX_HALVES];
        for (size_t h = 0; h < MATRIX_HALVES; h++) {
            row[h] = m->diagonals[h] + t % DIAGONAL_ROWS * width + EDGE;
            before[h] = m->diagonals[h] + (t + DIAGONAL_ROWS - 1) % DIAGONAL_ROWS * width + EDGE;
        }
        LANE_CALL(m->simd, products,
                  (m->a.levels[aspect] + t * SEQUENCE_CLASSES, classes, m->stride, before, row));
        if (t + 1 < ALIGN_STACK)
            continue;
        for (size_t h = 0; h < MATRIX_HALVES; h++) {
            const int16_t *first = m->diagonals[h] + (t + 1) % DIAGONAL_ROWS * width + EDGE;
            if ((halves >> h & 1) != 0)
                LANE_CALL(m->simd, stack,
                          (row[h], first, m->inside, m->stride,
                           m->cells[h][mode_of[aspect]] + (t + 1 - ALIGN_STACK) * m->stride));
        }
    }
}

static void grade_cells(struct align_matrix *m, int16_t *cells)
{
    find_deviations(m, cells);
    for (size_t i = 0; i < m->n_rows; i++)
        LANE_CALL(m->simd, grade,
                  (cells + i * m->stride, m->row_mean[i], m->row_inverse[i], m->column_mean,
                   m->column_inverse, m->stride));
}

void align_matrix_make(struct align_matrix *m, unsigned modes, unsigned rotation, unsigned halves)
{
    assert(rotation < MATRIX_ROTATIONS);
    const bool both = (modes >> ALIGN_BOTH & 1) != 0;
    if (both)
        modes = ALIGN_ALL;
    reserve_cells(m, modes, halves);
    for (size_t aspect = 0; aspect < ASPECTS; aspect++) {
        if ((modes >> mode_of[aspect] & 1) == 0)
            continue;
        make_stacks(m, (enum aspect)aspect, rotation, halves);
        for (size_t h = 0; h < MATRIX_HALVES; h++)
            if ((halves >> h & 1) != 0)
                grade_cells(m, m->cells[h][mode_of[aspect]]);
    }
    for (size_t h = 0; both && h < MATRIX_HALVES; h++)
        if ((halves >> h & 1) != 0)
            LANE_CALL(m->simd, mix,
                      (m->cells[h][ALIGN_HARMONY], m->cells[h][ALIGN_MELODY], m->n_rows * m->stride,
                       m->cells[h][ALIGN_BOTH]));
}
