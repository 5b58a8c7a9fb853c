/*
 * The same function in some threads, until all return. Internal to match/.
 */
#ifndef REFRAIN_WORKERS_H
#define REFRAIN_WORKERS_H

#include "base/err.h"

enum { WORKERS_MAX = 64 };

/* Shares its work by a counter in arg. False with a sentence is the error of all. */
typedef bool worker_fn(void *arg, struct err *e);

/* In n threads, 1 to WORKERS_MAX, or as many as can be started, one at least. The error of the
 * first thread that failed; the others end when their work is done. */
MUST_CHECK bool workers_run(unsigned n, worker_fn *work, void *arg, struct err *e);

#endif
