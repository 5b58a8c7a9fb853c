#include "base/hash.h"
#include "store/compact.h"
#include "store/content.h"
#include "store/env.h"
#include "store/generation.h"
#include "store/verify.h"
#include "tests/unit/store/fixture.h"

/*
 * The store in one process: what goes in comes out, the root follows from the content alone, and
 * everything that is refused is refused with a sentence. Crashes are in test_crash.c.
 */
enum { N_VALUES = FIXTURE_FRAMES * FIXTURE_MELS };

static struct store_stat stat_of(const char *dir)
{
    struct err e = {0};
    struct store *s = NULL;
    struct store_stat st = {0};
    CHECK_OK(store_open(dir, &s, &e) && store_stat(s, &st, &e), &e);
    store_close(s);
    return st;
}

static void test_what_goes_in_comes_out(void)
{
    static const uint64_t rows[] = {5, 3, 900000, 1};
    char dir[PATH_BYTES], augment[STORE_AUGMENT_BYTES];
    struct err e = {0};
    struct store *s = NULL;
    struct store_snapshot snap = {0};
    struct record_info info;
    struct store_track_info track;
    fixture_dir(dir);
    CHECK_OK(fixture_write(dir, rows, ARRAY_LEN(rows), 2, &e), &e);
    CHECK_OK(store_open(dir, &s, &e), &e);
    CHECK_OK(store_snapshot_init(s, &snap, &e), &e);
    CHECK_U64(snap.n_keys, 4 * FIXTURE_VIEWS);
    CHECK_U64(snap.n_frames, FIXTURE_FRAMES);
    CHECK_U64(snap.n_mels, FIXTURE_MELS);
    CHECK_U64(snap.keys[0], store_key(1, 0, 0));
    CHECK_U64(snap.keys[11], store_key(900000, 0, 2));
    for (size_t i = 1; i < snap.n_keys; i++)
        CHECK(snap.keys[i] > snap.keys[i - 1]);

    float *got = mem_alloc(snap.n_keys * N_VALUES, sizeof *got), want[N_VALUES];
    store_prefetch(s, snap.keys, snap.n_keys);
    CHECK_OK(store_read_batch(s, snap.keys, snap.n_keys, FIXTURE_FRAMES, FIXTURE_MELS, got, &e),
             &e);
    for (size_t i = 0; i < snap.n_keys; i++) {
        uint64_t row = store_key_row(snap.keys[i]);
        uint32_t view = store_key_view(snap.keys[i]);
        fixture_clip(row * FIXTURE_VIEWS + view, FIXTURE_FRAMES, FIXTURE_MELS, want);
        for (size_t j = 0; j < N_VALUES; j++) {
            if (!(fabsf(got[i * N_VALUES + j] - want[j]) <= 0.157F))
                test_fail(__FILE__, __LINE__, "a value came back wrong");
        }
        CHECK_OK(store_get_info(s, snap.keys[i], &info, augment, &e), &e);
        CHECK_U64(info.source_id, (row * FIXTURE_VIEWS + view) * 31);
        CHECK_STR(augment, view == 0 ? "" : view == 1 ? "gain_db=1" : "gain_db=2");
    }
    CHECK_OK(store_get_track(s, 900000, &track, &e), &e);
    CHECK_STR(track.track_id, "TR00900000");
    CHECK_U64(track.n_views, FIXTURE_VIEWS);
    CHECK_U64(track.source_id, 900000 * 7);

    struct store_stat st;
    CHECK_OK(store_stat(s, &st, &e), &e);
    CHECK_U64(st.clips, 12);
    CHECK_U64(st.tracks, 4);
    CHECK(st.max_err_db > 0.1 && st.max_err_db <= 0.158);
    CHECK(st.rms_err_db > 0.05 && st.rms_err_db < 0.1);
    CHECK_STR(st.recipe, fixture_recipe().text);
    mem_free(got);
    store_snapshot_release(&snap);
    store_close(s);
    fixture_remove(dir);
}

struct root_sum {
    uint64_t root, n;
    bool checked;
};

static bool add_root(void *arg, uint64_t key, struct span record)
{
    struct root_sum *sum = arg;
    struct err e = {0};
    sum->root += hash64(record.ptr, record.len, key);
    sum->n++;
    sum->checked = sum->checked && record_verify(record, &e);
    return true;
}

/* Any order, any commits: one root, and it is the one that the header promises. */
static void test_root_is_the_content(void)
{
    static const uint64_t orders[3][6] = {
        {1, 2, 3, 4, 5, 6}, {6, 5, 4, 3, 2, 1}, {4, 1, 6, 2, 5, 3}};
    uint64_t roots[3];
    for (size_t i = 0; i < 3; i++) {
        struct err e = {0};
        struct store *s = NULL;
        struct root_sum sum = {.checked = true};
        char dir[PATH_BYTES];
        fixture_dir(dir);
        CHECK_OK(fixture_write(dir, orders[i], 6, i + 1, &e), &e);
        struct store_stat st = stat_of(dir);
        roots[i] = st.root;
        CHECK_OK(store_open(dir, &s, &e) && store_each(s, add_root, &sum, &e), &e);
        CHECK_U64(sum.root, st.root);
        CHECK_U64(sum.n, st.clips);
        CHECK(sum.checked);
        store_close(s);
        fixture_remove(dir);
    }
    CHECK(roots[0] != 0);
    CHECK_U64(roots[1], roots[0]);
    CHECK_U64(roots[2], roots[0]);
}

static void test_putting_twice_changes_nothing(void)
{
    static const uint64_t rows[] = {1, 2};
    struct err e = {0};
    struct store_recipe recipe = fixture_recipe();
    struct store_writer_params params = fixture_params();
    struct store_writer *w = NULL;
    struct record_encoder *enc = record_encoder_new(RECORD_U8, 1);
    char dir[PATH_BYTES];
    bool added = true, there = false;
    fixture_dir(dir);
    CHECK_OK(fixture_write(dir, rows, 2, 1, &e), &e);
    uint64_t root = stat_of(dir).root;
    CHECK_OK(store_writer_open(dir, &recipe, &params, &w, &e), &e);
    CHECK_OK(fixture_put(w, enc, 2, &added, &e), &e);
    CHECK(!added);
    CHECK(store_commit_deadline_ns(w) == UINT64_MAX);
    CHECK_OK(fixture_put(w, enc, 3, &added, &e), &e);
    CHECK(added);
    CHECK_OK(fixture_put(w, enc, 3, &added, &e), &e);
    CHECK(!added);
    CHECK_OK(store_has_track(w, 3, &there, &e), &e);
    CHECK(there);
    store_writer_close(w); /* row 3 was not committed */
    struct store_stat st = stat_of(dir);
    CHECK_U64(st.root, root);
    CHECK_U64(st.tracks, 2);
    record_encoder_free(enc);
    fixture_remove(dir);
}

/* Puts another content under row 2, which is there. */
static bool put_other_content(const char *dir, bool *added, struct err *e)
{
    struct store_recipe recipe = fixture_recipe();
    struct store_writer_params params = fixture_params();
    struct store_writer *w = NULL;
    struct record_encoder *enc = record_encoder_new(RECORD_U8, 1);
    struct buf record;
    buf_init(&record, RECORD_MAX_BYTES);
    bool ok = fixture_record(enc, 777, &record, e);
    struct store_view view = {store_key(2, 0, 0), buf_span(&record), ""};
    struct store_track track = {2, "TR00000002", 5, &view, 1};
    ok = ok && store_writer_open(dir, &recipe, &params, &w, e) &&
         store_put_track(w, &track, 0, added, e) && store_commit(w, e);
    store_writer_close(w);
    buf_release(&record);
    record_encoder_free(enc);
    return ok;
}

/* A record that is there stays as it is, whatever is put under its key. */
static void test_no_record_is_rewritten(void)
{
    static const uint64_t rows[] = {1, 2};
    struct err e = {0};
    struct store *s = NULL;
    struct verify_report report;
    float before[N_VALUES], after[N_VALUES];
    uint64_t key = store_key(2, 0, 0);
    char dir[PATH_BYTES];
    bool added = true;
    fixture_dir(dir);
    CHECK_OK(fixture_write(dir, rows, 2, 1, &e), &e);
    struct store_stat st = stat_of(dir);
    CHECK_OK(store_open(dir, &s, &e), &e);
    CHECK_OK(store_read_batch(s, &key, 1, FIXTURE_FRAMES, FIXTURE_MELS, before, &e), &e);
    store_close(s);
    CHECK_OK(put_other_content(dir, &added, &e), &e);
    CHECK(!added);
    CHECK_U64(stat_of(dir).root, st.root);
    CHECK_U64(stat_of(dir).clips, st.clips);
    CHECK_OK(store_open(dir, &s, &e), &e);
    CHECK_OK(store_read_batch(s, &key, 1, FIXTURE_FRAMES, FIXTURE_MELS, after, &e), &e);
    CHECK(memcmp(before, after, sizeof before) == 0);
    store_close(s);
    CHECK_OK(store_verify(dir, true, NULL, &report, &e), &e);
    CHECK_U64(report.n_damaged, 0);
    fixture_remove(dir);
}

static void test_commit_policy(void)
{
    struct err e = {0};
    struct store_recipe recipe = fixture_recipe();
    struct store_writer_params params = fixture_params();
    struct store_writer *w = NULL;
    struct record_encoder *enc = record_encoder_new(RECORD_U8, 1);
    char dir[PATH_BYTES];
    bool added;
    fixture_dir(dir);
    params.commit_clips = 2 * FIXTURE_VIEWS;
    CHECK_OK(store_writer_open(dir, &recipe, &params, &w, &e), &e);
    CHECK(!store_commit_due(w, UINT64_MAX)); /* nothing to commit */
    CHECK_OK(fixture_put(w, enc, 1, &added, &e), &e);
    CHECK_U64(store_commit_deadline_ns(w), params.commit_ns);
    CHECK(!store_commit_due(w, params.commit_ns - 1));
    CHECK(store_commit_due(w, params.commit_ns));
    CHECK_OK(fixture_put(w, enc, 2, &added, &e), &e);
    CHECK(store_commit_due(w, 1));
    CHECK_OK(store_commit(w, &e), &e);
    CHECK(!store_commit_due(w, params.commit_ns));
    store_writer_close(w);

    params.commit_clips = 1000;
    params.commit_bytes = 1000;
    CHECK_OK(store_writer_open(dir, &recipe, &params, &w, &e), &e);
    CHECK_OK(fixture_put(w, enc, 3, &added, &e), &e);
    CHECK(store_commit_due(w, 0));
    CHECK_OK(store_commit(w, &e), &e);
    store_writer_close(w);

    /* The limit of extract and import: with their padding, records of a commit take no more. */
    params.commit_clips = UINT64_MAX;
    params.commit_bytes = STORE_COMMIT_BYTES;
    CHECK_OK(store_writer_open(dir, &recipe, &params, &w, &e), &e);
    uint64_t before = stat_of(dir).payload_bytes, row = 4;
    for (; !store_commit_due(w, 0); row++)
        CHECK_OK(fixture_put(w, enc, row, &added, &e), &e);
    CHECK_OK(store_commit(w, &e), &e);
    uint64_t payload = stat_of(dir).payload_bytes - before;
    CHECK(payload > 4 << 20 && payload <= 8 << 20);
    store_writer_close(w);
    record_encoder_free(enc);
    fixture_remove(dir);
}

static void test_other_recipe_refused(void)
{
    static const uint64_t rows[] = {1};
    struct err e = {0};
    struct store_recipe recipe = fixture_recipe();
    struct store_writer_params params = fixture_params();
    struct store_writer *w = NULL;
    char dir[PATH_BYTES];
    fixture_dir(dir);
    CHECK_OK(fixture_write(dir, rows, 1, 1, &e), &e);
    snprintf(recipe.text, sizeof recipe.text, "rate_hz=22050\nn_mels=%d\nclip.ms=5000\nseed=1\n",
             FIXTURE_MELS);
    CHECK(!store_writer_open(dir, &recipe, &params, &w, &e));
    CHECK(e.kind == ERR_USAGE);
    CHECK(strstr(e.msg, "\"clip.ms=10000\""));
    CHECK(strstr(e.msg, "\"clip.ms=5000\""));
    recipe = fixture_recipe();
    recipe.dtype = RECORD_U12;
    CHECK(!store_writer_open(dir, &recipe, &params, &w, &e));
    CHECK(e.kind == ERR_USAGE && strstr(e.msg, "u12"));
    CHECK_U64(stat_of(dir).tracks, 1);
    fixture_remove(dir);
}

/* Sets the schema, the first word of the recipe, as a program of the future would. */
static void set_schema(const char *dir, uint64_t schema)
{
    struct err e = {0};
    struct env env;
    MDB_txn *txn = NULL;
    MDB_val key = {6, (char[]){"recipe"}}, value;
    uint8_t bytes[STORE_RECIPE_BYTES + 64];
    CHECK_OK(env_open(&env, dir, ENV_WRITE, 1 << 20, &e), &e);
    CHECK(mdb_txn_begin(env.mdb, NULL, 0, &txn) == 0);
    CHECK(mdb_get(txn, env.meta, &key, &value) == 0);
    memcpy(bytes, value.mv_data, value.mv_size);
    memcpy(bytes, &schema, sizeof schema);
    value.mv_data = bytes;
    CHECK(mdb_put(txn, env.meta, &key, &value, 0) == 0 && mdb_txn_commit(txn) == 0);
    env_close(&env);
}

static void test_newer_store_refused(void)
{
    static const uint64_t rows[] = {1};
    struct err e = {0};
    struct store_recipe recipe = fixture_recipe();
    struct store_writer_params params = fixture_params();
    struct store_writer *w = NULL;
    struct store *s = NULL;
    char dir[PATH_BYTES];
    fixture_dir(dir);
    CHECK_OK(fixture_write(dir, rows, 1, 1, &e), &e);
    set_schema(dir, STORE_SCHEMA + 1);
    CHECK(!store_open(dir, &s, &e));
    CHECK(e.kind == ERR_USAGE && strstr(e.msg, "newer refrain"));
    e = (struct err){0};
    CHECK(!store_writer_open(dir, &recipe, &params, &w, &e));
    CHECK(e.kind == ERR_USAGE && strstr(e.msg, "newer refrain"));
    fixture_remove(dir);
}

static void test_second_writer_refused(void)
{
    struct err e = {0};
    struct store_recipe recipe = fixture_recipe();
    struct store_writer_params params = fixture_params();
    struct store_writer *w = NULL, *second = NULL;
    char dir[PATH_BYTES], want[64];
    fixture_dir(dir);
    CHECK_OK(store_writer_open(dir, &recipe, &params, &w, &e), &e);
    CHECK(!store_writer_open(dir, &recipe, &params, &second, &e));
    CHECK(e.kind == ERR_FATAL);
    snprintf(want, sizeof want, "process %ld", (long)getpid());
    CHECK(strstr(e.msg, want));
    store_writer_close(w);
    CHECK_OK(store_writer_open(dir, &recipe, &params, &w, &e), &e);
    store_writer_close(w);
    fixture_remove(dir);
}

static void test_foreign_records_refused(void)
{
    struct err e = {0};
    struct store_recipe recipe = fixture_recipe();
    struct store_writer_params params = fixture_params();
    struct store_writer *w = NULL;
    struct record_encoder *u12 = record_encoder_new(RECORD_U12, 1);
    char dir[PATH_BYTES];
    bool added;
    struct store_view view = {store_key(1, 0, 0), {"not a record", 12}, ""};
    struct store_track track = {1, "TR1", 0, &view, 1};
    fixture_dir(dir);
    CHECK_OK(store_writer_open(dir, &recipe, &params, &w, &e), &e);
    CHECK(!fixture_put(w, u12, 1, &added, &e));
    CHECK(e.kind == ERR_PERM && strstr(e.msg, "u12"));
    CHECK(!store_put_track(w, &track, 0, &added, &e));
    CHECK(e.kind == ERR_PERM);
    track.n_views = 0;
    CHECK(!store_put_track(w, &track, 0, &added, &e) && e.kind == ERR_PERM);
    track.track_id = "";
    CHECK(!store_put_track(w, &track, 0, &added, &e) && e.kind == ERR_PERM);
    CHECK_OK(store_commit(w, &e), &e);
    store_writer_close(w);
    CHECK_U64(stat_of(dir).tracks, 0);
    record_encoder_free(u12);
    fixture_remove(dir);
}

static void test_missing_things(void)
{
    static const uint64_t rows[] = {1, 2};
    struct err e = {0};
    struct store *s = NULL;
    struct store_track_info track;
    struct record_info info;
    char dir[PATH_BYTES], path[PATH_BYTES], augment[STORE_AUGMENT_BYTES];
    float out[2 * N_VALUES];
    fixture_dir(dir);
    CHECK(!store_exists(dir));
    CHECK(!store_open(dir, &s, &e));
    CHECK(e.kind == ERR_PERM && strstr(e.msg, "refrain extract"));
    snprintf(path, sizeof path, "%.3000s/features.mdb", dir);
    CHECK_OK(file_make_dir(path, &e), &e);
    snprintf(path, sizeof path, "%.3000s/features.mdb/data.mdb", dir);
    CHECK_OK(file_write_atomic(path, (struct span){"", 0}, &e), &e); /* killed when it began */
    CHECK(!store_open(dir, &s, &e));
    CHECK(e.kind == ERR_PERM && strstr(e.msg, "no tensors yet"));
    CHECK_OK(fixture_write(dir, rows, 2, 1, &e), &e);
    CHECK(store_exists(dir));
    CHECK_OK(store_open(dir, &s, &e), &e);
    uint64_t keys[2] = {store_key(1, 0, 0), store_key(7, 1, 2)};
    CHECK(!store_read_batch(s, keys, 2, FIXTURE_FRAMES, FIXTURE_MELS, out, &e));
    CHECK(e.kind == ERR_PERM);
    CHECK(strstr(e.msg, "row 7, clip 1, view 2"));
    store_prefetch(s, keys, 2);
    CHECK(!store_read_batch(s, keys, 1, FIXTURE_FRAMES + 1, FIXTURE_MELS, out, &e));
    CHECK(e.kind == ERR_PERM && strstr(e.msg, "row 1"));
    CHECK(!store_get_track(s, 7, &track, &e) && e.kind == ERR_PERM);
    CHECK(!store_get_info(s, keys[1], &info, augment, &e) && e.kind == ERR_PERM);
    CHECK_OK(store_read_batch(s, keys, 1, FIXTURE_FRAMES, FIXTURE_MELS, out, &e), &e);
    store_close(s);
    fixture_remove(dir);
}

/* 3 KiB asked for: the writer must grow it, and see its own earlier rows. */
static void test_map_grows(void)
{
    struct err e = {0};
    struct store_recipe recipe = fixture_recipe();
    struct store_writer_params params = fixture_params();
    struct store_writer *w = NULL;
    struct record_encoder *enc = record_encoder_new(RECORD_U8, 1);
    char dir[PATH_BYTES];
    fixture_dir(dir);
    params.map_bytes = 3 << 10;
    CHECK_OK(store_writer_open(dir, &recipe, &params, &w, &e), &e);
    for (uint64_t row = 0; row < 1000; row++) {
        bool added = false;
        CHECK_OK(fixture_put(w, enc, row, &added, &e), &e);
        CHECK(added);
    }
    CHECK_OK(store_commit(w, &e), &e);
    store_writer_close(w);
    struct store_stat st = stat_of(dir);
    CHECK_U64(st.tracks, 1000);
    CHECK(st.file_bytes > 2 << 20);
    record_encoder_free(enc);
    fixture_remove(dir);
}

/* ---------------------------------------------------------------- generations */

/* Another recipe begins another folder, and only when the old one was retired. */
static void test_a_second_generation(void)
{
    static const uint64_t rows[] = {1, 2};
    struct err e = {0};
    struct store_recipe recipe = fixture_recipe();
    struct store_writer_params params = fixture_params();
    struct store_writer *w = NULL;
    struct store *old = NULL;
    float out[N_VALUES];
    uint64_t key = store_key(1, 0, 0);
    char dir[PATH_BYTES], folder[PATH_BYTES], want[PATH_BYTES];
    fixture_dir(dir);
    CHECK(!store_retire(dir, folder, &e) && e.kind == ERR_PERM);
    CHECK_OK(fixture_write(dir, rows, 2, 1, &e), &e);
    uint64_t root = stat_of(dir).root;
    CHECK_OK(store_open(dir, &old, &e), &e);
    CHECK_OK(store_writer_open(dir, &recipe, &params, &w, &e), &e);
    CHECK(!store_retire(dir, folder, &e) && strstr(e.msg, "process"));
    store_writer_close(w);
    snprintf(recipe.text, sizeof recipe.text, "another=1\n");
    recipe.spec_hash++;
    e = (struct err){0};
    CHECK(!store_writer_open(dir, &recipe, &params, &w, &e));
    CHECK(e.kind == ERR_USAGE && strstr(e.msg, "refrain store retire"));
    CHECK(!store_generation(dir, 1, folder));
    CHECK_OK(store_retire(dir, folder, &e), &e);
    CHECK_OK(path_join(want, dir, "features.1.mdb", &e), &e);
    CHECK_STR(folder, want);
    CHECK(store_generation(dir, 1, folder) && !store_generation(dir, 2, folder));
    CHECK(!store_exists(dir));
    CHECK_OK(store_writer_open(dir, &recipe, &params, &w, &e), &e);
    store_writer_close(w);
    CHECK_U64(stat_of(dir).clips, 0); /* the new one */
    CHECK_U64(stat_of(want).root, root);
    CHECK_OK(store_read_batch(old, &key, 1, FIXTURE_FRAMES, FIXTURE_MELS, out, &e), &e);
    store_close(old);
    CHECK_OK(store_retire(dir, folder, &e), &e);
    CHECK(strstr(folder, "features.2.mdb"));
    fixture_remove(dir);
}

/* ---------------------------------------------------------------- equal records */

enum { SAME_ROWS = 6 };

/* One preview under many rows: three of them are rows 1, 3, 5, the others are alike too. */
static void put_alike(const char *dir, const uint64_t rows[SAME_ROWS])
{
    struct err e = {0};
    struct store_recipe recipe = fixture_recipe();
    struct store_writer_params params = fixture_params();
    struct record_encoder *enc = record_encoder_new(RECORD_U8, 1);
    struct store_writer *w = NULL;
    struct buf record;
    buf_init(&record, RECORD_MAX_BYTES);
    CHECK_OK(store_writer_open(dir, &recipe, &params, &w, &e), &e);
    for (size_t i = 0; i < SAME_ROWS; i++) {
        char id[32];
        bool added;
        snprintf(id, sizeof id, "TR%08u", (unsigned)rows[i]);
        CHECK_OK(fixture_record(enc, rows[i] % 2, &record, &e), &e);
        struct store_view view = {store_key(rows[i], 0, 0), buf_span(&record), ""};
        struct store_track track = {rows[i], id, rows[i] % 2, &view, 1};
        CHECK_OK(store_put_track(w, &track, 0, &added, &e), &e);
        if (i % 2 == 1)
            CHECK_OK(store_commit(w, &e), &e);
    }
    store_writer_close(w);
    buf_release(&record);
    record_encoder_free(enc);
}

static size_t count_owned(const char *dir)
{
    struct err e = {0};
    struct env env;
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    MDB_val k, v;
    size_t n = 0;
    CHECK_OK(env_open(&env, dir, ENV_READ, 1 << 30, &e), &e);
    CHECK(mdb_txn_begin(env.mdb, NULL, MDB_RDONLY, &txn) == 0);
    CHECK(mdb_cursor_open(txn, env.clip, &cursor) == 0);
    while (mdb_cursor_get(cursor, &k, &v, MDB_NEXT) == 0)
        n += !content_is_alias(v);
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    env_close(&env);
    return n;
}

/* Equal bytes are stored once; which of them came first is seen in nothing. */
static void test_equal_records_are_stored_once(void)
{
    static const uint64_t orders[2][SAME_ROWS] = {{1, 2, 3, 4, 5, 6}, {6, 5, 4, 3, 2, 1}};
    struct buf files[2];
    uint64_t roots[2];
    for (size_t i = 0; i < 2; i++) {
        struct err e = {0};
        struct store *s = NULL;
        struct root_sum sum = {.checked = true};
        struct verify_report report;
        struct compact_report compacted;
        char dir[PATH_BYTES], path[PATH_BYTES];
        float got[SAME_ROWS * N_VALUES], want[N_VALUES];
        uint64_t keys[SAME_ROWS];
        fixture_dir(dir);
        put_alike(dir, orders[i]);
        CHECK_U64(count_owned(dir), 2);
        CHECK_OK(store_verify(dir, true, NULL, &report, &e), &e);
        CHECK_U64(report.n_damaged, 0);
        for (uint64_t k = 0; k < SAME_ROWS; k++)
            keys[k] = store_key(k + 1, 0, 0);
        CHECK_OK(store_open(dir, &s, &e), &e);
        CHECK_OK(store_read_batch(s, keys, SAME_ROWS, FIXTURE_FRAMES, FIXTURE_MELS, got, &e), &e);
        CHECK_OK(store_each(s, add_root, &sum, &e), &e);
        CHECK_U64(sum.n, SAME_ROWS);
        CHECK(sum.checked);
        for (size_t k = 0; k < SAME_ROWS; k++) {
            fixture_clip((k + 1) % 2, FIXTURE_FRAMES, FIXTURE_MELS, want);
            for (size_t j = 0; j < N_VALUES; j++)
                CHECK_NEAR(got[k * N_VALUES + j], want[j], 0.157);
        }
        store_close(s);
        roots[i] = sum.root;
        CHECK_U64(stat_of(dir).root, sum.root);
        CHECK_OK(store_compact(dir, &compacted, &e), &e);
        CHECK_U64(compacted.root, sum.root);
        CHECK_U64(count_owned(dir), 2);
        buf_init(&files[i], 1 << 26);
        CHECK_OK(path_join(path, dir, "features.mdb/data.mdb", &e), &e);
        CHECK_OK(file_read_all(path, &files[i], &e), &e);
        fixture_remove(dir);
    }
    CHECK_U64(roots[0], roots[1]);
    CHECK(files[0].len == files[1].len && memcmp(files[0].data, files[1].data, files[0].len) == 0);
    buf_release(&files[0]);
    buf_release(&files[1]);
}

/* Puts value under key in table `content` or, as it is, in table `clip`. */
static void plant(const char *dir, bool in_clip, uint64_t key, struct span value)
{
    struct err e = {0};
    struct env env;
    MDB_txn *txn = NULL;
    MDB_val k = {sizeof key, &key}, v = {value.len, (void *)(uintptr_t)value.ptr};
    CHECK_OK(env_open(&env, dir, ENV_WRITE, 1 << 20, &e), &e);
    CHECK(mdb_txn_begin(env.mdb, NULL, 0, &txn) == 0);
    CHECK(mdb_put(txn, in_clip ? env.clip : env.content, &k, &v, 0) == 0);
    CHECK(mdb_txn_commit(txn) == 0);
    env_close(&env);
}

/* Another record's hash, as a collision would have it: bytes decide. */
static void test_equal_hashes_of_other_bytes(void)
{
    static const uint64_t first[] = {1}, second[] = {2};
    struct err e = {0};
    struct record_encoder *enc = record_encoder_new(RECORD_U8, 1);
    struct verify_report report;
    struct buf record;
    uint64_t owner = store_key(1, 0, 0);
    char dir[PATH_BYTES];
    buf_init(&record, RECORD_MAX_BYTES);
    fixture_dir(dir);
    CHECK_OK(fixture_write(dir, first, 1, 1, &e), &e);
    for (uint64_t view = 0; view < FIXTURE_VIEWS; view++) {
        CHECK_OK(fixture_record(enc, 2 * FIXTURE_VIEWS + view, &record, &e), &e);
        plant(dir, false, hash64(record.data, record.len, 0), (struct span){&owner, sizeof owner});
    }
    CHECK_OK(fixture_write(dir, second, 1, 1, &e), &e);
    CHECK_U64(count_owned(dir), 2 * FIXTURE_VIEWS);
    CHECK_OK(store_verify(dir, true, NULL, &report, &e), &e);
    CHECK_U64(report.n_damaged, 0);
    buf_release(&record);
    record_encoder_free(enc);
    fixture_remove(dir);
}

/* An alias of nothing, of an alias, and one that is none: an error for who reads, a finding. */
static void test_damaged_aliases(void)
{
    static const uint64_t rows[] = {1, 2, 3};
    const uint64_t owners[] = {store_key(77, 0, 0), store_key(1, 0, 0), store_key(2, 0, 0)};
    static const char *const magics[] = {"RFRA", "RFRA", "RFRB"};
    for (size_t i = 0; i < ARRAY_LEN(owners); i++) {
        struct err e = {0};
        struct store *s = NULL;
        struct verify_report report;
        uint8_t alias[16] = {0};
        float out[N_VALUES];
        char dir[PATH_BYTES];
        uint64_t key = store_key(1, 0, 0);
        fixture_dir(dir);
        CHECK_OK(fixture_write(dir, rows, ARRAY_LEN(rows), 1, &e), &e);
        memcpy(alias, magics[i], 4);
        alias[4] = 1;
        memcpy(alias + 8, &owners[i], 8);
        plant(dir, true, key, (struct span){alias, sizeof alias});
        CHECK_OK(store_open(dir, &s, &e), &e);
        CHECK(!store_read_batch(s, &key, 1, FIXTURE_FRAMES, FIXTURE_MELS, out, &e));
        store_close(s);
        CHECK_OK(store_verify(dir, false, NULL, &report, &e), &e);
        CHECK(report.n_damaged > 0);
        fixture_remove(dir);
    }
}

/* ---------------------------------------------------------------- a second store */

enum { SEQUENCE_BANDS = 12, SEQUENCES = 9 };

static uint32_t sequence_frames(uint64_t row)
{
    return (uint32_t)(1 + row * row * 37 % 500);
}

/* Chroma-like values between 0 and 1, as many frames as the row says. */
static void sequence_values(uint64_t row, float *out)
{
    struct rng r;
    rng_init(&r, 31, FIXTURE_PURPOSE, row);
    for (size_t i = 0; i < (size_t)sequence_frames(row) * SEQUENCE_BANDS; i++)
        out[i] = (float)rng_range(&r, 0, 1);
}

static bool put_sequence(struct store_writer *w, struct record_encoder *enc, uint64_t row,
                         struct err *e)
{
    struct record_info meta = {
        .n_frames = sequence_frames(row), .n_mels = SEQUENCE_BANDS, .spec_hash = 42};
    float *values = mem_alloc((size_t)meta.n_frames * SEQUENCE_BANDS, sizeof *values);
    struct buf record;
    char id[32];
    bool added;
    buf_init(&record, RECORD_MAX_BYTES);
    snprintf(id, sizeof id, "TR%08u", (unsigned)row);
    sequence_values(row, values);
    bool ok = record_encode_range(enc, values, 0, 1, &meta, &record, e);
    struct store_view view = {store_key(row, 0, 0), buf_span(&record), ""};
    struct store_track track = {row, id, row, &view, 1};
    ok = ok && store_put_track(w, &track, 0, &added, e);
    buf_release(&record);
    mem_free(values);
    return ok;
}

static void write_sequences(const char *path, struct err *e)
{
    struct store_recipe recipe = {.spec_hash = 42, .dtype = RECORD_U12, .text = "sequences=1\n"};
    struct store_writer_params params = fixture_params();
    struct record_encoder *enc = record_encoder_new(RECORD_U12, 1);
    struct store_writer *w = NULL;
    CHECK_OK(store_writer_open(path, &recipe, &params, &w, e), e);
    for (uint64_t row = 0; row < SEQUENCES; row++)
        CHECK_OK(put_sequence(w, enc, row, e), e);
    CHECK_OK(store_commit(w, e), e);
    store_writer_close(w);
    record_encoder_free(enc);
}

/* Records of another kind beside the features: own shapes, own spec, lengths that differ. */
static void test_store_of_sequences(void)
{
    static const uint64_t rows[] = {1};
    struct err e = {0};
    struct store *s = NULL;
    struct store_snapshot snap = {0};
    struct store_reading r = {0};
    struct verify_report report;
    struct compact_report compacted;
    char dir[PATH_BYTES], path[PATH_BYTES];
    fixture_dir(dir);
    CHECK_OK(fixture_write(dir, rows, 1, 1, &e), &e);
    CHECK_OK(path_join(path, dir, "sequences.mdb", &e), &e);
    write_sequences(path, &e);
    CHECK_OK(store_verify(path, true, NULL, &report, &e), &e);
    CHECK_U64(report.n_damaged, 0);
    CHECK_OK(store_compact(path, &compacted, &e), &e);
    CHECK_U64(compacted.root, report.root);
    CHECK_OK(store_open(path, &s, &e), &e);
    CHECK(!store_snapshot_init(s, &snap, &e) && strstr(e.msg, "several shapes"));
    CHECK_OK(store_snapshot_init_mixed(s, &snap, &e), &e);
    CHECK_U64(snap.n_keys, SEQUENCES);
    CHECK_U64(snap.n_frames, 0);
    for (uint64_t row = 0; row < SEQUENCES; row++) {
        float want[500 * SEQUENCE_BANDS];
        CHECK_OK(store_read_one(s, store_key(row, 0, 0), &r, &e), &e);
        CHECK_U64(r.info.n_frames, sequence_frames(row));
        CHECK_U64(r.info.n_mels, SEQUENCE_BANDS);
        sequence_values(row, want);
        for (size_t i = 0; i < (size_t)r.info.n_frames * SEQUENCE_BANDS; i++)
            CHECK_NEAR(r.values[i], want[i], 0.5 / 4095 + 1e-6);
    }
    CHECK(!store_read_one(s, store_key(77, 0, 0), &r, &e) && e.kind == ERR_PERM);
    store_reading_release(&r);
    store_snapshot_release(&snap);
    store_close(s);
    CHECK_U64(stat_of(dir).clips, FIXTURE_VIEWS); /* the features are untouched */
    fixture_remove(dir);
}

static void test_what_a_path_means(void)
{
    static const struct {
        const char *path, *folder;
    } cases[] = {
        {"songs", "songs/features.mdb"},      {"songs/seq.mdb", "songs/seq.mdb"},
        {"songs/seq.mdb//", "songs/seq.mdb"}, {"x/.mdb", "x/.mdb/features.mdb"},
        {".mdb", ".mdb/features.mdb"},        {"songs.mdb/data", "songs.mdb/data/features.mdb"}};
    struct err e = {0};
    char folder[PATH_BYTES];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CHECK_OK(store_folder(folder, cases[i].path, &e), &e);
        CHECK_STR(folder, cases[i].folder);
    }
}

int main(void)
{
    RUN(test_what_goes_in_comes_out);
    RUN(test_root_is_the_content);
    RUN(test_putting_twice_changes_nothing);
    RUN(test_no_record_is_rewritten);
    RUN(test_commit_policy);
    RUN(test_other_recipe_refused);
    RUN(test_newer_store_refused);
    RUN(test_second_writer_refused);
    RUN(test_foreign_records_refused);
    RUN(test_missing_things);
    RUN(test_map_grows);
    RUN(test_a_second_generation);
    RUN(test_equal_records_are_stored_once);
    RUN(test_equal_hashes_of_other_bytes);
    RUN(test_damaged_aliases);
    RUN(test_store_of_sequences);
    RUN(test_what_a_path_means);
    return test_done();
}
