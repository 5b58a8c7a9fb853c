#include "ingest/verify.h"

enum {
    TEXT_BYTES = 512,      /* text shows itself within these */
    AUDIO_LEAST_MS = 1000, /* less is no preview */
    JUNK_MAX_PERCENT = 10,
};

static bool refuse(struct verify *v, enum sniff_verdict why)
{
    v->has_verdict = true;
    v->verdict = why;
    return false;
}

static bool look(struct verify *v, struct span body, bool is_whole)
{
    enum audio_container container = AUDIO_NONE;
    if (!v->has_container) {
        enum sniff_verdict s = sniff_begin(body, is_whole, &container);
        if (s == SNIFF_MORE)
            return true;
        if (s != SNIFF_AUDIO)
            return refuse(v, s);
        walk_init(&v->walk, container, mpeg_id3_bytes(body));
        v->has_container = true;
    }
    walk_more(&v->walk, body);
    return !v->walk.mpeg.is_lost || refuse(v, SNIFF_DAMAGED);
}

bool verify_more(struct verify *v, struct span body)
{
    return !v->has_verdict && (body.len < TEXT_BYTES || look(v, body, false));
}

enum sniff_verdict verify_end(struct verify *v, struct span body, const struct verify_facts *facts)
{
    if (!v->has_verdict)
        (void)look(v, body, true);
    if (v->has_verdict)
        return v->verdict;
    struct walk_end end = walk_finish(&v->walk, body);
    bool is_short = end.ms > 0 && end.ms < facts->expected_ms * 95 / 100;
    bool is_cut = end.is_missing || (end.is_open && (is_short || !facts->has_length)) ||
                  (is_short && !facts->has_length);
    v->walk_ms = end.ms;
    v->has_verdict = true;
    if (is_cut)
        v->verdict = SNIFF_CUT;
    else if (end.junk_bytes > body.len / 100 * JUNK_MAX_PERCENT)
        v->verdict = SNIFF_DAMAGED;
    else if (end.ms > 0 && end.ms < AUDIO_LEAST_MS)
        v->verdict = SNIFF_SHORT;
    else
        v->verdict = SNIFF_AUDIO;
    return v->verdict;
}
