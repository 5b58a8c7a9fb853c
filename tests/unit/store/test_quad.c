#include "base/mem.h"
#include "base/rng.h"
#include "store/quad.h"
#include "tests/test.h"

#include <string.h>

/* The bytes of store/quad.h, and that what is cut apart comes together, with any machine. */
enum { PURPOSE = 31 };

struct cut {
    struct quad_shape shape;
    struct quad_parts parts;
};

static void cut_make(const uint8_t *levels, size_t n_frames, size_t n_mels, struct cut *c)
{
    c->shape = quad_shape_of(n_frames, n_mels);
    size_t n = c->shape.n_blocks;
    c->parts = (struct quad_parts){.bits = mem_alloc(c->shape.bits_bytes, 1),
                                   .low = mem_alloc(n, QUAD_BITS_MAX * QUAD_BIT_BYTES),
                                   .high = mem_alloc(n, QUAD_HIGH_BYTES),
                                   .escapes = mem_alloc(n, QUAD_VALUES),
                                   .delta = mem_alloc(n, QUAD_VALUES)};
    quad_split(levels, &c->shape, &c->parts);
}

static void cut_release(struct cut *c)
{
    mem_free(c->parts.bits);
    mem_free(c->parts.low);
    mem_free(c->parts.high);
    mem_free(c->parts.escapes);
    mem_free(c->parts.delta);
}

static struct quad_reader reader_of(const struct cut *c, enum simd simd)
{
    const struct quad_parts *p = &c->parts;
    return (struct quad_reader){.bits = p->bits,
                                .low = p->low,
                                .low_end = p->low + p->low_bytes,
                                .high = p->high,
                                .escapes = p->escapes,
                                .escapes_end = p->escapes + p->n_escapes,
                                .simd = simd};
}

/* n_at_once blocks a call; the differences summed are the levels. */
static void check_join(const uint8_t *levels, const struct cut *c, enum simd simd, size_t n_at_once)
{
    const struct quad_shape *s = &c->shape;
    struct quad_reader q = reader_of(c, simd);
    uint8_t *delta = mem_alloc(s->n_blocks, QUAD_VALUES), *level = mem_zalloc(s->n_mels, 1);
    for (size_t b = 0; b < s->n_blocks; b += n_at_once)
        quad_read(&q, size_min(n_at_once, s->n_blocks - b), delta + b * QUAD_COLUMNS, s->stride);
    CHECK(quad_reader_whole(&q));
    size_t differ = 0;
    for (size_t t = 0; t < s->n_frames; t++) {
        const uint8_t *row = delta + t % QUAD_FRAMES * s->stride + t / QUAD_FRAMES * s->n_mels;
        for (size_t m = 0; m < s->n_mels; m++) {
            level[m] = (uint8_t)(level[m] + row[m]);
            differ += level[m] != levels[t * s->n_mels + m];
        }
    }
    CHECK_U64(differ, 0);
    mem_free(delta);
    mem_free(level);
}

/* Spreads from nothing to everything there is: all numbers of low bits, with and without escapes;
 * shapes around whole groups and blocks. */
static void test_what_is_cut_comes_together(void)
{
    static const size_t shapes[][2] = {{1, 1}, {1, 129}, {4, 32}, {5, 33}, {9, 64}, {431, 24}};
    bool seen[QUAD_BITS_MAX + 1] = {false};
    size_t n_escapes = 0;
    for (uint32_t width = 1; width <= 256; width *= 2) {
        for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
            size_t n = shapes[i][0] * shapes[i][1];
            uint8_t *levels = mem_alloc(n, 1);
            struct cut c;
            struct rng r;
            rng_init(&r, 1, PURPOSE, width * 16 + i);
            for (size_t j = 0; j < n; j++)
                levels[j] = (uint8_t)(rng_below(&r, 20) == 0 ? rng_below(&r, 256)
                                                             : 100 + rng_below(&r, width));
            cut_make(levels, shapes[i][0], shapes[i][1], &c);
            for (size_t b = 0; b < c.shape.n_blocks; b++)
                seen[c.parts.bits[b / 2] >> 4 * (b % 2) & 0xf] = true;
            n_escapes += c.parts.n_escapes;
            for (enum simd simd = SIMD_PLAIN; simd <= simd_best(); simd++) {
                check_join(levels, &c, simd, 1);
                check_join(levels, &c, simd, 3);
            }
            cut_release(&c);
            mem_free(levels);
        }
    }
    for (size_t bits = 1; bits <= QUAD_BITS_MAX; bits++)
        CHECK(seen[bits]);
    CHECK(n_escapes > 1000);
}

/* By hand: one block of 4 frames by 32 bands in which three bits are cheapest, but for two values
 * that have more above them. */
static void test_layout(void)
{
    enum { MELS = QUAD_COLUMNS };
    uint8_t levels[QUAD_FRAMES * MELS];
    struct cut c;
    for (size_t m = 0; m < MELS; m++) {
        levels[m] = 8;                               /* folded 16: low 000, above 2 */
        levels[MELS + m] = 0;                        /* -8, folded 15: low 111, above 1 */
        levels[2 * MELS + m] = (uint8_t)(m % 4);     /* folded 0, 2, 4, 6 */
        levels[3 * MELS + m] = levels[2 * MELS + m]; /* 0 */
    }
    levels[3 * MELS + 17] += 12; /* 12, folded 24: low 000, above 3: escape 0 */
    levels[3 * MELS + 30] += 57; /* 57, folded 114: low 010, above 14: escape 11 */
    cut_make(levels, QUAD_FRAMES, MELS, &c);
    CHECK_U64(c.shape.n_blocks, 1);
    CHECK_U64(c.parts.bits[0], 3);
    CHECK_U64(c.parts.low_bytes, 3 * QUAD_BIT_BYTES);
    /* pairs: frame 0 has 00, frame 1 has 11, frame 2 0, 2, 0, 2, frame 3 what was added */
    CHECK_U64(c.parts.low[0], 3 << 2);
    CHECK_U64(c.parts.low[1], 3 << 2 | 2 << 4);
    CHECK_U64(c.parts.low[2], 3 << 2);
    CHECK_U64(c.parts.low[30], 3 << 2 | 2 << 6);
    /* third bits: columns 0 to 15 in the low half, 16 to 31 in the high one */
    CHECK_U64(c.parts.low[32], 2 | 2 << 4);
    CHECK_U64(c.parts.low[32 + 2], (2 | 4) | (2 | 4) << 4);
    /* above: 16 columns of frame 0, of frame 1, ..., then the other 16 */
    CHECK_U64(c.parts.high[0], 0xaa);
    CHECK_U64(c.parts.high[4], 0x55);
    CHECK_U64(c.parts.high[16], 0xaa);
    CHECK_U64(c.parts.high[28], 3 << 2);
    CHECK_U64(c.parts.high[31], 3 << 4);
    CHECK_U64(c.parts.n_escapes, 2);
    CHECK_U64(c.parts.escapes[0], 0);
    CHECK_U64(c.parts.escapes[1], 11);
    for (enum simd simd = SIMD_PLAIN; simd <= simd_best(); simd++)
        check_join(levels, &c, simd, 1);
    cut_release(&c);
}

static void refused(const struct cut *c, const struct quad_reader *q)
{
    for (enum simd simd = SIMD_PLAIN; simd <= simd_best(); simd++) {
        struct quad_reader copy = *q;
        uint8_t *delta = mem_alloc(c->shape.n_blocks, QUAD_VALUES);
        copy.simd = simd;
        quad_read(&copy, c->shape.n_blocks, delta, c->shape.stride);
        CHECK(!quad_reader_whole(&copy));
        mem_free(delta);
    }
}

/* Escapes or low bits too few or too many, escapes of more bits than a value has, and a number of
 * low bits that there is not. */
static void test_damage(void)
{
    enum { FRAMES = 8, MELS = 64, N = FRAMES * MELS };
    uint8_t levels[N];
    struct cut c;
    struct rng r;
    rng_init(&r, 2, PURPOSE, 0);
    for (size_t i = 0; i < N; i++)
        levels[i] = (uint8_t)(100 + rng_below(&r, 8));
    levels[5] = 255;
    levels[400] = 0;
    cut_make(levels, FRAMES, MELS, &c);
    CHECK(c.parts.n_escapes >= 2 && c.parts.low_bytes > 0);
    struct quad_reader whole = reader_of(&c, SIMD_PLAIN), q = whole;
    q.escapes_end--;
    refused(&c, &q);
    q.escapes_end = q.escapes;
    refused(&c, &q);
    q = whole;
    q.escapes_end++;
    refused(&c, &q);
    q = whole;
    q.low_end--;
    refused(&c, &q);
    q.low_end += 2;
    refused(&c, &q);
    c.parts.escapes[0] = 255;
    refused(&c, &whole);
    cut_release(&c);
    cut_make(levels, FRAMES, MELS, &c);
    whole = reader_of(&c, SIMD_PLAIN);
    c.parts.bits[0] = (uint8_t)((c.parts.bits[0] & 0xf0) | (QUAD_BITS_MAX + 1));
    refused(&c, &whole);
    cut_release(&c);
}

int main(void)
{
    RUN(test_what_is_cut_comes_together);
    RUN(test_layout);
    RUN(test_damage);
    return test_done();
}
