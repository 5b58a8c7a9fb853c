#include "base/npy.h"
#include "store/export.h"
#include "store/import.h"
#include "store/reader.h"
#include "store/tar.h"
#include "tests/unit/store/fixture.h"

#include <zlib.h>

/*
 * What an import promises: an export comes back as the store it was, bit for bit; foreign arrays
 * keep their values within the certificate; the same command again changes nothing; what cannot be
 * taken is told and stops nothing. That the files of other libraries are read as those libraries
 * mean them is held against them in tests/golden/store/conformance.py.
 */
enum { N_ROWS = 6, N_VALUES = FIXTURE_FRAMES * FIXTURE_MELS };

static char dir[PATH_BYTES];

static const char *in_dir(const char *name)
{
    static char paths[8][PATH_BYTES];
    static size_t i;
    char *out = paths[i++ % ARRAY_LEN(paths)];
    snprintf(out, PATH_BYTES, "%.3000s/%.255s", dir, name);
    return out;
}

/* ---------------------------------------------------------------- importing */

static char last_refusal[ERR_MSG_BYTES];

static void keep_refusal(void *arg, const char *name, const char *why)
{
    (void)arg;
    (void)name;
    snprintf(last_refusal, sizeof last_refusal, "%s", why);
}

static void ignore_progress(void *arg, uint64_t clips)
{
    (void)arg;
    (void)clips;
}

static struct store_import_params import_params(void)
{
    return (struct store_import_params){.zstd_level = 1,
                                        .lowest = -FIXTURE_TOP_DB,
                                        .scale = 1,
                                        .prefix = "",
                                        .spec = "",
                                        .writer = fixture_params()};
}

static bool import_files(const char *name, const struct store_import_params *params,
                         const char *const *files, size_t n, struct store_import_report *report,
                         struct err *e)
{
    static const struct store_import_listener listener = {keep_refusal, ignore_progress, NULL,
                                                          NULL};
    struct store_import *im;
    last_refusal[0] = '\0';
    if (!store_import_open(in_dir(name), params, &listener, &im, e))
        return false;
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++)
        ok = store_import_file(im, in_dir(files[i]), e);
    ok = ok && store_import_finish(im, report, e);
    store_import_close(im);
    return ok;
}

static bool import_one(const char *name, const struct store_import_params *params, const char *file,
                       struct store_import_report *report, struct err *e)
{
    return import_files(name, params, &file, 1, report, e);
}

/* ---------------------------------------------------------------- what we exported */

static void make_store(const char *name, enum record_dtype dtype)
{
    struct err e = {0};
    struct store_recipe recipe = fixture_recipe();
    struct store_writer_params params = fixture_params();
    struct store_writer *w = NULL;
    struct record_encoder *enc = record_encoder_new(dtype, 1);
    bool added;
    recipe.dtype = dtype;
    CHECK_OK(file_make_dir(in_dir(name), &e) &&
                 store_writer_open(in_dir(name), &recipe, &params, &w, &e),
             &e);
    for (uint64_t row = 3; row < 3 + N_ROWS; row++)
        CHECK_OK(fixture_put(w, enc, row, &added, &e), &e);
    CHECK_OK(store_commit(w, &e), &e);
    store_writer_close(w);
    record_encoder_free(enc);
}

static void check_same_store(const char *a, const char *b)
{
    struct err e = {0};
    struct store *s[2];
    struct store_stat st[2];
    struct record_info info[2];
    char augment[2][STORE_AUGMENT_BYTES];
    struct store_track_info track[2];
    for (size_t i = 0; i < 2; i++) {
        CHECK_OK(store_open(in_dir(i ? b : a), &s[i], &e) && store_stat(s[i], &st[i], &e), &e);
        CHECK_OK(store_get_info(s[i], store_key(4, 0, 2), &info[i], augment[i], &e) &&
                     store_get_track(s[i], 4, &track[i], &e),
                 &e);
        store_close(s[i]);
    }
    CHECK_U64(st[1].root, st[0].root);
    CHECK_U64(st[1].clips, N_ROWS * FIXTURE_VIEWS);
    CHECK_U64(st[1].spec_hash, st[0].spec_hash);
    CHECK_STR(st[1].recipe, st[0].recipe);
    CHECK(st[1].max_err_db == st[0].max_err_db && st[1].rms_err_db == st[0].rms_err_db);
    CHECK_U64(info[1].checksum, info[0].checksum);
    CHECK_STR(augment[1], "gain_db=2");
    CHECK_STR(track[1].track_id, track[0].track_id);
}

/* Every format that can be read back, every way of storing, levels and dB. */
static void test_exports_come_back(void)
{
    static const struct {
        const char *file;
        enum export_format format;
    } formats[] = {{"x.npy", EXPORT_NPY}, {"x.tar", EXPORT_WDS}, {"x.ark", EXPORT_KALDI}};
    static const enum record_dtype dtypes[] = {RECORD_U8, RECORD_U12, RECORD_F32};
    for (size_t d = 0; d < ARRAY_LEN(dtypes); d++) {
        struct store *s;
        struct err e = {0};
        struct export_report exported;
        make_store("from", dtypes[d]);
        for (size_t f = 0; f < 2 * ARRAY_LEN(formats); f++) {
            struct store_import_params params = import_params();
            struct store_import_report r = {0};
            enum export_values values = f % 2 ? EXPORT_LEVELS : EXPORT_DB;
            if (f % 2 && (dtypes[d] != RECORD_U8 || formats[f / 2].format == EXPORT_KALDI))
                continue;
            const char *file = formats[f / 2].file;
            CHECK_OK(store_open(in_dir("from"), &s, &e), &e);
            CHECK_OK(store_export(s, in_dir(file), formats[f / 2].format, values, &exported, &e),
                     &e);
            store_close(s);
            CHECK_OK(import_one("to", &params, file, &r, &e), &e);
            CHECK_U64(r.clips, N_ROWS * FIXTURE_VIEWS);
            CHECK_U64(r.exported_root, r.root);
            check_same_store("from", "to");
            CHECK_OK(import_one("to", &params, file, &r, &e), &e);
            CHECK_U64(r.there, N_ROWS);
            CHECK_U64(r.clips, 0);
            fixture_remove(in_dir("to"));
        }
        fixture_remove(in_dir("from"));
    }
}

/* Files that do not fit their description are not half imported in silence. */
static void test_description_that_does_not_fit(void)
{
    struct err e = {0};
    struct store *s;
    struct export_report exported;
    struct store_import_params params = import_params();
    struct store_import_report r;
    make_store("from", RECORD_F32);
    CHECK_OK(store_open(in_dir("from"), &s, &e) &&
                 store_export(s, in_dir("x.npy"), EXPORT_NPY, EXPORT_DB, &exported, &e),
             &e);
    store_close(s);
    params.dtype = RECORD_U8;
    CHECK(!import_one("to", &params, "x.npy", &r, &e) && e.kind == ERR_USAGE);
    params.dtype = 0;
    uint64_t shape[3] = {N_ROWS * FIXTURE_VIEWS - 1, FIXTURE_FRAMES, FIXTURE_MELS};
    for (size_t i = 0; i < 2; i++, shape[0] += 2) { /* one clip too few, one too many */
        float *values = mem_zalloc(shape[0] * N_VALUES, sizeof *values);
        struct span bytes = {values, shape[0] * N_VALUES * sizeof *values};
        e = (struct err){0};
        CHECK_OK(npy_write(in_dir("x.npy"), "<f4", shape, 3, bytes, &e), &e);
        CHECK(!import_one("to", &params, "x.npy", &r, &e) && e.kind == ERR_FATAL);
        CHECK(strstr(e.msg, i ? "more clips than" : "fewer clips than"));
        mem_free(values);
    }
    fixture_remove(in_dir("to"));
    /* Another program's JSON of the same name is no description. */
    static const char other[] = "{\"clips\": [1, 2], \"recipe\": {\"cake\": \"yes\"}}\n";
    CHECK_OK(file_write_atomic(in_dir("x.json"), (struct span){other, sizeof other - 1}, &e), &e);
    CHECK_OK(import_one("to", &params, "x.npy", &r, &e), &e);
    CHECK_U64(r.tracks, N_ROWS * FIXTURE_VIEWS + 1);
    unlink(in_dir("x.json"));
    fixture_remove(in_dir("from"));
    fixture_remove(in_dir("to"));
}

/* ---------------------------------------------------------------- what others wrote */

static void write_npy(const char *name, const char *descr, uint64_t rows, uint64_t columns,
                      const void *bytes, size_t n_bytes)
{
    struct err e = {0};
    uint64_t shape[2] = {rows, columns};
    CHECK_OK(npy_write(in_dir(name), descr, shape, 2, (struct span){bytes, n_bytes}, &e), &e);
}

static void read_clip(const char *name, uint64_t key, size_t n_frames, size_t n_mels, float *out)
{
    struct err e = {0};
    struct store *s = NULL;
    CHECK_OK(store_open(in_dir(name), &s, &e), &e);
    CHECK_OK(s && store_read_batch(s, &key, 1, (uint32_t)n_frames, (uint32_t)n_mels, out, &e), &e);
    store_close(s);
}

static void test_foreign_values(void)
{
    struct err e = {0};
    float db[N_VALUES], got[N_VALUES];
    double wide[N_VALUES];
    struct store_import_params params = import_params();
    struct store_import_report r;
    params.dtype = RECORD_F32;
    params.spec = "hop=512\nrate_hz=22050\n";
    fixture_clip(1, FIXTURE_FRAMES, FIXTURE_MELS, db);
    write_npy("a.npy", "<f4", FIXTURE_FRAMES, FIXTURE_MELS, db, sizeof db);
    for (size_t i = 0; i < N_VALUES; i++)
        wide[i] = (double)db[i] / 3;
    write_npy("b.npy", "<f8", FIXTURE_FRAMES, FIXTURE_MELS, wide, sizeof wide);
    const char *const both[] = {"a.npy", "b.npy"};
    CHECK_OK(import_files("to", &params, both, 2, &r, &e), &e);
    CHECK_U64(r.tracks, 2);
    read_clip("to", store_key(0, 0, 0), FIXTURE_FRAMES, FIXTURE_MELS, got);
    CHECK(memcmp(got, db, sizeof db) == 0);
    read_clip("to", store_key(1, 0, 0), FIXTURE_FRAMES, FIXTURE_MELS, got);
    double lost = 0;
    for (size_t i = 0; i < N_VALUES; i++)
        lost = fmax(lost, fabs((double)got[i] - wide[i]));
    CHECK(lost > 0);
    CHECK_NEAR(r.max_err_db, lost, 1e-12); /* the certificate, as float32 */
    /* Again, and without saying the features: the store's own count. */
    params.spec = "";
    CHECK_OK(import_files("to", &params, both, 2, &r, &e), &e);
    CHECK_U64(r.there, 2);
    params.spec = "hop=256\n";
    write_npy("c.npy", "<f4", FIXTURE_FRAMES, FIXTURE_MELS, db, sizeof db);
    CHECK(!import_one("to", &params, "c.npy", &r, &e) && e.kind == ERR_USAGE);
    CHECK(strstr(e.msg, "hop=512") && strstr(e.msg, "hop=256"));
    fixture_remove(in_dir("to"));
}

/* The other axis order, below the maximum, cut, scaled. */
static void test_foreign_shapes(void)
{
    enum { FRAMES = 100, MELS = 6, CUT = 40 };
    struct err e = {0};
    float power_db[MELS][FRAMES], got[CUT * MELS];
    struct store *s;
    struct record_info info;
    char augment[STORE_AUGMENT_BYTES];
    struct store_import_params params = import_params();
    struct store_import_report r;
    for (size_t m = 0; m < MELS; m++)
        for (size_t t = 0; t < FRAMES; t++)
            power_db[m][t] = (float)(t * MELS + m) / 2;
    write_npy("mels.npy", "<f4", MELS, FRAMES, power_db, sizeof power_db);
    params.dtype = RECORD_F32;
    params.mels_first = params.relative = true;
    params.lowest = -50;
    params.cut_frames = CUT;
    params.frame_ms = 23.25;
    params.scale = 2;
    CHECK_OK(import_one("to", &params, "mels.npy", &r, &e), &e);
    CHECK_U64(r.clips, 2);
    read_clip("to", store_key(0, 1, 0), CUT, MELS, got);
    for (size_t t = 0; t < CUT; t++)
        for (size_t m = 0; m < MELS; m++) {
            double below = (double)((t + CUT) * MELS + m) - (2 * CUT * MELS - 1);
            CHECK(got[t * MELS + m] == (float)(below < -50 ? -50 : below));
        }
    CHECK_OK(store_open(in_dir("to"), &s, &e) &&
                 store_get_info(s, store_key(0, 1, 0), &info, augment, &e),
             &e);
    store_close(s);
    CHECK_U64(info.start_ms, 930);
    CHECK(info.ref_db == 2 * CUT * MELS - 1);
    fixture_remove(in_dir("to"));
}

static void test_refusals(void)
{
    struct err e = {0};
    float db[N_VALUES];
    uint8_t bytes[N_VALUES] = {0};
    struct store_import_params params = import_params();
    struct store_import_report r;
    fixture_clip(1, FIXTURE_FRAMES, FIXTURE_MELS, db);
    write_npy("good.npy", "<f4", FIXTURE_FRAMES, FIXTURE_MELS, db, sizeof db);
    write_npy("other.npy", "<f4", FIXTURE_MELS, FIXTURE_FRAMES, db, sizeof db);
    write_npy("bytes.npy", "|u1", FIXTURE_FRAMES, FIXTURE_MELS, bytes, sizeof bytes);
    db[7] = 3;
    write_npy("loud.npy", "<f4", FIXTURE_FRAMES, FIXTURE_MELS, db, sizeof db);
    db[7] = NAN;
    write_npy("nan.npy", "<f4", FIXTURE_FRAMES, FIXTURE_MELS, db, sizeof db);
    CHECK_OK(file_write_atomic(in_dir("text"), (struct span){"one two\n", 8}, &e), &e);
    static const struct {
        const char *file, *why;
    } cases[] = {{"other.npy", "24 frames of 40"},
                 {"loud.npy", "is 3"},
                 {"nan.npy", "nan"},
                 {"text", "it is no .npy"},
                 {"nowhere", "cannot open"}};
    CHECK_OK(import_one("to", &params, "good.npy", &r, &e), &e);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *const files[] = {cases[i].file, "good.npy"};
        e = (struct err){0};
        CHECK_OK(import_files("to", &params, files, 2, &r, &e), &e);
        CHECK_U64(r.refused, 1);
        CHECK_U64(r.there, 1); /* the next file was read all the same */
        if (!strstr(last_refusal, cases[i].why))
            CHECK_STR(last_refusal, cases[i].why);
    }
    CHECK(!import_one("to", &params, "bytes.npy", &r, &e) && e.kind == ERR_USAGE);
    db[7] = -1; /* another array, the same name */
    write_npy("good.npy", "<f4", FIXTURE_FRAMES, FIXTURE_MELS, db, sizeof db);
    e = (struct err){0};
    CHECK_OK(import_one("to", &params, "good.npy", &r, &e), &e);
    CHECK(r.refused == 1 && strstr(last_refusal, "--prefix"));
    params.prefix = "again/";
    CHECK_OK(import_one("to", &params, "good.npy", &r, &e), &e);
    CHECK_U64(r.tracks, 1);
    fixture_remove(in_dir("to"));
}

/* One record of a store as its importer left it, (n, 1). */
static void check_column(const char *file, const struct store_import_params *params, uint64_t row,
                         const double *want, size_t n)
{
    struct err e = {0};
    struct store_import_report r = {0};
    float got[8];
    assert(n <= ARRAY_LEN(got));
    CHECK_OK(import_one("to", params, file, &r, &e), &e);
    if (r.refused > 0)
        CHECK_STR(last_refusal, "");
    read_clip("to", store_key(row, 0, 0), n, 1, got);
    for (size_t i = 0; i < n; i++)
        CHECK_NEAR(got[i], want[i], 1e-4);
}

/* Numbers of other sizes and signs and the other order of bytes, written out. */
static void test_kinds_of_numbers(void)
{
    enum { N = 4 };
    static const double want[N] = {-1, -2, -80, 0};
    static const struct {
        const char *descr;
        size_t n_bytes;
        uint8_t bytes[4 * N];
    } kinds[] = {
        {"<i2", 2 * N, {0xff, 0xff, 0xfe, 0xff, 0xb0, 0xff, 0, 0}},
        {">i2", 2 * N, {0xff, 0xff, 0xff, 0xfe, 0xff, 0xb0, 0, 0}},
        {"|i1", N, {0xff, 0xfe, 0xb0, 0}},
        {">i4", 4 * N, {255, 255, 255, 255, 255, 255, 255, 254, 255, 255, 255, 0xb0, 0}},
        {">f4", 4 * N, {0xbf, 0x80, 0, 0, 0xc0, 0, 0, 0, 0xc2, 0xa0, 0, 0, 0}},
        {"<f2", 2 * N, {0, 0xbc, 0, 0xc0, 0, 0xd5, 0, 0}},
    };
    struct store_import_params params = import_params();
    params.dtype = RECORD_F32;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        char name[32];
        snprintf(name, sizeof name, "kind%zu.npy", i);
        write_npy(name, kinds[i].descr, N, 1, kinds[i].bytes, kinds[i].n_bytes);
        check_column(name, &params, i, want, N);
    }
    fixture_remove(in_dir("to"));
}

/* The three ways in which Kaldi compresses, (4, 1) from -80 over a range of 80. */
static void test_kaldi_by_hand(void)
{
    enum { N = 4 };
    static const uint8_t head[16] = {0, 0, 0xa0, 0xc2, 0, 0, 0xa0, 0x42, N, 0, 0, 0, 1};
    static const struct {
        const char *name, *kind;
        uint8_t bytes[12];
        size_t n_bytes;
        double want[N];
    } kinds[] = {
        /* percentiles at 0, 13107, 52428 and 65535 of 65535; values on the ends of the lines */
        {"a.ark",
         "CM ",
         {0, 0, 0x33, 0x33, 0xcc, 0xcc, 0xff, 0xff, 0, 64, 192, 255},
         12,
         {-80, -64, -16, 0}},
        {"b.ark",
         "CM2 ",
         {0, 0, 0x55, 0x55, 0xaa, 0xaa, 0xff, 0xff},
         8,
         {-80, -160 / 3.0, -80 / 3.0, 0}},
        {"c.ark", "CM3 ", {0, 85, 170, 255}, 4, {-80, -160 / 3.0, -80 / 3.0, 0}},
    };
    struct store_import_params params = import_params();
    params.dtype = RECORD_F32;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct err e = {0};
        struct buf ark = {0};
        buf_init(&ark, 1 << 10);
        CHECK_OK(buf_append(&ark, kinds[i].name, 1, &e) && buf_append(&ark, " \0B", 3, &e) &&
                     buf_append(&ark, kinds[i].kind, strlen(kinds[i].kind), &e) &&
                     buf_append(&ark, head, sizeof head, &e) &&
                     buf_append(&ark, kinds[i].bytes, kinds[i].n_bytes, &e) &&
                     file_write_atomic(in_dir(kinds[i].name), buf_span(&ark), &e),
                 &e);
        check_column(kinds[i].name, &params, i, kinds[i].want, N);
        buf_release(&ark);
    }
    fixture_remove(in_dir("to"));
}

/* A tar of two members, by hand; then with a digit turned, in the time of the second, that nobody
 * else looks at. */
static void test_damaged_tar(void)
{
    static const uint8_t zeros[2 * TAR_BLOCK_BYTES];
    struct err e = {0};
    float db[N_VALUES];
    struct buf npy = {0}, tar = {0};
    size_t second_at = 0;
    struct store_import_params params = import_params();
    struct store_import_report r;
    fixture_clip(1, FIXTURE_FRAMES, FIXTURE_MELS, db);
    write_npy("m.npy", "<f4", FIXTURE_FRAMES, FIXTURE_MELS, db, sizeof db);
    buf_init(&npy, 1 << 20);
    buf_init(&tar, 1 << 20);
    CHECK_OK(file_read_all(in_dir("m.npy"), &npy, &e), &e);
    for (int i = 0; i < 2; i++) {
        struct tar_header h = {.mode = "0000644",
                               .mtime = "00000000001",
                               .type = '0',
                               .magic = "ustar",
                               .version = {'0', '0'}};
        snprintf(h.name, sizeof h.name, "%d.npy", i);
        snprintf(h.size, sizeof h.size, "%011zo", npy.len);
        snprintf(h.checksum, sizeof h.checksum, "%06o", tar_checksum(&h));
        second_at = tar.len;
        size_t end = i == 0 ? 0 : 2 * TAR_BLOCK_BYTES;
        CHECK_OK(buf_append(&tar, &h, sizeof h, &e) && buf_append(&tar, npy.data, npy.len, &e) &&
                     buf_append(&tar, zeros, -npy.len % TAR_BLOCK_BYTES, &e) &&
                     buf_append(&tar, zeros, end, &e),
                 &e);
    }
    CHECK_OK(file_write_atomic(in_dir("t.tar"), buf_span(&tar), &e), &e);
    CHECK_OK(import_one("to", &params, "t.tar", &r, &e), &e);
    CHECK(r.tracks == 2 && r.refused == 0);
    fixture_remove(in_dir("to"));
    tar.data[second_at + offsetof(struct tar_header, mtime) + 10] ^= 1;
    CHECK_OK(file_write_atomic(in_dir("t.tar"), buf_span(&tar), &e), &e);
    CHECK_OK(import_one("to", &params, "t.tar", &r, &e), &e);
    CHECK(r.refused == 1 && r.tracks == 1 && strstr(last_refusal, "checksum"));
    fixture_remove(in_dir("to"));
    buf_release(&npy);
    buf_release(&tar);
}

/* The order of axes that a header says, and one that does not say it. */
static void test_npy_headers(void)
{
    enum { N = 2, HEADER_BYTES = 118 };
    static const float values[N * N] = {-1, -2, -3, -4};
    static const struct {
        const char *order;
        float want[N * N];
    } cases[] = {{"'fortran_order': False, ", {-1, -2, -3, -4}},
                 {"'fortran_order': True, ", {-1, -3, -2, -4}},
                 {"", {0}}};
    struct store_import_params params = import_params();
    params.dtype = RECORD_F32;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err e = {0};
        struct store_import_report r;
        struct buf npy = {0};
        char text[HEADER_BYTES + 1], name[16];
        float got[N * N];
        buf_init(&npy, 1 << 10);
        snprintf(name, sizeof name, "order%zu.npy", i);
        int n =
            snprintf(text, sizeof text, "{'descr': '<f4', %s'shape': (2, 2), }", cases[i].order);
        memset(text + n, ' ', (size_t)(HEADER_BYTES - n));
        text[HEADER_BYTES - 1] = '\n';
        CHECK_OK(buf_append(&npy, "\x93NUMPY\1\0v", 9, &e) && buf_append(&npy, "", 1, &e) &&
                     buf_append(&npy, text, HEADER_BYTES, &e) &&
                     buf_append(&npy, values, sizeof values, &e) &&
                     file_write_atomic(in_dir(name), buf_span(&npy), &e) &&
                     import_one("to", &params, name, &r, &e),
                 &e);
        buf_release(&npy);
        CHECK_U64(r.refused, cases[i].order[0] == '\0');
        if (r.refused > 0) {
            CHECK(strstr(last_refusal, ".npy header"));
            continue;
        }
        read_clip("to", store_key(i, 0, 0), N, N, got);
        CHECK(memcmp(got, cases[i].want, sizeof got) == 0);
    }
    fixture_remove(in_dir("to"));
}

/* A zip of one stored member, by hand: as it should be, then with a bit of its array turned. */
static void test_damaged_zip(void)
{
    struct err e = {0};
    float db[N_VALUES];
    struct buf npy = {0}, zip = {0};
    struct store_import_params params = import_params();
    struct store_import_report r;
    fixture_clip(1, FIXTURE_FRAMES, FIXTURE_MELS, db);
    write_npy("m.npy", "<f4", FIXTURE_FRAMES, FIXTURE_MELS, db, sizeof db);
    buf_init(&npy, 1 << 20);
    buf_init(&zip, 1 << 20);
    CHECK_OK(file_read_all(in_dir("m.npy"), &npy, &e), &e);
    uint32_t crc = (uint32_t)crc32(0, npy.data, (uInt)npy.len), n = (uint32_t)npy.len;
    uint8_t local[30] = {'P', 'K', 3, 4, [26] = 5}, entry[46] = {'P', 'K', 1, 2, [28] = 5};
    uint8_t end[22] = {'P', 'K', 5, 6, [10] = 1};
    memcpy(entry + 16, &crc, 4);
    memcpy(entry + 20, &n, 4);
    memcpy(entry + 24, &n, 4);
    uint32_t directory_at = (uint32_t)(sizeof local + 5 + n), directory_bytes = sizeof entry + 5;
    memcpy(end + 12, &directory_bytes, 4);
    memcpy(end + 16, &directory_at, 4);
    CHECK_OK(buf_append(&zip, local, sizeof local, &e) && buf_append(&zip, "m.npy", 5, &e) &&
                 buf_append(&zip, npy.data, npy.len, &e) &&
                 buf_append(&zip, entry, sizeof entry, &e) && buf_append(&zip, "m.npy", 5, &e) &&
                 buf_append(&zip, end, sizeof end, &e),
             &e);
    CHECK_OK(file_write_atomic(in_dir("z.npz"), buf_span(&zip), &e), &e);
    CHECK_OK(import_one("to", &params, "z.npz", &r, &e), &e);
    CHECK_U64(r.tracks, 1);
    fixture_remove(in_dir("to"));
    zip.data[sizeof local + 5 + npy.len - 1] ^= 1;
    CHECK_OK(file_write_atomic(in_dir("z.npz"), buf_span(&zip), &e), &e);
    CHECK_OK(import_one("to", &params, "z.npz", &r, &e), &e);
    CHECK(r.refused == 1 && r.tracks == 0 && strstr(last_refusal, "checksum"));
    CHECK(!store_exists(in_dir("to"))); /* nothing was written before the first clip */
    buf_release(&npy);
    buf_release(&zip);
}

int main(void)
{
    fixture_dir(dir);
    RUN(test_exports_come_back);
    RUN(test_description_that_does_not_fit);
    RUN(test_foreign_values);
    RUN(test_foreign_shapes);
    RUN(test_refusals);
    RUN(test_npy_headers);
    RUN(test_kinds_of_numbers);
    RUN(test_kaldi_by_hand);
    RUN(test_damaged_tar);
    RUN(test_damaged_zip);
    fixture_remove(dir);
    return test_done();
}
