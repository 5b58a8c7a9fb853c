#include "store/nibble.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define AVX2 __attribute__((target("avx2")))
#endif

enum {
    LOW2_BYTES = 32, /* of a block: bits 0 and 1; behind them bit 2 */
    LOW1_BYTES = NIBBLE_LOW_BYTES - LOW2_BYTES,
    ESCAPE_MAX = 31 - NIBBLE_ESCAPE, /* a folded difference has 5 bits above the low ones */
    WORD = 8
};

/* ---------------------------------------------------------------- split */

static uint8_t fold(uint8_t delta)
{
    return (uint8_t)((uint8_t)(delta << 1) ^ (uint8_t) - (delta >> 7));
}

static void split_low(const uint8_t z[NIBBLE_BLOCK], uint8_t *low)
{
    for (size_t j = 0; j < LOW2_BYTES; j++)
        low[j] = (uint8_t)((z[j] & 3) | (z[j + 32] & 3) << 2 | (z[j + 64] & 3) << 4 |
                           (z[j + 96] & 3) << 6);
    memset(low + LOW2_BYTES, 0, LOW1_BYTES);
    for (size_t k = 0; k < NIBBLE_BLOCK / LOW1_BYTES; k++) {
        for (size_t j = 0; j < LOW1_BYTES; j++)
            low[LOW2_BYTES + j] |= (uint8_t)((z[k * LOW1_BYTES + j] >> 2 & 1) << k);
    }
}

size_t nibble_split(uint8_t *delta, size_t n, uint8_t *low, uint8_t *high, uint8_t *escapes)
{
    uint8_t z[NIBBLE_BLOCK], above[NIBBLE_BLOCK];
    size_t n_blocks = nibble_blocks(n), n_escapes = 0;
    memset(delta + n, 0, n_blocks * NIBBLE_BLOCK - n);
    for (size_t b = 0; b < n_blocks; b++, delta += NIBBLE_BLOCK) {
        uint32_t n_over = 0;
        for (size_t j = 0; j < NIBBLE_BLOCK; j++) {
            z[j] = fold(delta[j]);
            above[j] = z[j] >> NIBBLE_LOW_BITS;
            n_over += above[j] >= NIBBLE_ESCAPE;
        }
        for (size_t j = 0; n_over > 0 && j < NIBBLE_BLOCK; j++) {
            if (above[j] < NIBBLE_ESCAPE)
                continue;
            escapes[n_escapes++] = (uint8_t)(above[j] - NIBBLE_ESCAPE);
            above[j] = NIBBLE_ESCAPE;
        }
        split_low(z, low + b * NIBBLE_LOW_BYTES);
        for (size_t j = 0; j < NIBBLE_HIGH_BYTES; j++)
            high[b * NIBBLE_HIGH_BYTES + j] = (uint8_t)(above[2 * j] | above[2 * j + 1] << 4);
    }
    return n_escapes;
}

/* ---------------------------------------------------------------- join */

/* Folded values without what escapes add: at most 127. */
static void join_block(const uint8_t *low, const uint8_t *high, uint8_t z[NIBBLE_BLOCK])
{
    for (size_t j = 0; j < NIBBLE_BLOCK; j++) {
        uint32_t above = high[j / 2] >> 4 * (j % 2) & 0xf;
        uint32_t bits01 = low[j % LOW2_BYTES] >> 2 * (j / LOW2_BYTES) & 3;
        uint32_t bit2 = low[LOW2_BYTES + j % LOW1_BYTES] >> j / LOW1_BYTES & 1;
        z[j] = (uint8_t)(above << NIBBLE_LOW_BITS | bit2 << 2 | bits01);
    }
}

/* What is left of the escapes. */
struct escapes {
    const uint8_t *next, *end;
};

/* In every byte of z above NIBBLE_ESCAPE * 8 - 1: its escape; found eight bytes at a time (none is
 * above 127, so that nothing is carried from one to the next). */
static bool escapes_add(uint8_t z[NIBBLE_BLOCK], struct escapes *escapes)
{
    const uint64_t bit7 = UINT64_C(0x8080808080808080);
    const uint64_t up = UINT64_C(0x0101010101010101) * (128 - (NIBBLE_ESCAPE << NIBBLE_LOW_BITS));
    for (size_t j = 0; j < NIBBLE_BLOCK; j += WORD) {
        uint64_t word;
        memcpy(&word, z + j, sizeof word);
        for (uint64_t found = (word + up) & bit7; found != 0; found &= found - 1) {
            if (escapes->next == escapes->end || *escapes->next > ESCAPE_MAX)
                return false;
            uint8_t *at = z + j + (size_t)__builtin_ctzll(found) / 8;
            *at = (uint8_t)(*at + (*escapes->next++ << NIBBLE_LOW_BITS));
        }
    }
    return true;
}

static uint8_t unfold(uint8_t z)
{
    return (uint8_t)((z >> 1) ^ (uint8_t) - (z & 1));
}

bool nibble_join_plain(const uint8_t *low, const uint8_t *high, const uint8_t *escapes,
                       size_t n_escapes, size_t n, uint8_t *delta)
{
    struct escapes left = {escapes, escapes + n_escapes};
    for (size_t b = 0; b < nibble_blocks(n); b++, delta += NIBBLE_BLOCK) {
        join_block(low + b * NIBBLE_LOW_BYTES, high + b * NIBBLE_HIGH_BYTES, delta);
        if (!escapes_add(delta, &left))
            return false;
        for (size_t j = 0; j < NIBBLE_BLOCK; j++)
            delta[j] = unfold(delta[j]);
    }
    return left.next == left.end;
}

#if defined(__x86_64__)
AVX2 static inline __m256i load(const uint8_t *at)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)at);
}

AVX2 static inline void store(uint8_t *at, __m256i bytes)
{
    _mm256_storeu_si256((__m256i *)(void *)at, bytes);
}

/* 64 values of a block from 32 bytes of `high`, shifted to their place. */
AVX2 static inline void above_avx2(const uint8_t *high, __m256i out[2])
{
    const __m256i nibble = _mm256_set1_epi8(0xf);
    __m256i pairs = load(high);
    __m256i even = _mm256_and_si256(pairs, nibble);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi16(pairs, 4), nibble);
    __m256i first = _mm256_unpacklo_epi8(even, odd), second = _mm256_unpackhi_epi8(even, odd);
    out[0] = _mm256_slli_epi16(_mm256_permute2x128_si256(first, second, 0x20), NIBBLE_LOW_BITS);
    out[1] = _mm256_slli_epi16(_mm256_permute2x128_si256(first, second, 0x31), NIBBLE_LOW_BITS);
}

/* As join_block, folded values still; returns whether there are escapes. */
AVX2 static inline bool join_block_avx2(const uint8_t *low, const uint8_t *high, uint8_t *z)
{
    const __m256i two = _mm256_set1_epi8(3), one = _mm256_set1_epi8(1);
    const __m256i up = _mm256_set1_epi8(128 - (NIBBLE_ESCAPE << NIBBLE_LOW_BITS));
    __m128i bit2 = _mm_loadu_si128((const __m128i *)(const void *)(low + LOW2_BYTES));
    __m256i bits01 = load(low), found = _mm256_setzero_si256(), above[4];
    /* values of one vector have their bit 2 in two neighbouring bits of 16 bytes */
    __m256i third =
        _mm256_inserti128_si256(_mm256_castsi128_si256(bit2), _mm_srli_epi16(bit2, 1), 1);
    above_avx2(high, above);
    above_avx2(high + 32, above + 2);
    for (size_t g = 0; g < 4; g++) {
        __m256i value = _mm256_or_si256(above[g], _mm256_and_si256(bits01, two));
        value = _mm256_or_si256(value, _mm256_slli_epi16(_mm256_and_si256(third, one), 2));
        found = _mm256_or_si256(found, _mm256_add_epi8(value, up));
        store(z + 32 * g, value);
        bits01 = _mm256_srli_epi16(bits01, 2);
        third = _mm256_srli_epi16(third, 2);
    }
    return _mm256_movemask_epi8(found) != 0;
}

AVX2 static inline void unfold_block_avx2(uint8_t *z)
{
    const __m256i one = _mm256_set1_epi8(1), seven = _mm256_set1_epi8(0x7f);
    for (size_t j = 0; j < NIBBLE_BLOCK; j += 32) {
        __m256i value = load(z + j);
        __m256i sign = _mm256_sub_epi8(_mm256_setzero_si256(), _mm256_and_si256(value, one));
        __m256i half = _mm256_and_si256(_mm256_srli_epi16(value, 1), seven);
        store(z + j, _mm256_xor_si256(half, sign));
    }
}

AVX2 static bool join_avx2(const uint8_t *low, const uint8_t *high, struct escapes *left,
                           size_t n_blocks, uint8_t *delta)
{
    for (size_t b = 0; b < n_blocks; b++, delta += NIBBLE_BLOCK) {
        if (join_block_avx2(low, high, delta) && !escapes_add(delta, left))
            return false;
        unfold_block_avx2(delta);
        low += NIBBLE_LOW_BYTES;
        high += NIBBLE_HIGH_BYTES;
    }
    return true;
}
#endif

bool nibble_join(const uint8_t *low, const uint8_t *high, const uint8_t *escapes, size_t n_escapes,
                 size_t n, uint8_t *delta)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        struct escapes left = {escapes, escapes + n_escapes};
        return join_avx2(low, high, &left, nibble_blocks(n), delta) && left.next == left.end;
    }
#endif
    return nibble_join_plain(low, high, escapes, n_escapes, n, delta);
}
