/*
 * The cache of a frozen trunk's activations: what was synced is found again, what changed or was
 * not synced is not, and the files stay within their limit.
 */
#include "base/file.h"
#include "tests/test.h"
#include "tests/unit/train/synth.h"
#include "train/bf16.h"
#include "train/trunk.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { FRAMES = 16, MELS = 8, TRACKS = 6, VALUES = 100 };

static char dir[256], models[300];

static void begin(struct synth_open *f)
{
    struct err e = {0};
    struct synth_params p = {.seed = 1,
                             .n_tracks = TRACKS,
                             .n_frames = FRAMES,
                             .n_mels = MELS,
                             .n_views = 2,
                             .dtype = RECORD_U8,
                             .spec_hash = 7};
    synth_dir(dir);
    CHECK_OK(synth_open(dir, &p, f, &e), &e);
    snprintf(models, sizeof models, "%s/models", dir);
    CHECK_OK(file_make_dir(models, &e), &e);
    CHECK_U64(f->snap.n_keys, 2 * TRACKS);
}

static void end(struct synth_open *f)
{
    synth_close(f);
    synth_remove(dir);
}

static struct trunk_params params(uint64_t hash)
{
    return (struct trunk_params){models, hash, VALUES, 1 << 20};
}

static void fill_values(uint64_t key, float *out)
{
    for (size_t i = 0; i < VALUES; i++)
        out[i] = bf16_to_f32(bf16_from_f32((float)(key % 1000) + 0.5f * (float)i));
}

static void append(struct trunk *t, const struct synth_open *f, size_t first, size_t n)
{
    struct err e = {0};
    float values[VALUES];
    CHECK_OK(trunk_reserve(t, n, &e), &e);
    for (size_t i = first; i < first + n; i++) {
        fill_values(f->snap.keys[i], values);
        CHECK_OK(trunk_append(t, &f->snap.keys[i], 1, values, &e), &e);
    }
}

static void test_rounding(void)
{
    static const struct {
        float value;
        uint16_t half;
    } cases[] = {{1.0f, 0x3f80},         {-2.0f, 0xc000},   {1.00390625f, 0x3f80}, /* tie: even */
                 {1.01171875f, 0x3f82},  {1.0040f, 0x3f81}, {0.0f, 0},
                 {3.3895314e38f, 0x7f7f}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        CHECK_U64(bf16_from_f32(cases[i].value), cases[i].half);
    CHECK(bf16_to_f32(0x3f81) == 1.0078125f);
}

static void test_found_again(void)
{
    struct synth_open f;
    struct trunk *t;
    struct err e = {0};
    struct trunk_params p = params(1);
    float got[2 * VALUES], want[VALUES];
    begin(&f);
    CHECK_OK(trunk_open(&p, f.store, &f.snap, &t, &e), &e);
    append(t, &f, 3, 5);
    CHECK_OK(trunk_sync(t, &e), &e);
    append(t, &f, 8, 2); /* not synced: as after a crash */
    CHECK(trunk_has(t, f.snap.keys[9]));
    trunk_close(t);
    CHECK_OK(trunk_open(&p, f.store, &f.snap, &t, &e), &e);
    for (size_t i = 0; i < f.snap.n_keys; i++)
        CHECK(trunk_has(t, f.snap.keys[i]) == (i >= 3 && i < 8));
    CHECK(!trunk_has(t, 12345));
    append(t, &f, 0, 3);
    CHECK_OK(trunk_map(t, &e), &e);
    uint64_t keys[2] = {f.snap.keys[7], f.snap.keys[0]};
    trunk_prefetch(t, keys, 2);
    CHECK_OK(trunk_read(t, keys, 2, got, &e), &e);
    for (size_t i = 0; i < 2; i++) {
        fill_values(keys[i], want);
        CHECK(memcmp(got + i * VALUES, want, sizeof want) == 0);
    }
    CHECK(!trunk_read(t, &f.snap.keys[9], 1, got, &e));
    trunk_close(t);
    end(&f);
}

/* Where an index names more slots than the file of slots has, as after a lost write. */
static void test_short_files(void)
{
    struct synth_open f;
    struct trunk *t;
    struct err e = {0};
    struct trunk_params p = params(2);
    char path[512];
    begin(&f);
    CHECK_OK(trunk_open(&p, f.store, &f.snap, &t, &e), &e);
    append(t, &f, 0, 4);
    CHECK_OK(trunk_sync(t, &e), &e);
    trunk_close(t);
    snprintf(path, sizeof path, "%s/trunk/%016x.bin", models, 2);
    CHECK(truncate(path, 3 * VALUES * 2 + 5) == 0);
    CHECK_OK(trunk_open(&p, f.store, &f.snap, &t, &e), &e);
    CHECK(trunk_has(t, f.snap.keys[2]));
    CHECK(!trunk_has(t, f.snap.keys[3]));
    trunk_close(t);
    snprintf(path, sizeof path, "%s/trunk/%016x.idx", models, 2);
    int fd = open(path, O_WRONLY);
    CHECK(fd >= 0 && pwrite(fd, "x", 1, 0) == 1);
    close(fd);
    CHECK(!trunk_open(&p, f.store, &f.snap, &t, &e));
    CHECK(strstr(e.msg, "delete it") != NULL);
    end(&f);
}

/* A record of the same key with other bytes: its activations are of something else. */
static void test_changed_records(void)
{
    struct synth_open f;
    struct trunk *t;
    struct err e = {0};
    struct trunk_params p = params(3);
    begin(&f);
    CHECK_OK(trunk_open(&p, f.store, &f.snap, &t, &e), &e);
    append(t, &f, 0, f.snap.n_keys);
    CHECK_OK(trunk_sync(t, &e), &e);
    trunk_close(t);
    char other[256], mine[256];
    memcpy(mine, dir, sizeof mine);
    struct synth_open g;
    struct synth_params sp = {.seed = 99, /* same rows, other songs */
                              .n_tracks = TRACKS,
                              .n_frames = FRAMES,
                              .n_mels = MELS,
                              .n_views = 2,
                              .dtype = RECORD_U8,
                              .spec_hash = 7};
    synth_dir(other);
    CHECK_OK(synth_store(other, &sp, &e), &e);
    CHECK_OK(store_open(other, &g.store, &e), &e);
    CHECK_OK(store_snapshot_init(g.store, &g.snap, &e), &e);
    CHECK_OK(trunk_open(&p, g.store, &g.snap, &t, &e), &e);
    for (size_t i = 0; i < g.snap.n_keys; i++)
        CHECK(!trunk_has(t, g.snap.keys[i]));
    trunk_close(t);
    store_snapshot_release(&g.snap);
    store_close(g.store);
    synth_remove(other);
    end(&f);
}

static bool has_files(uint64_t hash)
{
    char path[512];
    snprintf(path, sizeof path, "%s/trunk/%016llx.idx", models, (unsigned long long)hash);
    return file_exists(path);
}

static void test_limit(void)
{
    struct synth_open f;
    struct trunk *t;
    struct err e = {0};
    begin(&f);
    for (uint64_t hash = 10; hash < 13; hash++) {
        struct trunk_params p = params(hash);
        p.limit_bytes = 10 * VALUES * 2; /* two trunks of four clips, not three */
        CHECK_OK(trunk_open(&p, f.store, &f.snap, &t, &e), &e);
        if (hash == 12)
            CHECK(!trunk_reserve(t, 11, &e));
        append(t, &f, 0, 4);
        CHECK_OK(trunk_sync(t, &e), &e);
        trunk_close(t);
        usleep(20000); /* another time of use */
    }
    CHECK(!has_files(10));
    CHECK(has_files(11));
    CHECK(has_files(12));
    end(&f);
}

static void test_lock(void)
{
    struct synth_open f;
    struct trunk *a, *b;
    struct err e = {0};
    struct trunk_params p = params(4);
    begin(&f);
    CHECK_OK(trunk_open(&p, f.store, &f.snap, &a, &e), &e);
    CHECK(!trunk_open(&p, f.store, &f.snap, &b, &e));
    if (strstr(e.msg, "is held by") == NULL)
        test_fail(__FILE__, __LINE__, e.msg);
    trunk_close(a);
    end(&f);
}

int main(void)
{
    RUN(test_rounding);
    RUN(test_found_again);
    RUN(test_short_files);
    RUN(test_changed_records);
    RUN(test_limit);
    RUN(test_lock);
    return test_done();
}
