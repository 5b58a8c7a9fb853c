#include "ingest/sniff.h"

#include <string.h>

/* Frames are searched as far as audio_sniff does, and a frame needs its successor. */
enum { SEARCH_BYTES = (64 << 10) + 4096 };

/* What text it is; SNIFF_OTHER when it is none. */
static enum sniff_verdict sniff_text(const uint8_t *b, size_t n, bool is_whole)
{
    static const uint8_t bom[] = {0xEF, 0xBB, 0xBF};
    size_t at = n >= sizeof bom && memcmp(b, bom, sizeof bom) == 0 ? sizeof bom : 0;
    while (at < n && (b[at] == ' ' || b[at] == '\t' || b[at] == '\r' || b[at] == '\n'))
        at++;
    if (at == n)
        return is_whole ? SNIFF_EMPTY : SNIFF_MORE;
    if (b[at] == '{' || b[at] == '[')
        return SNIFF_JSON;
    if (b[at] != '<')
        return SNIFF_OTHER;
    if (!is_whole && n - at < 6)
        return SNIFF_MORE;
    bool is_xml = (n - at >= 5 && memcmp(b + at, "<?xml", 5) == 0) ||
                  (n - at >= 6 && memcmp(b + at, "<Error", 6) == 0);
    return is_xml ? SNIFF_XML : SNIFF_HTML;
}

/* The end of what has come so far confirms no frame, as the end of a file does. */
static bool is_unsure(struct span body)
{
    struct mpeg_header h;
    size_t at = mpeg_id3_bytes(body);
    return mpeg_find_frame(body, at, SEARCH_BYTES, &at, &h) && at + h.frame_bytes == body.len;
}

enum sniff_verdict sniff_begin(struct span body, bool is_whole, enum audio_container *out)
{
    enum sniff_verdict text = sniff_text(body.ptr, body.len, is_whole);
    if (text != SNIFF_OTHER)
        return text;
    if (body.len < SNIFF_BYTES_MIN)
        return is_whole ? SNIFF_SHORT : SNIFF_MORE;
    *out = audio_sniff(body, NULL);
    if (*out != AUDIO_NONE)
        return !is_whole && *out == AUDIO_MP3 && is_unsure(body) ? SNIFF_MORE : SNIFF_AUDIO;
    size_t tag_bytes = mpeg_id3_bytes(body); /* a picture of the cover may take megabytes */
    if (!is_whole && body.len < tag_bytes + SEARCH_BYTES)
        return SNIFF_MORE;
    return tag_bytes >= body.len ? SNIFF_CUT : SNIFF_OTHER;
}
