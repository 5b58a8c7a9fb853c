/*
 * `refrain eval DIR --groups truth.csv --by align|copy`: what the alignment is worth on songs whose
 * versions are known, and where it finds passages whose places are known; what the fingerprints are
 * worth on songs of which it is known which hold the same recording.
 */
#ifndef REFRAIN_MATCH_EVAL_H
#define REFRAIN_MATCH_EVAL_H

#include "programs/match_catalogue.h"
#include "programs/match_chance.h"

enum eval_axis { EVAL_ALIGN, EVAL_COPY };

struct eval_result {
    enum eval_axis axis;
    size_t n_songs, n_queries, n_works; /* queries: songs with a version in the library */
    struct figure two_choice, auc, map, mr1, p1, p10;
    struct figure found[EVAL_EVALUES]; /* by E-value: share of queries with a version up to it */
    struct chance_point chance[EVAL_EVALUES];
    /* Of the passages given: */
    size_t n_passages;            /* borrowings */
    struct figure first, first_5; /* share whose source is first, among the first five */
    struct figure located;        /* of those first: overlap of 60 % and more in both songs */
    struct figure overlap;        /* of those first: mean of the lesser overlap of both songs */
};

/* segments_path: rows of kind "borrowing" as tests/corpus writes them; NULL: none. EVAL_COPY holds
 * each fingerprint against each other one as they are stored, so a shift of pitch counts in full,
 * and needs no more than match_catalogue_open_library gives; segments_path is NULL then. */
MUST_CHECK bool match_eval(struct match_catalogue *c, enum eval_axis axis, const char *groups_path,
                           const char *segments_path, struct eval_result *out, struct err *e);

/* The work of each song of the library: (n_songs). */
MUST_CHECK bool match_groups_load(const struct match_catalogue *c, const char *path, uint64_t *out,
                                  struct err *e);

void match_eval_print(const struct eval_result *r, FILE *out);
void match_eval_json(const struct eval_result *r, FILE *out);

#endif
