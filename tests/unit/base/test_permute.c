#include "base/mem.h"
#include "base/permute.h"
#include "tests/test.h"

/* Every value once, for sizes around powers of two and odd ones. */
static void test_bijection(void)
{
    static const uint64_t sizes[] = {1, 2, 3, 4, 5, 15, 16, 17, 153, 1000, 4095, 4096, 4097, 65537};
    for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
        uint64_t n = sizes[k];
        uint8_t *seen = mem_zalloc(n, 1);
        for (uint64_t i = 0; i < n; i++) {
            uint64_t x = permute_at(42, 3, n, i);
            CHECK(x < n);
            if (x < n)
                seen[x]++;
        }
        uint64_t once = 0;
        for (uint64_t i = 0; i < n; i++)
            once += seen[i] == 1;
        CHECK_U64(once, n);
        mem_free(seen);
    }
}

static void test_pure_and_different(void)
{
    uint64_t same_cycle = 0, same_seed = 0, fixed = 0;
    enum { N = 1000 };
    for (uint64_t i = 0; i < N; i++) {
        uint64_t x = permute_at(1, 0, N, i);
        CHECK_U64(permute_at(1, 0, N, i), x);
        same_cycle += x == permute_at(1, 1, N, i);
        same_seed += x == permute_at(2, 0, N, i);
        fixed += x == i;
    }
    /* two random permutations agree in 1 place on average; 10 would be one in ten million */
    CHECK(same_cycle < 10);
    CHECK(same_seed < 10);
    CHECK(fixed < 10);
}

/* Neighbours do not stay neighbours, and first places are spread evenly: chi-squared over 16 bins
 * of which value comes first in 1,600 cycles (15 degrees of freedom, 50 is beyond 1e-5). */
static void test_spread(void)
{
    enum { BINS = 16, CYCLES = 1600 };
    uint64_t count[BINS] = {0};
    for (uint64_t cycle = 0; cycle < CYCLES; cycle++)
        count[permute_at(9, cycle, BINS * 7, 0) / 7]++;
    double chi = 0.0;
    for (size_t i = 0; i < BINS; i++) {
        double want = (double)CYCLES / BINS, diff = (double)count[i] - want;
        chi += diff * diff / want;
    }
    CHECK(chi < 50.0);
}

static void test_large(void)
{
    uint64_t n = UINT64_C(1) << 40;
    CHECK(permute_at(1, 1, n, 0) < n);
    CHECK(permute_at(1, 1, n, n - 1) < n);
    CHECK(permute_at(1, 1, n, 0) != permute_at(1, 1, n, 1));
}

int main(void)
{
    RUN(test_bijection);
    RUN(test_pure_and_different);
    RUN(test_spread);
    RUN(test_large);
    return test_done();
}
