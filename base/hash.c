#include "base/hash.h"

#include <string.h>

/* The five primes and the round structure of the XXH64 specification. */
#define P1 UINT64_C(0x9E3779B185EBCA87)
#define P2 UINT64_C(0xC2B2AE3D27D4EB4F)
#define P3 UINT64_C(0x165667B19E3779F9)
#define P4 UINT64_C(0x85EBCA77C2B2AE63)
#define P5 UINT64_C(0x27D4EB2F165667C5)

static uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static uint64_t load64(const uint8_t *at)
{
    uint64_t x;
    memcpy(&x, at, sizeof x);
    return x;
}

static uint32_t load32(const uint8_t *at)
{
    uint32_t x;
    memcpy(&x, at, sizeof x);
    return x;
}

static uint64_t lane(uint64_t acc, uint64_t input)
{
    return rotate(acc + input * P2, 31) * P1;
}

static uint64_t merge(uint64_t acc, uint64_t value)
{
    return (acc ^ lane(0, value)) * P1 + P4;
}

static uint64_t avalanche(uint64_t x)
{
    x = (x ^ x >> 33) * P2;
    x = (x ^ x >> 29) * P3;
    return x ^ x >> 32;
}

uint64_t hash64(const void *bytes, size_t n_bytes, uint64_t seed)
{
    const uint8_t *at = bytes;
    size_t left = n_bytes;
    uint64_t acc = seed + P5;
    if (left >= 32) {
        uint64_t a = seed + P1 + P2, b = seed + P2, c = seed, d = seed - P1;
        for (; left >= 32; left -= 32, at += 32) {
            a = lane(a, load64(at));
            b = lane(b, load64(at + 8));
            c = lane(c, load64(at + 16));
            d = lane(d, load64(at + 24));
        }
        acc = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
        acc = merge(merge(merge(merge(acc, a), b), c), d);
    }
    acc += n_bytes;
    for (; left >= 8; left -= 8, at += 8)
        acc = rotate(acc ^ lane(0, load64(at)), 27) * P1 + P4;
    if (left >= 4) {
        acc = rotate(acc ^ load32(at) * P1, 23) * P2 + P3;
        left -= 4;
        at += 4;
    }
    for (; left > 0; left--, at++)
        acc = rotate(acc ^ *at * P5, 11) * P1;
    return avalanche(acc);
}

uint64_t hash_mix64(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}
