#include "store/export.h"
#include "tests/unit/store/fixture.h"

#include <sys/stat.h>

/*
 * What an export promises whatever its format: the same store gives the same bytes, nothing is left
 * lying when it fails, and the description fits. What the formats are is held against their own
 * libraries in tests/golden/store/conformance.py; here it is a few bytes of each.
 */
enum { N_ROWS = 4, N_VALUES = FIXTURE_FRAMES * FIXTURE_MELS };

static char dir[PATH_BYTES];
static struct store *store;

static void set_up(void)
{
    static const uint64_t rows[N_ROWS] = {2, 1, 9, 4};
    struct err e = {0};
    fixture_dir(dir);
    CHECK_OK(fixture_write(dir, rows, N_ROWS, 1, &e) && store_open(dir, &store, &e), &e);
}

static void read_named(const char *name, struct buf *out)
{
    struct err e = {0};
    char path[PATH_BYTES];
    buf_init(out, 1 << 24);
    CHECK_OK(path_join(path, dir, name, &e) && file_read_all(path, out, &e), &e);
}

static bool export_named(const char *name, enum export_format format, enum export_values values,
                         struct err *e)
{
    char path[PATH_BYTES];
    struct export_report report = {0};
    if (!path_join(path, dir, name, e) || !store_export(store, path, format, values, &report, e))
        return false;
    size_t value_bytes = values == EXPORT_LEVELS ? 1 : 4;
    CHECK_U64(report.clips, N_ROWS * FIXTURE_VIEWS);
    CHECK_U64(report.bytes, report.clips * N_VALUES * value_bytes);
    return true;
}

static void test_names(void)
{
    enum export_format f;
    for (int i = 0; i < EXPORT_FORMATS; i++)
        CHECK(export_format_parse(export_format_name((enum export_format)i), &f) && (int)f == i);
    CHECK(!export_format_parse("hdf5", &f));
    CHECK(!export_format_parse("", &f));
}

/* A tar's members by walking its headers: names, checksums, sizes, the two empty blocks. */
static void test_tar(void)
{
    struct err e = {0};
    struct buf tar;
    size_t at = 0, n = 0;
    CHECK_OK(export_named("a.tar", EXPORT_WDS, EXPORT_LEVELS, &e), &e);
    read_named("a.tar", &tar);
    while (at + 1024 < tar.len && tar.data[at] != 0) {
        const char *h = (const char *)tar.data + at;
        unsigned sum = 0;
        for (size_t i = 0; i < 512; i++)
            sum += i >= 148 && i < 156 ? ' ' : tar.data[at + i];
        CHECK_U64(strtoul(h + 148, NULL, 8), sum);
        CHECK(memcmp(h + 257,
                     "ustar\0"
                     "00",
                     8) == 0);
        CHECK_STR(h + 17, n % 2 == 0 ? "json" : "npy");
        size_t size = strtoul(h + 124, NULL, 8);
        if (n % 2 == 1)
            CHECK_U64(size % 64, N_VALUES % 64);
        at += 512 + (size + 511) / 512 * 512;
        n++;
    }
    CHECK_U64(n, 2 * N_ROWS * FIXTURE_VIEWS);
    CHECK_U64(tar.len, at + 1024);
    buf_release(&tar);
}

/* The script's offsets point at matrices of the right size. */
static void test_kaldi(void)
{
    struct err e = {0};
    struct buf ark, scp;
    CHECK(!export_named("a.ark", EXPORT_KALDI, EXPORT_LEVELS, &e) && e.kind == ERR_USAGE);
    CHECK_OK(export_named("a.ark", EXPORT_KALDI, EXPORT_DB, &e), &e);
    read_named("a.ark", &ark);
    read_named("a.ark.scp", &scp);
    CHECK_OK(buf_terminate(&scp, &e), &e);
    size_t n = 0;
    for (char *line = (char *)scp.data; *line; line = strchr(line, '\n') + 1, n++) {
        size_t at = strtoul(strchr(line, ':') + 1, NULL, 10);
        static const uint8_t head[] = {0, 'B', 'F',          'M', ' ', 4, FIXTURE_FRAMES, 0, 0,
                                       0, 4,   FIXTURE_MELS, 0,   0,   0};
        CHECK(at + sizeof head + N_VALUES * 4 <= ark.len);
        CHECK(memcmp(ark.data + at, head, sizeof head) == 0);
        CHECK(memcmp(ark.data + at - 17, line, 16) == 0);
    }
    CHECK_U64(n, N_ROWS * FIXTURE_VIEWS);
    buf_release(&ark);
    buf_release(&scp);
}

/* The header says how long everything is, without a gap. */
static void test_safetensors(void)
{
    struct err e = {0};
    struct buf file;
    uint64_t header;
    char want[128];
    CHECK_OK(export_named("a.safetensors", EXPORT_SAFETENSORS, EXPORT_LEVELS, &e), &e);
    read_named("a.safetensors", &file);
    memcpy(&header, file.data, sizeof header);
    size_t keys = 8 * N_ROWS * FIXTURE_VIEWS, clips = N_VALUES * N_ROWS * FIXTURE_VIEWS;
    CHECK_U64(header % 8, 0);
    CHECK_U64(file.len, 8 + header + keys + clips);
    snprintf(want, sizeof want, "[%zu, %zu]", keys, keys + clips);
    CHECK(memmem(file.data + 8, header, want, strlen(want)));
    uint64_t first;
    memcpy(&first, file.data + 8 + header, sizeof first);
    CHECK_U64(first, store_key(1, 0, 0));
    buf_release(&file);
}

static void test_same_bytes_again(void)
{
    static const char *const names[][2] = {{"x.npy", "y.npy"},
                                           {"x.safetensors", "y.safetensors"},
                                           {"x.tar", "y.tar"},
                                           {"x.ark", "y.ark"}};
    for (size_t f = 0; f < ARRAY_LEN(names); f++) {
        struct err e = {0};
        struct buf a, b;
        for (size_t i = 0; i < 2; i++)
            CHECK_OK(export_named(names[f][i], (enum export_format)f, EXPORT_DB, &e), &e);
        read_named(names[f][0], &a);
        read_named(names[f][1], &b);
        CHECK(a.len > 0 && a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
        buf_release(&a);
        buf_release(&b);
    }
}

/* index.json names each shard with its true size. */
static void test_mds(void)
{
    struct err e = {0};
    struct buf shard, index;
    char want[64];
    CHECK_OK(export_named("mds", EXPORT_MDS, EXPORT_LEVELS, &e), &e);
    read_named("mds/shard.00000.mds", &shard);
    read_named("mds/index.json", &index);
    uint32_t n, first, last;
    memcpy(&n, shard.data, 4);
    memcpy(&first, shard.data + 4, 4);
    memcpy(&last, shard.data + 4 + 4 * (size_t)n, 4);
    CHECK_U64(n, N_ROWS * FIXTURE_VIEWS);
    CHECK_U64(last, shard.len);
    CHECK_U64(last - first, n * (4 + N_VALUES + 8 + strlen("TR00000001")));
    snprintf(want, sizeof want, "\"bytes\": %zu", shard.len);
    CHECK(memmem(index.data, index.len, want, strlen(want)));
    CHECK(memmem(index.data, index.len, "\"ndarray:uint8:40,24\"", 21));
    buf_release(&shard);
    buf_release(&index);
}

/* Where the format's file cannot be written, neither it nor the description is left. */
static void test_failures_leave_nothing(void)
{
    struct err e = {0};
    char path[PATH_BYTES];
    struct stat st;
    CHECK(!export_named("gone/a.npy", EXPORT_NPY, EXPORT_DB, &e) && e.kind == ERR_FATAL);
    CHECK_OK(path_join(path, dir, "blocked.tar", &e), &e);
    CHECK(mkdir(path, 0700) == 0);
    e = (struct err){0};
    CHECK(!export_named("blocked.tar", EXPORT_WDS, EXPORT_DB, &e) && e.kind == ERR_FATAL);
    CHECK(stat(path, &st) == 0 && S_ISDIR(st.st_mode));
    DIR *d = opendir(dir);
    for (struct dirent *entry; (entry = readdir(d));) {
        if (strncmp(entry->d_name, "blocked", 7) == 0)
            CHECK_STR(entry->d_name, "blocked.tar");
    }
    closedir(d);
}

int main(void)
{
    set_up();
    RUN(test_names);
    RUN(test_tar);
    RUN(test_kaldi);
    RUN(test_safetensors);
    RUN(test_same_bytes_again);
    RUN(test_mds);
    RUN(test_failures_leave_nothing);
    store_close(store);
    fixture_remove(dir);
    return test_done();
}
