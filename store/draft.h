/*
 * A file being written beside where it will lie, and put there when it is whole.
 */
#ifndef REFRAIN_STORE_DRAFT_H
#define REFRAIN_STORE_DRAFT_H

#include "base/file.h"

#include <stdio.h>

struct draft {
    char path[PATH_BYTES], temp[PATH_BYTES];
    FILE *file;
};

MUST_CHECK bool draft_open(struct draft *d, const char *path, struct err *e);
MUST_CHECK bool draft_write(struct draft *d, const void *bytes, size_t n_bytes, struct err *e);
MUST_CHECK bool draft_keep(struct draft *d, struct err *e); /* durable, then renamed */
void draft_drop(struct draft *d);                           /* safe on {0} and on a kept one */

#endif
