/*
 * refrain_store.h: a data set's tensors for trainers in any language. Link with -lrefrain_store, or
 * load librefrain_store.so; the Python package refrain_store does the latter.
 *
 *     struct refrain_store *s;
 *     char why[REFRAIN_STORE_ERR_BYTES];
 *     if (refrain_store_open("songs", &s, why, sizeof why) != REFRAIN_STORE_OK)
 *         errx(1, "%s", why);
 *
 * Every function that can fail returns a refrain_store_status and writes a sentence to the caller's
 * err[err_bytes] (cut to fit; err may be NULL). Nothing prints, exits or aborts on what it is
 * given, except that memory which runs out ends the process. All functions may be called from any
 * number of threads; a struct refrain_store_order belongs to one thread at a time.
 *
 * A handle sees the records there were when it was opened, in ascending key order: that list is
 * pinned, and a writer may go on beside it. It is of one process: after a fork, open again in the
 * child and leave the parent's handle alone (its key list stays readable).
 */
#ifndef REFRAIN_STORE_ABI_H
#define REFRAIN_STORE_ABI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define REFRAIN_STORE_API __attribute__((visibility("default")))

/* Raised when a function changes its meaning or goes away; new functions do not raise it. */
#define REFRAIN_STORE_ABI 1
#define REFRAIN_STORE_ERR_BYTES 400
#define REFRAIN_STORE_TOKEN_BYTES 64
#define REFRAIN_STORE_ID_BYTES 65
#define REFRAIN_STORE_AUGMENT_BYTES 512
#define REFRAIN_STORE_RECIPE_BYTES 2048
#define REFRAIN_STORE_BATCH_MAX (1 << 20)
#define REFRAIN_STORE_THREADS_MAX 64

enum refrain_store_status {
    REFRAIN_STORE_OK = 0,
    REFRAIN_STORE_TEMP = 1,  /* try again later */
    REFRAIN_STORE_PERM = 2,  /* this key, record, token or store does not have what was asked */
    REFRAIN_STORE_FATAL = 3, /* disk, damage, or a handle used after a fork */
    REFRAIN_STORE_USAGE = 4  /* an argument is wrong */
};

enum refrain_store_dtype {
    REFRAIN_STORE_F32 = 0, /* dB as float */
    REFRAIN_STORE_U8 = 1   /* levels, dB = level * scale + offset (see stat); not of u12, f32 */
};

enum refrain_store_layout {
    REFRAIN_STORE_TIME_MAJOR = 0 /* (n, n_frames, n_mels) */
};

struct refrain_store;

/* The number the library was built with, to be held against REFRAIN_STORE_ABI. */
REFRAIN_STORE_API uint32_t refrain_store_abi(void);

/* dataset_dir holds features.mdb. *out is set only on success. */
REFRAIN_STORE_API int refrain_store_open(const char *dataset_dir, struct refrain_store **out,
                                         char *err, size_t err_bytes);
/* No other call may be under way. NULL is fine; in a child of the opener it does nothing. */
REFRAIN_STORE_API void refrain_store_close(struct refrain_store *s);

struct refrain_store_stat {
    uint64_t n_keys, root, spec_hash; /* pinned */
    uint32_t n_frames, n_mels;        /* of every record */
    uint32_t stored_as;               /* 2 u12, 3 f32, 4 raw, 5 archive, 7 u8 */
    float scale, offset;              /* of 8-bit levels; 0 for u12 and f32 */
    uint32_t reserved;
    uint64_t n_tracks, file_bytes, payload_bytes; /* of the store as it is now */
    double max_err_db, rms_err_db;                /* measured when written, as it is now */
    char recipe[REFRAIN_STORE_RECIPE_BYTES];      /* all that decided the bytes, key=value lines */
};

/* Writes at most out_bytes, which is sizeof *out: fields may be added at the end. */
REFRAIN_STORE_API int refrain_store_stat(struct refrain_store *s, struct refrain_store_stat *out,
                                         size_t out_bytes, char *err, size_t err_bytes);

/* The pinned list, ascending, until close. key = row << 16 | clip << 8 | view; view 0 is the clip
 * itself, 1.. are its augmented copies. */
REFRAIN_STORE_API const uint64_t *refrain_store_keys(const struct refrain_store *s,
                                                     uint64_t *out_n);

/* The track id of a row. */
REFRAIN_STORE_API int refrain_store_track(struct refrain_store *s, uint64_t row,
                                          char out_id[REFRAIN_STORE_ID_BYTES], char *err,
                                          size_t err_bytes);

struct refrain_store_record {
    uint64_t source_id;                        /* hash of the audio file */
    uint32_t start_ms;                         /* of the clip in it */
    float ref_db;                              /* the level that 0 dB stands for */
    float max_err_db, rms_err_db;              /* against the values before they were stored */
    char augment[REFRAIN_STORE_AUGMENT_BYTES]; /* what was drawn for this view */
};

REFRAIN_STORE_API int refrain_store_record(struct refrain_store *s, uint64_t key,
                                           struct refrain_store_record *out, size_t out_bytes,
                                           char *err, size_t err_bytes);

/* Decodes n records into out, in the order of keys, each with its checksum checked. out_bytes is at
 * least n * n_frames * n_mels * (4 or 1), out is aligned for its dtype. n is at most
 * REFRAIN_STORE_BATCH_MAX, n_threads from 1 to REFRAIN_STORE_THREADS_MAX. After an error the
 * contents of out are unspecified. */
REFRAIN_STORE_API int refrain_store_read_batch(struct refrain_store *s, const uint64_t *keys,
                                               size_t n, void *out, size_t out_bytes,
                                               enum refrain_store_dtype dtype,
                                               enum refrain_store_layout layout, uint32_t n_threads,
                                               char *err, size_t err_bytes);

/* Asks the kernel for the pages of these records; a hint, at once, never fails. */
REFRAIN_STORE_API void refrain_store_prefetch(struct refrain_store *s, const uint64_t *keys,
                                              size_t n);

struct refrain_store_pinned {
    uint64_t records, bytes; /* bytes with what finding them takes */
    double fraction;         /* of the handle's records: how many reads memory will answer */
};

/* Copies records, drawn by their keys, into memory of this process, compressed as they are, as many
 * as fit budget_bytes; reads through any handle of this store take them from there. An epoch reads
 * every record once, so a page cache that has room for half of the data answers 15 % of the reads,
 * and a part that is never thrown out 50 %. Other threads may read meanwhile. Once, and until the
 * last handle is closed: a second time is REFRAIN_STORE_USAGE. out (may be NULL) gets at most
 * out_bytes. */
REFRAIN_STORE_API int refrain_store_pin(struct refrain_store *s, uint64_t budget_bytes,
                                        struct refrain_store_pinned *out, size_t out_bytes,
                                        char *err, size_t err_bytes);

/* ---------------------------------------------------------------- order */

enum refrain_store_order_mode {
    REFRAIN_STORE_FULL = 1,  /* a permutation of all keys; size 0 */
    REFRAIN_STORE_BLOCK = 2, /* 64 neighbours at a time, mixed in a window of `size` such blocks */
    REFRAIN_STORE_TRIPLETS = 3, /* size 0 */
    REFRAIN_STORE_GROUPS = 4    /* size: records of one track */
};

/* All there is to a place in an order: begin with epoch 0, position 0 and any seed. */
struct refrain_store_order {
    uint32_t mode, size;
    uint64_t seed, epoch, position;
};

/* What an epoch of this order has: keys, triplets or tracks. */
REFRAIN_STORE_API int refrain_store_epoch_length(struct refrain_store *s,
                                                 const struct refrain_store_order *order,
                                                 uint64_t *out, char *err, size_t err_bytes);

/* The next n indices into the key list, out[n]; FULL and BLOCK. The end of an epoch is followed by
 * the next epoch. */
REFRAIN_STORE_API int refrain_store_order_next(struct refrain_store *s,
                                               struct refrain_store_order *order, uint64_t *out,
                                               size_t n, char *err, size_t err_bytes);

/* The next n triplets, out[3][n]: anchors (originals), positives (an augmented view of the same
 * clip), negatives (originals of another track). */
REFRAIN_STORE_API int refrain_store_triplets_next(struct refrain_store *s,
                                                  struct refrain_store_order *order, uint64_t *out,
                                                  size_t n, char *err, size_t err_bytes);

/* The next n_tracks groups of neighbours, out[n_tracks][order->size], all of different tracks; what
 * is left of an epoch and too little is left out. */
REFRAIN_STORE_API int refrain_store_groups_next(struct refrain_store *s,
                                                struct refrain_store_order *order, uint64_t *out,
                                                size_t n_tracks, char *err, size_t err_bytes);

/* A place as 64 bytes, bound to the data by its root hash, and back: refused with a sentence when
 * the token is damaged or the data are not those it was made for. */
REFRAIN_STORE_API int refrain_store_token(struct refrain_store *s,
                                          const struct refrain_store_order *order,
                                          uint8_t out[REFRAIN_STORE_TOKEN_BYTES], char *err,
                                          size_t err_bytes);
REFRAIN_STORE_API int refrain_store_restore(struct refrain_store *s, const uint8_t *token,
                                            size_t token_bytes, struct refrain_store_order *out,
                                            char *err, size_t err_bytes);

#ifdef __cplusplus
}
#endif

#endif
