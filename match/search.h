/*
 * One song against a library. A first pass aligns melodies at a quarter of the time resolution
 * (coarse.h) and keeps the songs that stand out; what it keeps is aligned exactly. `exhaustive`
 * aligns all.
 */
#ifndef REFRAIN_SEARCH_H
#define REFRAIN_SEARCH_H

#include "match/cohort.h"

enum {
    SEARCH_KEPT_MIN = 256,  /* songs that the first pass keeps at least, and */
    SEARCH_KEPT_SHARE = 25, /* one in so many */
    SEARCH_CANDIDATES = 32, /* songs, beyond those asked for, whose own excess is taken off */
    SEARCH_THREADS_MAX = 64,
};

struct search {
    const struct library *library; /* borrowed, as is: */
    struct cohort *cohort;         /* learns excesses; one search at a time */
};

struct search_hit {
    size_t song_i;
    double level; /* of the melody: length and both songs' excesses taken off, in ALIGN_UNITs */
    double evalue, qvalue;
    uint32_t rotation; /* from the query to the song */
};

struct search_query {
    const struct sequence *sequence;
    size_t self_i; /* a song of the library that is left out; SIZE_MAX: none */
    unsigned threads;
    bool exhaustive;
};

/* The n_top best by level, the best first; *out_n of them. E counts the whole library. The same
 * whatever the threads and whatever was searched for before. */
MUST_CHECK bool search_run(const struct search *s, const struct search_query *q, size_t n_top,
                           struct search_hit *out, size_t *out_n, struct err *e);

/* The songs that the first pass keeps, the best first; returns how many. kept: (n_songs). */
MUST_CHECK bool search_first_pass(const struct search *s, const struct search_query *q,
                                  uint32_t *kept, size_t *out_n, struct err *e);

#endif
