#include "store/compact.h"
#include "store/export.h"
#include "store/verify.h"
#include "tests/unit/store/fixture.h"

#include <sys/wait.h>

/*
 * compact makes one file of one content; export gives the values away.
 */
enum { N_ROWS = 60, N_VALUES = FIXTURE_FRAMES * FIXTURE_MELS };

static void read_file(const char *dir, const char *name, struct buf *out)
{
    struct err e = {0};
    char path[PATH_BYTES];
    buf_init(out, 64 << 20);
    CHECK_OK(path_join(path, dir, name, &e) && file_read_all(path, out, &e), &e);
}

static void make_store(char dir[PATH_BYTES], uint64_t step, size_t per_commit)
{
    struct err e = {0};
    uint64_t rows[N_ROWS];
    for (size_t i = 0; i < N_ROWS; i++)
        rows[i] = (i + 1) * step % (N_ROWS + 1);
    fixture_dir(dir);
    CHECK_OK(fixture_write(dir, rows, N_ROWS, per_commit, &e), &e);
}

static void test_same_content_same_file(void)
{
    static const struct {
        uint64_t step;
        size_t per_commit;
    } histories[] = {{1, N_ROWS}, {60, 1}, {17, 7}};
    struct buf files[ARRAY_LEN(histories)];
    for (size_t i = 0; i < ARRAY_LEN(histories); i++) {
        struct err e = {0};
        struct compact_report report = {0};
        struct verify_report verified = {0};
        struct store *s = NULL;
        struct store_stat before = {0}, after = {0};
        char dir[PATH_BYTES];
        make_store(dir, histories[i].step, histories[i].per_commit);
        CHECK_OK(store_open(dir, &s, &e) && store_stat(s, &before, &e), &e);
        store_close(s);
        CHECK_OK(store_compact(dir, &report, &e), &e);
        CHECK_OK(store_open(dir, &s, &e) && store_stat(s, &after, &e), &e);
        store_close(s);
        CHECK_U64(after.root, before.root);
        CHECK_U64(after.clips, before.clips);
        CHECK_U64(report.root, before.root);
        CHECK_U64(report.bytes_before, before.file_bytes);
        CHECK_U64(report.bytes_after, after.file_bytes);
        CHECK(report.bytes_after <= report.bytes_before);
        CHECK_OK(store_verify(dir, true, NULL, &verified, &e), &e);
        CHECK_U64(verified.n_damaged, 0);
        read_file(dir, "features.mdb/data.mdb", &files[i]);
        fixture_remove(dir);
    }
    for (size_t i = 1; i < ARRAY_LEN(histories); i++) {
        CHECK_U64(files[i].len, files[0].len);
        CHECK(files[i].len == files[0].len &&
              memcmp(files[i].data, files[0].data, files[0].len) == 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(histories); i++)
        buf_release(&files[i]);
}

/* Extraction goes on in a compacted store. */
static void test_writing_goes_on(void)
{
    static const uint64_t more[] = {1000, 70};
    struct err e = {0};
    struct compact_report report;
    struct verify_report verified = {0};
    char dir[PATH_BYTES];
    make_store(dir, 7, 3);
    CHECK_OK(store_compact(dir, &report, &e), &e);
    CHECK_OK(fixture_write(dir, more, ARRAY_LEN(more), 1, &e), &e);
    CHECK_OK(store_verify(dir, true, NULL, &verified, &e), &e);
    CHECK_U64(verified.n_damaged, 0);
    CHECK_U64(verified.tracks, N_ROWS + 2);
    CHECK_OK(store_compact(dir, &report, &e), &e);
    CHECK_U64(report.clips, (N_ROWS + 2) * FIXTURE_VIEWS);
    fixture_remove(dir);
}

static void test_not_while_it_is_read(void)
{
    struct err e = {0};
    struct compact_report report;
    char dir[PATH_BYTES], byte = 'x';
    int ready[2], done[2], status;
    make_store(dir, 1, 10);
    CHECK(pipe(ready) == 0 && pipe(done) == 0);
    pid_t reader = fork();
    if (reader == 0) {
        struct err child_e = {0};
        struct store *s;
        close(done[1]);
        bool ok = store_open(dir, &s, &child_e) && write(ready[1], &byte, 1) == 1 &&
                  read(done[0], &byte, 1) >= 0;
        _exit(!ok);
    }
    CHECK(read(ready[0], &byte, 1) == 1);
    CHECK(!store_compact(dir, &report, &e));
    CHECK(e.kind == ERR_TEMP);
    CHECK(strstr(e.msg, "is being read"));
    close(done[1]);
    waitpid(reader, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_OK(store_compact(dir, &report, &e), &e);
    close(done[0]);
    close(ready[0]);
    close(ready[1]);
    fixture_remove(dir);
}

static void check_levels(struct store *s, const struct store_snapshot *snap, const uint8_t *levels)
{
    struct err e = {0};
    float *db = mem_alloc(snap->n_keys * N_VALUES, sizeof *db);
    CHECK_OK(store_read_batch(s, snap->keys, snap->n_keys, FIXTURE_FRAMES, FIXTURE_MELS, db, &e),
             &e);
    for (size_t i = 0; i < snap->n_keys * N_VALUES; i++) {
        if (!(fabs((double)levels[i] * 80 / 255 - 80 - (double)db[i]) < 1e-4))
            test_fail(__FILE__, __LINE__, "an exported level is not the stored value");
    }
    mem_free(db);
}

static void test_export(void)
{
    struct err e = {0};
    struct store *s = NULL;
    struct store_snapshot snap = {0};
    struct export_report report;
    struct buf npy, json;
    char dir[PATH_BYTES], path[PATH_BYTES];
    make_store(dir, 1, 10);
    CHECK_OK(store_open(dir, &s, &e) && store_snapshot_init(s, &snap, &e), &e);
    snprintf(path, sizeof path, "%.3000s/out.npy", dir);
    CHECK_OK(store_export(s, path, EXPORT_NPY, EXPORT_LEVELS, &report, &e), &e);
    CHECK_U64(report.clips, snap.n_keys);
    read_file(dir, "out.npy", &npy);
    read_file(dir, "out.json", &json);
    size_t header = npy.len - snap.n_keys * N_VALUES;
    CHECK_U64(header % 64, 0);
    CHECK(memcmp(npy.data, "\x93NUMPY\x01", 7) == 0);
    CHECK(memmem(npy.data, header, "'|u1'", 5) && memmem(npy.data, header, "(180, 40, 24)", 13));
    check_levels(s, &snap, npy.data + header);
    CHECK(buf_terminate(&json, &e));
    CHECK(strstr((char *)json.data, "\"shape\": [180, 40, 24]"));
    CHECK(strstr((char *)json.data, "\"track\": \"TR00000060\""));
    CHECK(strstr((char *)json.data, "\"offset\": -80"));
    buf_release(&npy);

    CHECK_OK(store_export(s, path, EXPORT_NPY, EXPORT_DB, &report, &e), &e);
    read_file(dir, "out.npy", &npy);
    CHECK_U64(npy.len, header + snap.n_keys * N_VALUES * 4);
    CHECK(memmem(npy.data, header, "'<f4'", 5));
    buf_release(&npy);
    buf_release(&json);
    CHECK(!store_export(s, "/nonexistent/out.npy", EXPORT_NPY, EXPORT_DB, &report, &e));
    CHECK(e.kind == ERR_FATAL);
    store_snapshot_release(&snap);
    store_close(s);
    fixture_remove(dir);
}

int main(void)
{
    RUN(test_same_content_same_file);
    RUN(test_writing_goes_on);
    RUN(test_not_while_it_is_read);
    RUN(test_export);
    return test_done();
}
