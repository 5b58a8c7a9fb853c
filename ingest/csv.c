/*
 * libcsv in strict mode parses; this file decides where a record may end. libcsv is given one
 * physical line after the other until it reports a row. What it was given stays in the window, so
 * that a record that goes wrong can be cut back to its first line. The cost of that is bounded: a
 * line is parsed at most CSV_RECORD_LINES_MAX times.
 */
#include "ingest/csv.h"

#include "base/hash.h"
#include "base/mem.h"

#include <csv.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

enum { WINDOW_BYTES = 4 * CSV_RECORD_BYTES_MAX, LIST_BYTES = 200 };

static const char *const column_names[CSV_COLUMNS] = {
    [CSV_TRACK_ID] = "track_id", [CSV_NAME] = "name",
    [CSV_ARTIST] = "artist",     [CSV_URL] = "spotify_preview_url",
    [CSV_TAGS] = "tags",         [CSV_GENRE] = "genre",
    [CSV_YEAR] = "year",         [CSV_DURATION_MS] = "duration_ms",
};

/* The rest of the published schema: present, known, not used. */
static const char *const unused_names[] = {
    "spotify_id",     "danceability", "energy",           "key",      "loudness", "mode",
    "speechiness",    "acousticness", "instrumentalness", "liveness", "valence",  "tempo",
    "time_signature",
};

struct csv_reader {
    FILE *stream;
    char *name;
    struct csv_parser parser;

    uint8_t *window; /* WINDOW_BYTES; bytes [at, end) are not consumed yet */
    size_t at, end;
    bool at_eof, leave_open_tail, left_tail;
    uint64_t line; /* of window[at] */

    int slot_of[CSV_COLUMNS_MAX]; /* column to enum csv_column, or -1 */
    size_t n_columns;
    char foreign[LIST_BYTES];

    /* The record being parsed: wanted fields as text in the arena. */
    char *arena; /* CSV_RECORD_BYTES_MAX + CSV_COLUMNS */
    size_t arena_len;
    const char *fields[CSV_COLUMNS];
    size_t n_fields;
    bool row_done, in_header;
    char found[LIST_BYTES];
    bool has_slot[CSV_COLUMNS];
};

/* ---------------------------------------------------------------- text */

/* Bytes of the UTF-8 sequence at `at`; 0 for what RFC 3629 forbids. */
static size_t utf8_sequence(const uint8_t *at, size_t left)
{
    uint8_t c = at[0];
    if (c < 0x80)
        return 1;
    size_t n = c >= 0xC2 && c <= 0xDF ? 2 : (c & 0xF0) == 0xE0 ? 3 : c >= 0xF0 && c <= 0xF4 ? 4 : 0;
    if (n == 0 || left < n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((at[i] & 0xC0) != 0x80)
            return 0;
    bool overlong = (c == 0xE0 && at[1] < 0xA0) || (c == 0xF0 && at[1] < 0x90);
    bool surrogate = c == 0xED && at[1] > 0x9F;
    bool too_high = c == 0xF4 && at[1] > 0x8F;
    return overlong || surrogate || too_high ? 0 : n;
}

static bool utf8_is_valid(const uint8_t *bytes, size_t n_bytes)
{
    for (size_t at = 0; at < n_bytes;) {
        size_t n = utf8_sequence(bytes + at, n_bytes - at);
        if (n == 0)
            return false;
        at += n;
    }
    return true;
}

/* Copies with runs of control characters as one space, trimmed. Returns the length. */
static size_t clean_text(char *out, const char *text, size_t len)
{
    size_t n = 0;
    bool gap = false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        bool is_control = c < 0x20 || c == 0x7F;
        if (is_control || (c == ' ' && n == 0)) {
            gap = gap || n > 0;
            continue;
        }
        if (gap && c != ' ' && out[n - 1] != ' ')
            out[n++] = ' ';
        gap = false;
        out[n++] = text[i];
    }
    while (n > 0 && out[n - 1] == ' ')
        n--;
    out[n] = '\0';
    return n;
}

/* Appends ", name" to a list that ends in "..." when it is full. */
static void list_add(char list[LIST_BYTES], const char *name, size_t name_len)
{
    size_t len = strlen(list), room = LIST_BYTES - len;
    if (len >= 3 && strcmp(list + len - 3, "...") == 0)
        return;
    name_len = size_min(name_len, 40);
    if (name_len + 2 + 5 + 1 > room)
        snprintf(list + len, room, "%s...", len > 0 ? ", " : "");
    else
        snprintf(list + len, room, "%s%.*s", len > 0 ? ", " : "", (int)name_len, name);
}

/* ---------------------------------------------------------------- the window */

/* Moves what is left to the front and reads on, so that a whole record and a byte are there. */
static bool window_fill(struct csv_reader *r, struct err *e)
{
    if (r->at_eof || r->end - r->at > CSV_RECORD_BYTES_MAX)
        return true;
    memmove(r->window, r->window + r->at, r->end - r->at);
    r->end -= r->at;
    r->at = 0;
    while (!r->at_eof && r->end < WINDOW_BYTES) {
        size_t n = fread(r->window + r->end, 1, WINDOW_BYTES - r->end, r->stream);
        if (n == 0 && ferror(r->stream))
            return err_set_errno(e, ERR_FATAL, errno, "cannot read %s", r->name);
        r->at_eof = n == 0;
        r->end += n;
    }
    return true;
}

/* Length of the line at `at`: *out_text without its CR, LF or CRLF, and returned with it. When the
 * window ends first the two are equal. */
static size_t line_length(const struct csv_reader *r, size_t at, size_t *out_text)
{
    size_t i = at;
    while (i < r->end && r->window[i] != '\n' && r->window[i] != '\r')
        i++;
    *out_text = i - at;
    if (i < r->end)
        i += r->window[i] == '\r' && i + 1 < r->end && r->window[i + 1] == '\n' ? 2 : 1;
    return i - at;
}

static void consume_line(struct csv_reader *r)
{
    size_t text;
    r->at += line_length(r, r->at, &text);
    r->line++;
}

static bool line_is_blank(const uint8_t *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] != ' ' && text[i] != '\t')
            return false;
    return true;
}

/* ---------------------------------------------------------------- libcsv's callbacks */

static void take_header(struct csv_reader *r, const char *text, size_t len)
{
    while (len > 0 && text[len - 1] == ' ')
        len--;
    while (len > 0 && *text == ' ')
        text++, len--;
    int slot = -1;
    bool known = len == 0;
    for (int i = 0; i < CSV_COLUMNS; i++)
        if (strlen(column_names[i]) == len && strncasecmp(column_names[i], text, len) == 0)
            slot = i;
    for (size_t i = 0; i < ARRAY_LEN(unused_names); i++)
        known |= strlen(unused_names[i]) == len && strncasecmp(unused_names[i], text, len) == 0;
    if (slot >= 0 && r->has_slot[slot])
        slot = -1; /* a column given twice: the first one counts */
    if (slot >= 0)
        r->has_slot[slot] = true;
    else if (!known)
        list_add(r->foreign, text, len);
    list_add(r->found, text, len);
    if (r->n_fields < CSV_COLUMNS_MAX)
        r->slot_of[r->n_fields] = slot;
}

static void on_field(void *field, size_t len, void *arg)
{
    struct csv_reader *r = arg;
    const char *text = field == NULL ? "" : field;
    if (r->in_header) {
        take_header(r, text, len);
    } else if (r->n_fields < r->n_columns && r->slot_of[r->n_fields] >= 0) {
        /* Cleaned text is never longer than the field, and fields never longer than the record. */
        assert(r->arena_len + len + 1 <= CSV_RECORD_BYTES_MAX + CSV_COLUMNS);
        char *out = r->arena + r->arena_len;
        r->fields[r->slot_of[r->n_fields]] = out;
        r->arena_len += clean_text(out, text, len) + 1;
    }
    r->n_fields++;
}

static void on_row(int terminator, void *arg)
{
    (void)terminator;
    struct csv_reader *r = arg;
    r->row_done = true;
}

/* ---------------------------------------------------------------- one record */

static void record_reset(struct csv_reader *r)
{
    csv_fini(&r->parser, NULL, NULL, NULL);
    csv_free(&r->parser);
    csv_init(&r->parser, CSV_STRICT | CSV_STRICT_FINI);
    r->arena_len = r->n_fields = 0;
    r->row_done = false;
    for (size_t i = 0; i < CSV_COLUMNS; i++)
        r->fields[i] = "";
}

struct extent {
    size_t n_bytes, n_lines;
    bool open_tail; /* ends at the end of the file without a newline */
};

/* Gives libcsv lines until it has a row. Null on success, else the cause. */
static const char *record_parse(struct csv_reader *r, struct extent *x)
{
    record_reset(r);
    *x = (struct extent){0};
    while (!r->row_done) {
        if (x->n_lines == CSV_RECORD_LINES_MAX)
            return "lone_quote";
        size_t text, len = line_length(r, r->at + x->n_bytes, &text);
        if (x->n_bytes + len > CSV_RECORD_BYTES_MAX)
            return x->n_lines == 0 ? "too_long" : "lone_quote";
        x->open_tail = text == len;
        if (len == 0) /* the end of the file inside quotes */
            return "lone_quote";
        const uint8_t *line = r->window + r->at + x->n_bytes;
        if (csv_parse(&r->parser, line, len, on_field, on_row, r) != len)
            return "lone_quote";
        x->n_bytes += len;
        x->n_lines++;
        if (x->open_tail && !r->row_done &&
            (csv_fini(&r->parser, on_field, on_row, r) != 0 || !r->row_done))
            return "lone_quote";
    }
    return NULL;
}

/* Of the first `n_lines` lines at the window's start, each with LF for its own ending. */
static uint64_t record_digest(const struct csv_reader *r, size_t n_lines)
{
    uint64_t h = 0;
    size_t at = r->at;
    for (size_t i = 0; i < n_lines; i++) {
        size_t text, len = line_length(r, at, &text);
        h = hash64(r->window + at, text, h);
        at += len;
    }
    return h;
}

/* A line that does not fit the window is dropped piece by piece. */
static bool skip_long_line(struct csv_reader *r, struct csv_bad *bad, struct err *e)
{
    uint64_t n_bytes = 0, digest = 0;
    for (;;) {
        size_t text, len = line_length(r, r->at, &text);
        /* A CR at the very end of the window may be half of a CRLF: leave it for the next pass. */
        bool split = len > text && r->at + len == r->end && !r->at_eof;
        digest = hash64(r->window + r->at, text, digest);
        n_bytes += text;
        r->at += split ? text : len;
        if (!split && (len > text || r->at_eof))
            break;
        if (!window_fill(r, e))
            return false;
    }
    *bad = (struct csv_bad){.line = r->line, .digest = digest, .cause = "too_long"};
    snprintf(bad->why, sizeof bad->why, "the line has %" PRIu64 " bytes, at most %d are taken",
             n_bytes, CSV_RECORD_BYTES_MAX);
    r->line++;
    return true;
}

/* Sets a record of `n_lines` lines aside and goes on behind it. */
static enum csv_event set_aside(struct csv_reader *r, size_t n_lines, const char *cause,
                                struct csv_bad *bad)
{
    *bad = (struct csv_bad){.line = r->line, .digest = record_digest(r, n_lines), .cause = cause};
    if (strcmp(cause, "few_fields") == 0 || strcmp(cause, "many_fields") == 0)
        snprintf(bad->why, sizeof bad->why, "the row has %zu fields, the header has %zu",
                 r->n_fields, r->n_columns);
    else if (strcmp(cause, "lone_quote") == 0)
        snprintf(bad->why, sizeof bad->why,
                 "a quote is not closed, or stands inside a field without quotes around it");
    else if (strcmp(cause, "nul_byte") == 0)
        snprintf(bad->why, sizeof bad->why, "the row holds a NUL byte");
    else if (strcmp(cause, "bad_utf8") == 0)
        snprintf(bad->why, sizeof bad->why, "the row is not valid UTF-8");
    else if (strcmp(cause, "no_track_id") == 0)
        snprintf(bad->why, sizeof bad->why, "the row has no track_id");
    else
        snprintf(bad->why, sizeof bad->why, "the track_id has %zu bytes, at most %d are taken",
                 strlen(r->fields[CSV_TRACK_ID]), CSV_TRACK_ID_BYTES_MAX);
    for (size_t i = 0; i < n_lines; i++)
        consume_line(r);
    return CSV_BAD;
}

/* What is wrong with a record that libcsv took, or NULL. */
static const char *record_check(const struct csv_reader *r, const struct extent *x)
{
    const uint8_t *bytes = r->window + r->at;
    if (r->n_fields != r->n_columns)
        return x->n_lines > 1               ? "lone_quote"
               : r->n_fields < r->n_columns ? "few_fields"
                                            : "many_fields";
    if (memchr(bytes, '\0', x->n_bytes) != NULL)
        return "nul_byte";
    if (!utf8_is_valid(bytes, x->n_bytes))
        return "bad_utf8";
    size_t id_len = strlen(r->fields[CSV_TRACK_ID]);
    if (id_len == 0)
        return "no_track_id";
    return id_len > CSV_TRACK_ID_BYTES_MAX ? "long_track_id" : NULL;
}

enum csv_event csv_reader_next(struct csv_reader *r, struct csv_row *row, struct csv_bad *bad,
                               struct err *e)
{
    struct extent x;
    for (;;) {
        size_t text;
        if (!window_fill(r, e))
            return CSV_FAILED;
        if (r->at == r->end)
            return CSV_END;
        line_length(r, r->at, &text);
        if (!line_is_blank(r->window + r->at, text))
            break;
        consume_line(r);
    }
    const char *cause = record_parse(r, &x);
    if (x.open_tail && r->leave_open_tail) {
        r->left_tail = true;
        return CSV_END;
    }
    if (cause != NULL && strcmp(cause, "too_long") == 0)
        return skip_long_line(r, bad, e) ? CSV_BAD : CSV_FAILED;
    if (cause == NULL)
        cause = record_check(r, &x);
    if (cause != NULL)
        return set_aside(r, strcmp(cause, "lone_quote") == 0 ? 1 : x.n_lines, cause, bad);
    row->line = r->line;
    memcpy(row->fields, r->fields, sizeof row->fields);
    r->at += x.n_bytes;
    r->line += x.n_lines;
    return CSV_ROW;
}

/* ---------------------------------------------------------------- opening */

/* What a file that is no CSV at all looks like in its first bytes. */
static const char *foreign_format(const uint8_t *bytes, size_t n)
{
    if (n >= 2 && bytes[0] == 0x1F && bytes[1] == 0x8B)
        return "is compressed with gzip: unpack it first";
    if (n >= 2 && bytes[0] == 'P' && bytes[1] == 'K')
        return "is a ZIP archive or a spreadsheet: export it as CSV first";
    if (n >= 2 &&
        ((bytes[0] == 0xFF && bytes[1] == 0xFE) || (bytes[0] == 0xFE && bytes[1] == 0xFF)))
        return "is UTF-16: save it as UTF-8 first";
    return NULL;
}

static bool header_check(const struct csv_reader *r, struct err *e)
{
    char missing[LIST_BYTES] = "";
    size_t n_missing = 0;
    for (size_t i = 0; i < CSV_COLUMNS_NEEDED; i++)
        if (!r->has_slot[i]) {
            list_add(missing, column_names[i], strlen(column_names[i]));
            n_missing++;
        }
    if (n_missing == 0)
        return true;
    bool other_separator =
        r->n_columns == 1 && (strchr(r->found, ';') != NULL || strchr(r->found, '\t') != NULL);
    return err_set(e, ERR_USAGE, "%s: missing column%s %s; found %s%s", r->name,
                   n_missing > 1 ? "s" : "", missing, r->found,
                   other_separator ? " (is the separator not a comma?)" : "");
}

static bool header_read(struct csv_reader *r, struct err *e)
{
    static const uint8_t bom[] = {0xEF, 0xBB, 0xBF};
    if (!window_fill(r, e))
        return false;
    const char *format = foreign_format(r->window, r->end);
    if (format != NULL)
        return err_set(e, ERR_USAGE, "%s %s", r->name, format);
    if (r->end >= sizeof bom && memcmp(r->window, bom, sizeof bom) == 0)
        r->at = sizeof bom;
    size_t text;
    while (line_length(r, r->at, &text) > 0 && line_is_blank(r->window + r->at, text))
        consume_line(r);
    if (r->at == r->end)
        return err_set(e, ERR_USAGE, "%s is empty: it needs a header line with column names",
                       r->name);
    struct extent x;
    r->in_header = true;
    const char *cause = record_parse(r, &x);
    r->in_header = false;
    if (cause != NULL || !utf8_is_valid(r->window + r->at, x.n_bytes) ||
        memchr(r->window + r->at, '\0', x.n_bytes) != NULL)
        return err_set(e, ERR_USAGE, "%s: line %" PRIu64 " is not a CSV header (%s)", r->name,
                       r->line, cause == NULL ? "not text" : cause);
    if (r->n_fields > CSV_COLUMNS_MAX)
        return err_set(e, ERR_USAGE, "%s: the header has %zu columns, at most %d are taken",
                       r->name, r->n_fields, CSV_COLUMNS_MAX);
    r->n_columns = r->n_fields;
    r->at += x.n_bytes;
    r->line += x.n_lines;
    return header_check(r, e);
}

bool csv_reader_open_stream(FILE *stream, const char *name, struct csv_reader **out, struct err *e)
{
    struct csv_reader *r = mem_zalloc(1, sizeof *r);
    r->stream = stream;
    r->name = mem_strdup(name);
    r->window = mem_alloc(WINDOW_BYTES, 1);
    r->arena = mem_alloc(CSV_RECORD_BYTES_MAX + CSV_COLUMNS, 1);
    r->line = 1;
    csv_init(&r->parser, CSV_STRICT | CSV_STRICT_FINI);
    if (!header_read(r, e)) {
        csv_reader_close(r);
        return false;
    }
    *out = r;
    return true;
}

bool csv_reader_open(const char *path, struct csv_reader **out, struct err *e)
{
    FILE *stream = fopen(path, "re");
    if (stream == NULL)
        return err_set_errno(e, ERR_USAGE, errno, "cannot open the catalogue %s", path);
    if (!csv_reader_open_stream(stream, path, out, e)) {
        e->kind = ERR_USAGE;
        return false;
    }
    return true;
}

void csv_reader_close(struct csv_reader *r)
{
    if (r == NULL)
        return;
    fclose(r->stream);
    csv_free(&r->parser);
    mem_free(r->name);
    mem_free(r->window);
    mem_free(r->arena);
    mem_free(r);
}

void csv_reader_leave_open_tail(struct csv_reader *r)
{
    r->leave_open_tail = true;
}

bool csv_reader_left_tail(const struct csv_reader *r)
{
    return r->left_tail;
}

const char *csv_reader_foreign_columns(const struct csv_reader *r)
{
    return r->foreign;
}

bool catalog_check_csv(const char *path, struct err *e)
{
    struct csv_reader *r = NULL;
    bool ok = csv_reader_open(path, &r, e);
    csv_reader_close(r);
    return ok;
}
