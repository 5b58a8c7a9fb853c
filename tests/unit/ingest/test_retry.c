#include "ingest/retry.h"

#include "ingest/sniff.h"
#include "tests/test.h"

static void check(enum net_result net, unsigned status, enum sniff_verdict sniff,
                  enum retry_action action, enum row_state end, const char *cause)
{
    struct retry_verdict v = retry_classify(net, status, sniff);
    CHECK_STR(v.cause, cause);
    CHECK_U64(v.action, action);
    CHECK_U64(v.end, end);
}

static void test_statuses(void)
{
    check(NET_OK, 200, SNIFF_AUDIO, RETRY_DONE, ROW_DONE, "");
    check(NET_OK, 200, SNIFF_HTML, RETRY_NEVER, ROW_REJECTED, "html");
    check(NET_OK, 200, SNIFF_JSON, RETRY_NEVER, ROW_REJECTED, "json");
    check(NET_OK, 200, SNIFF_EMPTY, RETRY_NEVER, ROW_REJECTED, "empty");
    check(NET_OK, 200, SNIFF_SHORT, RETRY_NEVER, ROW_REJECTED, "short");
    check(NET_OK, 200, SNIFF_OTHER, RETRY_NEVER, ROW_REJECTED, "not_audio");
    check(NET_OK, 200, SNIFF_CUT, RETRY_AGAIN, ROW_REJECTED, "cut");
    check(NET_OK, 200, SNIFF_DAMAGED, RETRY_AGAIN, ROW_REJECTED, "damaged");
    check(NET_OK, 404, SNIFF_AUDIO, RETRY_NEVER, ROW_GONE, "http_404");
    check(NET_OK, 410, SNIFF_AUDIO, RETRY_NEVER, ROW_GONE, "http_410");
    check(NET_OK, 429, SNIFF_AUDIO, RETRY_THROTTLED, ROW_DEAD, "http_429");
    check(NET_OK, 503, SNIFF_AUDIO, RETRY_THROTTLED, ROW_DEAD, "http_503");
    check(NET_OK, 500, SNIFF_AUDIO, RETRY_AGAIN, ROW_DEAD, "http_500");
    check(NET_OK, 403, SNIFF_AUDIO, RETRY_AGAIN, ROW_DEAD, "http_403");
    check(NET_OK, 206, SNIFF_AUDIO, RETRY_AGAIN, ROW_DEAD, "http_206");
    check(NET_OK, 204, SNIFF_AUDIO, RETRY_NEVER, ROW_DEAD, "http_204");
    check(NET_OK, 304, SNIFF_AUDIO, RETRY_NEVER, ROW_DEAD, "http_304");
    check(NET_OK, 999, SNIFF_AUDIO, RETRY_NEVER, ROW_DEAD, "http_999");
    CHECK_U64(retry_classify(NET_OK, 403, SNIFF_AUDIO).attempts_max, 3);
}

static void test_transport(void)
{
    check(NET_DNS, 0, SNIFF_EMPTY, RETRY_UNREACHABLE, ROW_DEAD, "dns");
    check(NET_CONNECT, 0, SNIFF_EMPTY, RETRY_UNREACHABLE, ROW_DEAD, "connect");
    check(NET_TIMEOUT, 200, SNIFF_AUDIO, RETRY_AGAIN, ROW_DEAD, "timeout");
    check(NET_TRUNCATED, 200, SNIFF_AUDIO, RETRY_AGAIN, ROW_DEAD, "truncated");
    check(NET_TOO_LARGE, 200, SNIFF_AUDIO, RETRY_NEVER, ROW_REJECTED, "too_large");
    check(NET_ENCODING, 200, SNIFF_AUDIO, RETRY_AGAIN, ROW_REJECTED, "encoding");
    check(NET_PRIVATE, 0, SNIFF_EMPTY, RETRY_NEVER, ROW_DEAD, "private_address");
    check(NET_WITHDRAWN, 0, SNIFF_EMPTY, RETRY_WITHDRAWN, ROW_DEAD, "");
}

static void test_delays(void)
{
    static const uint64_t most[] = {1000, 2000, 4000, 8000, 10000, 10000};
    uint64_t longest[ARRAY_LEN(most)] = {0}, sum = 0;
    for (uint64_t row = 0; row < 2000; row++)
        for (uint32_t a = 1; a <= ARRAY_LEN(most); a++) {
            uint64_t ms = retry_delay_ms(7, row, a, 1000, 10000);
            CHECK_U64(ms, retry_delay_ms(7, row, a, 1000, 10000));
            CHECK(ms <= most[a - 1]);
            longest[a - 1] = u64_max(longest[a - 1], ms);
            sum += a == 1 ? ms : 0;
        }
    for (size_t i = 0; i < ARRAY_LEN(most); i++)
        CHECK(longest[i] > most[i] * 95 / 100); /* the whole range is used */
    CHECK_NEAR((double)sum / 2000, 500, 30);    /* uniform: 500 with a deviation of 6.5 */
    CHECK(retry_delay_ms(7, 1, 3, 1000, 10000) != retry_delay_ms(8, 1, 3, 1000, 10000));
    CHECK(retry_delay_ms(1, 1, UINT32_MAX, UINT64_MAX / 2, UINT64_MAX) > 0);
    CHECK_U64(retry_delay_ms(1, 1, 1, 0, 0), 0);
}

static enum sniff_verdict sniff_whole(const void *bytes, size_t n)
{
    enum audio_container container;
    return sniff_begin((struct span){bytes, n}, true, &container);
}

static enum sniff_verdict sniff_text(const char *text)
{
    return sniff_whole(text, strlen(text));
}

static enum sniff_verdict sniff_padded(const void *head, size_t n)
{
    uint8_t body[4096];
    memset(body, 0x55, sizeof body);
    memcpy(body, head, n);
    return sniff_whole(body, sizeof body);
}

static void test_sniff_text(void)
{
    CHECK_U64(sniff_text(""), SNIFF_EMPTY);
    CHECK_U64(sniff_text(" \r\n\t"), SNIFF_EMPTY);
    CHECK_U64(sniff_text("<!DOCTYPE html><html>"), SNIFF_HTML);
    CHECK_U64(sniff_text("\xEF\xBB\xBF\n <html>"), SNIFF_HTML);
    CHECK_U64(sniff_text("<?xml version=\"1.0\"?>"), SNIFF_XML);
    CHECK_U64(sniff_text("<Error><Code>AccessDenied"), SNIFF_XML);
    CHECK_U64(sniff_text("{\"error\":{\"code\":4}}"), SNIFF_JSON);
    CHECK_U64(sniff_text("\n\n[]"), SNIFF_JSON);
    CHECK_U64(sniff_text("ID3"), SNIFF_SHORT);
    CHECK_U64(sniff_padded("nothing of the kind", 19), SNIFF_OTHER);
}

static void test_sniff_audio(void)
{
    CHECK_U64(sniff_padded("ID3\3\0\0\0\0\0\0fLaC", 14), SNIFF_AUDIO);
    CHECK_U64(sniff_padded("ID3\3\0\0\0\0\x7f\x7f", 10), SNIFF_CUT); /* within the tag */
    CHECK_U64(sniff_padded("OggS", 4), SNIFF_AUDIO);
    CHECK_U64(sniff_padded("fLaC", 4), SNIFF_AUDIO);
    CHECK_U64(sniff_padded("RIFF....WAVEfmt ", 16), SNIFF_AUDIO);
    CHECK_U64(sniff_padded("RIFF....AVI fmt ", 16), SNIFF_OTHER);
    CHECK_U64(sniff_padded("\0\0\0\x20"
                           "ftypM4A ",
                           12),
              SNIFF_AUDIO);
    /* MPEG 1 layer III, 96 kbit/s at 44,100 Hz: 144 * 96000 / 44100 = 313 bytes a frame. */
    uint8_t mp3[4096] = {0};
    for (size_t at = 7; at + 4 < sizeof mp3; at += 313)
        memcpy(mp3 + at, "\xFF\xFB\x70\xC4", 4);
    CHECK_U64(sniff_whole(mp3, sizeof mp3), SNIFF_AUDIO);
    memset(mp3 + 320, 0, sizeof mp3 - 320);
    CHECK_U64(sniff_whole(mp3, sizeof mp3), SNIFF_OTHER); /* one header is chance */
}

/* Too little to tell is no verdict while more may come. */
static void test_sniff_begin(void)
{
    static const char *const beginnings[] = {"", " \n", "<", " <?xm", "ID3", "OggS"};
    enum audio_container container;
    for (size_t i = 0; i < ARRAY_LEN(beginnings); i++) {
        struct span s = {beginnings[i], strlen(beginnings[i])};
        CHECK_U64(sniff_begin(s, false, &container), SNIFF_MORE);
    }
}

int main(void)
{
    RUN(test_sniff_begin);
    RUN(test_statuses);
    RUN(test_transport);
    RUN(test_delays);
    RUN(test_sniff_text);
    RUN(test_sniff_audio);
    return test_done();
}
