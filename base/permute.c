#include "base/permute.h"

#include "base/rng.h"

enum { ROUNDS = 4, PURPOSE = 0x6f726472 /* "ordr" */ };

/* Bits of each half: 2 * half_bits bits hold n - 1. */
static uint32_t half_bits(uint64_t n)
{
    uint32_t bits = 1;
    while (bits < 32 && (UINT64_C(1) << (2 * bits)) < n)
        bits++;
    return bits;
}

static uint32_t round_value(uint64_t seed, uint64_t cycle, uint32_t round, uint32_t half)
{
    uint32_t counter[4] = {half, (uint32_t)cycle, (uint32_t)(cycle >> 32), PURPOSE + round};
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, out[4];
    rng_philox(counter, key, out);
    return out[0];
}

static uint64_t shuffle(uint64_t seed, uint64_t cycle, uint32_t bits, uint64_t x)
{
    uint32_t mask = (uint32_t)((UINT64_C(1) << bits) - 1);
    uint32_t left = (uint32_t)(x >> bits) & mask, right = (uint32_t)x & mask;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint32_t next = left ^ (round_value(seed, cycle, i, right) & mask);
        left = right;
        right = next;
    }
    return (uint64_t)left << bits | right;
}

uint64_t permute_at(uint64_t seed, uint64_t cycle, uint64_t n, uint64_t i)
{
    assert(n > 0);
    assert(i < n);
    uint32_t bits = half_bits(n);
    uint64_t x = i;
    do
        x = shuffle(seed, cycle, bits, x);
    while (x >= n);
    return x;
}
