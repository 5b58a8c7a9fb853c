/*
 * Large libraries for tests and benchmarks: the songs of a small one as they are, and others that
 * are put together of pieces of them of about a second, each transposed and stretched by itself, so
 * that every second sounds like a song and no two songs share a passage.
 */
#ifndef REFRAIN_TEST_CATALOGUE_H
#define REFRAIN_TEST_CATALOGUE_H

#include "match/library.h"
#include "tests/test.h"
#include "tests/unit/match/songs.h"

enum {
    CATALOGUE_FRAMES = 215, /* 30 s */
    CATALOGUE_CODES = 301,
    RNG_TEST_CATALOGUE = 0x74636174,
};

/* n made-up songs, for where there are none that were composed. */
static inline void catalogue_sources(uint64_t seed, size_t n, struct library *out)
{
    *out = (struct library){.n_songs = n, .songs = mem_zalloc(n, sizeof *out->songs)};
    for (size_t i = 0; i < n; i++) {
        out->songs[i].sequence = song_make(seed + i, CATALOGUE_FRAMES);
        snprintf(out->songs[i].track_id, sizeof out->songs[i].track_id, "S%zu", i);
    }
}

/* Copies n frames of `from` in steps of `step` / 64 frames, `shift` semitones up. */
static inline void catalogue_piece(const struct sequence *from, size_t from_t, size_t n,
                                   size_t step, uint32_t shift, struct sequence *to, size_t to_t)
{
    for (size_t aspect = 0; aspect < ASPECTS; aspect++)
        for (size_t k = 0; k < n; k++) {
            const uint8_t *in = sequence_aspect(from, (enum aspect)aspect) +
                                (from_t + k * step / 64) * SEQUENCE_CLASSES;
            uint8_t *out = to->levels + (aspect * to->n_frames + to_t + k) * SEQUENCE_CLASSES;
            for (size_t c = 0; c < SEQUENCE_CLASSES; c++)
                out[(c + shift) % SEQUENCE_CLASSES] = in[c];
        }
}

/* Song i: pieces of 6 to 12 frames at 0.8 to 1.25 of their speed. The caller releases it. */
static inline struct sequence catalogue_song(const struct library *sources, uint64_t seed,
                                             uint64_t i)
{
    enum { STEP_MIN = 51, STEP_MAX = 80, PIECE_MIN = 6, PIECE_MAX = 12 };
    struct sequence s = {.n_frames = CATALOGUE_FRAMES};
    struct rng r;
    rng_init(&r, seed, RNG_TEST_CATALOGUE, i);
    s.levels = mem_zalloc((size_t)ASPECTS * s.n_frames, SEQUENCE_CLASSES);
    for (size_t t = 0; t < s.n_frames;) {
        const struct sequence *from = &sources->songs[rng_below(&r, sources->n_songs)].sequence;
        size_t n = size_min(PIECE_MIN + rng_below(&r, PIECE_MAX - PIECE_MIN + 1), s.n_frames - t);
        size_t step = STEP_MIN + rng_below(&r, STEP_MAX - STEP_MIN + 1);
        size_t from_t = rng_below(&r, from->n_frames - n * step / 64);
        catalogue_piece(from, from_t, n, step, rng_u32(&r) % SEQUENCE_CLASSES, &s, t);
        t += n;
    }
    return s;
}

/* A song that borrows n frames of `of` from frame 40 on, n / 7.2 s, transposed and a tenth faster,
 * one frame in eight of them another one. The caller releases it. */
static inline struct sequence catalogue_query(const struct library *sources, uint64_t seed,
                                              uint64_t i, const struct sequence *of, size_t n)
{
    struct sequence s = catalogue_song(sources, seed, i);
    catalogue_piece(of, 40, n, 70, (uint32_t)i % SEQUENCE_CLASSES, &s, 60);
    for (size_t t = 60; t < 60 + n; t += 8)
        catalogue_piece(&sources->songs[i % sources->n_songs].sequence, t, 1, 64, 0, &s, t);
    return s;
}

struct catalogue_writer {
    struct store_writer *store;
    struct record_encoder *encoder;
    struct buf record, print;
};

static inline void catalogue_put(struct catalogue_writer *w, uint64_t row, const char *id,
                                 const struct sequence *s)
{
    struct err e = {0};
    struct rng r;
    bool added;
    uint32_t codes[CATALOGUE_CODES];
    const struct fingerprint print = {CATALOGUE_CODES, codes};
    rng_init(&r, row, RNG_TEST_CATALOGUE, 1);
    for (size_t k = 0; k < CATALOGUE_CODES; k++)
        codes[k] = rng_u32(&r) | 1;
    CHECK_OK(library_encode(w->encoder, s, row, &w->record, &e), &e);
    CHECK_OK(library_encode_print(w->encoder, &print, row, &w->print, &e), &e);
    const struct store_view views[2] = {
        {store_key(row, LIBRARY_SEQUENCE, 0), buf_span(&w->record), ""},
        {store_key(row, LIBRARY_PRINT, 0), buf_span(&w->print), ""}};
    const struct store_track track = {row, id, row, views, 2};
    CHECK_OK(store_put_track(w->store, &track, 0, &added, &e), &e);
    if (store_commit_due(w->store, 0))
        CHECK_OK(store_commit(w->store, &e), &e);
}

/* DIR/sequences.mdb of n songs: the sources first. */
static inline void catalogue_write(const char *dir, const struct library *sources, uint64_t seed,
                                   size_t n)
{
    struct err e = {0};
    char path[PATH_BYTES], id[STORE_TRACK_ID_BYTES];
    struct store_recipe recipe;
    const struct store_writer_params params = {.map_bytes = (64ULL << 20) + n * 16384,
                                               .commit_clips = 4096,
                                               .commit_bytes = 64 << 20,
                                               .commit_ns = UINT64_MAX};
    struct catalogue_writer w = {.encoder = record_encoder_new(RECORD_U8, 3)};
    buf_init(&w.record, RECORD_MAX_BYTES);
    buf_init(&w.print, RECORD_MAX_BYTES);
    library_recipe(&recipe);
    CHECK_OK(library_path(path, dir, &e), &e);
    CHECK_OK(store_writer_open(path, &recipe, &params, &w.store, &e), &e);
    for (size_t i = 0; i < n; i++) {
        const bool is_source = i < sources->n_songs;
        struct sequence s = {0};
        if (is_source)
            snprintf(id, sizeof id, "%s", sources->songs[i].track_id);
        else {
            s = catalogue_song(sources, seed, i);
            snprintf(id, sizeof id, "C%zu", i);
        }
        catalogue_put(&w, i + 1, id, is_source ? &sources->songs[i].sequence : &s);
        sequence_release(&s);
    }
    CHECK_OK(store_commit(w.store, &e), &e);
    store_writer_close(w.store);
    record_encoder_free(w.encoder);
    buf_release(&w.record);
    buf_release(&w.print);
}

#endif
