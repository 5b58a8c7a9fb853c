#include "base/mem.h"
#include "base/rng.h"
#include "store/nibble.h"
#include "tests/test.h"

#include <string.h>

/* The bytes of store/nibble.h, and that what is cut apart comes together, with any machine. */
enum { BLOCKS_MAX = 5, N_MAX = BLOCKS_MAX * NIBBLE_BLOCK, PURPOSE = 31 };

struct parts {
    uint8_t low[BLOCKS_MAX * NIBBLE_LOW_BYTES], high[BLOCKS_MAX * NIBBLE_HIGH_BYTES];
    uint8_t escapes[N_MAX];
    size_t n_escapes;
};

static void split(const uint8_t *delta, size_t n, struct parts *p)
{
    uint8_t copy[N_MAX];
    memcpy(copy, delta, n);
    memset(p, 0xa5, sizeof *p);
    p->n_escapes = nibble_split(copy, n, p->low, p->high, p->escapes);
}

static void check_both_ways(const uint8_t *delta, size_t n, const struct parts *p)
{
    uint8_t back[N_MAX];
    memset(back, 0x5a, sizeof back);
    CHECK(nibble_join(p->low, p->high, p->escapes, p->n_escapes, n, back));
    CHECK(memcmp(back, delta, n) == 0);
    memset(back, 0x5a, sizeof back);
    CHECK(nibble_join_plain(p->low, p->high, p->escapes, p->n_escapes, n, back));
    CHECK(memcmp(back, delta, n) == 0);
}

/* Spreads from nearly nothing to everything there is; lengths around whole blocks. */
static void test_what_is_cut_comes_together(void)
{
    static const size_t lengths[] = {1, 2, 127, 128, 129, 300, N_MAX};
    for (uint32_t width = 1; width <= 256; width *= 2) {
        for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
            uint8_t delta[N_MAX];
            struct parts p;
            struct rng r;
            size_t n_far = 0;
            rng_init(&r, 1, PURPOSE, width * 16 + i);
            for (size_t j = 0; j < lengths[i]; j++) {
                delta[j] = (uint8_t)(rng_below(&r, width) - width / 2);
                n_far += (int8_t)delta[j] >= 60 || (int8_t)delta[j] < -60;
            }
            split(delta, lengths[i], &p);
            CHECK_U64(p.n_escapes, n_far);
            check_both_ways(delta, lengths[i], &p);
        }
    }
}

/* By hand: folded values 0, 1, 2, ... and where their bits go. */
static void test_layout(void)
{
    uint8_t delta[NIBBLE_BLOCK] = {0};
    struct parts p;
    delta[0] = 3;                   /* 6: low 110, above 0 */
    delta[1] = (uint8_t)-60;        /* 119: low 111, above 14 */
    delta[33] = (uint8_t)-1;        /* 1 */
    delta[96] = 60;                 /* 120: low 000, above 15: escape 0 */
    delta[127] = (uint8_t)INT8_MIN; /* 255: low 111, above 31: escape 16 */
    split(delta, NIBBLE_BLOCK, &p);
    CHECK_U64(p.high[0], 0xe0);
    CHECK_U64(p.high[16], 0);
    CHECK_U64(p.high[48], 0x0f);
    CHECK_U64(p.high[63], 0xf0);
    CHECK_U64(p.low[0], 2);
    CHECK_U64(p.low[1], 3 | 1 << 2);
    CHECK_U64(p.low[31], 3 << 6);
    CHECK_U64(p.low[32], 1);
    CHECK_U64(p.low[33], 1);
    CHECK_U64(p.low[47], 1 << 7);
    CHECK_U64(p.n_escapes, 2);
    CHECK_U64(p.escapes[0], 0);
    CHECK_U64(p.escapes[1], 16);
    check_both_ways(delta, NIBBLE_BLOCK, &p);
}

static void refused(const struct parts *p, size_t n_escapes, const uint8_t *escapes)
{
    uint8_t back[N_MAX];
    CHECK(!nibble_join(p->low, p->high, escapes, n_escapes, N_MAX, back));
    CHECK(!nibble_join_plain(p->low, p->high, escapes, n_escapes, N_MAX, back));
}

/* Escapes too few, too many, or of more bits than a value has. */
static void test_damage(void)
{
    uint8_t delta[N_MAX] = {0}, escapes[N_MAX + 1] = {0};
    struct parts p;
    delta[5] = 100;
    delta[600] = 90;
    split(delta, N_MAX, &p);
    memcpy(escapes, p.escapes, p.n_escapes);
    CHECK_U64(p.n_escapes, 2);
    refused(&p, 1, escapes);
    refused(&p, 3, escapes);
    refused(&p, 0, NULL);
    escapes[1] = 17;
    refused(&p, 2, escapes);
}

int main(void)
{
    RUN(test_what_is_cut_comes_together);
    RUN(test_layout);
    RUN(test_damage);
    return test_done();
}
