/*
 * Which tracks are versions of one work: a CSV with the columns track_id and work_id (any order,
 * others ignored). Kept as a hash table in a mapped temporary file.
 */
#ifndef REFRAIN_GROUPS_H
#define REFRAIN_GROUPS_H

#include "base/err.h"
#include "train/mapping.h"

struct groups {
    struct mapping table; /* slots of {track hash, group hash} */
    size_t n_slots;       /* a power of two, or 0 */
    size_t n_tracks;
    uint64_t content_hash; /* of the file: a model is tied to its split */
};

/* `work_dir` holds the temporary file. A row without the two fields, or a track given twice with
 * different works, is ERR_USAGE with its line. */
MUST_CHECK bool groups_load(const char *path, const char *work_dir, struct groups *out,
                            struct err *e);
void groups_release(struct groups *g); /* safe on {0}, may run twice */

/* The group of a track: its work, or the track itself when the file does not name it (*out_known is
 * false then). Never 0. */
uint64_t groups_of(const struct groups *g, const char *track_id, bool *out_known);

#endif
