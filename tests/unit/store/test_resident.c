#include "store/pin.h"
#include "tests/unit/store/fixture.h"

/*
 * A reader that stays small: pages of the map that were read are no longer in its resident memory,
 * and the next read finds them as they were. 24 MB of records, of which at most half, with
 * neighbours, may stay.
 */
enum { SIDE = 128, N_VALUES = SIDE * SIDE, N_ROWS = 1536, BATCH = 32 };

static char dir[PATH_BYTES];

static void write_rows(void)
{
    struct err e = {0};
    struct store_recipe recipe = {.spec_hash = 5, .dtype = RECORD_RAW, .text = "resident=1\n"};
    struct store_writer_params params = fixture_params();
    struct record_info meta = {.n_frames = SIDE, .n_mels = SIDE, .spec_hash = 5};
    struct record_encoder *enc = record_encoder_new(RECORD_RAW, 1);
    struct store_writer *w = NULL;
    struct buf record;
    float *db = mem_alloc(N_VALUES, sizeof *db);
    buf_init(&record, RECORD_MAX_BYTES);
    CHECK_OK(store_writer_open(dir, &recipe, &params, &w, &e), &e);
    fixture_clip(1, SIDE, SIDE, db);
    for (uint64_t row = 0; row < N_ROWS; row++) {
        bool added;
        db[row] = db[row] < -40.0F ? -20.0F : -60.0F; /* no two records are equal */
        CHECK_OK(record_encode(enc, db, FIXTURE_TOP_DB, &meta, &record, &e), &e);
        struct store_view view = {store_key(row, 0, 0), buf_span(&record), ""};
        struct store_track track = {row, "TR", 0, &view, 1};
        CHECK_OK(store_put_track(w, &track, 0, &added, &e), &e);
    }
    CHECK_OK(store_commit(w, &e), &e);
    store_writer_close(w);
    mem_free(db);
    record_encoder_free(enc);
    buf_release(&record);
}

/* Resident pages of files, those of tmpfs among them. */
static size_t mapped_kib(void)
{
    FILE *f = fopen("/proc/self/status", "re");
    char line[256];
    size_t sum = 0, kib;
    CHECK(f != NULL);
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "RssFile: %zu", &kib) == 1 || sscanf(line, "RssShmem: %zu", &kib) == 1)
            sum += kib;
    if (f != NULL)
        fclose(f);
    return sum;
}

/* Every record once, the sum of all values; how much more is resident behind it than before. */
static double read_all(struct store *s, size_t *out_grown_kib)
{
    static float db[BATCH * N_VALUES];
    struct err e = {0};
    size_t before = mapped_kib(), after;
    double sum = 0.0;
    for (uint64_t row = 0; row < N_ROWS; row += BATCH) {
        uint64_t keys[BATCH];
        for (uint64_t i = 0; i < BATCH; i++)
            keys[i] = store_key(row + i, 0, 0);
        CHECK_OK(store_read_batch(s, keys, BATCH, SIDE, SIDE, db, &e), &e);
        for (size_t i = 0; i < BATCH * N_VALUES; i++)
            sum += (double)db[i];
    }
    after = mapped_kib();
    *out_grown_kib = after > before ? after - before : 0;
    return sum;
}

static void test_stays_small(void)
{
    struct err e = {0};
    struct store *plain = NULL, *small = NULL, *pinned = NULL;
    struct store_snapshot snap = {0};
    struct store_pin_report report;
    size_t grown, grown_small, unused;
    CHECK_OK(store_open(dir, &plain, &e), &e);
    double sum = read_all(plain, &grown);
    store_close(plain);
    CHECK_OK(store_open(dir, &small, &e), &e);
    store_stay_small(small);
    CHECK(read_all(small, &grown_small) == sum);
    CHECK(read_all(small, &unused) == sum);
    store_close(small);
    printf("# resident: %zu KiB more, %zu where it stays small\n", grown, grown_small);
    CHECK(grown > N_ROWS * N_VALUES / 1024 * 9 / 10);
    CHECK(grown_small < grown / 2);
    /* what is pinned is no page of the map, and stays what it is */
    CHECK_OK(store_open(dir, &pinned, &e), &e);
    store_stay_small(pinned);
    CHECK_OK(store_snapshot_init(pinned, &snap, &e), &e);
    CHECK_OK(store_pin(pinned, &snap, N_ROWS * N_VALUES / 2, &report, &e), &e);
    CHECK(report.records > N_ROWS / 4);
    CHECK(read_all(pinned, &unused) == sum);
    CHECK(read_all(pinned, &unused) == sum);
    store_snapshot_release(&snap);
    store_close(pinned);
}

int main(void)
{
    fixture_dir(dir);
    write_rows();
    RUN(test_stays_small);
    fixture_remove(dir);
    return test_done();
}
