/*
 * All songs of a data set as sequences: what search and grouping run over. Kept in
 * DIR/sequences.mdb, a store of its own kind (store/store.h): a track's clip 0 is its sequence,
 * (n_frames, 24) levels, harmony before melody; its clip 1 is its fingerprint, (n_codes, 4) bytes,
 * the highest first.
 *
 * Opening it decodes every record once and leaves them in DIR/sequences.map (library_file.h), which
 * later ones map: 5.2 KB of levels, 1.2 KB of codes and 0.6 KB for the first pass a preview of 30
 * s, 350 MB for 50,000, of the system's cache and not of the process's own memory.
 */
#ifndef REFRAIN_LIBRARY_H
#define REFRAIN_LIBRARY_H

#include "match/coarse.h"
#include "match/copy.h"
#include "match/sequence.h"
#include "store/store.h"

enum {
    LIBRARY_RECORD_COLUMNS = ASPECTS * SEQUENCE_CLASSES,
    LIBRARY_PRINT_COLUMNS = 4,
};
enum library_clip { LIBRARY_SEQUENCE, LIBRARY_PRINT };

struct library_song {
    uint64_t row;
    char track_id[STORE_TRACK_ID_BYTES];
    struct sequence sequence; /* lent by the library */
    struct fingerprint print; /* the same; without codes where it was made before there were any */
};

struct library {
    size_t n_songs; /* in the order of rows */
    struct library_song *songs;
    uint64_t root; /* of the store: names the content */

    struct coarse_plan plan; /* the first pass's groups, */
    uint8_t *coarse;         /* (plan.levels_bytes) and what they hold */

    void *map; /* of the file; NULL: all is in memory */
    size_t map_bytes;
    const uint64_t *song_checksums, *group_checksums; /* in the map */
};

/* What the records of sequences are made by. */
void library_recipe(struct store_recipe *out);

/* "DIR/sequences.mdb" */
MUST_CHECK bool library_path(char out[PATH_BYTES], const char *dataset_dir, struct err *e);

/* One song's record; row and source as in store/record.h. The record replaces what is in out. */
MUST_CHECK bool library_encode(struct record_encoder *encoder, const struct sequence *s,
                               uint64_t source_id, struct buf *out, struct err *e);

/* The record of its fingerprint; at least one code. */
MUST_CHECK bool library_encode_print(struct record_encoder *encoder, const struct fingerprint *f,
                                     uint64_t source_id, struct buf *out, struct err *e);

/* A data set without sequences, or with those of another version of the program, is ERR_USAGE with
 * how to make them. */
MUST_CHECK bool library_open(const char *dataset_dir, struct library *out, struct err *e);
void library_close(struct library *l); /* safe on {0}, may run twice */

/* Makes plan and coarse of the songs' sequences, for a library that is not opened from a data set.
 */
void library_make_coarse(struct library *l);

/* Whether the bytes of a song, or of a group, are those that were written: whoever aligns it asks
 * first, so that opening reads no more than what is needed. */
MUST_CHECK bool library_check_song(const struct library *l, size_t song_i, struct err *e);
MUST_CHECK bool library_check_group(const struct library *l, size_t group_i, struct err *e);

/* Songs from..from + n as a library of their own, without a first pass. All of it is lent: it is
 * not closed. */
struct library library_part(const struct library *l, size_t from, size_t n);

/* By track id or row number; NULL when there is none. */
const struct library_song *library_find(const struct library *l, const char *track);

#endif
