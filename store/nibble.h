/*
 * The filter of dtype `fast`: 8-bit differences cut so that less is left for the entropy coder,
 * which is where reading time goes.
 *
 * A difference is folded (0, -1, 1, -2 become 0, 1, 2, 3). Its low 3 bits are noise that no coder
 * shortens, so they are stored as they are. What is above them is nearly always below 15 and goes
 * into four bits, those of two neighbouring bands into one byte: half as many symbols, of 4.9 bits
 * instead of 5.3, at the same size. 15 says that an escape byte holds what is above 15.
 *
 * Values go in blocks of NIBBLE_BLOCK, the last one filled up with zeros:
 *
 *   low   48 bytes a block: byte j < 32 has bits 0 and 1 of values j, j + 32, j + 64, j + 96, from
 *         its lowest bit upwards; byte 32 + j has bit 2 of values j, j + 16, ..., j + 112
 *   high  64 bytes a block: byte j has value 2j in its low half and 2j + 1 in its high one
 *
 * then the escapes, one byte each, in order.
 */
#ifndef REFRAIN_NIBBLE_H
#define REFRAIN_NIBBLE_H

#include "base/base.h"

enum {
    NIBBLE_BLOCK = 128,
    NIBBLE_LOW_BYTES = 48,
    NIBBLE_HIGH_BYTES = 64,
    NIBBLE_ESCAPE = 15,
    NIBBLE_LOW_BITS = 3,
};

static inline size_t nibble_blocks(size_t n)
{
    return (n + NIBBLE_BLOCK - 1) / NIBBLE_BLOCK;
}

/* delta[n], with room for whole blocks, to low, high and escapes, each with room for its most:
 * escapes[n]. Returns how many escapes there are. */
size_t nibble_split(uint8_t *delta, size_t n, uint8_t *low, uint8_t *high, uint8_t *escapes);

/* The way back, whole blocks of it. False when there are not just n_escapes escapes, or one is out
 * of range; never touches more than its arguments say. */
MUST_CHECK bool nibble_join(const uint8_t *low, const uint8_t *high, const uint8_t *escapes,
                            size_t n_escapes, size_t n, uint8_t *delta);
MUST_CHECK bool nibble_join_plain(const uint8_t *low, const uint8_t *high, const uint8_t *escapes,
                                  size_t n_escapes, size_t n, uint8_t *delta);

#endif
