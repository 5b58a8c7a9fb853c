#include "base/hash.h"

#include "tests/test.h"

/* Computed with the reference implementation (python-xxhash, xxh64_intdigest). */
static void test_xxh64_known_answers(void)
{
    CHECK_U64(hash64("", 0, 0), UINT64_C(0xef46db3751d8e999));
    CHECK_U64(hash64("a", 1, 0), UINT64_C(0xd24ec4f1a98c6e5b));
    CHECK_U64(hash64("abc", 3, 0), UINT64_C(0x44bc2cf5ad770999));
    const char *text = "Nobody inspects the spammish repetition";
    CHECK_U64(hash64(text, strlen(text), 0), UINT64_C(0xfbcea83c8a378bf1));
    uint8_t bytes[100];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + 1);
    CHECK_U64(hash64(bytes, 31, 5), UINT64_C(0x769ab71c82a35c0d));
    CHECK_U64(hash64(bytes, 32, 5), UINT64_C(0xcbe175627dfba415));
    CHECK_U64(hash64(bytes, 33, 5), UINT64_C(0xffffe89ba1ba7ff9));
    CHECK_U64(hash64(bytes, 100, 5), UINT64_C(0x8df2265e799fccbc));
}

/* Every length takes another path through tail and lanes; none may collide or ignore a byte. */
static void test_every_byte_and_the_seed_count(void)
{
    uint8_t bytes[100];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + 1);
    for (size_t len = 0; len <= sizeof bytes; len++) {
        uint64_t h = hash64(bytes, len, 5);
        CHECK(hash64(bytes, len, 6) != h);
        for (size_t i = 0; i < len; i++) {
            bytes[i] ^= 0x10;
            CHECK(hash64(bytes, len, 5) != h);
            bytes[i] ^= 0x10;
        }
    }
}

int main(void)
{
    RUN(test_xxh64_known_answers);
    RUN(test_every_byte_and_the_seed_count);
    return test_done();
}
