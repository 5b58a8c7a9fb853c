/*
 * What a cause means and what an operator can do about it: one table for status, report and
 * docs/OPERATIONS.md (a test holds that page against it).
 */
#ifndef REFRAIN_ADVICE_H
#define REFRAIN_ADVICE_H

#include "base/base.h"

struct advice {
    const char *cause; /* as in the catalogue or in spool/bad */
    const char *means;
    const char *what_to_do;
};

extern const struct advice advice_table[];
extern const size_t n_advice;

/* The row of a cause, or NULL. An HTTP status without a row of its own gets that of its class. */
const struct advice *advice_find(const char *cause);

#endif
