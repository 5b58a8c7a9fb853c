/* The examples of FIPS 180-4 and of its validation suite (SHA256ShortMsg, SHA256LongMsg). */
#include "base/mem.h"
#include "ingest/digest.h"
#include "tests/test.h"

static void check(const void *bytes, size_t n, const char *want)
{
    char got[DIGEST_TEXT_BYTES];
    digest_sha256((struct span){bytes, n}, got);
    CHECK_STR(got, want);
}

static void test_examples(void)
{
    check("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    char *a = mem_alloc(1000000, 1);
    memset(a, 'a', 1000000);
    check(a, 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    mem_free(a);
}

int main(void)
{
    RUN(test_examples);
    return test_done();
}
