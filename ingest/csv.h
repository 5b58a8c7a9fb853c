/*
 * Rows of music_info.csv, one at a time, by column name in any order. The only file that knows
 * libcsv. RFC 4180 with what is met in the wild: a byte order mark, CRLF, LF and CR, quoted commas,
 * quotes and newlines, no newline at the end, columns we do not know.
 *
 * A row that cannot be used is an event of its own with its line, a cause and a sentence; reading
 * goes on behind it. A quote that is never closed costs one line and not the rest of the file: a
 * record may span CSV_RECORD_LINES_MAX lines, and when it does not come out right with them its
 * first line alone is set aside and reading goes on at the second.
 *
 *     struct csv_reader *r;
 *     if (!csv_reader_open(path, &r, e)) return false;      // reads and checks the header
 *     while ((event = csv_reader_next(r, &row, &bad, e)) != CSV_END) ...
 *     csv_reader_close(r);
 */
#ifndef REFRAIN_CSV_H
#define REFRAIN_CSV_H

#include "base/err.h"

#include <stdio.h>

enum {
    CSV_RECORD_BYTES_MAX = 64 << 10,
    CSV_RECORD_LINES_MAX = 64,
    CSV_COLUMNS_MAX = 1024,
    CSV_TRACK_ID_BYTES_MAX = 64
};

enum csv_column {
    CSV_TRACK_ID, /* the first four must be there */
    CSV_NAME,
    CSV_ARTIST,
    CSV_URL, /* spotify_preview_url */
    CSV_TAGS,
    CSV_GENRE,
    CSV_YEAR,
    CSV_DURATION_MS,
    CSV_COLUMNS,
    CSV_COLUMNS_NEEDED = CSV_TAGS,
};

/* Valid UTF-8 without control characters (they and newlines became one space), trimmed; a column
 * that the file does not have is "". Lent until the next call. */
struct csv_row {
    uint64_t line; /* where it starts, from 1 */
    const char *fields[CSV_COLUMNS];
};

/* `digest` names the offending bytes and does not depend on line endings or on the line number. */
struct csv_bad {
    uint64_t line;
    uint64_t digest;
    const char *cause; /* "few_fields", "many_fields", "lone_quote", "nul_byte", "bad_utf8",
                          "too_long", "no_track_id", "long_track_id"; static */
    char why[160];     /* a sentence with the values */
};

enum csv_event { CSV_ROW, CSV_BAD, CSV_END, CSV_FAILED /* e is set: the file cannot be read */ };

struct csv_reader;

/* A file that cannot be read, is compressed or UTF-16, or lacks columns is ERR_USAGE; the sentence
 * lists what is missing and what was found. */
MUST_CHECK bool csv_reader_open(const char *path, struct csv_reader **out, struct err *e);

/* As open, from a stream that the reader takes and closes, also on failure. `name` is for
 * sentences. */
MUST_CHECK bool csv_reader_open_stream(FILE *stream, const char *name, struct csv_reader **out,
                                       struct err *e);
void csv_reader_close(struct csv_reader *r); /* NULL is fine */

/* A last line without a newline is still being written: stop before it instead of taking it. */
void csv_reader_leave_open_tail(struct csv_reader *r);
bool csv_reader_left_tail(const struct csv_reader *r); /* after CSV_END: there was one */

MUST_CHECK enum csv_event csv_reader_next(struct csv_reader *r, struct csv_row *row,
                                          struct csv_bad *bad, struct err *e);

/* Names of columns that nobody here knows, "a, b, c"; "" when there are none. Lent for life. */
const char *csv_reader_foreign_columns(const struct csv_reader *r);

/* True when the file can be read and has the needed columns: for `refrain init`. */
MUST_CHECK bool catalog_check_csv(const char *path, struct err *e);

#endif
