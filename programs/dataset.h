/*
 * A data set directory, as every program that takes DIR opens it: the configuration is read and
 * checked, and a directory that is not a data set gets a sentence instead of a cascade.
 */
#ifndef REFRAIN_DATASET_H
#define REFRAIN_DATASET_H

#include "base/file.h"
#include "conf/settings.h"

struct dataset {
    char dir[PATH_BYTES];
    struct settings settings;
};

/* Errors are ERR_USAGE: not a directory, no refrain.conf, a bad key, a newer version. */
MUST_CHECK bool dataset_open(const char *dir, struct dataset *out, struct err *e);

#endif
