/*
 * Made-up log-mels, records, recipes and temporary data sets for the store's tests.
 */
#ifndef REFRAIN_STORE_FIXTURE_H
#define REFRAIN_STORE_FIXTURE_H

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "store/store.h"
#include "tests/test.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIXTURE_FRAMES = 40, FIXTURE_MELS = 24, FIXTURE_PURPOSE = 9001 };
#define FIXTURE_TOP_DB 80.0
#define FIXTURE_SPEC UINT64_C(0x1234567890abcdef)

/* Something like music: levels per band that drift from frame to frame, with a floor that is hit
 * and a maximum of exactly 0. */
static inline void fixture_clip(uint64_t item, size_t n_frames, size_t n_mels, float *out)
{
    struct rng r;
    rng_init(&r, 7, FIXTURE_PURPOSE, item);
    for (size_t m = 0; m < n_mels; m++) {
        double level = rng_range(&r, -75, -15);
        for (size_t t = 0; t < n_frames; t++) {
            level += rng_normal(&r) * 2.0 + (rng_below(&r, 40) == 0 ? 12.0 : -0.3);
            level = level > 0 ? 0 : level < -FIXTURE_TOP_DB ? -FIXTURE_TOP_DB : level;
            out[t * n_mels + m] = (float)level;
        }
    }
    out[rng_below(&r, n_frames * n_mels)] = 0.0F;
}

static inline bool fixture_record(struct record_encoder *enc, uint64_t item, struct buf *out,
                                  struct err *e)
{
    float db[FIXTURE_FRAMES * FIXTURE_MELS];
    fixture_clip(item, FIXTURE_FRAMES, FIXTURE_MELS, db);
    struct record_info meta = {.n_frames = FIXTURE_FRAMES,
                               .n_mels = FIXTURE_MELS,
                               .ref_db = -3.5F,
                               .start_ms = (uint32_t)(item % 20000),
                               .spec_hash = FIXTURE_SPEC,
                               .source_id = item * 31};
    return record_encode(enc, db, FIXTURE_TOP_DB, &meta, out, e);
}

static inline struct store_recipe fixture_recipe(void)
{
    struct store_recipe recipe = {.spec_hash = FIXTURE_SPEC, .dtype = RECORD_U8};
    snprintf(recipe.text, sizeof recipe.text, "rate_hz=22050\nn_mels=%d\nclip.ms=10000\nseed=1\n",
             FIXTURE_MELS);
    return recipe;
}

static inline struct store_writer_params fixture_params(void)
{
    return (struct store_writer_params){.map_bytes = UINT64_C(1) << 40,
                                        .commit_clips = 64,
                                        .commit_bytes = 8 << 20,
                                        .commit_ns = UINT64_C(5000000000)};
}

enum { FIXTURE_VIEWS = 3 };

/* Puts track `row`: one clip in FIXTURE_VIEWS views. A pure function of the row. */
static inline bool fixture_put(struct store_writer *w, struct record_encoder *enc, uint64_t row,
                               bool *added, struct err *e)
{
    struct buf records[FIXTURE_VIEWS];
    struct store_view views[FIXTURE_VIEWS];
    char id[32], augment[FIXTURE_VIEWS][32];
    bool ok = true;
    for (uint32_t i = 0; i < FIXTURE_VIEWS; i++) {
        buf_init(&records[i], RECORD_MAX_BYTES);
        ok = ok && fixture_record(enc, row * FIXTURE_VIEWS + i, &records[i], e);
        augment[i][0] = '\0';
        if (i > 0)
            snprintf(augment[i], sizeof augment[i], "gain_db=%u", i);
        views[i] = (struct store_view){store_key(row, 0, i), buf_span(&records[i]), augment[i]};
    }
    snprintf(id, sizeof id, "TR%08u", (unsigned)row);
    struct store_track track = {row, id, row * 7, views, FIXTURE_VIEWS};
    ok = ok && store_put_track(w, &track, 0, added, e);
    for (size_t i = 0; i < FIXTURE_VIEWS; i++)
        buf_release(&records[i]);
    return ok;
}

/* Writes rows[n] in this order, committing after each `per_commit` tracks. */
static inline bool fixture_write(const char *dir, const uint64_t *rows, size_t n, size_t per_commit,
                                 struct err *e)
{
    struct store_recipe recipe = fixture_recipe();
    struct store_writer_params params = fixture_params();
    struct store_writer *w = NULL;
    struct record_encoder *enc = record_encoder_new(RECORD_U8, 1);
    bool ok = store_writer_open(dir, &recipe, &params, &w, e);
    for (size_t i = 0; i < n && ok; i++) {
        bool added = false;
        ok = fixture_put(w, enc, rows[i], &added, e) && added;
        if (ok && (i + 1) % per_commit == 0)
            ok = store_commit(w, e);
    }
    ok = ok && store_commit(w, e);
    store_writer_close(w);
    record_encoder_free(enc);
    return ok;
}

/* A fresh directory under $TMPDIR or /tmp; fixture_remove takes it away again. */
static inline void fixture_dir(char out[PATH_BYTES])
{
    const char *tmp = getenv("TMPDIR");
    snprintf(out, PATH_BYTES, "%.3000s/refrain-test-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(out))
        abort();
}

static inline void fixture_remove(const char *dir)
{
    DIR *d = opendir(dir);
    if (!d)
        return;
    for (struct dirent *entry; (entry = readdir(d));) {
        char path[PATH_BYTES];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(path, sizeof path, "%.3000s/%.255s", dir, entry->d_name);
        if (entry->d_type == DT_DIR)
            fixture_remove(path);
        else
            unlink(path);
    }
    closedir(d);
    rmdir(dir);
}

#endif
