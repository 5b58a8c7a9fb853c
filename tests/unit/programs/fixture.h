/*
 * A data set in a temporary directory, made through the rooms' own doors: a catalogue of rows in
 * given states, previews set aside, tensors in the store.
 */
#ifndef REFRAIN_TEST_PROGRAMS_FIXTURE_H
#define REFRAIN_TEST_PROGRAMS_FIXTURE_H

#include "ingest/catalog.h"
#include "ingest/spool.h"
#include "programs/dataset.h"
#include "store/store.h"
#include "tests/test.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIXTURE_FRAMES = 32, FIXTURE_MELS = 16 };

static inline void fixture_dir(char out[PATH_BYTES])
{
    const char *base = getenv("TMPDIR");
    snprintf(out, PATH_BYTES, "%s/refrain-test-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(out) == NULL)
        abort();
}

static inline void fixture_remove(const char *path)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return;
    if (!S_ISDIR(st.st_mode)) {
        unlink(path);
        return;
    }
    DIR *dir = opendir(path);
    for (struct dirent *d; dir != NULL && (d = readdir(dir)) != NULL;) {
        char child[PATH_BYTES];
        struct err e = {0};
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0 &&
            path_join(child, path, d->d_name, &e))
            fixture_remove(child);
    }
    if (dir != NULL)
        closedir(dir);
    rmdir(path);
}

/* A data set with default settings, not opened from a file. */
static inline void fixture_dataset(struct dataset *d)
{
    memset(d, 0, sizeof *d);
    fixture_dir(d->dir);
    conf_defaults(&settings_table, &d->settings);
}

/* Rows 1, 2, ... in order; fields not set are empty. */
static inline void fixture_catalog(const struct dataset *d, const struct catalog_row *rows,
                                   size_t n, uint64_t requests, uint64_t throttled)
{
    struct err e = {0};
    struct catalog *c = NULL;
    struct catalog_write *w = NULL;
    CHECK_OK(catalog_open(d->dir, true, &c, &e), &e);
    CHECK_OK(catalog_begin(c, &w, &e), &e);
    for (size_t i = 0; i < n; i++) {
        struct catalog_row row = rows[i];
        struct span key = {row.track_id, strlen(row.track_id)};
        CHECK_OK(catalog_add(w, key, &row, &e), &e);
    }
    catalog_count(w, requests, throttled, requests * 1000);
    CHECK_OK(catalog_commit(w, &e), &e);
    catalog_close(c);
}

static inline void fixture_bad(const struct dataset *d, uint64_t row, const char *track_id,
                               const char *cause)
{
    struct err e = {0};
    struct spool *s = NULL;
    struct spool_item item;
    CHECK_OK(spool_open(d->dir, &s, &e), &e);
    CHECK_OK(spool_write(s, row, track_id, (struct span){"noise", 5}, &item, &e), &e);
    CHECK_OK(spool_publish(s, &item, 1, &e), &e);
    CHECK_OK(spool_set_aside(s, &item, cause, "a sentence", &e), &e);
    spool_close(s);
}

/* A clip and one positive for a row: a ramp in time and frequency. */
static inline void fixture_store(const struct dataset *d, uint64_t row, const char *track_id,
                                 const char *augment)
{
    struct err e = {0};
    struct store_recipe recipe = {.spec_hash = 7, .dtype = RECORD_U8, .text = "test"};
    struct store_writer_params params = {.map_bytes = UINT64_C(1) << 26,
                                         .commit_clips = 16,
                                         .commit_bytes = 1 << 20,
                                         .commit_ns = UINT64_C(1000000000)};
    struct record_info info = {.n_frames = FIXTURE_FRAMES,
                               .n_mels = FIXTURE_MELS,
                               .start_ms = 1500,
                               .spec_hash = 7,
                               .source_id = row};
    float db[FIXTURE_FRAMES * FIXTURE_MELS];
    for (size_t i = 0; i < FIXTURE_FRAMES * FIXTURE_MELS; i++)
        db[i] = -80.0f * (float)i / (FIXTURE_FRAMES * FIXTURE_MELS);
    struct record_encoder *enc = record_encoder_new(RECORD_U8, 1);
    struct buf record;
    buf_init(&record, 1 << 20);
    CHECK_OK(record_encode(enc, db, 80, &info, &record, &e), &e);
    struct store_view views[2] = {{store_key(row, 0, 0), buf_span(&record), ""},
                                  {store_key(row, 0, 1), buf_span(&record), augment}};
    struct store_track track = {row, track_id, row, views, 2};
    struct store_writer *w = NULL;
    bool added = false;
    CHECK_OK(store_writer_open(d->dir, &recipe, &params, &w, &e), &e);
    CHECK_OK(store_put_track(w, &track, 0, &added, &e), &e);
    CHECK(added);
    CHECK_OK(store_commit(w, &e), &e);
    store_writer_close(w);
    buf_release(&record);
    record_encoder_free(enc);
}

#endif
