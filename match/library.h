/*
 * All songs of a data set as sequences, in memory: what search and grouping run over. 5.2 KB a
 * preview of 30 s, 260 MB for 50,000. Kept in DIR/sequences.mdb, a store of its own kind
 * (store/store.h): a track's clip 0 is its sequence, (n_frames, 24) levels, harmony before melody;
 * its clip 1 is its fingerprint, (n_codes, 4) bytes, the highest first, 1.2 KB for 30 s.
 */
#ifndef REFRAIN_LIBRARY_H
#define REFRAIN_LIBRARY_H

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

/* By track id or row number; NULL when there is none. */
const struct library_song *library_find(const struct library *l, const char *track);

#endif
