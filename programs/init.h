/*
 * `refrain init`: makes a data set directory with its configuration, or changes settings of one.
 */
#ifndef REFRAIN_INIT_H
#define REFRAIN_INIT_H

#include "base/program.h"
#include "programs/dataset.h"

#include <stdio.h>

struct init_request {
    const char *dir;
    const char *csv;                /* NULL: not given */
    const char *audio;              /* a folder in place of the CSV; NULL: not given */
    const struct option_list *sets; /* "key=value" each */
};

enum init_result { INIT_MADE, INIT_CHANGED, INIT_UNCHANGED };

/* A new directory needs a CSV whose header is a catalogue's, or a folder of audio files, of which a
 * catalogue is made inside it. A directory that holds a data set
 * keeps its configuration except for what is given here; one that holds anything else is refused.
 * Settings that decide the stored bytes cannot change once there is a store. Errors of the user are
 * ERR_USAGE. *out is the data set as it is afterwards. */
MUST_CHECK bool init_dataset(const struct init_request *request, struct dataset *out,
                             enum init_result *result, struct err *e);

/* What was done and what comes next, for a person. */
void init_print(const struct dataset *d, enum init_result result, FILE *out);

#endif
