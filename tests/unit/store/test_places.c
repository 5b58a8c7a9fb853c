#include "store/env.h"
#include "tests/unit/store/fixture.h"

#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

/*
 * Where a store may lie. The file system's kind is what statfs says, and here it says what a test
 * wants: the program's symbol comes before libc's.
 */
static struct {
    uint32_t magic; /* 0: the truth */
    bool read_only;
} fake;

int statfs(const char *path, struct statfs *out);
int statfs(const char *path, struct statfs *out)
{
    int rc = (int)syscall(SYS_statfs, path, out);
    if (rc == 0 && fake.magic != 0)
        out->f_type = (__typeof__(out->f_type))fake.magic;
    if (rc == 0 && fake.read_only)
        out->f_flags |= ST_RDONLY;
    return rc;
}

enum { NFS = 0x6969, FUSE = 0x65735546, EXT4 = 0xef53 };

static bool opens(const char *dir, struct err *e)
{
    struct store *s = NULL;
    struct store_snapshot snap = {0};
    bool ok = store_open(dir, &s, e) && store_snapshot_init(s, &snap, e);
    store_snapshot_release(&snap);
    store_close(s);
    return ok;
}

static void test_network_file_systems_refused(void)
{
    static const struct {
        uint32_t magic;
        const char *name;
    } remote[] = {{NFS, "is on NFS"}, {FUSE, "is on FUSE"}, {0x01021997, "is on 9P"}};
    static const uint64_t rows[] = {1};
    struct store_recipe recipe = fixture_recipe();
    struct store_writer_params params = fixture_params();
    struct store_writer *w = NULL;
    char dir[PATH_BYTES];
    struct err e = {0};
    fixture_dir(dir);
    CHECK_OK(fixture_write(dir, rows, 1, 1, &e), &e);
    for (size_t i = 0; i < ARRAY_LEN(remote); i++) {
        fake.magic = remote[i].magic;
        e = (struct err){0};
        CHECK(!opens(dir, &e));
        CHECK(e.kind == ERR_FATAL && strstr(e.msg, remote[i].name));
        CHECK(strstr(e.msg, "copy the data set to a local disk"));
        e = (struct err){0};
        CHECK(!store_writer_open(dir, &recipe, &params, &w, &e));
        CHECK(e.kind == ERR_FATAL && strstr(e.msg, remote[i].name));
    }
    fake.magic = EXT4;
    e = (struct err){0};
    CHECK_OK(opens(dir, &e), &e);
    fake.magic = 0;
    fixture_remove(dir);
}

/* Nobody writes to what is mounted read-only: readable from anywhere, and no lock file is made. */
static void test_read_only_media(void)
{
    static const uint64_t rows[] = {1};
    struct store_recipe recipe = fixture_recipe();
    struct store_writer_params params = fixture_params();
    struct store_writer *w = NULL;
    char dir[PATH_BYTES], lock[PATH_BYTES];
    struct err e = {0};
    fixture_dir(dir);
    CHECK_OK(fixture_write(dir, rows, 1, 1, &e), &e);
    CHECK_OK(path_join(lock, dir, "features.mdb/lock.mdb", &e), &e);
    CHECK(unlink(lock) == 0);
    fake.read_only = true;
    CHECK_OK(opens(dir, &e), &e);
    CHECK(!file_exists(lock));
    fake.magic = NFS;
    CHECK_OK(opens(dir, &e), &e);
    CHECK(!store_writer_open(dir, &recipe, &params, &w, &e) && strstr(e.msg, "NFS"));
    fake.read_only = false;
    fake.magic = 0;
    CHECK_OK(opens(dir, &e), &e);
    CHECK(file_exists(lock));
    fixture_remove(dir);
}

int main(void)
{
    RUN(test_network_file_systems_refused);
    RUN(test_read_only_media);
    return test_done();
}
