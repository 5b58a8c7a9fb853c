#include "base/file.h"
#include "base/npy.h"

#include "tests/test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/refrain-test-file-XXXXXX";

static const char *at(const char *name)
{
    static char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void test_a_file_is_whole_or_absent(void)
{
    struct err e = {0};
    struct buf b;
    buf_init(&b, 100);
    CHECK_OK(file_write_atomic(at("a"), (struct span){"one", 3}, &e), &e);
    CHECK_OK(file_write_atomic(at("a"), (struct span){"second", 6}, &e), &e);
    CHECK_OK(file_read_all(at("a"), &b, &e), &e);
    CHECK(b.len == 6 && memcmp(b.data, "second", 6) == 0);
    CHECK(!file_write_atomic(at("no/such/dir"), (struct span){"x", 1}, &e));
    CHECK(e.kind == ERR_FATAL);
    CHECK(!file_exists(at("no")));
    buf_release(&b);
}

static void test_reading_stops_at_the_limit(void)
{
    struct err e = {0};
    struct buf b;
    char text[300];
    memset(text, 'y', sizeof text);
    CHECK_OK(file_write_atomic(at("big"), (struct span){text, sizeof text}, &e), &e);
    buf_init(&b, sizeof text);
    CHECK_OK(file_read_all(at("big"), &b, &e), &e);
    CHECK_U64(b.len, sizeof text);
    buf_release(&b);
    buf_init(&b, sizeof text - 1);
    CHECK(!file_read_all(at("big"), &b, &e));
    CHECK(e.kind == ERR_PERM && strstr(e.msg, "limit of 299") != NULL);
    buf_release(&b);
    buf_init(&b, 10);
    CHECK(!file_read_all(at("missing"), &b, &e));
    buf_release(&b);
}

static void test_a_second_process_is_told_who_holds_the_lock(void)
{
    struct err e = {0};
    int fd = -1;
    CHECK_OK(file_lock(at("lock"), &fd, &e), &e);
    pid_t child = fork();
    if (child == 0) {
        struct err ce = {0};
        int cfd;
        char want[64];
        snprintf(want, sizeof want, "held by process %ld", (long)getppid());
        bool refused = !file_lock(at("lock"), &cfd, &ce) && ce.kind == ERR_FATAL &&
                       strstr(ce.msg, want) != NULL;
        _exit(refused ? 0 : 1);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    close(fd);
    CHECK_OK(file_lock(at("lock"), &fd, &e), &e);
    close(fd);
}

static void test_npy_header(void)
{
    char out[512];
    uint64_t shape[] = {431, 128};
    size_t n = npy_header(out, sizeof out, "<f4", shape, 2);
    CHECK_U64(n % 64, 0);
    CHECK(memcmp(out, "\x93NUMPY\x01\x00", 8) == 0);
    CHECK_U64((uint8_t)out[8] + 256 * (uint8_t)out[9], n - 10);
    CHECK(strncmp(out + 10, "{'descr': '<f4', 'fortran_order': False, 'shape': (431, 128), }",
                  63) == 0);
    CHECK(out[n - 1] == '\n');
    npy_header(out, sizeof out, "<u8", shape, 1);
    CHECK(strstr(out + 10, "'shape': (431,)") != NULL);
}

int main(void)
{
    if (mkdtemp(dir) == NULL)
        return 1;
    RUN(test_a_file_is_whole_or_absent);
    RUN(test_reading_stops_at_the_limit);
    RUN(test_a_second_process_is_told_who_holds_the_lock);
    RUN(test_npy_header);
    unlink(at("a"));
    unlink(at("big"));
    unlink(at("lock"));
    rmdir(dir);
    return test_done();
}
