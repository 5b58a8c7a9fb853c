/*
 * JSON read piece by piece from memory, without a tree: descriptions of exports, which have a line
 * for each clip of a store, and whatever lies beside the arrays of others.
 *
 *     json_scan_init(&j, text);
 *     if (!json_scan_begin(&j, '{', e)) ...
 *     while (json_scan_member(&j, key, &more, e) && more)
 *         if (strcmp(key, "scale") == 0) json_scan_number(&j, &scale, e) else json_scan_skip(&j, e)
 *
 * Any bytes may come in. Nesting ends at JSON_SCAN_DEPTH_MAX; a string longer than its room is an
 * error, never cut. Errors are ERR_PERM with the byte they are at.
 */
#ifndef REFRAIN_STORE_JSON_SCAN_H
#define REFRAIN_STORE_JSON_SCAN_H

#include "base/err.h"

enum { JSON_SCAN_DEPTH_MAX = 32, JSON_SCAN_KEY_BYTES = 64 };

struct json_scan {
    const uint8_t *at, *end, *start;
    unsigned depth;
    bool fresh[JSON_SCAN_DEPTH_MAX]; /* nothing of this object or array was read yet */
};

void json_scan_init(struct json_scan *j, struct span text);

/* Enters an object ('{') or an array ('['). */
MUST_CHECK bool json_scan_begin(struct json_scan *j, char kind, struct err *e);

/* To the next member of the object entered last; *more is false at its end, which is left. A name
 * too long for the room comes as "". */
MUST_CHECK bool json_scan_member(struct json_scan *j, char out_name[JSON_SCAN_KEY_BYTES],
                                 bool *more, struct err *e);
/* The same for an array. */
MUST_CHECK bool json_scan_item(struct json_scan *j, bool *more, struct err *e);

/* Values. A string gets a NUL behind it; one with a NUL in it is an error. */
MUST_CHECK bool json_scan_string(struct json_scan *j, char *out, size_t out_bytes, struct err *e);
MUST_CHECK bool json_scan_number(struct json_scan *j, double *out, struct err *e);
MUST_CHECK bool json_scan_u64(struct json_scan *j, uint64_t *out, struct err *e);
MUST_CHECK bool json_scan_hex64(struct json_scan *j, uint64_t *out,
                                struct err *e); /* "16 digits" */
MUST_CHECK bool json_scan_skip(struct json_scan *j, struct err *e);

#endif
