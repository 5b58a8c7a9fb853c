/*
 * Which passage of one song runs alongside which of another: local alignment of two sequences.
 *
 * For each transposition asked for, cells of the cross-similarity of short stacks of frames are
 * scored by how far they stand out of their row and of their column, the lesser of both (a graded
 * form of mutual nearest neighbours; align_matrix.c says why not the binary one), and the best path
 * is found by local alignment with steps (1,1), (2,1) and (1,2), so that tempi may differ by up to
 * a factor of two (Serra, Serra and Andrzejak, "Cross recurrence quantification for cover song
 * identification", New Journal of Physics 11, 2009, whose Qmax this is with graded cells).
 *
 * Three paths are looked for: in the cells of the harmony, in those of the melody, and in a
 * weighted sum of both.
 */
#ifndef REFRAIN_ALIGN_H
#define REFRAIN_ALIGN_H

#include "match/sequence.h"

enum {
    ALIGN_STACK = 5,         /* frames that are compared together: 0.7 s */
    ALIGN_FRAMES_MAX = 4096, /* of each side: 9.5 minutes; bounds memory */
    ALIGN_ROTATIONS = 0xfff, /* all twelve, as bits */
    ALIGN_UNIT = 16,         /* scores are in sixteenths of a standard deviation */
    ALIGN_PATHS_MAX = 32,
};

enum align_mode { ALIGN_HARMONY, ALIGN_MELODY, ALIGN_BOTH, ALIGN_MODES };
enum { ALIGN_ONLY_MELODY = 1 << ALIGN_MELODY, ALIGN_ALL = (1 << ALIGN_MODES) - 1 };

/* A part of a sequence. */
struct align_side {
    const uint8_t *levels[ASPECTS]; /* (n_frames, SEQUENCE_CLASSES) each, lent */
    uint32_t n_frames;              /* ALIGN_STACK to ALIGN_FRAMES_MAX */
};
struct align_side align_side_of(const struct sequence *s, uint32_t from, uint32_t n_frames);

/* Where the best path of a mode ends: in the stacks that begin at these frames. */
struct align_end {
    int32_t score;     /* in ALIGN_UNITs; 0: nothing stands out, and the rest means nothing */
    uint32_t rotation; /* class c of A is class c + rotation of B */
    uint32_t a, b;
};

struct align_cell {
    uint16_t a, b;
};

/* A path, its ends trimmed to where the passage is (the score is that of the whole path). */
struct align_path {
    struct align_end end;
    size_t n_cells;
    struct align_cell *cells;      /* lent until the next call on the aligner */
    int32_t aspect_score[ASPECTS]; /* what the cells of each aspect add up to along it */
};

struct aligner; /* one thread's scratch */
struct aligner *aligner_new(enum simd simd);
void aligner_free(struct aligner *al);

/* Borrows a until the next call. */
void aligner_set_a(struct aligner *al, const struct align_side *a);

/* The best path of each mode whose bit is set in `modes`, over the rotations whose bits are set. */
void aligner_score(struct aligner *al, const struct align_side *b, unsigned modes,
                   unsigned rotations, struct align_end out[ALIGN_MODES]);

/* Up to max (at most ALIGN_PATHS_MAX) paths of a mode under one rotation that score at least
 * min_score > 0, the best first; none passes near a better one. Returns how many. */
size_t aligner_trace(struct aligner *al, const struct align_side *b, enum align_mode mode,
                     unsigned rotation, int32_t min_score, size_t max, struct align_path *out);

/* The n rotations under which the mean frames of an aspect agree best, as bits. */
unsigned align_likely_rotations(const struct align_side *a, const struct align_side *b,
                                enum aspect aspect, unsigned n);

/* The cross-similarity of one mode and rotation for drawing: out[(n rows of a, n columns of b)] in
 * ALIGN_UNITs, -24 to 24. */
void aligner_cells(struct aligner *al, const struct align_side *b, enum align_mode mode,
                   unsigned rotation, int8_t *out);

/* Rows (of a) and columns (of b) that cells have for so many frames. */
static inline uint32_t align_stacks(uint32_t n_frames)
{
    return n_frames - ALIGN_STACK + 1;
}

#endif
