/*
 * Rows whose link is a file of one's own: file:///music/a%20song.flac. They need no network, no
 * permit and no waiting; the committing thread takes them over as it takes over what was fetched,
 * with the same states and causes.
 *
 * Only files beneath one folder (fetch.file_root) are taken, so that a CSV from elsewhere cannot
 * name /etc/shadow. The kernel sees to it (openat2, RESOLVE_BENEATH): neither ".." nor a symlink
 * leads out of the folder, whoever changes the tree at the same time.
 */
#ifndef REFRAIN_LOCAL_H
#define REFRAIN_LOCAL_H

#include "base/file.h"
#include "ingest/catalog.h"
#include "ingest/spool.h"
#include "ingest/url.h"

bool local_is_link(const char *url);

/* Writes a file:// link as it is kept: an absolute path without "." and "..", percent-encoded.
 * False, and "" in `out`, for anything else. */
bool local_normalize(const char *text, char out[URL_BYTES_MAX]);

/* The link of an absolute path, and back. False when it is too long, or no link of a path. */
MUST_CHECK bool local_link(const char *path, char out[URL_BYTES_MAX]);
MUST_CHECK bool local_path(const char *url, char out[PATH_BYTES]);

struct local;

/* Borrows `root`, an absolute path; NULL or "" for none. Nothing is opened before the first file.
 */
struct local *local_new(const char *root, uint64_t max_bytes);
void local_free(struct local *l); /* NULL is fine */

/* What a file comes to: DONE with the item in spool/tmp, or an end with its cause. */
struct local_end {
    enum row_state state;
    char cause[CATALOG_CAUSE_BYTES]; /* "file_refused", "file_gone", "file_unreadable", "too_large",
                                        or what the bytes are */
    struct spool_item item;
};

/* Looks at the file and puts it into spool/tmp: as a clone that shares its blocks, as a hard link,
 * or as a copy. ERR_FATAL when the folder is not there (a disk that is not plugged in is no reason
 * to give rows up) or the spool fails. */
MUST_CHECK bool local_take(struct local *l, struct spool *s, uint64_t row, const char *track_id,
                           const char *url, struct local_end *out, struct err *e);

#endif
