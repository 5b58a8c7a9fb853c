#include "base/buf.h"

#include "tests/test.h"

#include <errno.h>

static void test_messages_grow_outwards(void)
{
    struct err e = {0};
    CHECK(!err_set(&e, ERR_PERM, "record is %d bytes", 3));
    CHECK(!err_wrap(&e, "track %s", "7f"));
    CHECK_STR(e.msg, "track 7f: record is 3 bytes");
    CHECK(e.kind == ERR_PERM);
    CHECK(!err_set_errno(&e, ERR_FATAL, ENOENT, "cannot open %s", "x"));
    CHECK_STR(e.msg, "cannot open x: No such file or directory");
}

static void test_long_messages_are_cut_not_overrun(void)
{
    char big[2 * ERR_MSG_BYTES];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    struct err e = {0};
    err_set(&e, ERR_PERM, "%s", big);
    CHECK_U64(strlen(e.msg), ERR_MSG_BYTES - 1);
    err_wrap(&e, "context");
    CHECK_U64(strlen(e.msg), ERR_MSG_BYTES - 1);
    CHECK(strncmp(e.msg, "context: xxx", 12) == 0);
    err_wrap(&e, "%s", big);
    CHECK_U64(strlen(e.msg), ERR_MSG_BYTES - 1);
    for (size_t n = ERR_MSG_BYTES - 4; n < ERR_MSG_BYTES + 2; n++) {
        struct err edge = {.msg = "inner"};
        err_wrap(&edge, "%.*s", (int)n, big);
        CHECK(strlen(edge.msg) < ERR_MSG_BYTES);
    }
}

static void test_a_buffer_stops_at_its_maximum(void)
{
    struct err e = {0};
    struct buf b;
    buf_init(&b, 10);
    CHECK_OK(buf_append(&b, "12345678", 8, &e), &e);
    CHECK_OK(buf_append(&b, "90", 2, &e), &e);
    CHECK(!buf_append(&b, "x", 1, &e));
    CHECK(e.kind == ERR_PERM);
    CHECK(strstr(e.msg, "limit of 10") != NULL);
    CHECK_U64(b.len, 10);
    CHECK(!buf_reserve(&b, SIZE_MAX, &e));
    buf_release(&b);
    buf_release(&b);
}

static void test_printf_appends(void)
{
    struct err e = {0};
    struct buf b;
    buf_init(&b, 100);
    CHECK_OK(buf_printf(&b, &e, "%d-%s", 12, "ab"), &e);
    CHECK_OK(buf_printf(&b, &e, "%c", '!'), &e);
    CHECK_OK(buf_terminate(&b, &e), &e);
    CHECK_STR((const char *)b.data, "12-ab!");
    CHECK_U64(b.len, 6);
    buf_release(&b);
}

int main(void)
{
    RUN(test_messages_grow_outwards);
    RUN(test_long_messages_are_cut_not_overrun);
    RUN(test_a_buffer_stops_at_its_maximum);
    RUN(test_printf_appends);
    return test_done();
}
