/* Header lines, one a line: whatever they hold, waits and policies stay within their limits. */
#include "ingest/ratelimit.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ratelimit_fields fields;
    struct ratelimit r;
    const char *at = (const char *)data, *end = at + size;
    ratelimit_reset(&fields);
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t n = (size_t)((newline == NULL ? end : newline + 1) - at);
        ratelimit_take_line(&fields, at, n);
        at += n;
    }
    ratelimit_read(&fields, 1798761600, &r);
    assert(r.retry_after_ms <= RATELIMIT_WAIT_MAX_MS);
    assert(r.reset_ms <= RATELIMIT_WAIT_MAX_MS);
    assert(r.has_remaining || r.reset_ms == 0);
    assert(r.n_policies <= RATELIMIT_POLICIES_MAX);
    for (size_t i = 0; i < r.n_policies; i++)
        assert(r.policies[i].n >= 1 && r.policies[i].n <= LIMITER_PERMITS_MAX &&
               r.policies[i].window_ns > 0);
    return 0;
}
