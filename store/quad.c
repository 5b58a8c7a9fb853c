#include "store/quad.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define AVX2 __attribute__((target("avx2")))
/* Vectors in an array stay in registers only when its index is a constant. */
#define UNROLLED _Pragma("GCC unroll 4")
#endif

#define KERNEL static inline __attribute__((always_inline))

enum {
    RUN = 16, /* values that are neighbours in a block and in a frame */
    RUNS = QUAD_VALUES / RUN,
    WORD = 8
};

/* The frame of its group and the column of its block where run i begins. */
KERNEL size_t run_frame(size_t i)
{
    return i % QUAD_FRAMES;
}

KERNEL size_t run_column(size_t i)
{
    return i / QUAD_FRAMES * RUN;
}

struct quad_shape quad_shape_of(size_t n_frames, size_t n_mels)
{
    struct quad_shape shape = {.n_frames = n_frames, .n_mels = n_mels};
    shape.n_groups = (n_frames + QUAD_FRAMES - 1) / QUAD_FRAMES;
    shape.n_blocks = (shape.n_groups * n_mels + QUAD_COLUMNS - 1) / QUAD_COLUMNS;
    shape.bits_bytes = (shape.n_blocks + 1) / 2;
    shape.stride = shape.n_blocks * QUAD_COLUMNS;
    return shape;
}

/* ---------------------------------------------------------------- split */

/* What a value of two bits costs above one of 0, in 1/20 of a bit, as zstd codes composed music; an
 * escape is dear in time, too. Low bits cost what they are. */
enum { COST_BIT = 20, COST_1 = 16, COST_2 = 21, COST_ESCAPE = 320 };

static uint8_t fold(uint8_t delta)
{
    return (uint8_t)((uint8_t)(delta << 1) ^ (uint8_t) - (delta >> 7));
}

KERNEL void fold_run(const uint8_t *level, const uint8_t *before, size_t n, uint8_t *z)
{
    LANE_LOOP
    for (size_t m = 0; m < n; m++)
        z[m] = fold((uint8_t)(level[m] - before[m]));
}

/* Folded differences to the frame before: z[frame of its group][column]. */
static void differences_fold(const uint8_t *levels, const struct quad_shape *s, uint8_t *z)
{
    memset(z, 0, QUAD_FRAMES * s->stride);
    for (size_t m = 0; m < s->n_mels; m++)
        z[m] = fold(levels[m]);
    for (size_t t = 1; t < s->n_frames; t++) {
        const uint8_t *level = levels + t * s->n_mels, *before = level - s->n_mels;
        uint8_t *row = z + t % QUAD_FRAMES * s->stride + t / QUAD_FRAMES * s->n_mels;
        size_t m = 0;
        for (; m + QUAD_COLUMNS <= s->n_mels; m += QUAD_COLUMNS)
            fold_run(level + m, before + m, QUAD_COLUMNS, row + m);
        fold_run(level + m, before + m, s->n_mels - m, row + m);
    }
}

/* How many are at least `limit`. */
static uint32_t count_from(const uint8_t z[QUAD_VALUES], uint8_t limit)
{
    uint8_t n[RUN] = {0};
    uint32_t sum = 0;
    for (size_t i = 0; i < RUNS; i++) {
        LANE_LOOP
        for (size_t c = 0; c < RUN; c++)
            n[c] = (uint8_t)(n[c] + (z[i * RUN + c] >= limit ? 1 : 0));
    }
    for (size_t c = 0; c < RUN; c++)
        sum += n[c];
    return sum;
}

/* How many low bits make the block cheapest. */
static uint32_t bits_choose(const uint8_t z[QUAD_VALUES])
{
    uint32_t best = 0, best_cost = UINT32_MAX, n_1 = count_from(z, 1);
    for (uint32_t bits = 0; bits <= QUAD_BITS_MAX; bits++) {
        uint32_t n_2 = count_from(z, (uint8_t)(2U << bits));
        uint32_t n_3 = n_2 == 0 ? 0 : count_from(z, (uint8_t)(3U << bits));
        uint32_t cost =
            bits * QUAD_VALUES * COST_BIT + COST_1 * n_1 + COST_2 * n_2 + COST_ESCAPE * n_3;
        if (cost < best_cost) {
            best_cost = cost;
            best = bits;
        }
        if (n_2 == 0)
            break; /* more bits cost more and save nothing */
        n_1 = n_2;
    }
    return best;
}

static const uint64_t ones = UINT64_C(0x0101010101010101);

/* Eight values at a time: bits of theirs, `mask` of them from bit `from` on, to bit `to`. */
static void low_add(uint8_t *low, const uint8_t *z, uint32_t from, uint32_t mask, uint32_t to)
{
    for (size_t c = 0; c < RUN; c += WORD) {
        uint64_t bytes, values;
        memcpy(&bytes, low + c, sizeof bytes);
        memcpy(&values, z + c, sizeof values);
        bytes |= (values >> from & mask * ones) << to;
        memcpy(low + c, &bytes, sizeof bytes);
    }
}

static uint8_t *low_split(const uint8_t z[QUAD_VALUES], uint32_t bits, uint8_t *low)
{
    uint32_t bit = 0;
    memset(low, 0, bits * QUAD_BIT_BYTES);
    for (; bit + 2 <= bits; bit += 2, low += 2 * QUAD_BIT_BYTES) {
        for (uint32_t i = 0; i < RUNS; i++)
            low_add(low + run_column(i), z + i * RUN, bit, 3, 2 * (uint32_t)run_frame(i));
    }
    if (bit == bits)
        return low;
    for (uint32_t i = 0; i < RUNS; i++)
        low_add(low, z + i * RUN, bit, 1, i);
    return low + QUAD_BIT_BYTES;
}

/* Returns the end of the escapes. */
static uint8_t *high_split(const uint8_t z[QUAD_VALUES], uint32_t bits, uint8_t *high,
                           uint8_t *escapes)
{
    for (size_t v = 0; v < QUAD_VALUES; v += WORD) {
        uint64_t above;
        uint8_t bytes[WORD];
        memcpy(&above, z + v, sizeof above);
        above = above >> bits & (UINT8_MAX >> bits) * ones;
        if ((((above & 0x7f * ones) + (0x80 - QUAD_ESCAPE) * ones) | above) & 0x80 * ones) {
            memcpy(bytes, &above, sizeof bytes);
            for (size_t i = 0; i < WORD; i++) {
                if (bytes[i] >= QUAD_ESCAPE) {
                    *escapes++ = (uint8_t)(bytes[i] - QUAD_ESCAPE);
                    bytes[i] = QUAD_ESCAPE;
                }
            }
            memcpy(&above, bytes, sizeof above);
        }
        above |= above >> 6 | above >> 12 | above >> 18; /* four bytes to the lowest of them */
        *high++ = (uint8_t)above;
        *high++ = (uint8_t)(above >> 32);
    }
    return escapes;
}

void quad_split(const uint8_t *levels, const struct quad_shape *shape, struct quad_parts *parts)
{
    uint8_t *low = parts->low, *escapes = parts->escapes;
    memset(parts->bits, 0, shape->bits_bytes);
    differences_fold(levels, shape, parts->delta);
    for (size_t b = 0; b < shape->n_blocks; b++) {
        uint8_t z[QUAD_VALUES];
        for (size_t i = 0; i < RUNS; i++)
            memcpy(z + i * RUN,
                   parts->delta + run_frame(i) * shape->stride + b * QUAD_COLUMNS + run_column(i),
                   RUN);
        uint32_t bits = bits_choose(z);
        parts->bits[b / 2] |= (uint8_t)(bits << 4 * (b % 2));
        low = low_split(z, bits, low);
        escapes = high_split(z, bits, parts->high + b * QUAD_HIGH_BYTES, escapes);
    }
    parts->low_bytes = (size_t)(low - parts->low);
    parts->n_escapes = (size_t)(escapes - parts->escapes);
}

/* ---------------------------------------------------------------- join */

/* Bits of one run: constant shifts where this is inlined, so that gcc makes vectors of it. */
KERNEL void low_join(const uint8_t *low, uint32_t from, uint32_t mask, uint32_t to, uint8_t *z)
{
    LANE_LOOP
    for (size_t c = 0; c < RUN; c++)
        z[c] = (uint8_t)(z[c] | (low[c] >> from & mask) << to);
}

/* Folded values without what escapes add. */
KERNEL void bits_join(const uint8_t *low, const uint8_t *high, uint32_t bits,
                      uint8_t z[QUAD_VALUES])
{
    uint32_t quads[QUAD_HIGH_BYTES], bit = 0;
    LANE_LOOP
    for (size_t j = 0; j < QUAD_HIGH_BYTES; j++) {
        uint32_t byte = high[j];
        quads[j] =
            ((byte & 3) | (byte << 6 & 3 << 8) | (byte << 12 & 3 << 16) | (byte << 18 & 3 << 24))
            << bits;
    }
    memcpy(z, quads, sizeof quads);
    for (; bit + 2 <= bits; bit += 2, low += 2 * QUAD_BIT_BYTES) {
        low_join(low, 0, 3, bit, z);
        low_join(low, 2, 3, bit, z + RUN);
        low_join(low, 4, 3, bit, z + 2 * RUN);
        low_join(low, 6, 3, bit, z + 3 * RUN);
        low_join(low + RUN, 0, 3, bit, z + 4 * RUN);
        low_join(low + RUN, 2, 3, bit, z + 5 * RUN);
        low_join(low + RUN, 4, 3, bit, z + 6 * RUN);
        low_join(low + RUN, 6, 3, bit, z + 7 * RUN);
    }
    if (bit == bits)
        return;
    low_join(low, 0, 1, bit, z);
    low_join(low, 1, 1, bit, z + RUN);
    low_join(low, 2, 1, bit, z + 2 * RUN);
    low_join(low, 3, 1, bit, z + 3 * RUN);
    low_join(low, 4, 1, bit, z + 4 * RUN);
    low_join(low, 5, 1, bit, z + 5 * RUN);
    low_join(low, 6, 1, bit, z + 6 * RUN);
    low_join(low, 7, 1, bit, z + 7 * RUN);
}

static uint8_t unfold(uint8_t z)
{
    return (uint8_t)((z >> 1) ^ (uint8_t) - (z & 1));
}

KERNEL void block_join_plain(const uint8_t *low, const uint8_t *high, uint32_t bits, uint8_t *delta,
                             size_t stride)
{
    uint8_t z[QUAD_VALUES];
    bits_join(low, high, bits, z);
    for (size_t i = 0; i < RUNS; i++) {
        uint8_t *out = delta + run_frame(i) * stride + run_column(i);
        LANE_LOOP
        for (size_t c = 0; c < RUN; c++)
            out[c] = unfold(z[i * RUN + c]);
    }
}

/* `bits` is a constant in each case. */
#define SWITCH_BITS(join, low, high, bits, delta, stride)                                          \
    do {                                                                                           \
        static_assert(QUAD_BITS_MAX == 6, "a case for each");                                      \
        switch (bits) {                                                                            \
        case 0:                                                                                    \
            join(low, high, 0, delta, stride);                                                     \
            break;                                                                                 \
        case 1:                                                                                    \
            join(low, high, 1, delta, stride);                                                     \
            break;                                                                                 \
        case 2:                                                                                    \
            join(low, high, 2, delta, stride);                                                     \
            break;                                                                                 \
        case 3:                                                                                    \
            join(low, high, 3, delta, stride);                                                     \
            break;                                                                                 \
        case 4:                                                                                    \
            join(low, high, 4, delta, stride);                                                     \
            break;                                                                                 \
        case 5:                                                                                    \
            join(low, high, 5, delta, stride);                                                     \
            break;                                                                                 \
        default:                                                                                   \
            join(low, high, QUAD_BITS_MAX, delta, stride);                                         \
            break;                                                                                 \
        }                                                                                          \
    } while (0)

static void block_join(const uint8_t *low, const uint8_t *high, uint32_t bits, uint8_t *delta,
                       size_t stride)
{
    SWITCH_BITS(block_join_plain, low, high, bits, delta, stride);
}

#if defined(__x86_64__)
AVX2 KERNEL __m256i load(const uint8_t *at)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)at);
}

/* The bits from `from` on of every byte, `n` of them, at bit `to`. */
AVX2 KERNEL __m256i bits_move(__m256i bytes, int from, int n, int to)
{
    __m256i mask = _mm256_set1_epi8((char)(((1 << n) - 1) << to));
    __m256i there =
        from >= to ? _mm256_srli_epi16(bytes, from - to) : _mm256_slli_epi16(bytes, to - from);
    return _mm256_and_si256(there, mask);
}

/* Four values of two bits from a byte each, at bit `to`; the lower halves of z have the first 64 of
 * them. */
AVX2 KERNEL void high_join_avx2(const uint8_t *high, int to, __m256i z[QUAD_FRAMES])
{
    __m256i quads = load(high), first = bits_move(quads, 0, 2, to);
    __m256i second = bits_move(quads, 2, 2, to), third = bits_move(quads, 4, 2, to);
    __m256i fourth = bits_move(quads, 6, 2, to);
    __m256i ab = _mm256_unpacklo_epi8(first, second), cd = _mm256_unpacklo_epi8(third, fourth);
    z[0] = _mm256_unpacklo_epi16(ab, cd);
    z[1] = _mm256_unpackhi_epi16(ab, cd);
    ab = _mm256_unpackhi_epi8(first, second);
    cd = _mm256_unpackhi_epi8(third, fourth);
    z[2] = _mm256_unpacklo_epi16(ab, cd);
    z[3] = _mm256_unpackhi_epi16(ab, cd);
}

/* To each frame's values the bits of it in `planes`, n of them a frame. */
AVX2 KERNEL void low_join_avx2(__m256i planes, int n, int to, __m256i z[QUAD_FRAMES])
{
    UNROLLED
    for (int r = 0; r < QUAD_FRAMES; r++)
        z[r] = _mm256_or_si256(z[r], bits_move(planes, n * r, n, to));
}

AVX2 KERNEL void unfold_avx2(const __m256i z[QUAD_FRAMES], uint8_t *delta, size_t stride)
{
    const __m256i one = _mm256_set1_epi8(1), seven = _mm256_set1_epi8(0x7f);
    UNROLLED
    for (size_t r = 0; r < QUAD_FRAMES; r++) {
        __m256i sign = _mm256_sub_epi8(_mm256_setzero_si256(), _mm256_and_si256(z[r], one));
        __m256i half = _mm256_and_si256(_mm256_srli_epi16(z[r], 1), seven);
        _mm256_storeu_si256((__m256i *)(void *)(delta + r * stride), _mm256_xor_si256(half, sign));
    }
}

AVX2 KERNEL void block_join_avx2_bits(const uint8_t *low, const uint8_t *high, int bits,
                                      uint8_t *delta, size_t stride)
{
    __m256i z[QUAD_FRAMES];
    high_join_avx2(high, bits, z);
    UNROLLED
    for (int bit = 0; bit + 2 <= bits; bit += 2)
        low_join_avx2(load(low + bit * QUAD_BIT_BYTES), 2, bit, z);
    if (bits % 2 == 1) {
        const uint8_t *last = low + (bits - 1) * QUAD_BIT_BYTES;
        __m128i both = _mm_loadu_si128((const __m128i *)(const void *)last);
        __m256i halves = _mm256_castsi128_si256(both);
        low_join_avx2(_mm256_inserti128_si256(halves, _mm_srli_epi16(both, 4), 1), 1, bits - 1, z);
    }
    unfold_avx2(z, delta, stride);
}

/* Returns what escapes_find does. */
AVX2 static uint32_t block_join_avx2(const uint8_t *low, const uint8_t *high, uint32_t bits,
                                     uint8_t *delta, size_t stride)
{
    SWITCH_BITS(block_join_avx2_bits, low, high, bits, delta, stride);
    __m256i quads = load(high), set = _mm256_and_si256(quads, _mm256_srli_epi16(quads, 1));
    __m256i first = _mm256_and_si256(set, _mm256_set1_epi8(0x55));
    return ~(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(first, _mm256_setzero_si256()));
}
#endif

/* Which bytes of a block's `high` have a value of two set bits: bit j is byte j. */
static uint32_t escapes_find(const uint8_t *high)
{
    uint64_t found = 0;
    for (size_t at = 0; at < QUAD_HIGH_BYTES; at += WORD) {
        uint64_t word;
        memcpy(&word, high + at, sizeof word);
        word &= word >> 1 & 0x55 * ones;
        word = (word | word >> 2 | word >> 4 | word >> 6) & ones;
        /* the lowest bit of byte i to bit 56 + i; no two meet below */
        found |= word * UINT64_C(0x0102040810204080) >> 56 << at;
    }
    return (uint32_t)found;
}

/* What the blocks of one run of escapes_add have. */
struct joined {
    uint8_t *delta;
    const uint8_t *high;
    uint32_t bits[2];
    uint64_t found; /* bytes of both blocks' `high` in which two bits are set */
};

/* Adds its escape to each value of two set bits. */
static void escapes_add(struct quad_reader *q, const struct joined *joined, size_t stride)
{
    const uint8_t *next = q->escapes, *end = q->escapes_end;
    uint32_t over = 0;
    for (uint64_t found = joined->found; found != 0; found &= found - 1) {
        size_t j = (size_t)__builtin_ctzll(found), block = j / QUAD_HIGH_BYTES, run = j / 4 % RUNS;
        uint8_t *quad = joined->delta + run_frame(run) * stride + block * QUAD_COLUMNS +
                        run_column(run) + j % 4 * 4;
        uint32_t set = joined->high[j] & joined->high[j] >> 1 & 0x55U;
        do {
            if (next == end) {
                q->damaged = true;
                return;
            }
            uint8_t *value = quad + __builtin_ctz(set) / 2;
            uint32_t whole = fold(*value) + ((uint32_t)*next++ << joined->bits[block]);
            over |= whole;
            *value = unfold((uint8_t)whole);
            set &= set - 1;
        } while (set != 0);
    }
    q->damaged = over > UINT8_MAX;
    q->escapes = next;
}

static bool block_begin(struct quad_reader *q, uint32_t *bits)
{
    *bits = q->bits[q->block_i / 2] >> 4 * (q->block_i % 2) & 0xf;
    q->block_i++;
    q->damaged |= *bits > QUAD_BITS_MAX || *bits * QUAD_BIT_BYTES > (size_t)(q->low_end - q->low);
    return !q->damaged;
}

/* Two blocks, or one. */
static void blocks_read(struct quad_reader *q, size_t n_blocks, uint8_t *delta, size_t stride)
{
    struct joined joined = {.delta = delta, .high = q->high};
    for (size_t b = 0; b < n_blocks; b++, delta += QUAD_COLUMNS) {
        uint32_t bits;
        uint64_t found;
        if (!block_begin(q, &bits))
            return;
#if defined(__x86_64__)
        if (q->simd != SIMD_PLAIN) {
            found = block_join_avx2(q->low, q->high, bits, delta, stride);
        } else
#endif
        {
            block_join(q->low, q->high, bits, delta, stride);
            found = escapes_find(q->high);
        }
        joined.bits[b] = bits;
        joined.found |= found << b * QUAD_HIGH_BYTES;
        q->low += bits * QUAD_BIT_BYTES;
        q->high += QUAD_HIGH_BYTES;
    }
    escapes_add(q, &joined, stride);
}

void quad_read(struct quad_reader *q, size_t n_blocks, uint8_t *delta, size_t stride)
{
    for (size_t b = 0; b < n_blocks && !q->damaged; b += 2)
        blocks_read(q, size_min(2, n_blocks - b), delta + b * QUAD_COLUMNS, stride);
}

bool quad_reader_whole(const struct quad_reader *q)
{
    return !q->damaged && q->low == q->low_end && q->escapes == q->escapes_end;
}
