#include "ingest/plan.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "ingest/again.h"
#include "ingest/row.h"
#include "ingest/spare.h"
#include "tests/test.h"

#include <stdlib.h>

static char dir[] = "/tmp/refrain-test-plan-XXXXXX";
static char csv[PATH_BYTES];
static struct err e;
static struct plan_result result;

#define HEAD "track_id,name,artist,spotify_preview_url,tags,genre,year,duration_ms\n"
#define HEAD_CRLF "track_id,name,artist,spotify_preview_url,tags,genre,year,duration_ms\r\n"
#define ROW(id, link) id ",Name " id ",Artist," link ",\"rock, pop\",Rock,2004,222200\n"

static struct catalog *fresh(void)
{
    char command[128];
    struct catalog *c = NULL;
    e = (struct err){0};
    snprintf(command, sizeof command, "rm -rf %s/catalog.mdb", dir);
    CHECK(system(command) == 0);
    CHECK_OK(catalog_open(dir, true, &c, &e), &e);
    return c;
}

static void import_with(struct catalog *c, const char *text, bool allow_http, bool open_tail)
{
    const struct plan_params p = {
        .csv_path = csv, .allow_http = allow_http, .leave_open_tail = open_tail};
    CHECK_OK(file_write_atomic(csv, (struct span){text, strlen(text)}, &e), &e);
    CHECK_OK(plan_import(c, &p, &result, &e), &e);
}

static void import(struct catalog *c, const char *text)
{
    import_with(c, text, true, false);
}

static void append_row(char *out, size_t cap, const struct catalog_row *row)
{
    size_t len = strlen(out);
    snprintf(out + len, cap - len, "%s%d:%s:%s:%s", len > 0 ? " " : "", (int)row->row,
             row->track_id, row_state_name(row->state), row->cause);
}

static char listing[4096];

static bool list_row(void *arg, const struct catalog_row *row)
{
    (void)arg;
    append_row(listing, sizeof listing, row);
    return true;
}

static const char *list(struct catalog *c)
{
    listing[0] = '\0';
    CHECK_OK(catalog_each(c, list_row, NULL, &e), &e);
    return listing;
}

static bool list_due(void *arg, struct catalog_due due, const struct catalog_row *row)
{
    size_t len = strlen(listing);
    CHECK_U64(due.row, row->row);
    snprintf(listing + len, sizeof listing - len, "%s%d@%d", len > 0 ? " " : "", (int)due.row,
             (int)due.due_ms);
    return --*(int *)arg > 0;
}

static const char *due_from(struct catalog *c, int64_t due_ms, uint64_t row, int max)
{
    listing[0] = '\0';
    CHECK_OK(catalog_each_due(c, (struct catalog_due){due_ms, row}, list_due, &max, &e), &e);
    return listing;
}

static void change(struct catalog *c, uint64_t number, enum row_state state, int64_t not_before_ms)
{
    struct catalog_write *w;
    struct catalog_row row;
    CHECK_OK(catalog_begin(c, &w, &e), &e);
    CHECK_OK(catalog_read(w, number, &row, &e), &e);
    row.state = state;
    row.not_before_ms = not_before_ms;
    row.attempts = 3;
    CHECK_OK(catalog_put(w, &row, &e), &e);
    CHECK_OK(catalog_commit(w, &e), &e);
}

static uint64_t count_state(struct catalog *c, enum row_state state)
{
    struct catalog_totals t;
    CHECK_OK(catalog_totals(c, &t, &e), &e);
    return t.states[state];
}

/* ---------------------------------------------------------------- import */

static void test_first_import(void)
{
    struct catalog *c = fresh();
    struct catalog_row row;
    import(c, HEAD ROW("a", "http://x/1") ROW("b", "nan") ROW("c", "ftp://x/y")
                  ROW("a", "http://x/2"));
    CHECK_STR(list(c),
              "1:a:DIRECT: 2:b:NO_MATCH:no_link 3:c:NO_MATCH:no_link 4:a:DUP:same_track_id");
    CHECK_U64(result.n_new, 4);
    CHECK_U64(result.n_no_link, 2);
    CHECK_U64(result.n_duplicate, 1);
    CHECK_OK(catalog_get(c, 1, &row, &e), &e);
    CHECK_STR(row.name, "Name a");
    CHECK_STR(row.tags, "rock, pop");
    CHECK_STR(row.url, "http://x/1");
    CHECK_U64(row.year, 2004);
    CHECK_U64(row.duration_ms, 222200);
    CHECK_U64(row.csv_line, 2);
    CHECK_OK(catalog_get(c, 4, &row, &e), &e);
    CHECK_U64(row.dup_of, 1);
    CHECK(!catalog_get(c, 5, &row, &e));
    CHECK_U64(e.kind, ERR_PERM);
    catalog_close(c);
}

static void test_again_changes_nothing(void)
{
    struct catalog *c = fresh();
    const char *text = HEAD ROW("a", "http://x/1") "bad,row\nbad,row\n" ROW("a", "") ROW("a", "");
    import(c, text);
    char before[sizeof listing];
    snprintf(before, sizeof before, "%s", list(c));
    CHECK_STR(before, "1:a:DIRECT: 2::BAD_ROW:few_fields 3::BAD_ROW:few_fields "
                      "4:a:DUP:same_track_id 5:a:DUP:same_track_id");
    import(c, text);
    CHECK(result.unchanged);
    /* Other line endings, another order of columns: another file, the same rows. */
    import(c, HEAD_CRLF "a,Name a,Artist,http://x/1,\"rock, pop\",Rock,2004,222200\r\nbad,row\r\n"
                        "bad,row\r\na,Name a,Artist,,,,,\r\na,,,,,,,\r\n");
    CHECK(!result.unchanged);
    CHECK_U64(result.n_new, 0);
    CHECK_U64(result.n_changed, 0);
    CHECK_STR(list(c), before);
    import(c, "duration_ms,track_id,artist,name,spotify_preview_url,year,genre,tags\n"
              "222200,a,Artist,Name a,http://x/1,2004.0,Rock,\"rock, pop\"\n");
    CHECK_U64(result.n_new + result.n_changed, 0);
    CHECK_STR(list(c), before);
    catalog_close(c);
}

static void test_grown_file(void)
{
    struct catalog *c = fresh();
    import(c, HEAD ROW("a", "http://x/1") ROW("b", "http://x/2"));
    change(c, 1, ROW_DONE, 0);
    import(c, HEAD ROW("n", "http://x/0") ROW("b", "http://x/2") ROW("a", "http://x/1"));
    CHECK_U64(result.n_new, 1);
    CHECK_STR(list(c), "1:a:DONE: 2:b:DIRECT: 3:n:DIRECT:");
    /* A row that vanished stays. */
    import(c, HEAD ROW("n", "http://x/0"));
    CHECK_STR(list(c), "1:a:DONE: 2:b:DIRECT: 3:n:DIRECT:");
    catalog_close(c);
}

static void test_changed_links(void)
{
    struct catalog *c = fresh();
    struct catalog_row row;
    import(c, HEAD ROW("a", "http://x/1") ROW("b", "nan") ROW("c", "http://x/3")
                  ROW("d", "http://x/4"));
    change(c, 1, ROW_DONE, 0);
    change(c, 3, ROW_GONE, 0);
    import(c, HEAD ROW("a", "http://y/1") ROW("b", "http://y/2") ROW("c", "http://y/3")
                  ROW("d", "nan"));
    CHECK_STR(list(c), "1:a:DONE: 2:b:DIRECT: 3:c:DIRECT: 4:d:DIRECT:");
    CHECK_OK(catalog_get(c, 1, &row, &e), &e);
    CHECK_STR(row.url, "http://x/1"); /* what was fetched came from there */
    CHECK_OK(catalog_get(c, 3, &row, &e), &e);
    CHECK_STR(row.url, "http://y/3");
    CHECK_U64(row.attempts, 0);
    CHECK_OK(catalog_get(c, 4, &row, &e), &e);
    CHECK_STR(row.url, "http://x/4"); /* an unusable link replaces nothing */
    /* Names are refreshed, the state stays. */
    import(c, HEAD "a,Other,Artist,http://x/1,,,,\n");
    CHECK_OK(catalog_get(c, 1, &row, &e), &e);
    CHECK_STR(row.name, "Other");
    CHECK_U64(row.state, ROW_DONE);
    CHECK_U64(row.attempts, 3);
    catalog_close(c);
}

/* One preview under two ids is one song; p.scdn.co's query says who asks. */
static void test_same_link_under_two_ids(void)
{
    struct catalog *c = fresh();
    struct catalog_row row;
    const char *text = HEAD ROW("a", "http://x/1") ROW("b", "http://x/1") ROW("c", "http://x/1?n=2")
        ROW("d", "https://p.scdn.co/mp3-preview/ab?cid=1")
            ROW("e", "https://p.scdn.co/mp3-preview/ab?cid=2") ROW("f", "file:///m/a b")
                ROW("g", "file:///m/a%20b");
    const char *want = "1:a:DIRECT: 2:b:DUP:same_link 3:c:DIRECT: 4:d:DIRECT: 5:e:DUP:same_link "
                       "6:f:DIRECT: 7:g:DUP:same_link";
    import(c, text);
    CHECK_STR(list(c), want);
    CHECK_U64(result.n_duplicate, 3);
    CHECK_OK(catalog_get(c, 5, &row, &e), &e);
    CHECK_U64(row.dup_of, 4);
    import(c, HEAD ROW("z", "http://z/1"));
    import(c, text);
    CHECK_U64(result.n_new + result.n_changed, 0);
    /* A link of its own makes it a song of its own; a third one may then take its place. */
    import(c, HEAD ROW("a", "http://x/1") ROW("b", "http://x/9"));
    CHECK_OK(catalog_get(c, 2, &row, &e), &e);
    CHECK_U64(row.state, ROW_DIRECT);
    CHECK_U64(row.dup_of, 0);
    import(c, HEAD ROW("a", "http://x/8") ROW("h", "http://x/1") ROW("i", "http://x/9"));
    CHECK_OK(catalog_get(c, 9, &row, &e), &e);
    CHECK_U64(row.state, ROW_DIRECT); /* h: a has left that link */
    CHECK_OK(catalog_get(c, 10, &row, &e), &e);
    CHECK_U64(row.dup_of, 2);
    catalog_close(c);
}

static void test_same_id_lends_its_link(void)
{
    struct catalog *c = fresh();
    struct catalog_row row;
    const char *text = HEAD ROW("a", "nan") ROW("a", "http://x/1") ROW("a", "http://x/2")
        ROW("b", "http://x/3") ROW("b", "http://x/4");
    import(c, text);
    CHECK_STR(list(c), "1:a:DIRECT: 2:a:DUP:same_track_id 3:a:DUP:same_track_id 4:b:DIRECT: "
                       "5:b:DUP:same_track_id");
    CHECK_OK(catalog_get(c, 1, &row, &e), &e);
    CHECK_STR(row.url, "http://x/1");
    import(c, HEAD ROW("z", "http://z/1"));
    import(c, text);
    CHECK_U64(result.n_new + result.n_changed, 0);
    catalog_close(c);
}

/* Links of further records are spares: they wait until those before them have failed. */
static void test_spares(void)
{
    struct catalog *c = fresh();
    struct catalog_row row;
    struct todo_item item = {.track_id = "a", .url = mem_strdup("http://x/1"), .attempts = 4};
    import(c, HEAD ROW("a", "http://x/1") ROW("a", "nan") ROW("a", "http://x/1")
                  ROW("a", "http://x/2"));
    CHECK(spare_take(c, &item));
    CHECK_STR(item.url, "http://x/2");
    CHECK_U64(item.n_spares_tried, 3);
    CHECK_U64(item.attempts, 0);
    CHECK(!spare_take(c, &item));
    mem_free(item.url);
    /* The row has failed with all of them when one more comes, and when that is changed. */
    change(c, 1, ROW_GONE, 0);
    const char *grown = HEAD ROW("a", "http://x/1") ROW("a", "nan") ROW("a", "http://x/1")
        ROW("a", "http://x/2") ROW("a", "http://x/3");
    import(c, grown);
    CHECK_OK(catalog_get(c, 1, &row, &e), &e);
    CHECK_U64(row.state, ROW_RESOLVED);
    CHECK_STR(catalog_row_link(&row), "http://x/3");
    CHECK_STR(row.url, "http://x/1");
    CHECK_U64(row.n_spares_tried, 4);
    CHECK_U64(row.attempts, 0);
    change(c, 1, ROW_DEAD, 0);
    import(c, HEAD ROW("a", "http://x/1") ROW("a", "http://x/4"));
    CHECK_U64(result.n_changed, 1);
    CHECK_OK(catalog_get(c, 1, &row, &e), &e);
    CHECK_STR(catalog_row_link(&row), "http://x/4");
    change(c, 1, ROW_DONE, 0);
    import(c, HEAD ROW("a", "http://x/1") ROW("a", "http://x/5"));
    CHECK_U64(count_state(c, ROW_DONE), 1);
    /* A new link of the first record goes before what was found in place of the old one. */
    change(c, 1, ROW_REJECTED, 0);
    import(c, HEAD ROW("a", "http://x/6"));
    CHECK_OK(catalog_get(c, 1, &row, &e), &e);
    CHECK_U64(row.state, ROW_DIRECT);
    CHECK_STR(catalog_row_link(&row), "http://x/6");
    CHECK_U64(row.n_spares_tried, 0);
    catalog_close(c);
}

static void test_http_may_be_refused(void)
{
    struct catalog *c = fresh();
    const char *text = HEAD ROW("a", "http://x/1") ROW("b", "https://x/1");
    import_with(c, text, false, false);
    CHECK_STR(list(c), "1:a:NO_MATCH:no_link 2:b:DIRECT:");
    import_with(c, text, true, false);
    CHECK_STR(list(c), "1:a:DIRECT: 2:b:DIRECT:");
    catalog_close(c);
}

static void test_tail_that_is_still_written(void)
{
    struct catalog *c = fresh();
    const char *text = HEAD ROW("a", "http://x/1") "b,Name,Artist,http://x/2,,,2004,22";
    import_with(c, text, true, true);
    CHECK_STR(list(c), "1:a:DIRECT:");
    import_with(c, text, true, false);
    CHECK_STR(list(c), "1:a:DIRECT: 2:b:DIRECT:");
    catalog_close(c);
}

static void test_long_texts_are_cut(void)
{
    struct catalog *c = fresh();
    static char text[8192], want[CATALOG_TEXT_BYTES];
    struct catalog_row row;
    size_t len = (size_t)snprintf(text, sizeof text, HEAD "a,");
    for (int i = 0; i < 1000; i++, len += 2)
        memcpy(text + len, "\xC3\xA9", 2);
    snprintf(text + len, sizeof text - len, ",Artist,http://x/1,,,,\n");
    for (size_t i = 0; i < 254; i += 2)
        memcpy(want + i, "\xC3\xA9", 2);
    import(c, text);
    CHECK_OK(catalog_get(c, 1, &row, &e), &e);
    CHECK_STR(row.name, want);
    catalog_close(c);
}

/* More rows than one group commits: killed between two groups, the rest is found next time. */
static void test_many_rows(void)
{
    enum { N = 20000 };
    struct catalog *c = fresh();
    static char text[N * 64];
    size_t len = (size_t)snprintf(text, sizeof text, HEAD), half = 0;
    for (int i = 0; i < N; i++) {
        half = i == N / 2 ? len : half;
        len += (size_t)snprintf(text + len, sizeof text - len, "t%d,N,A,http://x/%d,,,,\n", i, i);
    }
    char saved = text[half];
    text[half] = '\0';
    import(c, text);
    text[half] = saved;
    import(c, text);
    CHECK_U64(result.n_new, N / 2);
    struct catalog_row row;
    CHECK_OK(catalog_get(c, N, &row, &e), &e);
    CHECK_STR(row.track_id, "t19999");
    CHECK_U64(count_state(c, ROW_DIRECT), N);
    catalog_close(c);
}

/* ---------------------------------------------------------------- catalogue */

static void test_due_order(void)
{
    struct catalog *c = fresh();
    import(c, HEAD ROW("a", "http://x/1") ROW("b", "http://x/2") ROW("c", "http://x/3")
                  ROW("d", "nan"));
    CHECK_STR(due_from(c, 0, 0, 9), "1@0 2@0 3@0");
    change(c, 1, ROW_WAIT, 2000);
    change(c, 2, ROW_WAIT, 1000);
    CHECK_STR(due_from(c, 0, 0, 9), "3@0 2@1000 1@2000");
    CHECK_STR(due_from(c, 0, 4, 9), "2@1000 1@2000");
    CHECK_STR(due_from(c, 0, 0, 2), "3@0 2@1000");
    change(c, 2, ROW_WAIT, 3000);
    change(c, 3, ROW_DONE, 0);
    CHECK_STR(due_from(c, 0, 0, 9), "1@2000 2@3000");
    change(c, 1, ROW_DEAD, 0);
    change(c, 2, ROW_DONE, 0);
    CHECK_STR(due_from(c, 0, 0, 9), "");
    CHECK_U64(count_state(c, ROW_DONE), 2);
    CHECK_U64(count_state(c, ROW_WAIT) + count_state(c, ROW_DIRECT), 0);
    catalog_close(c);
}

static void end_with(struct catalog *c, uint64_t number, enum row_state state, const char *cause)
{
    struct catalog_write *w;
    struct catalog_row row;
    CHECK_OK(catalog_begin(c, &w, &e), &e);
    CHECK_OK(catalog_read(w, number, &row, &e), &e);
    row.state = state;
    row_set_text(row.cause, sizeof row.cause, cause);
    CHECK_OK(catalog_put(w, &row, &e), &e);
    CHECK_OK(catalog_commit(w, &e), &e);
}

static void test_again_by_cause(void)
{
    struct catalog *c = fresh();
    uint64_t n;
    import(c, HEAD ROW("a", "http://x/1") ROW("b", "http://x/2") ROW("c", "http://x/3")
                  ROW("d", "http://x/4") ROW("e", "nan"));
    end_with(c, 1, ROW_DEAD, "timeout");
    end_with(c, 2, ROW_DEAD, "time");
    end_with(c, 3, ROW_GONE, "http_404");
    end_with(c, 4, ROW_DONE, "");
    CHECK_OK(again_by_cause(c, "timeout,no_link,out", &n, &e), &e);
    CHECK_U64(n, 1);
    CHECK_STR(list(c),
              "1:a:DIRECT: 2:b:DEAD:time 3:c:GONE:http_404 4:d:DONE: 5:e:NO_MATCH:no_link");
    CHECK_STR(due_from(c, 0, 0, 9), "1@0");
    CHECK_OK(again_by_cause(c, "", &n, &e), &e);
    CHECK_U64(n, 0);
    CHECK_OK(again_by_cause(c, "all", &n, &e), &e);
    CHECK_U64(n, 2);
    CHECK_STR(due_from(c, 0, 0, 9), "1@0 2@0 3@0");
    catalog_close(c);
}

static void test_abort_leaves_nothing(void)
{
    struct catalog *c = fresh();
    struct catalog_write *w;
    struct catalog_row row;
    import(c, HEAD ROW("a", "http://x/1"));
    CHECK_OK(catalog_begin(c, &w, &e), &e);
    CHECK_OK(catalog_read(w, 1, &row, &e), &e);
    row.state = ROW_DONE;
    CHECK_OK(catalog_put(w, &row, &e), &e);
    catalog_count(w, 5, 5, 5);
    catalog_abort(w);
    CHECK_STR(list(c), "1:a:DIRECT:");
    struct catalog_totals t;
    CHECK_OK(catalog_totals(c, &t, &e), &e);
    CHECK_U64(t.requests, 0);
    catalog_close(c);
}

static void test_read_only(void)
{
    struct catalog *c = fresh(), *r = NULL;
    import(c, HEAD ROW("a", "http://x/1"));
    catalog_close(c);
    CHECK_OK(catalog_open(dir, false, &r, &e), &e);
    CHECK_STR(list(r), "1:a:DIRECT:");
    catalog_close(r);
    CHECK(!catalog_open("/tmp/refrain-no-such-dir", false, &r, &e));
    CHECK_U64(e.kind, ERR_PERM);
    catalog_close(NULL);
}

static void test_newer_version(void)
{
    struct catalog *c = fresh();
    struct catalog_write *w;
    uint32_t version = 99;
    CHECK_OK(catalog_begin(c, &w, &e), &e);
    CHECK_OK(catalog_note_set(w, "version", (struct span){&version, sizeof version}, &e), &e);
    CHECK_OK(catalog_commit(w, &e), &e);
    catalog_close(c);
    CHECK(!catalog_open(dir, true, &c, &e));
    CHECK_U64(e.kind, ERR_USAGE);
    CHECK(strstr(e.msg, "newer refrain") != NULL);
}

/* Every length and every byte of a stored row may be wrong. */
static void test_damaged_rows(void)
{
    struct catalog_row row = {.row = 7,
                              .state = ROW_WAIT,
                              .attempts = 2,
                              .not_before_ms = 1500,
                              .track_id = "a",
                              .name = "N",
                              .url = "http://x/1",
                              .cause = "timeout"};
    struct catalog_row out;
    uint8_t bytes[ROW_BYTES_MAX];
    size_t n = row_encode(&row, bytes);
    CHECK_OK(row_decode((struct span){bytes, n}, 7, &out, &e), &e);
    CHECK_STR(out.url, row.url);
    CHECK_U64(out.not_before_s, 2);
    CHECK_U64(out.attempts, 2);
    for (size_t len = 0; len < n; len++)
        CHECK(!row_decode((struct span){bytes, len}, 7, &out, &e));
    for (size_t i = 0; i < n; i++) {
        bytes[i] ^= 0x10;
        CHECK(!row_decode((struct span){bytes, n}, 7, &out, &e));
        bytes[i] ^= 0x10;
    }
}

int main(void)
{
    log_set_level(LOG_ERROR);
    if (mkdtemp(dir) == NULL || !path_join(csv, dir, "m.csv", &e))
        return 1;
    RUN(test_first_import);
    RUN(test_again_changes_nothing);
    RUN(test_grown_file);
    RUN(test_changed_links);
    RUN(test_same_link_under_two_ids);
    RUN(test_same_id_lends_its_link);
    RUN(test_spares);
    RUN(test_http_may_be_refused);
    RUN(test_tail_that_is_still_written);
    RUN(test_long_texts_are_cut);
    RUN(test_many_rows);
    RUN(test_due_order);
    RUN(test_again_by_cause);
    RUN(test_abort_leaves_nothing);
    RUN(test_read_only);
    RUN(test_newer_version);
    RUN(test_damaged_rows);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) != 0 || test_done();
}
