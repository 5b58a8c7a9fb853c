/*
 * Which songs of a catalogue is a query a copy of? Sixteen of the 32 bits of a code come through
 * most copies unharmed, so every code is filed under its upper and under its lower half; songs that
 * have many codes in a query's bins, one after another as in the query, are then compared with it
 * code by code (copy.h). 12 bytes a code beside the fingerprints: 180 MB for 50,000 previews.
 */
#ifndef REFRAIN_COPY_INDEX_H
#define REFRAIN_COPY_INDEX_H

#include "match/copy.h"

enum { COPY_HITS_MAX = 64, COPY_INDEX_SONGS_MAX = 1 << 24 };

struct copy_index;

/* Borrows the fingerprints for life; one without codes is never found. More codes than 2^32 - 1 or
 * songs than COPY_INDEX_SONGS_MAX is ERR_PERM. */
MUST_CHECK bool copy_index_new(const struct fingerprint *const *prints, size_t n_prints,
                               struct copy_index **out, struct err *e);
void copy_index_free(struct copy_index *x); /* NULL is fine */

struct copy_hit {
    size_t song; /* index into prints */
    struct copy_match match;
};

/* The songs of which the query holds a recording with an E-value up to `evalue` (in a catalogue of
 * this size), the best first. Returns how many, at most COPY_HITS_MAX. */
size_t copy_index_search(const struct copy_index *x, const struct copy_query *query, double evalue,
                         struct copy_hit out[COPY_HITS_MAX]);

#endif
