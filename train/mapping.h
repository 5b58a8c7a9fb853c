/*
 * Zeroed memory that belongs to an unlinked temporary file instead of to the process: what must be
 * kept for each clip of a data set lies here, so that anonymous memory does not grow with it and
 * the kernel may write it out when memory is short.
 */
#ifndef REFRAIN_MAPPING_H
#define REFRAIN_MAPPING_H

#include "base/err.h"

struct mapping {
    void *base;
    size_t bytes;
};

/* The file is made in `dir`; 0 bytes are fine. */
MUST_CHECK bool mapping_init(struct mapping *m, const char *dir, size_t bytes, struct err *e);
void mapping_release(struct mapping *m); /* safe on {0}, may run twice */

#endif
