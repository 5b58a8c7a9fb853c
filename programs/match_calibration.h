/*
 * `refrain eval DIR --by align --catalogue N`: whether E-values are true in catalogues of N songs,
 * as who owns one sees it. The data set is cut into catalogues of N songs each, one after another;
 * each has its own law, and every song outside of it is searched for in it. Few songs make many
 * queries, so that what is rare can be counted too.
 */
#ifndef REFRAIN_MATCH_CALIBRATION_H
#define REFRAIN_MATCH_CALIBRATION_H

#include "programs/match_eval.h"

struct calibration_result {
    size_t n_songs, n_catalogue, n_catalogues, n_queries;
    struct chance_point chance[EVAL_EVALUES];
    double least[EVAL_EVALUES], most[EVAL_EVALUES]; /* of one catalogue: unrelated songs a query */
};

/* c: as match_catalogue_open_library gives it. n_catalogue: COHORT_LIBRARY_MIN to COHORT_SAMPLE,
 * and half of the songs at most. */
MUST_CHECK bool match_calibrate(struct match_catalogue *c, const char *groups_path,
                                uint64_t n_catalogue, struct calibration_result *out,
                                struct err *e);

void match_calibration_print(const struct calibration_result *r, FILE *out);
void match_calibration_json(const struct calibration_result *r, FILE *out);

#endif
