#include "ingest/spool.h"

#include "base/file.h"
#include "tests/test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/refrain-test-spool-XXXXXX";
static struct err e;

static struct spool *fresh(void)
{
    char command[128];
    struct spool *s = NULL;
    e = (struct err){0};
    snprintf(command, sizeof command, "rm -rf %s/spool %s/audio", dir, dir);
    CHECK(system(command) == 0);
    CHECK_OK(spool_open(dir, &s, &e), &e);
    return s;
}

static bool has_file(const char *path)
{
    char full[PATH_BYTES];
    return path_join(full, dir, path, &e) && file_exists(full);
}

static void remove_file(const char *path)
{
    char full[PATH_BYTES];
    CHECK(path_join(full, dir, path, &e) && unlink(full) == 0);
}

static void make_file(const char *path)
{
    char full[PATH_BYTES];
    CHECK(path_join(full, dir, path, &e));
    int fd = open(full, O_WRONLY | O_CREAT, 0644);
    CHECK(fd >= 0);
    close(fd);
}

static struct spool_item publish(struct spool *s, uint64_t row, const char *id, const char *text)
{
    struct spool_item item;
    CHECK_OK(spool_write(s, row, id, (struct span){text, strlen(text)}, &item, &e), &e);
    CHECK_OK(spool_publish(s, &item, 1, &e), &e);
    return item;
}

static void check_name(uint64_t row, const char *id, const char *want)
{
    char name[SPOOL_NAME_BYTES];
    struct spool_item item;
    spool_name(name, row, id);
    CHECK_STR(name, want);
    CHECK(spool_name_parse(name, &item));
    CHECK_U64(item.row, row);
    CHECK_STR(item.track_id, id);
}

static void test_names(void)
{
    check_name(123, "TRIOREW128F424EAF0", "0000000123-TRIOREW128F424EAF0");
    check_name(1, "../a b%\xC3\xA9.why", "0000000001-%2E%2E%2Fa%20b%25%C3%A9%2Ewhy");
    check_name(UINT64_MAX, "-", "18446744073709551615--");
    char id[TRACK_ID_MAX_BYTES + 1] = {0}, name[SPOOL_NAME_BYTES];
    memset(id, '/', TRACK_ID_MAX_BYTES);
    struct spool_item item;
    spool_name(name, 7, id);
    CHECK(spool_name_parse(name, &item));
    CHECK_STR(item.track_id, id);
}

static void test_foreign_names(void)
{
    static const char *const foreign[] = {
        "",
        ".",
        "..",
        "README",
        "123-a",
        "0000000123",
        "0000000123-",
        "0000000123_a",
        "00000000123-a",
        "0000000123-%41",
        "0000000123-%2f",
        "0000000123-%2",
        "0000000123-%00",
        "0000000123-a.why",
        "0000000123-a b",
        "99999999999999999999-a",
        "-000000123-a",
        "0000000001-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    };
    struct spool_item item;
    for (size_t i = 0; i < ARRAY_LEN(foreign); i++)
        if (spool_name_parse(foreign[i], &item))
            CHECK_STR(foreign[i], "refused");
}

static void test_visible_only_when_published(void)
{
    struct spool *s = fresh();
    struct spool_item a, list[4];
    struct buf b;
    size_t n;
    CHECK_OK(spool_write(s, 5, "a", (struct span){"hello", 5}, &a, &e), &e);
    CHECK(has_file("spool/tmp/0000000005-a"));
    CHECK_OK(spool_list(s, list, 4, &n, &e), &e);
    CHECK_U64(n, 0);
    CHECK_OK(spool_publish(s, &a, 1, &e), &e);
    CHECK(!has_file("spool/tmp/0000000005-a"));
    CHECK_OK(spool_list(s, list, 4, &n, &e), &e);
    CHECK_U64(n, 1);
    CHECK_U64(list[0].row, 5);
    CHECK_U64(list[0].bytes, 5);
    buf_init(&b, 100);
    CHECK_OK(spool_read(s, &list[0], 100, &b, &e), &e);
    CHECK(b.len == 5 && memcmp(b.data, "hello", 5) == 0);
    buf_reset(&b);
    CHECK(!spool_read(s, &list[0], 4, &b, &e));
    CHECK_U64(e.kind, ERR_PERM);
    buf_release(&b);
    CHECK_OK(spool_remove(s, &list[0], &e), &e);
    CHECK_OK(spool_remove(s, &list[0], &e), &e);
    CHECK_OK(spool_list(s, list, 4, &n, &e), &e);
    CHECK_U64(n, 0);
    spool_close(s);
}

static void test_clean(void)
{
    struct spool *s = fresh();
    struct spool_item a;
    CHECK_OK(spool_write(s, 5, "a", (struct span){"hello", 5}, &a, &e), &e);
    publish(s, 6, "b", "kept");
    make_file("spool/tmp/rubbish");
    CHECK_OK(spool_clean(s, &e), &e);
    CHECK(!has_file("spool/tmp/0000000005-a") && !has_file("spool/tmp/rubbish"));
    CHECK(has_file("spool/new/0000000006-b"));
    /* What is gone from tmp cannot be published. */
    CHECK(!spool_publish(s, &a, 1, &e));
    CHECK_U64(e.kind, ERR_FATAL);
    spool_close(s);
}

static void test_list_is_the_lowest_in_order(void)
{
    struct spool *s = fresh();
    struct spool_item list[10];
    size_t n;
    for (uint64_t i = 0; i < 50; i++)
        publish(s, (i * 37) % 50 + 1, "x", "bytes");
    make_file("spool/new/foreign");
    CHECK_OK(spool_list(s, list, 10, &n, &e), &e);
    CHECK_U64(n, 10);
    for (uint64_t i = 0; i < n; i++)
        CHECK_U64(list[i].row, i + 1);
    struct spool_usage usage;
    CHECK_OK(spool_measure(s, &usage, &e), &e);
    CHECK_U64(usage.new_files, 50);
    CHECK_U64(usage.new_bytes, 250);
    spool_close(s);
}

struct bad {
    size_t n;
    uint64_t row;
    char cause[SPOOL_CAUSE_BYTES], why[256];
};

static void take_bad(void *arg, uint64_t row, const char *cause, const char *why)
{
    struct bad *b = arg;
    b->n++;
    b->row = row;
    snprintf(b->cause, sizeof b->cause, "%s", cause);
    snprintf(b->why, sizeof b->why, "%s", why);
}

static void test_set_aside(void)
{
    struct spool *s = fresh();
    struct spool_item a = publish(s, 9, "x.why", "bytes");
    CHECK_OK(spool_set_aside(s, &a, "TOO_SHORT", "4.2 s of\n10 s", &e), &e);
    CHECK(has_file("spool/bad/0000000009-x%2Ewhy"));
    CHECK(!has_file("spool/new/0000000009-x%2Ewhy"));
    struct bad bad = {0};
    CHECK_OK(spool_each_bad(s, take_bad, &bad, &e), &e);
    CHECK_U64(bad.n, 1);
    CHECK_U64(bad.row, 9);
    CHECK_STR(bad.cause, "TOO_SHORT");
    CHECK_STR(bad.why, "4.2 s of 10 s");
    struct spool_usage usage;
    CHECK_OK(spool_measure(s, &usage, &e), &e);
    CHECK_U64(usage.bad_files, 1);
    CHECK_U64(usage.new_files, 0);
    spool_close(s);
}

/* Reasons are kept, audio only while there is room. */
static void test_bad_is_limited(void)
{
    struct spool *s = fresh();
    struct spool_usage usage;
    struct bad bad = {0};
    spool_limit_bad(s, 12);
    for (uint64_t i = 1; i <= 70; i++) {
        struct spool_item item = publish(s, i, "x", "bytes");
        CHECK_OK(spool_set_aside(s, &item, "SILENT", "why", &e), &e);
        /* Somebody has looked at one: there is room again, sooner or later. */
        if (i == 10)
            remove_file("spool/bad/0000000001-x");
    }
    CHECK_OK(spool_measure(s, &usage, &e), &e);
    CHECK_U64(usage.new_files, 0);
    CHECK_U64(usage.bad_files, 70);
    CHECK_U64(usage.bad_bytes, 10);
    CHECK(has_file("spool/bad/0000000002-x") && !has_file("spool/bad/0000000003-x"));
    CHECK_OK(spool_each_bad(s, take_bad, &bad, &e), &e);
    CHECK_U64(bad.n, 70);
    spool_close(s);
}

static void test_keep(void)
{
    struct spool *s = fresh();
    char audio[PATH_BYTES];
    struct spool_item a = publish(s, 3, "k", "bytes");
    CHECK(path_join(audio, dir, "audio", &e));
    CHECK_OK(spool_keep(s, &a, audio, &e), &e);
    CHECK(has_file("audio/0000000003-k") && !has_file("spool/new/0000000003-k"));
    spool_close(s);
    spool_close(NULL);
}

int main(void)
{
    if (mkdtemp(dir) == NULL)
        return 1;
    RUN(test_names);
    RUN(test_foreign_names);
    RUN(test_visible_only_when_published);
    RUN(test_clean);
    RUN(test_list_is_the_lowest_in_order);
    RUN(test_set_aside);
    RUN(test_bad_is_limited);
    RUN(test_keep);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) != 0 || test_done();
}
