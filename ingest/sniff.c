#include "ingest/sniff.h"

#include <string.h>

enum { SYNC_SEARCH_BYTES = 4096 };

/* Length of the MPEG audio frame whose header is at `h`, or 0: ISO/IEC 11172-3 section 2.4.2.3 and
 * 13818-3. Free format (bit rate index 0) is not met in previews. */
static size_t mpeg_frame_bytes(const uint8_t *h)
{
    static const uint16_t kbps_v1[3][16] = {
        {0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448, 0},
        {0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 0},
        {0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0},
    };
    static const uint16_t kbps_v2[3][16] = {
        {0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256, 0},
        {0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0},
        {0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0},
    };
    static const uint32_t hz_v1[3] = {44100, 48000, 32000};
    unsigned version = (h[1] >> 3) & 3, layer_code = (h[1] >> 1) & 3;
    unsigned rate_i = h[2] >> 4, hz_i = (h[2] >> 2) & 3;
    if (h[0] != 0xFF || (h[1] & 0xE0) != 0xE0 || version == 1 || layer_code == 0 || hz_i == 3)
        return 0;
    unsigned layer_i = 3 - layer_code; /* 0: layer I */
    bool is_v1 = version == 3;
    uint32_t kbps = is_v1 ? kbps_v1[layer_i][rate_i] : kbps_v2[layer_i][rate_i];
    uint32_t hz = hz_v1[hz_i] >> (is_v1 ? 0 : version == 2 ? 1 : 2);
    uint32_t padding = (h[2] >> 1) & 1;
    if (kbps == 0)
        return 0;
    if (layer_i == 0)
        return (12000 * kbps / hz + padding) * 4;
    uint32_t slots = layer_i == 2 && !is_v1 ? 72000 : 144000;
    return slots * kbps / hz + padding;
}

/* Two frames in a row, the second where the first one says. */
static bool has_mpeg_frames(const uint8_t *b, size_t n)
{
    for (size_t at = 0; at + 4 <= n && at < SYNC_SEARCH_BYTES; at++) {
        size_t len = mpeg_frame_bytes(b + at);
        if (len >= 4 && at + len + 4 <= n && mpeg_frame_bytes(b + at + len) > 0 &&
            ((b[at + 1] ^ b[at + len + 1]) & 0xFE) == 0)
            return true;
    }
    return false;
}

static bool has_adts_frames(const uint8_t *b, size_t n)
{
    if (n < 7 || b[0] != 0xFF || (b[1] & 0xF6) != 0xF0)
        return false;
    size_t len = (size_t)(b[3] & 3) << 11 | (size_t)b[4] << 3 | b[5] >> 5;
    return len >= 7 && len + 2 <= n && b[len] == 0xFF && (b[len + 1] & 0xF6) == 0xF0;
}

static bool is_audio(const uint8_t *b, size_t n)
{
    bool has_magic = memcmp(b, "ID3", 3) == 0 || memcmp(b + 4, "ftyp", 4) == 0 ||
                     memcmp(b, "OggS", 4) == 0 || memcmp(b, "fLaC", 4) == 0 ||
                     (memcmp(b, "RIFF", 4) == 0 && memcmp(b + 8, "WAVE", 4) == 0);
    return has_magic || has_adts_frames(b, n) || has_mpeg_frames(b, n);
}

/* What text it is; SNIFF_OTHER when it is none. */
static enum sniff_verdict sniff_text(const uint8_t *b, size_t n)
{
    static const uint8_t bom[] = {0xEF, 0xBB, 0xBF};
    size_t at = n >= sizeof bom && memcmp(b, bom, sizeof bom) == 0 ? sizeof bom : 0;
    while (at < n && (b[at] == ' ' || b[at] == '\t' || b[at] == '\r' || b[at] == '\n'))
        at++;
    if (at == n)
        return SNIFF_EMPTY;
    if (b[at] == '{' || b[at] == '[')
        return SNIFF_JSON;
    if (b[at] != '<')
        return SNIFF_OTHER;
    bool is_xml = (n - at >= 5 && memcmp(b + at, "<?xml", 5) == 0) ||
                  (n - at >= 6 && memcmp(b + at, "<Error", 6) == 0);
    return is_xml ? SNIFF_XML : SNIFF_HTML;
}

enum sniff_verdict sniff_body(struct span body)
{
    const uint8_t *b = body.ptr;
    if (body.len == 0)
        return SNIFF_EMPTY;
    enum sniff_verdict text = sniff_text(b, body.len);
    if (text != SNIFF_OTHER)
        return text;
    if (body.len < SNIFF_BYTES_MIN)
        return SNIFF_SHORT;
    return is_audio(b, body.len) ? SNIFF_AUDIO : SNIFF_OTHER;
}
