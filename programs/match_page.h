/*
 * The evidence page: what match_pair.h found, as one self-contained HTML file: verdict, a figure
 * for each axis, the segments as a table, the similarity matrix with the paths, both spectrograms,
 * and players that start at the segments when the audio is embedded. It loads nothing from
 * elsewhere, and is well-formed XML too, so that a test can hold it against an XML parser.
 */
#ifndef REFRAIN_MATCH_PAGE_H
#define REFRAIN_MATCH_PAGE_H

#include "programs/match_pair.h"

struct match_page_params {
    bool embed_audio; /* both files as they are, up to MATCH_AUDIO_MAX_BYTES each */
};

enum { MATCH_AUDIO_MAX_BYTES = 64 << 20 };

/* Written whole or not at all. */
MUST_CHECK bool match_page_write(const char *path, const struct match_pair *pair,
                                 const struct match_page_params *params, struct err *e);

/* The same onto a stream. */
MUST_CHECK bool match_page(const struct match_pair *pair, const struct match_page_params *params,
                           FILE *out, struct err *e);

extern const char match_page_style[];  /* added to the report's */
extern const char match_page_script[]; /* the players; no < or & in it, so that it is XML as well */

#endif
