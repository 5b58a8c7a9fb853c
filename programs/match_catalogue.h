/*
 * `refrain search` and `refrain match DIR --all`: one song, or every song, against a data set.
 */
#ifndef REFRAIN_MATCH_CATALOGUE_H
#define REFRAIN_MATCH_CATALOGUE_H

#include "match/search.h"
#include "programs/dataset.h"

#include <stdio.h>

/* A data set open for searching. */
struct match_catalogue {
    struct dataset dataset;
    struct library library;
    struct cohort cohort;
    struct search search;
    unsigned threads;
};

/* Loads all sequences; the first time, holds every song against the cohort, with progress. threads
 * 0: as many as the machine has cores. */
MUST_CHECK bool match_catalogue_open(const char *dir, unsigned threads, struct match_catalogue *out,
                                     struct err *e);

/* The sequences and fingerprints alone: nothing is held against the cohort, nothing can be searched
 * for. */
MUST_CHECK bool match_catalogue_open_library(const char *dir, unsigned threads,
                                             struct match_catalogue *out, struct err *e);

void match_catalogue_close(struct match_catalogue *c); /* safe on {0}, may run twice */

struct search_request {
    const char *query; /* an audio file, a track id or a row */
    uint64_t top;
    bool exhaustive, json;
    int64_t made_s; /* the date that JSON has */
};
MUST_CHECK bool match_catalogue_search(struct match_catalogue *c, const struct search_request *r,
                                       FILE *out, struct err *e);

struct all_request {
    double evalue; /* pairs up to it count */
    bool exhaustive;
};
struct all_report {
    uint64_t n_songs, n_searched, n_pairs, n_versions, n_borrowings, n_groups, n_grouped;
};
/* Searches for every song that no earlier run has searched for, then writes DIR/groups.csv (which
 * songs are versions of one work) and DIR/pairs.csv (every pair, and where). ERR_STOP when it was
 * asked to stop; what is done is kept. */
MUST_CHECK bool match_catalogue_all(struct match_catalogue *c, const struct all_request *r,
                                    struct all_report *out, struct err *e);

#endif
