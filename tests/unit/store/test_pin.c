#include "store/pin.h"
#include "store/reader.h"
#include "tests/unit/store/fixture.h"

/* The pinned part: the same values, within its budget, and really read from memory. */
enum { N_VALUES = FIXTURE_FRAMES * FIXTURE_MELS, N_ROWS = 120, N_KEYS = N_ROWS * FIXTURE_VIEWS };

static void make(char dir[PATH_BYTES], struct store **s, struct store_snapshot *snap)
{
    struct err e = {0};
    uint64_t rows[N_ROWS];
    for (uint64_t i = 0; i < N_ROWS; i++)
        rows[i] = i * 7 % N_ROWS;
    fixture_dir(dir);
    CHECK_OK(fixture_write(dir, rows, N_ROWS, 20, &e), &e);
    CHECK_OK(store_open(dir, s, &e) && store_snapshot_init(*s, snap, &e), &e);
}

static void drop(const char *dir, struct store *s, struct store_snapshot *snap)
{
    store_snapshot_release(snap);
    store_close(s);
    fixture_remove(dir);
}

static void check_values(struct store *s, const struct store_snapshot *snap)
{
    struct err e = {0};
    float *got = mem_alloc((size_t)N_KEYS * N_VALUES, sizeof *got), want[N_VALUES];
    size_t wrong = 0;
    store_prefetch(s, snap->keys, snap->n_keys);
    CHECK_OK(store_read_batch(s, snap->keys, N_KEYS, FIXTURE_FRAMES, FIXTURE_MELS, got, &e), &e);
    for (size_t i = 0; i < N_KEYS; i++) {
        uint64_t item =
            store_key_row(snap->keys[i]) * FIXTURE_VIEWS + store_key_view(snap->keys[i]);
        fixture_clip(item, FIXTURE_FRAMES, FIXTURE_MELS, want);
        for (size_t j = 0; j < N_VALUES; j++)
            wrong += !(fabsf(got[i * N_VALUES + j] - want[j]) <= 0.157F);
    }
    CHECK_U64(wrong, 0);
    mem_free(got);
}

static void test_budgets(void)
{
    static const double parts[] = {0.1, 0.5, 1.5};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        struct err e = {0};
        struct store *s = NULL;
        struct store_snapshot snap = {0};
        struct store_stat st;
        struct store_pin_report report = {0};
        char dir[PATH_BYTES];
        make(dir, &s, &snap);
        CHECK_OK(store_stat(s, &st, &e), &e);
        uint64_t budget = (uint64_t)(parts[i] * (double)st.payload_bytes);
        CHECK_OK(store_pin(s, &snap, budget, &report, &e), &e);
        CHECK(report.bytes <= budget);
        CHECK_NEAR(report.fraction, fmin(1, parts[i]), 0.12); /* 360 draws, and the table */
        CHECK_U64(report.records, (uint64_t)(report.fraction * N_KEYS + 0.5));
        check_values(s, &snap);
        CHECK(!store_pin(s, &snap, budget, &report, &e) && e.kind == ERR_USAGE);
        drop(dir, s, &snap);
    }
}

static void test_too_little(void)
{
    struct err e = {0};
    struct store *s = NULL;
    struct store_snapshot snap = {0};
    struct store_pin_report report;
    char dir[PATH_BYTES];
    make(dir, &s, &snap);
    CHECK(!store_pin(s, &snap, 10, &report, &e) && e.kind == ERR_USAGE);
    check_values(s, &snap);
    drop(dir, s, &snap);
}

/* As many addresses lie in the copy as the report says, and damage there is found like any. */
static void test_reads_come_from_memory(void)
{
    struct err e = {0};
    struct store *s = NULL;
    struct store_snapshot snap = {0};
    struct store_stat st;
    struct store_pin_report report = {0};
    char dir[PATH_BYTES];
    float out[N_VALUES];
    uint64_t n_read = 0;
    make(dir, &s, &snap);
    CHECK_OK(store_stat(s, &st, &e), &e);
    CHECK_OK(store_pin(s, &snap, st.payload_bytes / 2, &report, &e), &e);
    for (size_t i = 0; i < N_KEYS; i++) {
        struct store_seat *seat;
        MDB_val value;
        CHECK_OK(store_enter(s, &seat, &e) && store_lookup(s, seat, snap.keys[i], &value, &e), &e);
        bool pinned = pin_holds(s->pin, value.mv_data);
        store_leave(s, seat);
        n_read += pinned;
        if (pinned)
            ((uint8_t *)value.mv_data)[RECORD_HEADER_BYTES + 5] ^= 1;
        CHECK(pinned !=
              store_read_batch(s, &snap.keys[i], 1, FIXTURE_FRAMES, FIXTURE_MELS, out, &e));
    }
    CHECK(strstr(e.msg, "checksum"));
    CHECK_U64(n_read, report.records);
    drop(dir, s, &snap);
}

/* Which of the records are pinned. */
static void pinned_keys(struct store *s, const struct store_snapshot *snap, bool pinned[N_KEYS])
{
    struct err e = {0};
    struct store_seat *seat;
    MDB_val value;
    for (size_t i = 0; i < N_KEYS; i++) {
        CHECK_OK(store_enter(s, &seat, &e) && store_lookup(s, seat, snap->keys[i], &value, &e), &e);
        pinned[i] = pin_holds(s->pin, value.mv_data);
        store_leave(s, seat);
    }
}

/* The draw is a function of the keys: another handle of the same data pins the same records, and
 * they are spread over the list, so that any order finds its share. */
static void test_draw(void)
{
    enum { PARTS = 6 };
    struct err e = {0};
    struct store *s = NULL, *other = NULL;
    struct store_snapshot snap = {0};
    struct store_stat st;
    struct store_pin_report report = {0}, again = {0};
    char dir[PATH_BYTES];
    bool first[N_KEYS], second[N_KEYS];
    make(dir, &s, &snap);
    CHECK_OK(store_stat(s, &st, &e), &e);
    CHECK_OK(store_pin(s, &snap, st.payload_bytes / 2, &report, &e), &e);
    pinned_keys(s, &snap, first);
    CHECK_OK(store_open(dir, &other, &e), &e);
    CHECK_OK(store_pin(other, &snap, st.payload_bytes / 2, &again, &e), &e);
    pinned_keys(other, &snap, second);
    CHECK(memcmp(first, second, sizeof first) == 0);
    CHECK_U64(again.bytes, report.bytes);
    /* of the last part what 360 draws left room for */
    for (size_t part = 0; part + 1 < PARTS; part++) {
        size_t n = 0;
        for (size_t i = 0; i < N_KEYS / PARTS; i++)
            n += first[part * (N_KEYS / PARTS) + i];
        /* a half of 60, within 3.6 standard deviations of as many coins */
        CHECK(n >= 16 && n <= 44);
    }
    store_close(other);
    drop(dir, s, &snap);
}

int main(void)
{
    RUN(test_budgets);
    RUN(test_too_little);
    RUN(test_reads_come_from_memory);
    RUN(test_draw);
    return test_done();
}
