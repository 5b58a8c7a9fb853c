/*
 * The copy axis of `refrain search`: which songs of a data set are recordings that the query holds.
 */
#ifndef REFRAIN_MATCH_COPIES_H
#define REFRAIN_MATCH_COPIES_H

#include "base/json.h"
#include "match/copy_search.h"
#include "match/library.h"

struct match_copies {
    bool known; /* the data set has fingerprints; those made by earlier versions have none */
    size_t n;
    struct copy_hit hits[COPY_HITS_MAX]; /* songs of the library */
};

/* A file: all takes of its samples. */
MUST_CHECK bool match_copies_of_file(const struct library *l, const float *samples,
                                     size_t n_samples, unsigned threads, struct match_copies *out,
                                     struct err *e);

/* A song of the library: as it is, itself left out. */
MUST_CHECK bool match_copies_of_song(const struct library *l, size_t song_i, unsigned threads,
                                     struct match_copies *out, struct err *e);

void match_copies_print(const struct match_copies *c, const struct library *l, FILE *out);
void match_copies_json(const struct match_copies *c, const struct library *l, struct json *j);

#endif
