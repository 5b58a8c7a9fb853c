/*
 * The cross-similarity of two songs as cells, in two transpositions at a time: what align.c looks
 * for paths in. Internal to match/.
 *
 * Two stacks of ALIGN_STACK frames are compared by the sum of their frames' products. A cell counts
 * by how many standard deviations it lies above the mean of its row and of its column, whichever is
 * less, minus an offset, and is cut at +-MATRIX_CELL_CAP.
 */
#ifndef REFRAIN_ALIGN_MATRIX_H
#define REFRAIN_ALIGN_MATRIX_H

#include "match/align.h"

enum {
    MATRIX_CELL_CAP = 24,
    MATRIX_HALVES = 2, /* rotations r and r + MATRIX_ROTATIONS */
    MATRIX_ROTATIONS = SEQUENCE_CLASSES / 2,
};

struct align_matrix {
    enum simd simd;
    struct align_side a;
    size_t n_rows, n_columns, stride; /* stride: n_columns and more, in whole blocks */
    /* (n_rows, stride) each, of the modes and halves last asked for; columns from n_columns on only
     * lower a path. */
    int16_t *cells[MATRIX_HALVES][ALIGN_MODES];

    int16_t *classes;                      /* of b: (ASPECTS, sums and differences, 12, stride) */
    int16_t *diagonals[MATRIX_HALVES];     /* (DIAGONAL_ROWS, EDGE + stride + EDGE): a ring */
    int16_t *inside;                       /* (stride): all bits set in columns that are there */
    int16_t *nothing;                      /* (stride): zeros */
    int16_t *row_mean, *row_inverse;       /* (n_rows) in whole blocks */
    int16_t *column_mean, *column_inverse; /* (stride) */
    int32_t *column_part, *column_part_squares; /* (stride), of at most FLUSH_ROWS rows */
    double *column_sum, *column_squares;        /* (stride), whole numbers */
    double *row_sum, *row_squares;              /* (n_rows) in whole blocks */
    size_t cap_stride, cap_rows, cap_cells[MATRIX_HALVES][ALIGN_MODES];
};

void align_matrix_init(struct align_matrix *m, enum simd simd);
void align_matrix_release(struct align_matrix *m); /* safe on {0}, may run twice */

/* Sides are borrowed until the next one. a before b. */
void align_matrix_set_a(struct align_matrix *m, const struct align_side *a);
void align_matrix_set_b(struct align_matrix *m, const struct align_side *b);

/* Makes cells[h][mode] for each mode and each half whose bits are set: of rotation + h *
 * MATRIX_ROTATIONS. rotation < MATRIX_ROTATIONS. */
void align_matrix_make(struct align_matrix *m, unsigned modes, unsigned rotation, unsigned halves);

#endif
