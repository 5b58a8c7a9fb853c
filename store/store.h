/*
 * The tensors on disk: DIR/features.mdb, LMDB. One writer process, any number of readers.
 *
 * A store is a folder, and `path` names it everywhere below: a data set's folder, whose store is
 * PATH/features.mdb, or a path that ends in ".mdb", which is the store itself. Records of another
 * kind (other shapes, another spec hash) live beside the features as a store of their own, such as
 * DIR/sequences.mdb: same writer, reader, verify, compact and `refrain store`.
 *
 * Tables:
 *   clip   u64 key -> record (store/record.h)
 *   track  u64 row -> track id, counts, source id, what was drawn for each view
 *   meta   schema version, the recipe (all that decides the bytes, as text), root hash, counts
 *   content  hash64 of a record -> the key that owns it: equal ones are stored once (content.h)
 *
 * key = row << 16 | clip << 8 | view. View 0 is the clip itself, 1.. are its augmented positives; a
 * track's clips and views are neighbours. The store is a function of catalogue and configuration,
 * never of the order of arrival: root is a sum over hash64(key, record), kept with every commit.
 */
#ifndef REFRAIN_STORE_H
#define REFRAIN_STORE_H

#include "base/file.h"
#include "store/record.h"

enum {
    STORE_RECIPE_BYTES = 2048,
    STORE_TRACK_ID_BYTES = 65,
    STORE_AUGMENT_BYTES = 512,
    STORE_VIEWS_MAX = 256,
    STORE_COMMIT_BYTES = 8 << 20 /* of a commit, for whoever has no reason to choose another */
};

static inline uint64_t store_key(uint64_t row, uint32_t clip_i, uint32_t view_i)
{
    return row << 16 | (uint64_t)(clip_i & 0xff) << 8 | (view_i & 0xff);
}

static inline uint64_t store_key_row(uint64_t key)
{
    return key >> 16;
}

static inline uint32_t store_key_clip(uint64_t key)
{
    return (uint32_t)(key >> 8 & 0xff);
}

static inline uint32_t store_key_view(uint64_t key)
{
    return (uint32_t)(key & 0xff);
}

/* "DIR" to "DIR/features.mdb"; "DIR/NAME.mdb" stays. */
MUST_CHECK bool store_folder(char out[PATH_BYTES], const char *path, struct err *e);

/* ---------------------------------------------------------------- writing (one thread) */

struct store_recipe {
    uint64_t spec_hash;
    enum record_dtype dtype;
    char text[STORE_RECIPE_BYTES]; /* canonical: feature spec, clip policy, seed, chain, dtype */
};

struct store_view {
    uint64_t key;
    struct span record;
    const char *augment; /* what was drawn, "" for view 0 */
};

struct store_track {
    uint64_t row;
    const char *track_id;
    uint64_t source_id;
    const struct store_view *views;
    size_t n_views;
};

struct store_writer;
struct store_writer_params {
    uint64_t map_bytes;
    uint64_t commit_clips, commit_bytes, commit_ns; /* the first that is reached makes it due */
    uint64_t disk_floor_bytes;
};

/* Takes the write lock: a second writer is ERR_FATAL, a store with another recipe is ERR_USAGE with
 * both recipes' difference in the message. */
MUST_CHECK bool store_writer_open(const char *path, const struct store_recipe *recipe,
                                  const struct store_writer_params *params,
                                  struct store_writer **out, struct err *e);
void store_writer_close(struct store_writer *w); /* drops what is not committed */

/* A track that is already there (committed or not) is left as it is and *out_added is false. */
MUST_CHECK bool store_put_track(struct store_writer *w, const struct store_track *track,
                                uint64_t now_ns, bool *out_added, struct err *e);
bool store_commit_due(const struct store_writer *w, uint64_t now_ns);
/* When the open batch will be due; UINT64_MAX when it is empty. */
uint64_t store_commit_deadline_ns(const struct store_writer *w);
/* Durable when it returns true. A full disk is ERR_FATAL; earlier commits stay. */
MUST_CHECK bool store_commit(struct store_writer *w, struct err *e);
MUST_CHECK bool store_has_track(struct store_writer *w, uint64_t row, bool *out, struct err *e);

/* ---------------------------------------------------------------- reading (thread-safe) */

struct store;
bool store_exists(const char *path);

/* Open it after a fork, or reopen it: a store used by another process than the one that opened it
 * is ERR_FATAL. A missing or still empty store is ERR_PERM; a network file system is ERR_FATAL. */
MUST_CHECK bool store_open(const char *path, struct store **out, struct err *e);
void store_close(struct store *s);
/* In the child of a fork, before it has threads: opens the store anew and leaves what the parent
 * has open alone. Snapshots and the pinned part go on; nothing of it may be in use. */
MUST_CHECK bool store_reopen(struct store *s, struct err *e);

/* From here on what reads touch leaves this process's resident memory every 32 records,
 * and stays in the kernel's cache: for one that passes through more than it means to hold. Before
 * other threads read. */
void store_stay_small(struct store *s);

struct store_stat {
    uint64_t clips; /* records, views included */
    uint64_t tracks;
    uint64_t file_bytes, payload_bytes;
    enum record_dtype dtype;
    double max_err_db, rms_err_db;
    uint64_t spec_hash, root;
    char recipe[STORE_RECIPE_BYTES];
};
MUST_CHECK bool store_stat(struct store *s, struct store_stat *out, struct err *e);

/* A pinned list of keys in order: what one training run sees. Lives in an unlinked temporary file
 * that is mapped, not in anonymous memory, so that memory does not grow with the data set. */
struct store_snapshot {
    const uint64_t *keys; /* ascending; lent until store_snapshot_release */
    size_t n_keys;
    uint64_t root, spec_hash;
    uint32_t n_frames, n_mels; /* the same for all records, or ERR_PERM */
    size_t map_bytes;
};
MUST_CHECK bool store_snapshot_init(struct store *s, struct store_snapshot *out, struct err *e);
/* The same for a store whose records differ in shape: n_frames and n_mels are 0 then. */
MUST_CHECK bool store_snapshot_init_mixed(struct store *s, struct store_snapshot *out,
                                          struct err *e);
void store_snapshot_release(struct store_snapshot *snap);

/* Decodes n records into out[n][n_frames][n_mels] (dB), in the order of keys, checking each
 * checksum. A missing key, a damaged record or a shape other than the given one is ERR_PERM naming
 * the key. Runs in the caller's thread; several threads may read at once. */
MUST_CHECK bool store_read_batch(struct store *s, const uint64_t *keys, size_t n, uint32_t n_frames,
                                 uint32_t n_mels, float *out, struct err *e);

/* The same as 8-bit levels, a quarter of the memory: dB = level * scale + offset. Records of
 * another dtype or another grid than the given one are ERR_PERM. */
MUST_CHECK bool store_read_levels(struct store *s, const uint64_t *keys, size_t n,
                                  uint32_t n_frames, uint32_t n_mels, float scale, float offset,
                                  uint8_t *out, struct err *e);

/* One record of whatever shape: its header, and its values in values[n_frames * n_mels], which are
 * lent until the next reading into it. {0} to begin with; the memory is used again. */
struct store_reading {
    struct record_info info;
    float *values;
    size_t n_values_max;
};
MUST_CHECK bool store_read_one(struct store *s, uint64_t key, struct store_reading *r,
                               struct err *e);
void store_reading_release(struct store_reading *r); /* safe on {0}, may run twice */

/* Asks the kernel for the pages of these records ahead of the reads; never fails, never waits. */
void store_prefetch(struct store *s, const uint64_t *keys, size_t n);

struct store_track_info {
    char track_id[STORE_TRACK_ID_BYTES];
    uint64_t source_id;
    uint32_t n_views;
};
MUST_CHECK bool store_get_track(struct store *s, uint64_t row, struct store_track_info *out,
                                struct err *e);
MUST_CHECK bool store_get_info(struct store *s, uint64_t key, struct record_info *out,
                               char augment[STORE_AUGMENT_BYTES], struct err *e);

/* In row order; fn returns false to stop. */
typedef bool store_track_fn(void *arg, uint64_t row, const struct store_track_info *info);
MUST_CHECK bool store_each_track(struct store *s, store_track_fn *fn, void *arg, struct err *e);

/* In key order; fn returns false to stop; the record is lent until then. */
typedef bool store_record_fn(void *arg, uint64_t key, struct span record);
MUST_CHECK bool store_each(struct store *s, store_record_fn *fn, void *arg, struct err *e);

#endif
