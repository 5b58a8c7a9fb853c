/*
 * Loops over blocks of 32 neighbouring 16-bit numbers, compiled for several instruction sets by
 * base/simd.h: whole numbers only, so that every copy gives the same bits. Internal to match/.
 */
#ifndef REFRAIN_WIDE_H
#define REFRAIN_WIDE_H

#include "base/simd.h"

enum { BLOCK = 32 };

static inline size_t whole_blocks(size_t n)
{
    return (n + BLOCK - 1) / BLOCK * BLOCK;
}

#endif
