#include "ingest/retry.h"

#include "base/hash.h"
#include "base/rng.h"

#include <stdio.h>

enum { RNG_RETRY_DELAY = 0x52545259 /* "RTRY" */ };

struct rule {
    enum retry_action action;
    enum row_state end;
    const char *cause;
};

static const struct rule net_rules[NET_RESULTS] = {
    [NET_OK] = {RETRY_DONE, ROW_DONE, ""},
    [NET_DNS] = {RETRY_UNREACHABLE, ROW_DEAD, "dns"},
    [NET_CONNECT] = {RETRY_UNREACHABLE, ROW_DEAD, "connect"},
    [NET_TLS] = {RETRY_UNREACHABLE, ROW_DEAD, "tls"},
    [NET_TIMEOUT] = {RETRY_AGAIN, ROW_DEAD, "timeout"},
    [NET_RESET] = {RETRY_AGAIN, ROW_DEAD, "reset"},
    [NET_TRUNCATED] = {RETRY_AGAIN, ROW_DEAD, "truncated"},
    [NET_TOO_LARGE] = {RETRY_NEVER, ROW_REJECTED, "too_large"},
    [NET_PRIVATE] = {RETRY_NEVER, ROW_DEAD, "private_address"},
    [NET_PROTOCOL] = {RETRY_AGAIN, ROW_DEAD, "protocol"},
    [NET_ENCODING] = {RETRY_AGAIN, ROW_REJECTED, "encoding"},
    [NET_WITHDRAWN] = {RETRY_WITHDRAWN, ROW_DEAD, ""},
};

/* What came whole by HTTP and is cut or damaged all the same is asked for again, twice. */
static const struct {
    const char *cause;
    enum retry_action action;
    uint32_t attempts_max;
} sniff_rules[SNIFF_VERDICTS] = {
    [SNIFF_AUDIO] = {"", RETRY_DONE, 0},           [SNIFF_EMPTY] = {"empty", RETRY_NEVER, 0},
    [SNIFF_SHORT] = {"short", RETRY_NEVER, 0},     [SNIFF_HTML] = {"html", RETRY_NEVER, 0},
    [SNIFF_XML] = {"xml", RETRY_NEVER, 0},         [SNIFF_JSON] = {"json", RETRY_NEVER, 0},
    [SNIFF_OTHER] = {"not_audio", RETRY_NEVER, 0}, [SNIFF_CUT] = {"cut", RETRY_AGAIN, 3},
    [SNIFF_DAMAGED] = {"damaged", RETRY_AGAIN, 3},
};

/* Of statuses other than 200; the cause is "http_" and the number. Ranges in order, first fit. */
static const struct {
    unsigned first, last;
    enum retry_action action;
    enum row_state end;
    uint32_t attempts_max;
} status_rules[] = {
    {206, 206, RETRY_AGAIN, ROW_DEAD, 0}, /* a part that nobody asked for */
    {401, 401, RETRY_AGAIN, ROW_DEAD, 3}, /* p.scdn.co says 403 for what is there later */
    {403, 403, RETRY_AGAIN, ROW_DEAD, 3},      {404, 404, RETRY_NEVER, ROW_GONE, 0},
    {408, 408, RETRY_AGAIN, ROW_DEAD, 0},      {410, 410, RETRY_NEVER, ROW_GONE, 0},
    {425, 425, RETRY_AGAIN, ROW_DEAD, 0},      {429, 429, RETRY_THROTTLED, ROW_DEAD, 0},
    {503, 503, RETRY_THROTTLED, ROW_DEAD, 0},  {500, 599, RETRY_AGAIN, ROW_DEAD, 0},
    {0, UINT32_MAX, RETRY_NEVER, ROW_DEAD, 0},
};

struct retry_verdict retry_classify(enum net_result net, unsigned status, enum sniff_verdict sniff)
{
    assert(net < NET_RESULTS);
    assert(sniff < SNIFF_VERDICTS);
    struct retry_verdict v = {0};
    if (net != NET_OK) {
        v.action = net_rules[net].action;
        v.end = net_rules[net].end;
        snprintf(v.cause, sizeof v.cause, "%s", net_rules[net].cause);
    } else if (status == 200) {
        v.action = sniff_rules[sniff].action;
        v.end = sniff == SNIFF_AUDIO ? ROW_DONE : ROW_REJECTED;
        v.attempts_max = sniff_rules[sniff].attempts_max;
        snprintf(v.cause, sizeof v.cause, "%s", sniff_rules[sniff].cause);
    } else {
        size_t i = 0;
        while (status < status_rules[i].first || status > status_rules[i].last)
            i++;
        v.action = status_rules[i].action;
        v.end = status_rules[i].end;
        v.attempts_max = status_rules[i].attempts_max;
        snprintf(v.cause, sizeof v.cause, "http_%u", status);
    }
    return v;
}

uint64_t retry_delay_ms(uint64_t seed, uint64_t row, uint32_t attempt, uint64_t base_ms,
                        uint64_t max_ms)
{
    uint64_t most_ms = base_ms;
    for (uint32_t i = 1; i < attempt && most_ms < max_ms; i++)
        most_ms = most_ms > UINT64_MAX / 2 ? UINT64_MAX : most_ms * 2;
    most_ms = u64_min(most_ms, max_ms);
    struct rng r;
    rng_init(&r, seed, RNG_RETRY_DELAY, hash_mix64(row) ^ attempt);
    return most_ms == UINT64_MAX ? rng_u64(&r) : rng_below(&r, most_ms + 1);
}
