/*
 * DIR/matches.log, the memory of a run over the whole catalogue: a head that says what is compared
 * and how, then for each song that was searched for its pairs and one entry that says it is done.
 * Entries are appended and have checksums; a run goes on behind the last song that is done, so that
 * a kill at any instant costs one song. The bytes are in docs/FORMAT.md.
 */
#ifndef REFRAIN_MATCH_LOG_H
#define REFRAIN_MATCH_LOG_H

#include "base/buf.h"

struct match_log_head {
    char magic[8];
    uint64_t spec_hash, root; /* of the library */
    double evalue;            /* the threshold */
    uint64_t exhaustive;
};
/* All bytes of the head are compared. */
struct match_log_head match_log_head_make(uint64_t root, double evalue, bool exhaustive);

struct match_log_entry {
    uint32_t song_i, other_i; /* other_i == song_i: all pairs of song_i stand before */
    double evalue;
    uint32_t from_ms, to_ms, other_from_ms, other_to_ms; /* the best passage */
    int32_t shift_semitones;
    float tempo_ratio, share; /* of the shorter song, by all passages */
    uint32_t zero;
    uint64_t checksum; /* of what stands before */
};
void match_log_seal(struct match_log_entry *entry); /* sets the checksum */

/* Appends the entries of songs that are done to out (which holds bytes of entries), counts these
 * songs, and says how many of the bytes they and the head are: 0 when this is the log of another
 * run, or of none. */
MUST_CHECK bool match_log_parse(struct span bytes, const struct match_log_head *head,
                                size_t n_songs, struct buf *out, size_t *out_n_done,
                                size_t *out_good_bytes, struct err *e);

#endif
