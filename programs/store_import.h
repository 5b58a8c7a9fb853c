/*
 * refrain store import: arrays of others, or a folder of audio, into a data set.
 */
#ifndef REFRAIN_STORE_IMPORT_COMMAND_H
#define REFRAIN_STORE_IMPORT_COMMAND_H

#include "base/program.h"

enum { STORE_IMPORT_OPTIONS = 13, STORE_IMPORT_FILES_MAX = 1 << 20 };
extern const struct option store_import_options[STORE_IMPORT_OPTIONS];

bool store_import_run(const struct args *args, struct err *e);

#endif
