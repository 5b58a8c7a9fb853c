#include "store/compact.h"
#include "store/doctor.h"
#include "store/generation.h"
#include "tests/unit/store/fixture.h"

/* What the doctor finds, on stores whose layout the test has made. */
enum { N_ROWS = 100, FRAMES = 64, MELS = 64, N_VALUES = FRAMES * MELS };

/* A record of two pages under each row, in this order; rows share n_contents contents. */
static void write_rows(const char *dir, const uint64_t *rows, size_t n, uint64_t n_contents)
{
    struct err e = {0};
    struct store_recipe recipe = {.spec_hash = 5, .dtype = RECORD_RAW, .text = "doctor=1\n"};
    struct store_writer_params params = fixture_params();
    struct record_info meta = {.n_frames = FRAMES, .n_mels = MELS, .spec_hash = 5};
    struct record_encoder *enc = record_encoder_new(RECORD_RAW, 1);
    struct store_writer *w = NULL;
    struct buf record;
    float db[N_VALUES];
    buf_init(&record, RECORD_MAX_BYTES);
    CHECK_OK(store_writer_open(dir, &recipe, &params, &w, &e), &e);
    for (size_t i = 0; i < n; i++) {
        char id[32];
        bool added;
        snprintf(id, sizeof id, "TR%u", (unsigned)rows[i]);
        fixture_clip(rows[i] % n_contents, FRAMES, MELS, db);
        CHECK_OK(record_encode(enc, db, FIXTURE_TOP_DB, &meta, &record, &e), &e);
        struct store_view view = {store_key(rows[i], 0, 0), buf_span(&record), ""};
        struct store_track track = {rows[i], id, 0, &view, 1};
        CHECK_OK(store_put_track(w, &track, 0, &added, &e), &e);
        if (i % 10 == 9)
            CHECK_OK(store_commit(w, &e), &e);
    }
    CHECK_OK(store_commit(w, &e), &e);
    store_writer_close(w);
    record_encoder_free(enc);
    buf_release(&record);
}

static struct doctor_report examine(const char *dir)
{
    struct err e = {0};
    struct store *s = NULL;
    struct doctor_report report = {0};
    CHECK_OK(store_open(dir, &s, &e) && store_examine(s, dir, &report, &e), &e);
    CHECK_U64(report.record_bytes + report.free_bytes + report.tree_bytes, report.stat.file_bytes);
    store_close(s);
    return report;
}

static void test_layout(void)
{
    struct err e = {0};
    struct compact_report compacted;
    uint64_t rows[N_ROWS];
    char dir[PATH_BYTES];
    fixture_dir(dir);
    for (uint64_t i = 0; i < N_ROWS; i++)
        rows[i] = i * 37 % N_ROWS;
    write_rows(dir, rows, N_ROWS, N_ROWS);
    struct doctor_report report = examine(dir);
    CHECK_U64(report.stat.clips, N_ROWS);
    CHECK_U64(report.aliases, 0);
    CHECK(report.jumps > N_ROWS / 2);
    CHECK(report.free_bytes > 0); /* of the tree's older pages */
    CHECK_U64(report.record_bytes, N_ROWS * 2 * (uint64_t)sysconf(_SC_PAGESIZE));
    CHECK_U64(report.slack_bytes, report.record_bytes - N_ROWS * (N_VALUES + RECORD_HEADER_BYTES));
    CHECK_OK(store_compact(dir, &compacted, &e), &e);
    report = examine(dir);
    CHECK_U64(report.jumps, 0);
    CHECK(report.n_readers >= 1);
    CHECK_U64(report.n_generations, 0);
    fixture_remove(dir);
}

static void test_aliases_and_generations(void)
{
    struct err e = {0};
    uint64_t rows[N_ROWS];
    char dir[PATH_BYTES], folder[PATH_BYTES];
    fixture_dir(dir);
    for (uint64_t i = 0; i < N_ROWS; i++)
        rows[i] = i;
    write_rows(dir, rows, N_ROWS, 10);
    CHECK_OK(store_retire(dir, folder, &e), &e);
    write_rows(dir, rows, N_ROWS, 10);
    struct doctor_report report = examine(dir);
    CHECK_U64(report.aliases, N_ROWS - 10);
    CHECK_U64(report.jumps, 0);
    CHECK_U64(report.n_generations, 1);
    CHECK_U64(report.record_bytes, 10 * 2 * (uint64_t)sysconf(_SC_PAGESIZE));
    fixture_remove(dir);
}

/* What was just written is in the page cache. */
static void test_residency(void)
{
    uint64_t rows[N_ROWS];
    char dir[PATH_BYTES];
    fixture_dir(dir);
    for (uint64_t i = 0; i < N_ROWS; i++)
        rows[i] = i;
    write_rows(dir, rows, N_ROWS, N_ROWS);
    struct doctor_report report = examine(dir);
    CHECK(report.resident_bytes > report.stat.file_bytes / 2);
    CHECK(report.resident_bytes < report.stat.file_bytes + (uint64_t)sysconf(_SC_PAGESIZE));
    fixture_remove(dir);
}

/* The formula against the thing: a cache of c * N records, fresh permutations, the least recently
 * used one thrown out. */
static double simulate_lru(double c, struct rng *r)
{
    enum { N = 2000, EPOCHS = 12 };
    uint64_t used[N] = {0}, order[N], clock = 0, hits = 0;
    for (uint64_t i = 0; i < N; i++)
        order[i] = i;
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        for (uint64_t i = N; i > 1; i--) {
            uint64_t j = rng_below(r, i), t = order[i - 1];
            order[i - 1] = order[j];
            order[j] = t;
        }
        for (size_t i = 0; i < N; i++) {
            /* In the cache: fewer than c * N others were used since. */
            uint64_t mine = used[order[i]], since = 0;
            for (size_t k = 0; k < N; k++)
                since += used[k] > mine;
            hits += epoch > 1 && mine > 0 && (double)since < c * N;
            used[order[i]] = ++clock;
        }
    }
    return (double)hits / (N * (EPOCHS - 2));
}

static void test_hit_rates(void)
{
    static const double parts[] = {0.25, 0.5, 0.8};
    enum { PURPOSE = 77 };
    struct rng r;
    rng_init(&r, 4, PURPOSE, 0);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        CHECK_NEAR(doctor_lru_hit_rate(parts[i]), simulate_lru(parts[i], &r), 0.01);
    CHECK(doctor_lru_hit_rate(0) == 0 && doctor_lru_hit_rate(1) == 1);
}

int main(void)
{
    RUN(test_layout);
    RUN(test_aliases_and_generations);
    RUN(test_residency);
    RUN(test_hit_rates);
    return test_done();
}
