#include "base/rng.h"

#include "tests/test.h"

/* Known answers of Random123's kat_vectors for philox4x32-10. */
static void test_philox_known_answers(void)
{
    static const struct {
        uint32_t counter[4], key[2], want[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint32_t out[4];
        rng_philox(cases[i].counter, cases[i].key, out);
        for (int w = 0; w < 4; w++)
            CHECK_U64(out[w], cases[i].want[w]);
    }
}

static void test_draws_are_functions_of_seed_and_key(void)
{
    struct rng a, b, other_seed, other_purpose, other_item;
    rng_init(&a, 7, 1, 99);
    rng_init(&b, 7, 1, 99);
    rng_init(&other_seed, 8, 1, 99);
    rng_init(&other_purpose, 7, 2, 99);
    rng_init(&other_item, 7, 1, UINT64_C(99) | UINT64_C(1) << 40);
    int same = 0;
    for (int i = 0; i < 100; i++) {
        uint32_t x = rng_u32(&a);
        CHECK_U64(rng_u32(&b), x);
        same += rng_u32(&other_seed) == x;
        same += rng_u32(&other_purpose) == x;
        same += rng_u32(&other_item) == x;
    }
    CHECK(same <= 1);
}

static void test_below_is_uniform(void)
{
    enum { N = 7, DRAWS = 70000 };
    unsigned counts[N] = {0};
    struct rng r;
    rng_init(&r, 1, 0, 0);
    for (int i = 0; i < DRAWS; i++) {
        uint64_t x = rng_below(&r, N);
        CHECK(x < N);
        counts[x]++;
    }
    /* 5 standard deviations of a binomial with p = 1/7 */
    for (int i = 0; i < N; i++)
        CHECK_NEAR(counts[i], DRAWS / N, 5 * sqrt(DRAWS * (1.0 / N) * (1 - 1.0 / N)));
    CHECK_U64(rng_below(&r, 1), 0);
}

static void test_uniform_and_normal_moments(void)
{
    enum { DRAWS = 100000 };
    double sum = 0, squares = 0, u_sum = 0;
    struct rng r;
    rng_init(&r, 3, 0, 0);
    for (int i = 0; i < DRAWS; i++) {
        double u = rng_uniform(&r);
        CHECK(u >= 0 && u < 1);
        u_sum += u;
        double x = rng_normal(&r);
        sum += x;
        squares += x * x;
    }
    /* 5 standard errors */
    CHECK_NEAR(u_sum / DRAWS, 0.5, 5 * sqrt(1.0 / 12 / DRAWS));
    CHECK_NEAR(sum / DRAWS, 0, 5 / sqrt(DRAWS));
    CHECK_NEAR(squares / DRAWS, 1, 5 * sqrt(2.0 / DRAWS));
}

int main(void)
{
    RUN(test_philox_known_answers);
    RUN(test_draws_are_functions_of_seed_and_key);
    RUN(test_below_is_uniform);
    RUN(test_uniform_and_normal_moments);
    return test_done();
}
