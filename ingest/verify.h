/*
 * A preview judged while it comes in, by its bytes alone: what the server called it does not count.
 * Pages, errors and other things that are no audio are known by their first bytes, so the rest of
 * them need not come; audio is walked (ingest/walk.h), so that one which was cut is known in the
 * end even if nobody announced its length.
 *
 *     struct verify v = {0};
 *     while (more bytes came)  if (!verify_more(&v, body)) stop;
 *     verdict = verify_end(&v, body, &facts);
 */
#ifndef REFRAIN_VERIFY_H
#define REFRAIN_VERIFY_H

#include "ingest/sniff.h"
#include "ingest/walk.h"

struct verify {
    bool has_verdict, has_container; /* one of both once enough has come */
    enum sniff_verdict verdict;
    struct walk walk; /* with has_container */
    uint64_t walk_ms; /* of audio, once it was judged whole; 0: not known */
};

/* `body` is all of it so far; it may have moved. False: it is refused, whatever comes. */
bool verify_more(struct verify *v, struct span body);

struct verify_facts {
    bool has_length;      /* as many bytes came as the host had announced */
    uint64_t expected_ms; /* how long it should be; 0: not known */
};

/* SNIFF_AUDIO, or why not. A body counts as cut
 *
 *     when it promises more than it holds: a count of frames, the size of a box or chunk;
 *     when it ends within a frame or page, and is too short or came without a length;
 *     when it is too short and came without a length.
 *
 * Too short is less than 95 % of expected_ms. So a short preview is taken from a host that says how
 * long its files are, and a file that was cut in a tag of its end as well. */
enum sniff_verdict verify_end(struct verify *v, struct span body, const struct verify_facts *facts);

#endif
