#include "match/library.h"

#include "base/mem.h"
#include "match/library_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { LEVEL_TOP = 255 }; /* levels are whole numbers up to here, so that 8 bits lose nothing */

void library_recipe(struct store_recipe *out)
{
    *out = (struct store_recipe){.spec_hash = sequence_spec_hash(), .dtype = RECORD_U8};
    snprintf(out->text, sizeof out->text,
             "kind = sequences\nspec = %016" PRIx64 "\nrate = %d\nhop = %d\n", out->spec_hash,
             SEQUENCE_RATE_HZ, SEQUENCE_HOP);
}

bool library_path(char out[PATH_BYTES], const char *dataset_dir, struct err *e)
{
    return path_join(out, dataset_dir, "sequences.mdb", e);
}

bool library_encode(struct record_encoder *encoder, const struct sequence *s, uint64_t source_id,
                    struct buf *out, struct err *e)
{
    const struct record_info meta = {.n_frames = s->n_frames,
                                     .n_mels = LIBRARY_RECORD_COLUMNS,
                                     .spec_hash = sequence_spec_hash(),
                                     .source_id = source_id};
    float *values = mem_alloc((size_t)s->n_frames * LIBRARY_RECORD_COLUMNS, sizeof *values);
    for (size_t t = 0; t < s->n_frames; t++)
        for (size_t aspect = 0; aspect < ASPECTS; aspect++)
            for (size_t c = 0; c < SEQUENCE_CLASSES; c++)
                values[t * LIBRARY_RECORD_COLUMNS + aspect * SEQUENCE_CLASSES + c] =
                    sequence_aspect(s, (enum aspect)aspect)[t * SEQUENCE_CLASSES + c];
    bool ok = record_encode_range(encoder, values, 0, LEVEL_TOP, &meta, out, e);
    mem_free(values);
    return ok;
}

bool library_encode_print(struct record_encoder *encoder, const struct fingerprint *f,
                          uint64_t source_id, struct buf *out, struct err *e)
{
    const struct record_info meta = {.n_frames = f->n_codes,
                                     .n_mels = LIBRARY_PRINT_COLUMNS,
                                     .spec_hash = sequence_spec_hash(),
                                     .source_id = source_id};
    float *values = mem_alloc((size_t)f->n_codes * LIBRARY_PRINT_COLUMNS, sizeof *values);
    for (size_t i = 0; i < (size_t)f->n_codes * LIBRARY_PRINT_COLUMNS; i++)
        values[i] = (float)(f->codes[i / 4] >> (24 - 8 * (i % 4)) & 0xff);
    bool ok = record_encode_range(encoder, values, 0, LEVEL_TOP, &meta, out, e);
    mem_free(values);
    return ok;
}

static bool decode_print(const struct store_reading *r, struct fingerprint *out, struct err *e)
{
    const uint32_t n = r->info.n_frames;
    if (r->info.n_mels != LIBRARY_PRINT_COLUMNS || n > FINGERPRINT_CODES_MAX || out->codes != NULL)
        return err_set(e, ERR_PERM, "%u x %u values; a track has one fingerprint of up to %d x %d",
                       n, r->info.n_mels, FINGERPRINT_CODES_MAX, LIBRARY_PRINT_COLUMNS);
    out->n_codes = n;
    out->codes = mem_zalloc(size_max(n, 1), sizeof *out->codes);
    for (size_t i = 0; i < (size_t)n * LIBRARY_PRINT_COLUMNS; i++)
        out->codes[i / 4] = out->codes[i / 4] << 8 | (uint8_t)(r->values[i] + 0.5F);
    return true;
}

/* A frame is at most 127 long, which the alignment relies on: a record that says otherwise is not
 * one of ours. */
static bool decode(const struct store_reading *r, struct sequence *out, struct err *e)
{
    const uint32_t n = r->info.n_frames;
    if (r->info.n_mels != LIBRARY_RECORD_COLUMNS || n < SEQUENCE_FRAMES_MIN ||
        n > SEQUENCE_FRAMES_MAX)
        return err_set(e, ERR_PERM, "%u x %u values; a sequence has %d to %d x %d", n,
                       r->info.n_mels, SEQUENCE_FRAMES_MIN, SEQUENCE_FRAMES_MAX,
                       LIBRARY_RECORD_COLUMNS);
    out->n_frames = n;
    out->levels = mem_alloc((size_t)n, LIBRARY_RECORD_COLUMNS);
    for (size_t t = 0; t < n; t++)
        for (size_t aspect = 0; aspect < ASPECTS; aspect++) {
            const float *from = r->values + t * LIBRARY_RECORD_COLUMNS + aspect * SEQUENCE_CLASSES;
            uint8_t *to = out->levels + (aspect * n + t) * SEQUENCE_CLASSES;
            uint32_t square = 0;
            for (size_t c = 0; c < SEQUENCE_CLASSES; c++) {
                to[c] = (uint8_t)(from[c] + 0.5F);
                square += (uint32_t)to[c] * to[c];
            }
            if (square > 127 * 127)
                return err_set(e, ERR_PERM, "frame %zu is longer than 127", t);
        }
    return true;
}

static bool read_song(struct store *s, struct library_song *song, uint64_t row,
                      const struct store_reading *r, struct err *e)
{
    struct store_track_info info;
    song->row = row;
    if (!store_get_track(s, row, &info, e) || !decode(r, &song->sequence, e))
        return false;
    memcpy(song->track_id, info.track_id, sizeof song->track_id);
    return true;
}

static bool read_print(struct library_song *song, uint64_t row, const struct store_reading *r,
                       struct err *e)
{
    if (song == NULL || song->row != row)
        return err_set(e, ERR_PERM, "a fingerprint without a sequence");
    return decode_print(r, &song->print, e);
}

static bool check_spec(uint64_t spec_hash, struct err *e)
{
    return spec_hash == sequence_spec_hash() ||
           err_set(e, ERR_USAGE,
                   "its sequences have spec %016" PRIx64 ", this program makes %016" PRIx64
                   ": move sequences.mdb away and make them anew",
                   spec_hash, sequence_spec_hash());
}

static bool read_songs(struct store *s, struct library *out, struct err *e)
{
    struct store_snapshot snap = {0};
    struct store_reading reading = {0};
    bool ok = store_snapshot_init_mixed(s, &snap, e) && check_spec(snap.spec_hash, e);
    if (ok) {
        out->songs = mem_zalloc(snap.n_keys, sizeof *out->songs);
        out->root = snap.root;
    }
    for (size_t i = 0; ok && i < snap.n_keys; i++) {
        uint64_t row = store_key_row(snap.keys[i]);
        bool is_print = store_key_clip(snap.keys[i]) == LIBRARY_PRINT;
        if (!is_print) /* a track's sequence comes before its fingerprint */
            out->n_songs++;
        struct library_song *song = out->n_songs > 0 ? &out->songs[out->n_songs - 1] : NULL;
        ok = store_read_one(s, snap.keys[i], &reading, e) &&
             (is_print ? read_print(song, row, &reading, e) : read_song(s, song, row, &reading, e));
        if (!ok)
            err_wrap(e, "row %" PRIu64, row);
    }
    store_reading_release(&reading);
    store_snapshot_release(&snap);
    return ok;
}

void library_make_coarse(struct library *l)
{
    uint32_t *lengths = mem_alloc(size_max(1, l->n_songs), sizeof *lengths);
    uint8_t frames[COARSE_FRAMES_MAX * SEQUENCE_CLASSES];
    for (size_t i = 0; i < l->n_songs; i++)
        lengths[i] = l->songs[i].sequence.n_frames;
    coarse_plan_init(&l->plan, lengths, l->n_songs);
    uint8_t *levels = mem_zalloc(size_max(1, l->plan.levels_bytes), 1);
    for (size_t i = 0; i < l->plan.n_groups; i++) {
        const struct coarse_group *g = &l->plan.groups[i];
        for (size_t k = 0; k < g->n_songs; k++) {
            coarse_make(&l->songs[g->songs[k]].sequence, frames);
            coarse_group_put(g, k, frames, levels + g->levels_at);
        }
    }
    l->coarse = levels;
    mem_free(lengths);
}

/* Decodes all records and leaves them in the file, where a folder can be written to. */
static bool open_anew(struct store *s, const char *map_path, struct library *out, struct err *e)
{
    struct library mapped;
    struct err ignored = {0};
    if (!read_songs(s, out, e))
        return false;
    library_make_coarse(out);
    if (library_file_write(map_path, out, &ignored) &&
        library_file_open(map_path, out->root, &mapped)) {
        library_close(out);
        *out = mapped;
    }
    return true;
}

bool library_open(const char *dataset_dir, struct library *out, struct err *e)
{
    char path[PATH_BYTES], map_path[PATH_BYTES];
    struct store *s = NULL;
    struct store_stat stat;
    *out = (struct library){0};
    if (!library_path(path, dataset_dir, e) ||
        !path_join(map_path, dataset_dir, "sequences.map", e))
        return false;
    if (!store_exists(path))
        return err_set(
            e, ERR_USAGE,
            "%.200s has no sequences: make them of the audio at hand with `refrain match "
            "%.200s --sequences`, or set match.sequences = on before `refrain extract`",
            dataset_dir, dataset_dir);
    bool ok = store_open(path, &s, e) && store_stat(s, &stat, e) && check_spec(stat.spec_hash, e) &&
              (library_file_open(map_path, stat.root, out) || open_anew(s, map_path, out, e));
    store_close(s);
    if (!ok) {
        library_close(out);
        return err_wrap(e, "%s", path);
    }
    return true;
}

void library_close(struct library *l)
{
    void *map = l->map;
    const size_t map_bytes = l->map_bytes;
    if (map == NULL) {
        for (size_t i = 0; i < l->n_songs; i++) {
            sequence_release(&l->songs[i].sequence);
            fingerprint_release(&l->songs[i].print);
        }
        mem_free(l->coarse);
    }
    library_file_release(l);
    if (map != NULL)
        munmap(map, map_bytes);
}

struct library library_part(const struct library *l, size_t from, size_t n)
{
    assert(from <= l->n_songs && n <= l->n_songs - from);
    return (struct library){
        .n_songs = n,
        .songs = l->songs + from,
        .root = l->root,
        .map = l->map,
        .song_checksums = l->map != NULL ? l->song_checksums + from : NULL,
    };
}

const struct library_song *library_find(const struct library *l, const char *track)
{
    char *end;
    uint64_t row = strtoull(track, &end, 10);
    bool is_row = track[0] >= '0' && track[0] <= '9' && *end == '\0';
    for (size_t i = 0; i < l->n_songs; i++)
        if (strcmp(l->songs[i].track_id, track) == 0)
            return &l->songs[i];
    for (size_t i = 0; is_row && i < l->n_songs; i++)
        if (l->songs[i].row == row)
            return &l->songs[i];
    return NULL;
}
