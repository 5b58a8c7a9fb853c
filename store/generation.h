/*
 * Generations. A store holds records of one recipe, for ever: a writer with another one (a feature
 * setting that changed, another dtype) is refused. Who means the change retires the store, which
 * renames its folder:
 *
 *     DIR/features.mdb    the one that readers open and writers continue
 *     DIR/features.1.mdb  the first that was retired, .2 the next; readable under its path
 *
 * So there is no moment at which two recipes are in one folder, and none at which a reader could
 * see both. Who has the old one open keeps it, wherever it is called now.
 */
#ifndef REFRAIN_STORE_GENERATION_H
#define REFRAIN_STORE_GENERATION_H

#include "base/file.h"

enum { STORE_GENERATIONS_MAX = 10000 };

/* Renames the store of `path`, durably; *out_folder is its new one. A writer that is at work is
 * ERR_FATAL, no store ERR_PERM. */
MUST_CHECK bool store_retire(const char *path, char out_folder[PATH_BYTES], struct err *e);

/* The folder of the n-th retired one, from 1; false when there is none. They are without gaps,
 * unless somebody took one away. */
bool store_generation(const char *path, uint32_t n, char out_folder[PATH_BYTES]);

#endif
