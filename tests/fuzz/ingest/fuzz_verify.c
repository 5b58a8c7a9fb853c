/* Any bytes as a body that comes in pieces: the verdict is that of the body at once, and a body
 * that is refused early is refused in the end as well. */
#include "base/mem.h"
#include "base/rng.h"
#include "ingest/verify.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PIECE_MAX = 5000 };

static enum sniff_verdict in_pieces(const uint8_t *data, size_t size,
                                    const struct verify_facts *facts)
{
    struct verify v = {0};
    struct rng r;
    rng_init(&r, size, 1, 0);
    for (size_t n = 0; n < size;) {
        n = size_min(size, n + 1 + rng_below(&r, PIECE_MAX));
        uint8_t *exact = mem_alloc(n, 1);
        memcpy(exact, data, n);
        bool more = verify_more(&v, (struct span){exact, n});
        mem_free(exact);
        if (!more)
            break;
    }
    return verify_end(&v, (struct span){data, size}, facts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct verify_facts facts = {.has_length = size % 2 == 0, .expected_ms = size % 3 * 500};
    struct verify v = {0};
    enum sniff_verdict verdict = verify_end(&v, (struct span){data, size}, &facts);
    assert(verdict < SNIFF_VERDICTS);
    enum sniff_verdict pieces = in_pieces(data, size, &facts);
    assert(pieces == verdict);
    return 0;
}
