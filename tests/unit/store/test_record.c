#include "base/hash.h"
#include "store/filter.h"
#include "store/quad.h"
#include "tests/unit/store/fixture.h"

/* Half a step of the grid, and what float32 rounding near 80 may add. */
#define HALF_STEP_U8_DB (80.0 / 255 / 2 + 1e-5)
#define HALF_STEP_U12_DB (80.0 / 4095 / 2 + 1e-5)

enum { DTYPE_FIRST = RECORD_U12, DTYPE_NONE = 6 }; /* numbers that are dtypes, but for one */

struct shape {
    size_t n_frames, n_mels;
};
static const struct shape shapes[] = {{1, 1},   {1, 31},  {3, 32},    {5, 33}, {7, 64},
                                      {40, 97}, {2, 128}, {431, 128}, {5, 256}};

static float *clip_new(struct shape s, uint64_t item)
{
    float *db = mem_alloc_aligned(s.n_frames * s.n_mels, sizeof *db);
    fixture_clip(item, s.n_frames, s.n_mels, db);
    return db;
}

static void check_round_trip(enum record_dtype dtype, int level, struct shape s,
                             double max_err_allowed)
{
    struct err e = {0};
    struct buf record, again;
    size_t n = s.n_frames * s.n_mels;
    float *db = clip_new(s, n), *back = mem_zalloc(n, sizeof *back);
    struct record_encoder *enc = record_encoder_new(dtype, level);
    struct record_decoder *dec = record_decoder_new();
    struct record_info meta = {.n_frames = (uint32_t)s.n_frames,
                               .n_mels = (uint32_t)s.n_mels,
                               .ref_db = 12.25F,
                               .start_ms = 4321,
                               .spec_hash = 99,
                               .source_id = 77};
    struct record_info info = {0};
    buf_init(&record, RECORD_MAX_BYTES);
    buf_init(&again, RECORD_MAX_BYTES);

    CHECK_OK(record_encode(enc, db, 80, &meta, &record, &e), &e);
    CHECK_OK(record_encode(enc, db, 80, &meta, &again, &e), &e);
    CHECK(record.len == again.len && memcmp(record.data, again.data, record.len) == 0);

    CHECK_OK(record_parse(buf_span(&record), &info, &e), &e);
    CHECK(info.dtype == dtype);
    CHECK_U64(info.n_frames, s.n_frames);
    CHECK_U64(info.n_mels, s.n_mels);
    CHECK_U64(info.start_ms, 4321);
    CHECK_U64(info.spec_hash, 99);
    CHECK_U64(info.source_id, 77);
    CHECK(info.ref_db == 12.25F);
    CHECK_OK(record_verify(buf_span(&record), &e), &e);
    CHECK_OK(record_decode(dec, buf_span(&record), back, n, &e), &e);

    /* The certificate is what a reader finds when it recomputes it. */
    double max_err = 0, square = 0;
    for (size_t i = 0; i < n; i++) {
        double diff = fabs((double)db[i] - (double)back[i]);
        max_err = diff > max_err ? diff : max_err;
        square += diff * diff;
    }
    CHECK_NEAR(info.max_err_db, max_err, 1e-7);
    CHECK_NEAR(info.rms_err_db, sqrt(square / (double)n), 1e-7);
    CHECK(max_err <= max_err_allowed);
    if (dtype == RECORD_F32)
        CHECK(memcmp(db, back, n * sizeof *db) == 0);

    record_encoder_free(enc);
    record_decoder_free(dec);
    buf_release(&record);
    buf_release(&again);
    mem_free(db);
    mem_free(back);
}

static void check_all_shapes(enum record_dtype dtype, double max_err_allowed)
{
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        check_round_trip(dtype, 1, shapes[i], max_err_allowed);
        check_round_trip(dtype, RECORD_LEVEL_NONE, shapes[i], max_err_allowed);
    }
}

static void test_round_trip_u8(void)
{
    check_all_shapes(RECORD_U8, HALF_STEP_U8_DB);
}

static void test_round_trip_u12(void)
{
    check_all_shapes(RECORD_U12, HALF_STEP_U12_DB);
}

static void test_round_trip_f32(void)
{
    check_all_shapes(RECORD_F32, 0);
}

static void test_round_trip_raw(void)
{
    check_all_shapes(RECORD_RAW, HALF_STEP_U8_DB);
}

static void test_round_trip_archive(void)
{
    check_all_shapes(RECORD_ARCHIVE, HALF_STEP_U8_DB);
}

/* u8, raw and archive differ in bytes, not in what is read. */
static void test_packings_hold_the_same(void)
{
    static const enum record_dtype packings[] = {RECORD_U8, RECORD_RAW, RECORD_ARCHIVE};
    struct err e = {0};
    struct shape s = {431, 128};
    size_t n = s.n_frames * s.n_mels, bytes[ARRAY_LEN(packings)];
    float *db = clip_new(s, 3), *want = mem_alloc_aligned(n, sizeof *want);
    float *got = mem_alloc_aligned(n, sizeof *got);
    uint8_t *levels = mem_alloc(n, 1), *want_levels = mem_alloc(n, 1);
    struct record_decoder *dec = record_decoder_new();
    struct record_info meta = {.n_frames = 431, .n_mels = 128};
    for (size_t i = 0; i < ARRAY_LEN(packings); i++) {
        struct record_encoder *enc = record_encoder_new(packings[i], 1);
        struct buf record;
        buf_init(&record, RECORD_MAX_BYTES);
        CHECK_OK(record_encode(enc, db, 80, &meta, &record, &e), &e);
        record_decoder_stream(dec, i % 2 == 1);
        CHECK_OK(record_decode(dec, buf_span(&record), i == 0 ? want : got, n, &e), &e);
        CHECK_OK(record_decode_levels(dec, buf_span(&record), i == 0 ? want_levels : levels, n, &e),
                 &e);
        CHECK(i == 0 || memcmp(got, want, n * sizeof *got) == 0);
        CHECK(i == 0 || memcmp(levels, want_levels, n) == 0);
        bytes[i] = record.len;
        buf_release(&record);
        record_encoder_free(enc);
    }
    CHECK_U64(bytes[1], RECORD_HEADER_BYTES + n);
    CHECK(bytes[2] < bytes[1] && bytes[0] < bytes[1]);
    record_decoder_free(dec);
    mem_free(db);
    mem_free(want);
    mem_free(got);
    mem_free(levels);
    mem_free(want_levels);
}

/* Values that are no decibels, as chroma are. */
static void test_other_ranges(void)
{
    enum { N_FRAMES = 30, N_BANDS = 12, N = N_FRAMES * N_BANDS };
    struct err e = {0};
    struct record_info meta = {.n_frames = N_FRAMES, .n_mels = N_BANDS}, info;
    float values[N], back[N];
    struct rng r;
    struct buf record;
    struct record_decoder *dec = record_decoder_new();
    buf_init(&record, RECORD_MAX_BYTES);
    rng_init(&r, 5, FIXTURE_PURPOSE, 0);
    for (size_t i = 0; i < N; i++)
        values[i] = (float)rng_range(&r, 0, 1);
    for (int dtype = DTYPE_FIRST; dtype < RECORD_DTYPES; dtype++) {
        if (dtype == DTYPE_NONE)
            continue;
        struct record_encoder *enc = record_encoder_new((enum record_dtype)dtype, 1);
        double half_step = dtype == RECORD_F32 ? 0 : dtype == RECORD_U12 ? 0.5 / 4095 : 0.5 / 255;
        CHECK_OK(record_encode_range(enc, values, 0, 1, &meta, &record, &e), &e);
        CHECK_OK(record_parse(buf_span(&record), &info, &e), &e);
        CHECK_OK(record_decode(dec, buf_span(&record), back, N, &e), &e);
        CHECK((double)info.max_err_db <= half_step + 1e-6);
        for (size_t i = 0; i < N; i++)
            CHECK_NEAR(back[i], values[i], half_step + 1e-6);
        values[7] = 1.5F;
        CHECK(record_encode_range(enc, values, 0, 1, &meta, &record, &e) == (dtype == RECORD_F32));
        values[7] = 0.5F;
        record_encoder_free(enc);
    }
    CHECK(strstr(e.msg, "frame 0, mel 7") && strstr(e.msg, "0 to 1"));
    buf_release(&record);
    record_decoder_free(dec);
}

/* Every level and every change of level survives, at any grid. */
static void test_all_levels(void)
{
    enum { N_MELS = 64 };
    struct err e = {0};
    for (int dtype = DTYPE_FIRST; dtype < RECORD_DTYPES; dtype++) {
        if (dtype == RECORD_F32 || dtype == DTYPE_NONE)
            continue;
        uint32_t max_level = dtype == RECORD_U12 ? 4095 : 255;
        size_t n_frames = max_level + 1, n = n_frames * N_MELS;
        float *db = mem_alloc(n, sizeof *db), *back = mem_alloc(n, sizeof *back);
        struct filter_grid grid = filter_grid_make(-60, 0, max_level);
        for (size_t t = 0; t < n_frames; t++) {
            for (size_t m = 0; m < N_MELS; m++)
                db[t * N_MELS + m] =
                    (float)(t * (2 * m + 1) % (max_level + 1)) * grid.scale + grid.offset;
        }
        struct record_encoder *enc = record_encoder_new((enum record_dtype)dtype, 1);
        struct record_decoder *dec = record_decoder_new();
        struct record_info meta = {.n_frames = (uint32_t)n_frames, .n_mels = N_MELS}, info;
        struct buf record;
        buf_init(&record, RECORD_MAX_BYTES);
        CHECK_OK(record_encode(enc, db, 60, &meta, &record, &e), &e);
        CHECK_OK(record_decode(dec, buf_span(&record), back, n, &e), &e);
        CHECK(memcmp(db, back, n * sizeof *db) == 0);
        CHECK(record_parse(buf_span(&record), &info, &e) && info.max_err_db == 0);
        buf_release(&record);
        record_encoder_free(enc);
        record_decoder_free(dec);
        mem_free(db);
        mem_free(back);
    }
}

/* The vector kernels against their definitions, on bytes that no encoder would write too. */
static void test_kernels_equal_plain(void)
{
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        struct shape s = shapes[i];
        size_t n = s.n_frames * s.n_mels;
        uint8_t *planes = mem_alloc(n, 4);
        float *fast = mem_alloc_aligned(n, sizeof *fast), *plain = mem_alloc(n, sizeof *plain);
        struct rng r;
        rng_init(&r, 3, FIXTURE_PURPOSE, i);
        for (size_t j = 0; j < 4 * n; j++)
            planes[j] = (uint8_t)rng_u32(&r);
        struct filter_grid grid = filter_grid_make(-80, 0, 255);
        uint8_t level[RECORD_MELS_MAX] = {0};
        struct filter_rows rows = {planes, s.n_mels, s.n_frames, s.n_mels, level};
        filter_rows_to_db_plain(&rows, grid, plain);
        for (int stream = 0; stream <= 1; stream++) {
            memset(fast, 0, n * sizeof *fast);
            memset(level, 0, sizeof level);
            filter_rows_to_db(&rows, grid, stream, fast);
            CHECK(memcmp(fast, plain, n * sizeof *fast) == 0);
        }
        uint8_t *levels = mem_alloc(n, 1);
        memset(level, 0, sizeof level);
        filter_rows_to_levels(&rows, levels);
        size_t differ = 0;
        for (size_t j = 0; j < n; j++)
            differ += (float)levels[j] * grid.scale + grid.offset != plain[j];
        CHECK_U64(differ, 0);
        for (int stream = 0; stream <= 1; stream++) {
            memset(fast, 0, n * sizeof *fast);
            filter_levels_to_db(levels, n, grid, stream, fast);
            CHECK(memcmp(fast, plain, n * sizeof *fast) == 0);
        }
        mem_free(levels);
        grid = filter_grid_make(-80, 0, 4095);
        filter_restore_u12(planes, s.n_frames, s.n_mels, grid, fast);
        filter_restore_u12_plain(planes, s.n_frames, s.n_mels, grid, plain);
        CHECK(memcmp(fast, plain, n * sizeof *fast) == 0);
        filter_restore_f32(planes, s.n_frames, s.n_mels, fast);
        filter_restore_f32_plain(planes, s.n_frames, s.n_mels, plain);
        CHECK(memcmp(fast, plain, n * sizeof *fast) == 0);
        mem_free(planes);
        mem_free(fast);
        mem_free(plain);
    }
}

static void test_bad_values_refused(void)
{
    static const float bad[] = {0.01F, -80.01F, NAN, INFINITY, -INFINITY};
    for (int dtype = DTYPE_FIRST; dtype < RECORD_DTYPES; dtype++) {
        if (dtype == DTYPE_NONE)
            continue;
        struct record_encoder *enc = record_encoder_new((enum record_dtype)dtype, 1);
        struct record_info meta = {.n_frames = 4, .n_mels = 5};
        struct buf record;
        float db[20];
        buf_init(&record, RECORD_MAX_BYTES);
        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
            struct err e = {0};
            for (size_t j = 0; j < ARRAY_LEN(db); j++)
                db[j] = -10;
            db[13] = bad[i];
            bool ok = record_encode(enc, db, 80, &meta, &record, &e);
            CHECK(ok == (dtype == RECORD_F32 && isfinite(bad[i])));
            CHECK(ok || e.kind == ERR_PERM);
            CHECK(ok || strstr(e.msg, "frame 2, mel 3"));
        }
        struct err e = {0};
        meta.n_mels = RECORD_MELS_MAX + 1;
        CHECK(!record_encode(enc, db, 80, &meta, &record, &e) && e.kind == ERR_PERM);
        buf_release(&record);
        record_encoder_free(enc);
    }
}

/* Any single flipped bit is found, and no damage takes the decoder out of its bounds (run this
 * under AddressSanitizer). */
static void check_damage_is_found(enum record_dtype dtype)
{
    struct err e = {0};
    struct buf record;
    float back[FIXTURE_FRAMES * FIXTURE_MELS];
    struct record_encoder *enc = record_encoder_new(dtype, 1);
    struct record_decoder *dec = record_decoder_new();
    buf_init(&record, RECORD_MAX_BYTES);
    CHECK_OK(fixture_record(enc, 5, &record, &e), &e);
    for (size_t i = 0; i < record.len * 8; i++) {
        record.data[i / 8] ^= (uint8_t)(1 << i % 8);
        if (record_verify(buf_span(&record), &e))
            test_fail(__FILE__, __LINE__, "a flipped bit went unnoticed");
        if (!record_decode(dec, buf_span(&record), back, ARRAY_LEN(back), &e))
            CHECK(e.kind == ERR_PERM);
        record.data[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t len = 0; len < record.len; len++)
        CHECK(!record_decode(dec, (struct span){record.data, len}, back, ARRAY_LEN(back), &e));
    CHECK(!record_decode(dec, buf_span(&record), back, ARRAY_LEN(back) - 1, &e));
    CHECK_OK(record_decode(dec, buf_span(&record), back, ARRAY_LEN(back), &e), &e);
    buf_release(&record);
    record_encoder_free(enc);
    record_decoder_free(dec);
}

static void test_damage_is_found(void)
{
    check_damage_is_found(RECORD_U8);
    check_damage_is_found(RECORD_RAW);
    check_damage_is_found(RECORD_ARCHIVE);
}

/* The layout of docs/FORMAT.md, byte by byte, so that no change of it goes unnoticed. */
static void test_header_layout(void)
{
    struct err e = {0};
    struct record_encoder *enc = record_encoder_new(RECORD_U8, RECORD_LEVEL_NONE);
    struct record_info meta = {.n_frames = 2,
                               .n_mels = 3,
                               .ref_db = 1.0F,
                               .start_ms = 0x01020304,
                               .spec_hash = UINT64_C(0x1112131415161718),
                               .source_id = UINT64_C(0x2122232425262728)};
    static const float db[6] = {-80, -40, 0, -80, 0, -40};
    static const uint8_t want[] = {
        'R', 'F', 'R',  '1',  1,    0,    6, 7, 3,    0,    2, 0, 40,   0,
        0,   0,   0xa1, 0xa0, 0xa0, 0x3e, 0, 0, 0xa0, 0xc2, 0, 0, 0x80, 0x3f,
    };
    static const uint8_t want_tail[] = {
        4,    3,    2,    1,    0x18, 0x17, 0x16, 0x15, 0x14, 0x13,
        0x12, 0x11, 0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21,
    };
    /* Differences 0, 128, 255 and 0, 127, 129, folded 0, 255, 1 and 0, 254, 253. One block of no
     * low bits, and so 0, 3, 1 and 0, 3, 3 with escapes 252, 251, 250. */
    static const uint8_t want_payload[4 + 1 + QUAD_HIGH_BYTES + 3] = {
        0, 0, 0, 0, 0, [5] = 3 << 2 | 1 << 4, [9] = 3 << 2 | 3 << 4, [37] = 252, 251, 250};
    struct buf record;
    buf_init(&record, RECORD_MAX_BYTES);
    CHECK_OK(record_encode(enc, db, 80, &meta, &record, &e), &e);
    CHECK_U64(record.len, RECORD_HEADER_BYTES + sizeof want_payload);
    CHECK(memcmp(record.data, want, sizeof want) == 0);
    CHECK(memcmp(record.data + 36, want_tail, sizeof want_tail) == 0);
    CHECK(memcmp(record.data + 64, want_payload, sizeof want_payload) == 0);
    uint64_t sum = hash64(record.data + 64, sizeof want_payload, hash64(record.data, 56, 0));
    CHECK(memcmp(record.data + 56, &sum, 8) == 0);
    buf_release(&record);
    record_encoder_free(enc);
}

static void test_unpad(void)
{
    struct err e = {0};
    struct record_encoder *enc = record_encoder_new(RECORD_U8, 1);
    struct buf record;
    struct record_info info;
    static const uint8_t zeros[300];
    buf_init(&record, RECORD_MAX_BYTES);
    CHECK_OK(fixture_record(enc, 6, &record, &e), &e);
    size_t len = record.len;
    CHECK(buf_append(&record, zeros, sizeof zeros, &e));
    CHECK(!record_parse(buf_span(&record), &info, &e));
    CHECK_U64(record_unpad(buf_span(&record)).len, len);
    CHECK_U64(record_unpad((struct span){record.data, 10}).len, 10);
    CHECK_U64(record_unpad((struct span){record.data, 100}).len, 100);
    buf_release(&record);
    record_encoder_free(enc);
}

static void test_dtype_names(void)
{
    struct err e = {0};
    for (int t = DTYPE_FIRST; t < RECORD_DTYPES; t++) {
        enum record_dtype parsed = RECORD_DTYPES;
        if (t == DTYPE_NONE)
            continue;
        CHECK(record_dtype_check((uint64_t)t, &e));
        CHECK(record_dtype_parse(record_dtype_name((enum record_dtype)t), &parsed));
        CHECK((int)parsed == t);
    }
    enum record_dtype parsed;
    CHECK(!record_dtype_parse("bf16", &parsed));
    CHECK(!record_dtype_check(0, &e) && strstr(e.msg, "dtype 0 is unknown"));
    CHECK(!record_dtype_check(RECORD_DTYPES, &e));
}

/* What earlier versions called u8 and fast is refused, with what to do, and never misread. */
static void test_earlier_codings(void)
{
    static const uint8_t earlier[] = {1, 6};
    struct err e = {0};
    struct buf record;
    struct record_info info;
    struct record_encoder *enc = record_encoder_new(RECORD_U8, 1);
    buf_init(&record, RECORD_MAX_BYTES);
    CHECK_OK(fixture_record(enc, 7, &record, &e), &e);
    for (size_t i = 0; i < ARRAY_LEN(earlier); i++) {
        record.data[7] = earlier[i];
        CHECK(!record_parse(buf_span(&record), &info, &e) && e.kind == ERR_PERM);
        CHECK(strstr(e.msg, "refrain store retire"));
    }
    buf_release(&record);
    record_encoder_free(enc);
}

int main(void)
{
    RUN(test_round_trip_u8);
    RUN(test_round_trip_u12);
    RUN(test_round_trip_f32);
    RUN(test_round_trip_raw);
    RUN(test_round_trip_archive);
    RUN(test_packings_hold_the_same);
    RUN(test_other_ranges);
    RUN(test_all_levels);
    RUN(test_kernels_equal_plain);
    RUN(test_bad_values_refused);
    RUN(test_damage_is_found);
    RUN(test_header_layout);
    RUN(test_unpad);
    RUN(test_dtype_names);
    RUN(test_earlier_codings);
    return test_done();
}
