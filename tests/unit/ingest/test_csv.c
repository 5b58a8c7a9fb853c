#include "ingest/csv.h"

#include "tests/test.h"

#include <stdlib.h>

enum { TEXT_MAX = 1 << 18 };

/* Opens a CSV from memory; the text may hold NULs. */
static struct csv_reader *open_bytes(const char *bytes, size_t n, struct err *e)
{
    struct csv_reader *r = NULL;
    FILE *f = tmpfile();
    fwrite(bytes, 1, n, f);
    rewind(f);
    return csv_reader_open_stream(f, "test.csv", &r, e) ? r : NULL;
}

static struct csv_reader *open_text(const char *text, struct err *e)
{
    return open_bytes(text, strlen(text), e);
}

#define HEAD "track_id,name,artist,spotify_preview_url\n"

/* Reads all events into one line: "R1:a|n|x|u B3:few_fields". */
static void read_events(struct csv_reader *r, char *out, size_t cap)
{
    struct csv_row row;
    struct csv_bad bad;
    struct err e = {0};
    enum csv_event event;
    out[0] = '\0';
    while ((event = csv_reader_next(r, &row, &bad, &e)) != CSV_END && event != CSV_FAILED) {
        size_t len = strlen(out);
        if (event == CSV_ROW)
            snprintf(out + len, cap - len, "%sR%d:%s|%s|%s|%s", len > 0 ? " " : "", (int)row.line,
                     row.fields[CSV_TRACK_ID], row.fields[CSV_NAME], row.fields[CSV_ARTIST],
                     row.fields[CSV_URL]);
        else
            snprintf(out + len, cap - len, "%sB%d:%s", len > 0 ? " " : "", (int)bad.line,
                     bad.cause);
    }
    CHECK(event == CSV_END);
}

static void check_bytes(const char *bytes, size_t n, const char *want)
{
    struct err e = {0};
    static char got[TEXT_MAX];
    struct csv_reader *r = open_bytes(bytes, n, &e);
    CHECK_STR(e.msg, "");
    if (r == NULL)
        return;
    read_events(r, got, sizeof got);
    CHECK_STR(got, want);
    csv_reader_close(r);
}

static void check_text(const char *text, const char *want)
{
    check_bytes(text, strlen(text), want);
}

static void test_plain(void)
{
    check_text(HEAD "a,N,A,http://x/1\nb,M,B,\n", "R2:a|N|A|http://x/1 R3:b|M|B|");
    check_text(HEAD "a,N,A,http://x/1", "R2:a|N|A|http://x/1");
    check_text(HEAD "\n\n  \na,N,A,u\n\n", "R5:a|N|A|u");
    check_text(HEAD, "");
}

static void test_line_endings_and_mark(void)
{
    check_text("\xEF\xBB\xBF" HEAD "a,N,A,u\n", "R2:a|N|A|u");
    check_text("track_id,name,artist,spotify_preview_url\r\na,N,A,u\r\nb,,,\r\n",
               "R2:a|N|A|u R3:b|||");
    check_text("track_id,name,artist,spotify_preview_url\ra,N,A,u\rb,,,\r", "R2:a|N|A|u R3:b|||");
}

static void test_quotes(void)
{
    check_text(HEAD "a,\"Hello, World\",\"say \"\"hi\"\"\",u\n", "R2:a|Hello, World|say \"hi\"|u");
    check_text(HEAD "a,\"two\nlines\",\"\",u\nb,N,A,u\n", "R2:a|two lines||u R4:b|N|A|u");
    check_text(HEAD "a,\"two\r\nlines\",A,u\r\nb,N,A,u\r\n", "R2:a|two lines|A|u R4:b|N|A|u");
    check_text(HEAD "a,  spaced  ,\" quoted \",u\n", "R2:a|spaced|quoted|u");
    check_text(HEAD "a,B\xC3\xA9la\tBart\xC3\xB3k,A,u\n", "R2:a|B\xC3\xA9la Bart\xC3\xB3k|A|u");
}

static void test_columns_in_any_order(void)
{
    check_text("genre,Spotify_Preview_URL,ARTIST,extra,name, track_id \nRock,u,A,?,N,a\n",
               "R2:a|N|A|u");
    struct err e = {0};
    struct csv_row row;
    struct csv_bad bad;
    struct csv_reader *r = open_text("year,duration_ms,tags,genre,mood,energy," HEAD
                                     "2004,222200,\"rock, pop\",Folk,sad,0.5,a,N,A,u\n",
                                     &e);
    CHECK(r != NULL && csv_reader_next(r, &row, &bad, &e) == CSV_ROW);
    CHECK_STR(row.fields[CSV_YEAR], "2004");
    CHECK_STR(row.fields[CSV_DURATION_MS], "222200");
    CHECK_STR(row.fields[CSV_TAGS], "rock, pop");
    CHECK_STR(row.fields[CSV_GENRE], "Folk");
    CHECK_STR(csv_reader_foreign_columns(r), "mood");
    csv_reader_close(r);
}

static void check_refused(const char *bytes, size_t n, const char *want)
{
    struct err e = {0};
    CHECK(open_bytes(bytes, n, &e) == NULL);
    CHECK_U64(e.kind, ERR_USAGE);
    if (strstr(e.msg, want) == NULL)
        CHECK_STR(e.msg, want);
}

static void test_missing_columns(void)
{
    check_refused("id,name,url\n", 12,
                  "missing columns track_id, artist, spotify_preview_url; found "
                  "id, name, url");
    check_refused("track_id,name,artist\n", 21, "missing column spotify_preview_url;");
    check_refused("track_id;name;artist;spotify_preview_url\n", 41, "separator");
    check_refused("", 0, "is empty");
    check_refused("\n\n", 2, "is empty");
    check_refused("\x1F\x8B\x08xxxx", 7, "gzip");
    check_refused("\xFF\xFEt\0r\0", 6, "UTF-16");
    check_refused("\"track_id,name\n", 15, "not a CSV header");
    struct err e = {0};
    CHECK(!catalog_check_csv("/nonexistent/m.csv", &e));
    CHECK(strstr(e.msg, "/nonexistent/m.csv") != NULL);
    CHECK(!catalog_check_csv("/", &e));
}

static void test_bad_rows_stop_nothing(void)
{
    check_text(HEAD "a,N\nb,N,A,u\n", "B2:few_fields R3:b|N|A|u");
    check_text(HEAD "a,N,A,u,x\nb,N,A,u\n", "B2:many_fields R3:b|N|A|u");
    check_text(HEAD ",N,A,u\nb,N,A,u\n", "B2:no_track_id R3:b|N|A|u");
    check_text(HEAD "a,N\xFF,A,u\nb,N,A,u\n", "B2:bad_utf8 R3:b|N|A|u");
    check_text(HEAD "a,\xED\xA0\x80,A,u\nb,\xC0\xAF,A,u\nc,\xF4\x90\x80\x80,A,u\n",
               "B2:bad_utf8 B3:bad_utf8 B4:bad_utf8");
    check_bytes(HEAD "a,N\0,A,u\nb,N,A,u\n", strlen(HEAD) + 17, "B2:nul_byte R3:b|N|A|u");
    char id[80] = "";
    memset(id, 'x', 65);
    char text[256];
    snprintf(text, sizeof text, HEAD "%s,N,A,u\nb,N,A,u\n", id);
    check_text(text, "B2:long_track_id R3:b|N|A|u");
}

/* An open quote costs its own line and no other. */
static void test_lone_quotes(void)
{
    check_text(HEAD "a,5\" single,A,u\nb,N,A,u\n", "B2:lone_quote R3:b|N|A|u");
    check_text(HEAD "a,\"open,A,u\nb,N,A,u\nc,N,A,u\n", "B2:lone_quote R3:b|N|A|u R4:c|N|A|u");
    check_text(HEAD "a,\"open,A,u\nb,\"N, M\",A,u\nc,N,A,u\n",
               "B2:lone_quote R3:b|N, M|A|u R4:c|N|A|u");
    check_text(HEAD "a,N,A,\"u", "B2:lone_quote");
    /* Two open quotes that make a record of the right width only by chance of the wrong lines. */
    check_text(HEAD "a,\"open,A,u\nb,N,A,\"open\nc,N,A,u\n",
               "B2:lone_quote B3:lone_quote R4:c|N|A|u");
}

static void test_lone_quote_before_many_rows(void)
{
    static char text[TEXT_MAX];
    struct err e = {0};
    struct csv_row row;
    struct csv_bad bad;
    size_t len = (size_t)snprintf(text, sizeof text, HEAD "bad,\"open,A,u\n");
    for (int i = 0; i < 5000; i++)
        len +=
            (size_t)snprintf(text + len, sizeof text - len, "t%d,Name,Artist,http://x/%d\n", i, i);
    struct csv_reader *r = open_bytes(text, len, &e);
    CHECK(r != NULL && csv_reader_next(r, &row, &bad, &e) == CSV_BAD);
    size_t n = 0;
    while (csv_reader_next(r, &row, &bad, &e) == CSV_ROW)
        n++;
    CHECK_U64(n, 5000);
    csv_reader_close(r);
}

static void test_long_lines(void)
{
    static char text[TEXT_MAX];
    for (size_t width = CSV_RECORD_BYTES_MAX - 2; width < CSV_RECORD_BYTES_MAX * 2;
         width += CSV_RECORD_BYTES_MAX / 2) {
        size_t len = (size_t)snprintf(text, sizeof text, HEAD "a,");
        memset(text + len, 'n', width);
        len += width;
        len += (size_t)snprintf(text + len, sizeof text - len, ",A,u\r\nb,N,A,u\r\n");
        check_bytes(text, len, "B2:too_long R3:b|N|A|u");
    }
    size_t len = (size_t)snprintf(text, sizeof text, HEAD "a,");
    memset(text + len, 'n', 60000);
    len += 60000;
    len += (size_t)snprintf(text + len, sizeof text - len, ",A,u\n");
    struct err e = {0};
    struct csv_row row;
    struct csv_bad bad;
    struct csv_reader *r = open_bytes(text, len, &e);
    CHECK(r != NULL && csv_reader_next(r, &row, &bad, &e) == CSV_ROW);
    CHECK_U64(strlen(row.fields[CSV_NAME]), 60000);
    csv_reader_close(r);
}

static uint64_t first_digest(const char *text)
{
    struct err e = {0};
    struct csv_row row;
    struct csv_bad bad = {0};
    struct csv_reader *r = open_text(text, &e);
    while (csv_reader_next(r, &row, &bad, &e) == CSV_ROW)
        ;
    csv_reader_close(r);
    return bad.digest;
}

static void test_digest_of_bad_rows(void)
{
    uint64_t digest = first_digest(HEAD "a,N\nb,N,A,u\n");
    CHECK_U64(first_digest(HEAD "b,N,A,u\r\na,N\r\n"), digest);
    CHECK_U64(first_digest(HEAD "a,N"), digest);
    CHECK(first_digest(HEAD "a,M\n") != digest);
}

static void test_open_tail(void)
{
    struct err e = {0};
    char got[256];
    struct csv_reader *r = open_text(HEAD "a,N,A,u\nb,N,A,ht", &e);
    csv_reader_leave_open_tail(r);
    read_events(r, got, sizeof got);
    CHECK_STR(got, "R2:a|N|A|u");
    CHECK(csv_reader_left_tail(r));
    csv_reader_close(r);
}

int main(void)
{
    RUN(test_plain);
    RUN(test_line_endings_and_mark);
    RUN(test_quotes);
    RUN(test_columns_in_any_order);
    RUN(test_missing_columns);
    RUN(test_bad_rows_stop_nothing);
    RUN(test_lone_quotes);
    RUN(test_lone_quote_before_many_rows);
    RUN(test_long_lines);
    RUN(test_digest_of_bad_rows);
    RUN(test_open_tail);
    return test_done();
}
