/*
 * How a stored view was made, as `refrain store get --json` prints it: {"start_ms": 7210,
 * "augment": "gain db=-2.31; ...", "spec": "16 digits", "source": "16 digits"}. Other members are
 * skipped; only augment must be there.
 */
#ifndef REFRAIN_VIEW_RECORD_H
#define REFRAIN_VIEW_RECORD_H

#include "features/augment.h"

enum { VIEW_RECORD_MAX_BYTES = 64 << 10 };

struct view_record {
    char augment[AUGMENT_RECORD_BYTES];
    bool has_start, has_spec, has_source;
    uint64_t start_ms;
    uint64_t spec_hash; /* feature_spec_hash */
    uint64_t source_id; /* hash64 of the audio file's bytes */
};

MUST_CHECK bool view_record_parse(struct span json, struct view_record *out, struct err *e);

/* The JSON itself, which begins with a brace, or the file it is in. */
MUST_CHECK bool view_record_read(const char *json_or_path, struct view_record *out, struct err *e);

#endif
