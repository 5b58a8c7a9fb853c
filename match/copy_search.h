/*
 * Which songs of a catalogue is a query a copy of? Sixteen of the 32 bits of a code come through
 * most copies unharmed, so the query's codes are filed under their upper and under their lower
 * halves, and the codes of all songs are read once: songs that have many codes in the query's bins,
 * one after another as in the query, are then compared with it code by code (copy.h). Nothing is
 * kept of the catalogue but its fingerprints.
 */
#ifndef REFRAIN_COPY_SEARCH_H
#define REFRAIN_COPY_SEARCH_H

#include "match/copy.h"

enum { COPY_HITS_MAX = 64 };

struct copy_hit {
    size_t song; /* index into prints */
    struct copy_match match;
};

/* The songs of which the query holds a recording with an E-value up to `evalue` (in a catalogue of
 * this size), the best first; *out_n of them. One without codes is never found. The same for any
 * number of threads, 1 to WORKERS_MAX. */
MUST_CHECK bool copy_search(const struct fingerprint *const *prints, size_t n_prints,
                            const struct copy_query *query, double evalue, unsigned threads,
                            struct copy_hit out[COPY_HITS_MAX], size_t *out_n, struct err *e);

#endif
