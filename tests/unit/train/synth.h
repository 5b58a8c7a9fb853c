/*
 * A synthetic store: songs are patterns of notes with overtones on a noise floor; a positive is the
 * same song moved by a few bands, stretched in time and noisier, as the augmentation chain does to
 * real clips. Cheap enough to write 100,000 clips.
 */
#ifndef REFRAIN_SYNTH_H
#define REFRAIN_SYNTH_H

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "store/store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What is wrong with a store on purpose. */
enum synth_fault {
    SYNTH_SOUND,
    SYNTH_ALIKE, /* every view of every song is the same picture */
    SYNTH_NAN,   /* the last value of every view is NaN; needs RECORD_F32 */
};

struct synth_params {
    uint64_t seed, first_row, n_tracks;
    uint32_t n_frames, n_mels, n_views; /* views with the original; 1: no positives */
    enum record_dtype dtype;
    uint64_t spec_hash;
    enum synth_fault fault;
};

enum { SYNTH_NOTES = 12, SYNTH_OVERTONES = 4 };

/* dB in [-80, 0] with maximum 0. view 0 is the song itself. */
static inline void synth_picture(const struct synth_params *p, uint64_t row, uint32_t view,
                                 float *out)
{
    struct rng song, change;
    rng_init(&song, p->seed, 1, row);
    rng_init(&change, p->seed, 2, row << 8 | view);
    size_t frames = p->n_frames, mels = p->n_mels, count = frames * mels;
    double stretch = view == 0 ? 1.0 : rng_range(&change, 0.85, 1.15);
    int shift = view == 0 ? 0 : (int)rng_below(&change, 5) - 2;
    float floor_db = view == 0 ? -60.0f : (float)rng_range(&change, -45.0, -30.0);
    for (size_t i = 0; i < count; i++) /* any cheap noise will do */
        out[i] = floor_db - (float)(rng_u32(&change) >> 28);
    double period = rng_range(&song, 12.0, 40.0);
    for (int note = 0; note < SYNTH_NOTES; note++) {
        int band = (int)rng_below(&song, mels);
        double onset = rng_range(&song, 0.0, period), length = rng_range(&song, 3.0, period);
        for (int tone = 0; tone < SYNTH_OVERTONES; tone++) {
            static const int interval[SYNTH_OVERTONES] = {0, 9, 14, 18};
            int m = band + shift + interval[tone];
            if (m < 0 || m >= (int)mels)
                continue;
            for (size_t f = 0; f < frames; f++) {
                double age = fmod((double)f * stretch + period - onset, period);
                float level = (float)(-6.0 * tone - 18.0 * age / length);
                if (age < length && level > out[f * mels + (size_t)m])
                    out[f * mels + (size_t)m] = level;
            }
        }
    }
    float top = -80.0f;
    for (size_t i = 0; i < count; i++)
        top = out[i] > top ? out[i] : top;
    for (size_t i = 0; i < count; i++)
        out[i] = fmaxf(out[i] - top, -80.0f);
}

/* The encoder refuses NaN, so it is put into the record: the payload's byte planes are differences
 * to the frame before, and the last value has none behind it. The checksum is made good again. */
static inline void synth_put_nan(struct buf *record, float last)
{
    const float nan_value = NAN;
    uint8_t from[4], to[4];
    memcpy(from, &last, 4);
    memcpy(to, &nan_value, 4);
    size_t payload_bytes = record->len - RECORD_HEADER_BYTES;
    uint8_t *payload = record->data + RECORD_HEADER_BYTES;
    for (size_t plane = 0; plane < 4; plane++)
        payload[(plane + 1) * payload_bytes / 4 - 1] += (uint8_t)(to[plane] - from[plane]);
    uint64_t sum = hash64(payload, payload_bytes, hash64(record->data, RECORD_HEADER_BYTES - 8, 0));
    memcpy(record->data + RECORD_HEADER_BYTES - 8, &sum, 8);
}

/* Two rows are one work: works of row r is r / 2 in the groups file of synth_groups. */
static inline bool synth_store(const char *dir, const struct synth_params *p, struct err *e)
{
    struct store_recipe recipe = {.spec_hash = p->spec_hash, .dtype = p->dtype};
    snprintf(recipe.text, sizeof recipe.text, "synthetic");
    struct store_writer_params wp = {.map_bytes = UINT64_C(64) << 30,
                                     .commit_clips = 4096,
                                     .commit_bytes = 256 << 20,
                                     .commit_ns = 60 * NS_PER_S};
    struct store_writer *w = NULL;
    if (!store_writer_open(dir, &recipe, &wp, &w, e))
        return false;
    int level = p->fault == SYNTH_NAN ? RECORD_LEVEL_NONE : 1;
    struct record_encoder *enc = record_encoder_new(p->dtype, level);
    size_t count = (size_t)p->n_frames * p->n_mels;
    float *picture = mem_alloc(count, sizeof *picture);
    struct buf bytes[16];
    bool ok = true;
    for (size_t v = 0; v < 16; v++)
        buf_init(&bytes[v], RECORD_MAX_BYTES);
    for (uint64_t i = 0; ok && i < p->n_tracks; i++) {
        uint64_t row = p->first_row + i;
        char id[STORE_TRACK_ID_BYTES];
        snprintf(id, sizeof id, "TRACK%06llu", (unsigned long long)row);
        struct store_view views[16];
        for (uint32_t v = 0; ok && v < p->n_views; v++) {
            struct record_info meta = {.n_frames = p->n_frames,
                                       .n_mels = p->n_mels,
                                       .spec_hash = p->spec_hash,
                                       .source_id = row};
            bool alike = p->fault == SYNTH_ALIKE;
            synth_picture(p, alike ? 0 : row, alike ? 0 : v, picture);
            ok = record_encode(enc, picture, 80.0, &meta, &bytes[v], e);
            if (ok && p->fault == SYNTH_NAN)
                synth_put_nan(&bytes[v], picture[count - 1]);
            views[v] = (struct store_view){store_key(row, 0, v), buf_span(&bytes[v]), ""};
        }
        struct store_track track = {row, id, row, views, p->n_views};
        bool added;
        ok = ok && store_put_track(w, &track, 0, &added, e);
        if (ok && store_commit_due(w, 0))
            ok = store_commit(w, e);
    }
    ok = ok && store_commit(w, e);
    for (size_t v = 0; v < 16; v++)
        buf_release(&bytes[v]);
    mem_free(picture);
    record_encoder_free(enc);
    store_writer_close(w);
    return ok;
}

static inline bool synth_groups(const char *path, uint64_t n_tracks)
{
    FILE *f = fopen(path, "we");
    if (f == NULL)
        return false;
    fprintf(f, "track_id,title,work_id\n");
    for (uint64_t row = 0; row < n_tracks; row++)
        fprintf(f, "TRACK%06llu,\"a, \"\"title\"\"\",WORK%04llu\r\n", (unsigned long long)row,
                (unsigned long long)(row / 2));
    return fclose(f) == 0;
}

/* The store of `dir`, opened for reading. */
struct synth_open {
    struct store *store;
    struct store_snapshot snap;
};

static inline bool synth_open(const char *dir, const struct synth_params *p, struct synth_open *out,
                              struct err *e)
{
    *out = (struct synth_open){0};
    return synth_store(dir, p, e) && store_open(dir, &out->store, e) &&
           store_snapshot_init(out->store, &out->snap, e);
}

static inline void synth_close(struct synth_open *s)
{
    store_snapshot_release(&s->snap);
    store_close(s->store);
}

/* A new directory under TMPDIR; synth_remove takes it away. */
static inline void synth_dir(char out[256])
{
    const char *base = getenv("TMPDIR");
    snprintf(out, 256, "%s/refrain-train-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(out) == NULL) {
        perror(out);
        exit(1);
    }
}

static inline void synth_remove(const char *dir)
{
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    if (system(command) != 0)
        perror(dir);
}

#endif
