#include "base/hash.h"
#include "store/verify.h"
#include "tests/unit/store/fixture.h"

#include <fcntl.h>
#include <lmdb.h>

/*
 * verify finds what is damaged, says where, and survives files that kill their reader.
 */
enum { N_ROWS = 24 };

struct findings {
    uint64_t n;
    char first[VERIFY_TEXT_BYTES];
    char all[8192];
};

static void collect(void *arg, const char *text)
{
    struct findings *f = arg;
    size_t len = strlen(f->all);
    if (f->n++ == 0)
        snprintf(f->first, sizeof f->first, "%s", text);
    snprintf(f->all + len, sizeof f->all - len, "%s\n", text);
}

static struct verify_report verify(const char *dir, bool deep, struct findings *f)
{
    struct err e = {0};
    struct verify_report report = {0};
    const struct verify_listener listener = {.damage = collect, .arg = f};
    CHECK_OK(store_verify(dir, deep, &listener, &report, &e), &e);
    return report;
}

static void make_store(char dir[PATH_BYTES])
{
    struct err e = {0};
    uint64_t rows[N_ROWS];
    for (size_t i = 0; i < N_ROWS; i++)
        rows[i] = 1 + i * 5 % N_ROWS;
    fixture_dir(dir);
    CHECK_OK(fixture_write(dir, rows, N_ROWS, 4, &e), &e);
}

static int open_data(const char *dir, size_t *out_bytes)
{
    char path[PATH_BYTES];
    struct stat st;
    snprintf(path, sizeof path, "%.3000s/features.mdb/data.mdb", dir);
    int fd = open(path, O_RDWR);
    if (fd < 0 || fstat(fd, &st) != 0)
        abort();
    *out_bytes = (size_t)st.st_size;
    return fd;
}

static void test_whole_store_is_whole(void)
{
    char dir[PATH_BYTES];
    make_store(dir);
    for (int deep = 0; deep < 2; deep++) {
        struct findings f = {0};
        struct verify_report report = verify(dir, deep, &f);
        struct err e = {0};
        struct store *s = NULL;
        struct store_stat st = {0};
        CHECK_OK(store_open(dir, &s, &e) && store_stat(s, &st, &e), &e);
        store_close(s);
        CHECK_U64(report.n_damaged, 0);
        CHECK_STR(f.all, "");
        CHECK_U64(report.clips, N_ROWS * FIXTURE_VIEWS);
        CHECK_U64(report.tracks, N_ROWS);
        CHECK_U64(report.root, st.root);
    }
    fixture_remove(dir);
}

static void test_no_store_is_an_error(void)
{
    struct err e = {0};
    struct verify_report report;
    char dir[PATH_BYTES];
    fixture_dir(dir);
    CHECK(!store_verify(dir, false, NULL, &report, &e));
    CHECK(e.kind == ERR_PERM);
    CHECK(strstr(e.msg, "No such file"));
    fixture_remove(dir);
}

static void flip(int fd, size_t at, uint8_t mask)
{
    uint8_t byte;
    if (pread(fd, &byte, 1, (off_t)at) != 1)
        abort();
    byte ^= mask;
    if (pwrite(fd, &byte, 1, (off_t)at) != 1)
        abort();
}

/* Flips a bit of a record in every copy of it that lies in the file: pages that a later commit
 * replaced stay behind, and nobody reads those. */
static void flip_in_copies(int fd, size_t n_bytes, struct span header, size_t at, uint8_t mask)
{
    uint8_t *bytes = mem_alloc(n_bytes, 1);
    size_t n = 0;
    if (pread(fd, bytes, n_bytes, 0) != (ssize_t)n_bytes)
        abort();
    for (size_t i = 0; i + header.len <= n_bytes; i++) {
        if (memcmp(bytes + i, header.ptr, header.len) == 0) {
            flip(fd, i + at, mask);
            n++;
        }
    }
    CHECK(n > 0);
    mem_free(bytes);
}

/* A damaged record never becomes training data. */
static void check_read_refuses(const char *dir, uint64_t key)
{
    struct err e = {0};
    struct store *s = NULL;
    float out[FIXTURE_FRAMES * FIXTURE_MELS];
    CHECK_OK(store_open(dir, &s, &e), &e);
    CHECK(!store_read_batch(s, &key, 1, FIXTURE_FRAMES, FIXTURE_MELS, out, &e));
    CHECK(e.kind == ERR_PERM);
    CHECK(strstr(e.msg, "record"));
    store_close(s);
}

static void test_flipped_bits_in_records(void)
{
    enum { KEPT_BYTES = 32, FLIPS = 16 }; /* what is not flipped finds the copies again */
    struct err e = {0};
    struct record_encoder *enc = record_encoder_new(RECORD_U8, 1);
    struct findings whole = {0};
    struct buf record;
    struct rng r;
    char dir[PATH_BYTES];
    size_t n_bytes;
    make_store(dir);
    buf_init(&record, RECORD_MAX_BYTES);
    rng_init(&r, 31, FIXTURE_PURPOSE, 0);
    int fd = open_data(dir, &n_bytes);
    for (int i = 0; i < FLIPS; i++) {
        struct findings f = {0};
        uint64_t row = 1 + rng_below(&r, N_ROWS), view = rng_below(&r, FIXTURE_VIEWS);
        char want[64];
        CHECK_OK(fixture_record(enc, row * FIXTURE_VIEWS + view, &record, &e), &e);
        struct span kept = {record.data + 32, KEPT_BYTES}; /* errors, ids and the checksum */
        size_t at = 32 + rng_below(&r, record.len - 64);
        uint8_t mask = (uint8_t)(1 << rng_below(&r, 8));
        flip_in_copies(fd, n_bytes, kept, at, mask);
        verify(dir, i % 2, &f);
        check_read_refuses(dir, store_key(row, 0, (uint32_t)view));
        snprintf(want, sizeof want, "row %u, clip 0, view %u: record is damaged", (unsigned)row,
                 (unsigned)view);
        CHECK(strstr(f.all, want));
        CHECK(strstr(f.all, "root"));
        flip_in_copies(fd, n_bytes, kept, at, mask);
    }
    CHECK_U64(verify(dir, true, &whole).n_damaged, 0);
    close(fd);
    buf_release(&record);
    record_encoder_free(enc);
    fixture_remove(dir);
}

static void test_truncated_files(void)
{
    char dir[PATH_BYTES];
    size_t n_bytes;
    make_store(dir);
    int fd = open_data(dir, &n_bytes);
    for (size_t keep = n_bytes - 4096; keep >= 8192; keep = keep / 2) {
        struct findings f = {0};
        struct err e = {0};
        struct store *s = NULL;
        CHECK(ftruncate(fd, (off_t)keep) == 0);
        verify(dir, false, &f);
        CHECK(f.n > 0);
        CHECK(!store_open(dir, &s, &e));
        CHECK(e.kind == ERR_FATAL);
    }
    close(fd);
    fixture_remove(dir);
}

/* Bytes of the tree itself, all over the file: whatever happens to the reader, verify ends, and
 * only a store that reads as before is called whole. */
static void test_garbage_in_the_tree(void)
{
    enum { STORES = 25, FLIPS = 40, PAGE_HEAD_BYTES = 24 };
    struct rng r;
    size_t n_bytes, n_died = 0, n_found = 0;
    rng_init(&r, 32, FIXTURE_PURPOSE, 0);
    for (int i = 0; i < STORES; i++) {
        char dir[PATH_BYTES];
        struct findings before = {0}, f = {0};
        make_store(dir);
        uint64_t root = verify(dir, false, &before).root;
        int fd = open_data(dir, &n_bytes);
        for (int k = 0; k < FLIPS; k++) { /* page headers and node pointers */
            size_t page = 2 + rng_below(&r, n_bytes / 4096 - 2);
            flip(fd, page * 4096 + rng_below(&r, PAGE_HEAD_BYTES),
                 (uint8_t)(1 + rng_below(&r, 255)));
        }
        close(fd);
        struct verify_report report = verify(dir, false, &f);
        CHECK(report.n_damaged > 0 || report.root == root);
        n_found += report.n_damaged > 0;
        n_died += strstr(f.all, "ended with") != NULL;
        fixture_remove(dir);
    }
    printf("# damage was found in %zu of %d, the reading process died in %zu\n", n_found, STORES,
           n_died);
    CHECK(n_found > STORES / 2);
    CHECK(n_died > 0);
}

/* What checksums cannot see: a record that is whole but is not what the store says it has. */
static void test_swapped_records(void)
{
    char dir[PATH_BYTES], path[PATH_BYTES];
    MDB_env *env = NULL;
    MDB_txn *txn = NULL;
    MDB_dbi clip;
    MDB_val a, b;
    uint64_t key_a = store_key(3, 0, 0), key_b = store_key(4, 0, 1);
    MDB_val ka = {sizeof key_a, &key_a}, kb = {sizeof key_b, &key_b};
    struct findings f = {0};
    make_store(dir);
    snprintf(path, sizeof path, "%.3000s/features.mdb", dir);
    CHECK(mdb_env_create(&env) == 0 && mdb_env_set_maxdbs(env, 4) == 0 &&
          mdb_env_set_mapsize(env, 64 << 20) == 0 && mdb_env_open(env, path, 0, 0644) == 0 &&
          mdb_txn_begin(env, NULL, 0, &txn) == 0 &&
          mdb_dbi_open(txn, "clip", MDB_INTEGERKEY, &clip) == 0);
    CHECK(mdb_get(txn, clip, &ka, &a) == 0 && mdb_get(txn, clip, &kb, &b) == 0);
    void *copy_a = mem_alloc(a.mv_size, 1), *copy_b = mem_alloc(b.mv_size, 1);
    memcpy(copy_a, a.mv_data, a.mv_size);
    memcpy(copy_b, b.mv_data, b.mv_size);
    MDB_val va = {a.mv_size, copy_a}, vb = {b.mv_size, copy_b};
    CHECK(mdb_put(txn, clip, &ka, &vb, 0) == 0 && mdb_put(txn, clip, &kb, &va, 0) == 0);
    CHECK(mdb_txn_commit(txn) == 0);
    mdb_env_close(env);
    verify(dir, false, &f);
    CHECK_U64(f.n, 1);
    CHECK(strstr(f.first, "root"));
    mem_free(copy_a);
    mem_free(copy_b);
    fixture_remove(dir);
}

/* A record that is gone is missed by its track, and by the totals. */
static void test_lost_record(void)
{
    char dir[PATH_BYTES], path[PATH_BYTES];
    MDB_env *env = NULL;
    MDB_txn *txn = NULL;
    MDB_dbi clip;
    uint64_t key = store_key(7, 0, 2);
    MDB_val k = {sizeof key, &key};
    struct findings f = {0};
    make_store(dir);
    snprintf(path, sizeof path, "%.3000s/features.mdb", dir);
    CHECK(mdb_env_create(&env) == 0 && mdb_env_set_maxdbs(env, 4) == 0 &&
          mdb_env_set_mapsize(env, 64 << 20) == 0 && mdb_env_open(env, path, 0, 0644) == 0 &&
          mdb_txn_begin(env, NULL, 0, &txn) == 0 &&
          mdb_dbi_open(txn, "clip", MDB_INTEGERKEY, &clip) == 0 &&
          mdb_del(txn, clip, &k, NULL) == 0 && mdb_txn_commit(txn) == 0);
    mdb_env_close(env);
    verify(dir, false, &f);
    CHECK(strstr(f.all, "row 7, clip 0, view 2: listed with its track but not there"));
    CHECK(strstr(f.all, "records: the store says 72"));
    fixture_remove(dir);
}

/* What is behind a record in its page is zeros, also where LMDB gives a page of memory that held
 * something: it zeroes the last of several, and does not a single one that a commit before had. */
static void test_padding_is_zero(void)
{
    enum { FRAMES = 100, MELS = 40, PAGE_BYTES_MAX = 4080, LEAF_BYTES_MAX = 2022 };
    struct store_recipe recipe = fixture_recipe();
    struct store_writer_params params = fixture_params();
    struct record_info meta = {.n_frames = FRAMES, .n_mels = MELS, .spec_hash = FIXTURE_SPEC};
    struct record_encoder *enc = record_encoder_new(RECORD_U8, 1);
    struct store_writer *w = NULL;
    struct findings f = {0};
    struct err e = {0};
    struct buf record;
    float db[FRAMES * MELS];
    char dir[PATH_BYTES];
    fixture_dir(dir);
    buf_init(&record, RECORD_MAX_BYTES);
    CHECK_OK(store_writer_open(dir, &recipe, &params, &w, &e), &e);
    for (uint64_t row = 0; row < N_ROWS; row++) {
        bool added;
        fixture_clip(row, FRAMES, MELS, db);
        CHECK_OK(record_encode(enc, db, FIXTURE_TOP_DB, &meta, &record, &e), &e);
        CHECK(record.len > LEAF_BYTES_MAX && record.len < PAGE_BYTES_MAX);
        struct store_view view = {store_key(row, 0, 0), buf_span(&record), ""};
        struct store_track track = {row, "TR", row, &view, 1};
        CHECK_OK(store_put_track(w, &track, 0, &added, &e) && store_commit(w, &e), &e);
    }
    store_writer_close(w);
    CHECK_U64(verify(dir, false, &f).n_damaged, 0);
    CHECK_STR(f.all, "");
    buf_release(&record);
    record_encoder_free(enc);
    fixture_remove(dir);
}

/* Sets 4 bytes of a record and makes its checksum right again. */
static void forge(struct buf *record, size_t at, const void *bytes)
{
    memcpy(record->data + at, bytes, 4);
    uint64_t sum = hash64(record->data + RECORD_HEADER_BYTES, record->len - RECORD_HEADER_BYTES,
                          hash64(record->data, 56, 0));
    memcpy(record->data + 56, &sum, sizeof sum);
}

/* What only --deep sees: checksums that are right over values that cannot be decoded, or that
 * cannot be so far off as their certificate says. */
static void test_deep_sees_more(void)
{
    enum { MAX_ERROR_AT = 28, LOW_BYTES_AT = 64 };
    static const char *const want[] = {"row 90, clip 0, view 0: its error certificate",
                                       "row 91, clip 0, view 0: record is damaged"};
    const float error_db = 1.5F;
    const uint32_t low_bytes = UINT32_MAX;
    struct store_recipe recipe = fixture_recipe();
    struct store_writer_params params = fixture_params();
    struct record_encoder *enc = record_encoder_new(RECORD_U8, 1);
    struct store_writer *w = NULL;
    struct err e = {0};
    struct buf record;
    struct findings shallow = {0}, deep = {0};
    char dir[PATH_BYTES];
    make_store(dir);
    buf_init(&record, RECORD_MAX_BYTES);
    CHECK_OK(store_writer_open(dir, &recipe, &params, &w, &e), &e);
    for (uint64_t row = 90; row <= 91; row++) {
        bool added;
        CHECK_OK(fixture_record(enc, row, &record, &e), &e);
        if (row == 90)
            forge(&record, MAX_ERROR_AT, &error_db);
        else
            forge(&record, LOW_BYTES_AT, &low_bytes);
        struct store_view view = {store_key(row, 0, 0), buf_span(&record), ""};
        struct store_track track = {row, "TR", row, &view, 1};
        CHECK_OK(store_put_track(w, &track, 0, &added, &e), &e);
    }
    CHECK_OK(store_commit(w, &e), &e);
    store_writer_close(w);
    CHECK_U64(verify(dir, false, &shallow).n_damaged, 0);
    CHECK_U64(verify(dir, true, &deep).n_damaged, ARRAY_LEN(want));
    for (size_t i = 0; i < ARRAY_LEN(want); i++)
        CHECK(strstr(deep.all, want[i]));
    buf_release(&record);
    record_encoder_free(enc);
    fixture_remove(dir);
}

int main(void)
{
    RUN(test_whole_store_is_whole);
    RUN(test_no_store_is_an_error);
    RUN(test_flipped_bits_in_records);
    RUN(test_truncated_files);
    RUN(test_garbage_in_the_tree);
    RUN(test_swapped_records);
    RUN(test_lost_record);
    RUN(test_padding_is_zero);
    RUN(test_deep_sees_more);
    return test_done();
}
