/* The join of catalogue, spool and store, and what status says of it. */
#include "programs/status.h"

#include "base/clock.h"
#include "ingest/retry.h"
#include "programs/advice.h"
#include "programs/quota.h"
#include "tests/unit/programs/fixture.h"

/* JSON of a status as text; the caller frees. */
static char *json_of(const struct dataset *d, struct status *s)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    status_print_json(d, s, out);
    fclose(out);
    return text;
}

static void test_nothing_has_run(void)
{
    struct dataset d;
    struct status s;
    struct err e = {0};
    fixture_dataset(&d);
    CHECK_OK(status_read(&d, &s, &e), &e);
    CHECK(!s.has_catalog);
    CHECK(!s.has_store);
    CHECK_U64(s.rows, 0);
    CHECK_U64(s.store.clips, 0);
    CHECK(s.eta_s <= 0);
    char *json = json_of(&d, &s);
    CHECK(strstr(json, "\"rows\": 0") != NULL);
    CHECK(strstr(json, "\"DONE\": 0") != NULL);
    free(json);
    status_release(&s);
    status_release(&s);
    /* Looking made nothing. */
    CHECK(rmdir(d.dir) == 0);
}

#define LINK .url = "https://a.example.org/x.mp3"

/* Numbered from 1 on. */
static const struct catalog_row rows[] = {
    {.track_id = "A", .state = ROW_DONE, LINK},
    {.track_id = "B", .state = ROW_DONE, LINK}, /* extract sets it aside */
    {.track_id = "C", .state = ROW_GONE, .cause = "http_404", LINK},
    {.track_id = "D", .state = ROW_GONE, .cause = "http_404", LINK},
    {.track_id = "E", .state = ROW_DIRECT, LINK},
    {.track_id = "F", .state = ROW_DIRECT, LINK},
    {.track_id = "G", .state = ROW_NO_MATCH, .cause = "no_link"},
    {.track_id = "H, \"x\"", .state = ROW_DUP, .cause = "same_track_id", .artist = "O, P"},
};

static void test_joined(void)
{
    struct dataset d;
    struct status s;
    struct err e = {0};
    fixture_dataset(&d);
    fixture_catalog(&d, rows, ARRAY_LEN(rows), 6, 1);
    fixture_bad(&d, 2, "B", "TOO_SHORT");
    fixture_store(&d, 1, "A", "gain db=1");
    CHECK_OK(status_read(&d, &s, &e), &e);
    CHECK_U64(s.rows, 8);
    CHECK_U64(s.states[ROW_DONE], 1);
    CHECK_U64(s.states[ROW_REJECTED], 1);
    CHECK_U64(s.states[ROW_GONE], 2);
    uint64_t sum = 0;
    for (size_t i = 0; i < ROW_STATES; i++)
        sum += s.states[i];
    CHECK_U64(sum, s.rows);
    CHECK_U64(status_rows_ended(&s), 6);
    CHECK_U64(s.requests, 6);
    CHECK_U64(s.throttled, 1);
    CHECK_U64(s.store.clips, 2);
    CHECK_U64(s.store.tracks, 1);
    CHECK_U64(s.spool.bad_files, 1);
    size_t n;
    const struct tally_item *causes = tally_sorted(s.causes, &n);
    CHECK_U64(n, 4);
    CHECK_STR(causes[0].name, "http_404");
    CHECK_U64(causes[0].n, 2);
    CHECK_STR(causes[1].name, "TOO_SHORT");
    /* Two requests are left at 20 in a second. */
    CHECK_NEAR(s.eta_s, 0.1, 1e-9);
    status_release(&s);

    struct status totals;
    CHECK_OK(status_read_totals(&d, &totals, &e), &e);
    CHECK_U64(totals.rows, 8);
    CHECK_U64(status_rows_ended(&totals), 6);
    status_release(&totals);
    fixture_remove(d.dir);
}

static void test_bad_without_catalogue(void)
{
    struct dataset d;
    struct status s;
    struct err e = {0};
    fixture_dataset(&d);
    fixture_bad(&d, 1, "B", "SILENT");
    CHECK_OK(status_read(&d, &s, &e), &e);
    size_t n;
    const struct tally_item *causes = tally_sorted(s.causes, &n);
    CHECK_U64(n, 1);
    CHECK(n == 1 && strcmp(causes[0].name, "SILENT") == 0);
    CHECK_U64(s.rows, 0);
    status_release(&s);
    fixture_remove(d.dir);
}

static void test_rows_csv(void)
{
    struct dataset d;
    struct err e = {0};
    char path[PATH_BYTES];
    struct buf text;
    fixture_dataset(&d);
    fixture_catalog(&d, rows, ARRAY_LEN(rows), 6, 1);
    fixture_bad(&d, 2, "B", "TOO_SHORT");
    fixture_store(&d, 1, "A", "");
    CHECK_OK(path_join(path, d.dir, "rows.csv", &e), &e);
    CHECK_OK(status_write_rows(&d, path, &e), &e);
    buf_init(&text, 1 << 16);
    CHECK_OK(file_read_all(path, &text, &e) && buf_terminate(&text, &e), &e);
    const char *csv = (const char *)text.data;
    CHECK(strncmp(csv, "row,track_id,state,cause,", 25) == 0);
    CHECK(strstr(csv, "\n1,A,DONE,,0,,0,,2,,,,\n") != NULL);
    CHECK(strstr(csv, "\n2,B,REJECTED,TOO_SHORT,0,,0,,0,,,,\n") != NULL);
    CHECK(strstr(csv, "\n8,\"H, \"\"x\"\"\",DUP,same_track_id,0,,0,0,0,\"O, P\",,,\n") != NULL);
    buf_release(&text);
    CHECK(!status_write_rows(&d, "/nonexistent/rows.csv", &e));
    CHECK(strstr(e.msg, "/nonexistent/rows.csv") != NULL);
    fixture_remove(d.dir);
}

/* ---------------------------------------------------------------- quota */

static void limits_set(struct settings *s, const char *assignment)
{
    struct err e = {0};
    CHECK_OK(conf_set(&settings_table, assignment, s, &e), &e);
}

static void test_quota(void)
{
    struct settings s;
    conf_defaults(&settings_table, &s);
    limits_set(&s, "fetch.limit.default=10/1");
    limits_set(&s, "fetch.limit.example.org=50/5");
    limits_set(&s, "fetch.limit.slow.example.org=1/3");
    limits_set(&s, "fetch.limit.free.net=off");
    CHECK_U64(quota_rate(&s.fetch.limit, "else.where")->n, 10);
    CHECK_U64(quota_rate(&s.fetch.limit, "cdn.example.org")->n, 50);
    CHECK_U64(quota_rate(&s.fetch.limit, "a.slow.example.org")->n, 1);
    CHECK_U64(quota_rate(&s.fetch.limit, "notexample.org")->n, 10);
    CHECK(quota_rate(&s.fetch.limit, "free.net") == NULL);

    struct quota *q = quota_new(&s.fetch.limit);
    CHECK(quota_eta_s(q) <= 0);
    quota_add(q, "https://free.net/1", 0);
    CHECK(isnan(quota_eta_s(q)));
    for (int i = 0; i < 100; i++)
        quota_add(q, "https://cdn.example.org/1", 0);
    CHECK_NEAR(quota_eta_s(q), 10, 1e-9);
    for (int i = 0; i < 4; i++)
        quota_add(q, "https://a.slow.example.org/1", 0);
    CHECK_NEAR(quota_eta_s(q), 12, 1e-9);
    quota_add(q, "https://free.net/2", 3600); /* a row that waits decides alone */
    CHECK_NEAR(quota_eta_s(q), 3600, 1e-9);
    quota_free(q);
}

/* ---------------------------------------------------------------- advice */

static void test_every_cause_has_advice(void)
{
    for (enum net_result net = NET_OK + 1; net < NET_RESULTS; net++) {
        struct retry_verdict v = retry_classify(net, 0, SNIFF_AUDIO);
        CHECK(v.cause[0] == '\0' || advice_find(v.cause) != NULL);
    }
    for (enum sniff_verdict sniff = 0; sniff < SNIFF_VERDICTS; sniff++) {
        struct retry_verdict v = retry_classify(NET_OK, 200, sniff);
        CHECK(v.cause[0] == '\0' || advice_find(v.cause) != NULL);
    }
    for (unsigned status = 300; status < 600; status++)
        CHECK(advice_find(retry_classify(NET_OK, status, SNIFF_AUDIO).cause) != NULL);
    CHECK_STR(advice_find("http_404")->cause, "http_404");
    CHECK_STR(advice_find("http_418")->cause, "http_4xx");
    CHECK(advice_find("unheard_of") == NULL);
}

/* The page for operators says the same as the program. Tests run in the root of the repository. */
static void test_operations_page(void)
{
    struct err e = {0};
    struct buf page;
    buf_init(&page, 1 << 20);
    CHECK_OK(file_read_all("docs/OPERATIONS.md", &page, &e) && buf_terminate(&page, &e), &e);
    for (size_t i = 0; page.data != NULL && i < n_advice; i++) {
        char line[512];
        snprintf(line, sizeof line, "| `%s` | %s | %s |\n", advice_table[i].cause,
                 advice_table[i].means, advice_table[i].what_to_do);
        bool is_there = strstr((const char *)page.data, line) != NULL;
        CHECK(is_there);
        if (!is_there)
            printf("#   docs/OPERATIONS.md lacks %s", line);
    }
    buf_release(&page);
}

/* ---------------------------------------------------------------- tally */

static void test_tally(void)
{
    struct tally *t = tally_new(3);
    tally_add_str(t, "b", true);
    tally_add_str(t, "a", false);
    tally_add_str(t, "c", false);
    tally_add_str(t, "c", true);
    tally_add_str(t, "d", false); /* no room */
    size_t n;
    const struct tally_item *items = tally_sorted(t, &n);
    CHECK_U64(n, 3);
    CHECK_STR(items[0].name, "c");
    CHECK_U64(items[0].n, 2);
    CHECK_U64(items[0].n_marked, 1);
    CHECK_STR(items[1].name, "a");
    CHECK_U64(tally_overflow(t), 1);
    tally_add_str(t, "b", false); /* found again after the sort */
    items = tally_sorted(t, &n);
    CHECK_STR(items[0].name, "b");
    CHECK_U64(items[0].n, 2);
    tally_free(t);

    t = tally_new(10000);
    char name[300];
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, "name %u", i % 5000);
        tally_add_str(t, name, false);
    }
    items = tally_sorted(t, &n);
    CHECK_U64(n, 5000);
    CHECK_U64(items[4999].n, 4);
    memset(name, 'x', sizeof name);
    memcpy(name + TALLY_NAME_BYTES - 2, "\xC3\xA9", 2); /* would be cut in the middle */
    tally_add(t, (struct span){name, sizeof name}, false);
    items = tally_sorted(t, &n);
    CHECK_U64(strlen(items[n - 1].name), TALLY_NAME_BYTES - 2);
    tally_free(t);
    tally_free(NULL);
}

int main(void)
{
    RUN(test_nothing_has_run);
    RUN(test_joined);
    RUN(test_bad_without_catalogue);
    RUN(test_rows_csv);
    RUN(test_quota);
    RUN(test_every_cause_has_advice);
    RUN(test_operations_page);
    RUN(test_tally);
    return test_done();
}
