/*
 * The hand-over from fetch to extract: DIR/spool/{tmp,new,bad}. A preview is written into tmp/,
 * made durable, and renamed into new/; the rename is the commit. File names carry all that extract
 * needs, so that `ls` is the debugger:
 *
 *     0000000123-TRIOREW128F424EAF0        catalogue row (10 digits) - track id, %XX-escaped
 *
 * extract removes the file only after the store's commit that holds its tensors; a bad preview is
 * moved to bad/ beside NAME.why, one line "CAUSE sentence". Audio in bad/ is there to be looked at,
 * and no more of it is kept than spool_limit_bad allows; the reasons are all kept.
 */
#ifndef REFRAIN_SPOOL_H
#define REFRAIN_SPOOL_H

#include "base/buf.h"

enum { SPOOL_NAME_BYTES = 256, TRACK_ID_MAX_BYTES = 64, SPOOL_CAUSE_BYTES = 32 };

struct spool; /* opaque: directory descriptors and paths */

struct spool_item {
    uint64_t row;
    char track_id[TRACK_ID_MAX_BYTES + 1];
    char name[SPOOL_NAME_BYTES]; /* in new/ */
    uint64_t bytes;
};

/* Opens DIR/spool, making what is missing. */
MUST_CHECK bool spool_open(const char *dataset_dir, struct spool **out, struct err *e);
void spool_close(struct spool *s);

/* How much audio bad/ may hold, 256 MiB if nobody says: what is set aside beyond it leaves its
 * reason alone. Removing files from bad/ makes room again. */
void spool_limit_bad(struct spool *s, uint64_t max_bytes);

/* Removes what a crash left in tmp/. Writer only (fetch), at start. */
MUST_CHECK bool spool_clean(struct spool *s, struct err *e);

/* --- writer (fetch) --- */
/* Writes bytes to tmp/; not yet durable and not visible. */
MUST_CHECK bool spool_write(struct spool *s, uint64_t row, const char *track_id, struct span bytes,
                            struct spool_item *out, struct err *e);
/* As spool_write, for a file that lies on a disk already: `fd` is open for reading and holds
 * `bytes`. It is cloned (its blocks are shared), else linked, else copied; it is never written to.
 */
MUST_CHECK bool spool_adopt(struct spool *s, uint64_t row, const char *track_id, int fd,
                            struct span bytes, struct spool_item *out, struct err *e);
/* Makes n written items durable and visible: data synced, renamed into new/, directory synced. */
MUST_CHECK bool spool_publish(struct spool *s, const struct spool_item *items, size_t n,
                              struct err *e);

/* Puts into out[SPOOL_NAME_BYTES] the name of a row's file, and reads one back: false for a name
 * that spool_name would not have made. An id of 1 to TRACK_ID_MAX_BYTES bytes always fits. */
void spool_name(char out[SPOOL_NAME_BYTES], uint64_t row, const char *track_id);
MUST_CHECK bool spool_name_parse(const char *name, struct spool_item *out);

/* Calls fn for every item of new/, in no order; fn returns false to stop. */
typedef bool spool_item_fn(void *arg, const struct spool_item *item);
MUST_CHECK bool spool_each(struct spool *s, spool_item_fn *fn, void *arg, struct err *e);

/* --- reader (extract) --- */
/* Lists up to `max` items of new/ in name order, skipping foreign names. */
MUST_CHECK bool spool_list(struct spool *s, struct spool_item *out, size_t max, size_t *out_n,
                           struct err *e);
MUST_CHECK bool spool_read(struct spool *s, const struct spool_item *item, uint64_t max_bytes,
                           struct buf *out, struct err *e);
MUST_CHECK bool spool_remove(struct spool *s, const struct spool_item *item, struct err *e);
/* To bad/, while there is room, with its cause ("TOO_SHORT") and a sentence. */
MUST_CHECK bool spool_set_aside(struct spool *s, const struct spool_item *item, const char *cause,
                                const char *why, struct err *e);
/* Moves the audio to `dir` instead of removing it (keep_audio). */
MUST_CHECK bool spool_keep(struct spool *s, const struct spool_item *item, const char *dir,
                           struct err *e);

/* --- both, and status --- */
struct spool_usage {
    uint64_t new_files, new_bytes;
    uint64_t bad_files; /* reasons in bad/ */
    uint64_t bad_bytes; /* of audio there */
};
MUST_CHECK bool spool_measure(struct spool *s, struct spool_usage *out, struct err *e);

/* Calls fn for every .why in bad/: row, cause, sentence. */
typedef void spool_bad_fn(void *arg, uint64_t row, const char *cause, const char *why);
MUST_CHECK bool spool_each_bad(struct spool *s, spool_bad_fn *fn, void *arg, struct err *e);

#endif
