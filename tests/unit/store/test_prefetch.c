#include "base/clock.h"
#include "store/compact.h"
#include "store/reader.h"
#include "tests/unit/store/fixture.h"

#include <fcntl.h>
#include <sys/mman.h>

/*
 * Page-exact: of a file that is out of the page cache, asking for some records brings in their
 * pages and (nearly) nothing else. Left out where a file cannot be dropped from the cache (tmpfs).
 */
enum {
    FRAMES = 250,
    MELS = 128,
    N_VALUES = FRAMES * MELS,
    N_ROWS = 96,
    EVERY = 6,
    WAIT_MS = 30000
};

static void write_rows(const char *dir)
{
    struct err e = {0};
    struct store_recipe recipe = {.spec_hash = 5, .dtype = RECORD_RAW, .text = "prefetch=1\n"};
    struct store_writer_params params = fixture_params();
    struct record_info meta = {.n_frames = FRAMES, .n_mels = MELS, .spec_hash = 5};
    struct record_encoder *enc = record_encoder_new(RECORD_RAW, 1);
    struct store_writer *w = NULL;
    struct compact_report compacted;
    struct buf record;
    float *db = mem_alloc(N_VALUES, sizeof *db);
    buf_init(&record, RECORD_MAX_BYTES);
    CHECK_OK(store_writer_open(dir, &recipe, &params, &w, &e), &e);
    for (uint64_t row = 0; row < N_ROWS; row++) {
        bool added;
        fixture_clip(row, FRAMES, MELS, db);
        CHECK_OK(record_encode(enc, db, FIXTURE_TOP_DB, &meta, &record, &e), &e);
        struct store_view view = {store_key(row, 0, 0), buf_span(&record), ""};
        struct store_track track = {row, "TR", 0, &view, 1};
        CHECK_OK(store_put_track(w, &track, 0, &added, &e), &e);
    }
    CHECK_OK(store_commit(w, &e), &e);
    store_writer_close(w);
    CHECK_OK(store_compact(dir, &compacted, &e), &e);
    mem_free(db);
    record_encoder_free(enc);
    buf_release(&record);
}

struct pages {
    size_t n, resident;
};

static struct pages pages_of(int fd)
{
    struct stat st;
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    if (fstat(fd, &st) != 0)
        return (struct pages){0};
    struct pages p = {.n = ((size_t)st.st_size + page_bytes - 1) / page_bytes};
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    unsigned char *bits = mem_zalloc(p.n, 1);
    CHECK(map != MAP_FAILED && mincore(map, (size_t)st.st_size, bits) == 0);
    for (size_t i = 0; i < p.n; i++)
        p.resident += bits[i] & 1;
    munmap(map, (size_t)st.st_size);
    mem_free(bits);
    return p;
}

static void test_only_what_is_asked_for(void)
{
    struct err e = {0};
    struct store *s = NULL;
    char dir[PATH_BYTES], path[PATH_BYTES];
    uint64_t keys[N_ROWS / EVERY];
    size_t n_keys = ARRAY_LEN(keys);
    fixture_dir(dir);
    write_rows(dir);
    CHECK_OK(path_join(path, dir, "features.mdb/data.mdb", &e), &e);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && fdatasync(fd) == 0);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    if (pages_of(fd).resident > 0) {
        printf("# this file system keeps its files in memory: left out\n");
    } else {
        CHECK_OK(store_open(dir, &s, &e), &e);
        for (size_t i = 0; i < n_keys; i++)
            keys[i] = store_key(i * EVERY, 0, 0);
        size_t record_pages = (N_VALUES + RECORD_HEADER_BYTES + 16) / s->env.page_bytes + 1;
        size_t before = pages_of(fd).resident, want = n_keys * record_pages;
        CHECK(before < want / 2); /* the tree, and what the kernel reads behind the first page */
        store_prefetch(s, keys, n_keys);
        struct pages now = pages_of(fd); /* the reading goes on in the background */
        for (int ms = 0; ms < WAIT_MS && now.resident < want; ms++) {
            clock_sleep_ns(NS_PER_MS);
            now = pages_of(fd);
        }
        printf("# %zu of %zu pages, asked for %zu, %zu were there\n", now.resident, now.n, want,
               before);
        CHECK(now.resident >= want);
        CHECK(now.resident <= want + before);
        store_close(s);
    }
    close(fd);
    fixture_remove(dir);
}

int main(void)
{
    RUN(test_only_what_is_asked_for);
    return test_done();
}
