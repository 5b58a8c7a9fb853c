/*
 * bfloat16: the upper half of a float32, rounded to nearest, ties to even. For finite values only.
 */
#ifndef REFRAIN_BF16_H
#define REFRAIN_BF16_H

#include "base/base.h"

#include <string.h>

static inline uint16_t bf16_from_f32(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static inline float bf16_to_f32(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
