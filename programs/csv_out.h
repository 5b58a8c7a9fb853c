/*
 * A CSV (RFC 4180) as it is written: into a file beside its place, which it takes when it is whole,
 * so that a catalogue may be larger than memory. Text comes out as valid UTF-8 whatever it was.
 *
 *     if (!csv_out_open(&c, path, e)) return false;
 *     csv_out_text(&c, "a"); csv_out_u64(&c, 1); csv_out_end(&c);
 *     return csv_out_close(&c, ok, e);
 */
#ifndef REFRAIN_CSV_OUT_H
#define REFRAIN_CSV_OUT_H

#include "base/file.h"

#include <stdio.h>

struct csv_out {
    FILE *out;
    bool is_started; /* the line has a field */
    char path[PATH_BYTES], temp[PATH_BYTES];
};

/* "-" is stdout. */
MUST_CHECK bool csv_out_open(struct csv_out *c, const char *path, struct err *e);

void csv_out_text(struct csv_out *c, const char *text);
void csv_out_u64(struct csv_out *c, uint64_t value);
bool csv_out_end(struct csv_out *c); /* of the line; false once nothing can be written */

/* Puts the file in place when `ok` and everything was written, else removes it. Returns whether it
 * is there; *e is set here only if `ok` was given. */
MUST_CHECK bool csv_out_close(struct csv_out *c, bool ok, struct err *e);

#endif
