/* What version 2 of the catalogue adds: rows that need a resolver, and links that one found. */
#include "ingest/catalog.h"

#include "base/hash.h"
#include "ingest/row.h"
#include "tests/test.h"

#include <stdlib.h>

static char dir[] = "/tmp/refrain-test-catalog-XXXXXX";
static struct err e;

static void add(struct catalog *c, uint64_t number, enum row_state state, uint64_t artist_key)
{
    struct catalog_write *w;
    struct catalog_row row = {.state = state, .artist_key = artist_key};
    snprintf(row.track_id, sizeof row.track_id, "T%" PRIu64, number);
    CHECK_OK(catalog_begin(c, &w, &e), &e);
    CHECK_OK(catalog_add(w, (struct span){row.track_id, strlen(row.track_id)}, &row, &e), &e);
    CHECK_U64(row.row, number);
    CHECK_OK(catalog_commit(w, &e), &e);
}

static void change(struct catalog *c, uint64_t number, enum row_state state)
{
    struct catalog_write *w;
    struct catalog_row row;
    CHECK_OK(catalog_get(c, number, &row, &e), &e);
    row.state = state;
    CHECK_OK(catalog_begin(c, &w, &e), &e);
    CHECK_OK(catalog_put(w, &row, &e), &e);
    CHECK_OK(catalog_commit(w, &e), &e);
}

static char seen[256];

static bool see_need(void *arg, const struct catalog_row *row)
{
    (void)arg;
    size_t n = strlen(seen);
    snprintf(seen + n, sizeof seen - n, " %" PRIu64 ":%s", row->artist_key, row->track_id);
    return true;
}

static bool see_due(void *arg, struct catalog_due due, const struct catalog_row *row)
{
    (void)due;
    return see_need(arg, row);
}

static const char *needs(struct catalog *c, uint64_t artist_key, uint64_t row)
{
    seen[0] = '\0';
    CHECK_OK(catalog_each_need(c, (struct catalog_need){artist_key, row}, see_need, NULL, &e), &e);
    return seen;
}

/* Rows that need a resolver are found by artist, and by nobody else. */
static void test_rows_in_need_lie_by_artist(void)
{
    struct catalog *c = NULL;
    CHECK_OK(catalog_open(dir, true, &c, &e), &e);
    add(c, 1, ROW_NEED, 9);
    add(c, 2, ROW_DIRECT, 9);
    add(c, 3, ROW_NEED, 4);
    add(c, 4, ROW_NEED, 9);
    add(c, 5, ROW_NO_MATCH, 4);
    CHECK_STR(needs(c, 0, 0), " 4:T3 9:T1 9:T4");
    CHECK_STR(needs(c, 4, 4), " 9:T1 9:T4");
    CHECK_STR(needs(c, 9, 2), " 9:T4");
    seen[0] = '\0';
    CHECK_OK(catalog_each_due(c, (struct catalog_due){0}, see_due, NULL, &e), &e);
    CHECK_STR(seen, " 9:T2");
    change(c, 4, ROW_RESOLVED);
    change(c, 5, ROW_NEED);
    change(c, 3, ROW_NO_MATCH);
    CHECK_STR(needs(c, 0, 0), " 4:T5 9:T1");
    seen[0] = '\0';
    CHECK_OK(catalog_each_due(c, (struct catalog_due){0}, see_due, NULL, &e), &e);
    CHECK_STR(seen, " 9:T2 9:T4");
    struct catalog_totals t;
    CHECK_OK(catalog_totals(c, &t, &e), &e);
    CHECK_U64(t.states[ROW_NEED], 2);
    CHECK_U64(t.states[ROW_RESOLVED], 1);
    catalog_close(c);
}

static void test_what_a_resolver_found_is_kept(void)
{
    struct catalog_row row = {.row = 3, .state = ROW_RESOLVED, .expires_s = 1798761600};
    struct catalog_row out;
    uint8_t bytes[ROW_BYTES_MAX];
    row.artist_key = UINT64_MAX - 1;
    row.source = 2;
    row.sources_tried = 5;
    row.match_permille = 973;
    snprintf(row.url, sizeof row.url, "https://p.example/dead");
    snprintf(row.resolved_url, sizeof row.resolved_url, "https://cdn.example/1?exp=1");
    size_t n = row_encode(&row, bytes);
    CHECK_OK(row_decode((struct span){bytes, n}, 3, &out, &e), &e);
    CHECK(out.expires_s == row.expires_s && out.artist_key == row.artist_key);
    CHECK(out.source == 2 && out.sources_tried == 5 && out.match_permille == 973);
    CHECK_STR(out.url, row.url);
    CHECK_STR(out.resolved_url, row.resolved_url);
}

/* The bytes of version 1: 48 fixed ones and seven texts. */
static void test_rows_of_version_1_are_read(void)
{
    struct catalog_row row = {.state = ROW_DONE, .preview_bytes = 360000, .year = 1999}, out;
    uint8_t bytes[ROW_BYTES_MAX];
    snprintf(row.track_id, sizeof row.track_id, "TR1");
    snprintf(row.url, sizeof row.url, "https://p.example/1");
    size_t n = row_encode(&row, bytes) - 2; /* no eighth text */
    memmove(bytes + 48, bytes + ROW_FIXED_BYTES, n - ROW_FIXED_BYTES);
    n -= ROW_FIXED_BYTES - 48;
    bytes[4] = 1;
    uint32_t sum = (uint32_t)hash64(bytes + 4, n - 4, 0);
    for (size_t i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(sum >> (8 * i));
    CHECK_OK(row_decode((struct span){bytes, n}, 1, &out, &e), &e);
    CHECK_STR(out.url, row.url);
    CHECK_STR(out.resolved_url, "");
    CHECK(out.year == 1999 && out.preview_bytes == 360000 && out.expires_s == 0);
}

int main(void)
{
    if (mkdtemp(dir) == NULL)
        return 1;
    RUN(test_rows_in_need_lie_by_artist);
    RUN(test_what_a_resolver_found_is_kept);
    RUN(test_rows_of_version_1_are_read);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) != 0 || test_done();
}
