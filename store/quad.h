/*
 * The filter of dtype `u8`: 8-bit differences along time, cut so that little is left for the
 * entropy coder, which is where reading time goes.
 *
 * A difference is folded (0, -1, 1, -2 become 0, 1, 2, 3). Its low bits are noise that no coder
 * shortens, so they are stored as they are: as many of them as suit the block, which is 32 bands in
 * 4 frames. What is above them is below 3 in 99 of 100 values and goes into two bits, those of four
 * neighbouring bands into one byte for zstd: 13,800 symbols of 6 bits a clip instead of 55,200 of
 * 5.3. 3 says that an escape byte holds what is above 3.
 *
 * Frames go in groups of QUAD_FRAMES. A column is a band of a group: column g * n_mels + m has the
 * values of band m in frames 4 g to 4 g + 3; frames behind the last one are zeros. Columns go in
 * blocks of QUAD_COLUMNS, the last one filled up with zeros. Value v of a block is that of its
 * column v / 64 * 16 + v % 16 in frame v / 16 % 4 of its group; z[v] is folded,
 * h[v] = min(z[v] >> bits, 3).
 *
 *   bits     4 bits a block, the first of two in the low half of a byte: how many low bits, 0 to 6
 *   low      16 bytes a block for each of them: for each whole pair of bits, from the lowest, 32
 *            bytes, byte c of which has the pair of column c in frames 0 to 3, from its lowest bits
 *            upwards; a bit left over: 16 bytes, byte c of which has it of column c in frames 0 to
 *            3, then of column 16 + c
 *   high     32 bytes a block: byte j has h[4 j] to h[4 j + 3] from its lowest bits upwards
 *   escapes  for each h of 3, in order: (z >> bits) - 3
 */
#ifndef REFRAIN_QUAD_H
#define REFRAIN_QUAD_H

#include "base/base.h"
#include "base/simd.h"

enum {
    QUAD_FRAMES = 4,
    QUAD_COLUMNS = 32,
    QUAD_VALUES = QUAD_FRAMES * QUAD_COLUMNS, /* of a block */
    QUAD_HIGH_BYTES = QUAD_VALUES / 4,        /* of a block */
    QUAD_BIT_BYTES = QUAD_VALUES / 8,         /* of a block, for each of its low bits */
    QUAD_BITS_MAX = 6,
    QUAD_ESCAPE = 3
};

/* How a record falls into blocks. */
struct quad_shape {
    size_t n_frames, n_mels, n_groups, n_blocks;
    size_t bits_bytes; /* of all blocks */
    size_t stride;     /* columns, those that fill up included */
};
struct quad_shape quad_shape_of(size_t n_frames, size_t n_mels);

/* What is cut. Room: bits[bits_bytes], high[QUAD_HIGH_BYTES], low[QUAD_BIT_BYTES * QUAD_BITS_MAX],
 * escapes[QUAD_VALUES] and, as scratch, delta[QUAD_VALUES] a block. */
struct quad_parts {
    uint8_t *bits, *low, *high, *escapes, *delta;
    size_t low_bytes, n_escapes;
};

/* levels: (n_frames, n_mels), time first. */
void quad_split(const uint8_t *levels, const struct quad_shape *shape, struct quad_parts *parts);

/* Joins a record's blocks one after the other. Borrows all its bytes; bits and high are of all
 * blocks. */
struct quad_reader {
    const uint8_t *bits, *low, *low_end, *high, *escapes, *escapes_end;
    size_t block_i;
    enum simd simd; /* simd_best(), or less: results do not depend on it */
    bool damaged;   /* what was joined since is worth nothing */
};

/* The next n_blocks: the differences of frame f of the group to delta[f * stride ...],
 * QUAD_COLUMNS a block. There must be so many left. Whatever the bytes are, no others are
 * touched. */
void quad_read(struct quad_reader *q, size_t n_blocks, uint8_t *delta, size_t stride);

/* After all blocks: whether they asked for just the bytes that there were, and for no value of more
 * than 8 bits. */
MUST_CHECK bool quad_reader_whole(const struct quad_reader *q);

#endif
