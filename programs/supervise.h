/*
 * `refrain run`: fetch and extract as supervised child processes.
 *
 * A stage that fails is started again, after a wait that doubles with each failure in a row; exit 2
 * (usage or configuration) is no use repeating and ends the run. SIGTERM or SIGINT is passed on
 * once to both, which drain; a second one kills us and, through the parent-death signal, them.
 * Without `watch` the run ends when fetch has drained the catalogue and the spool is empty; with
 * it, fetch is started again whenever the CSV has changed, and only a signal ends the run.
 */
#ifndef REFRAIN_SUPERVISE_H
#define REFRAIN_SUPERVISE_H

#include "programs/dataset.h"

/* True: drained, or asked to stop and stopped. */
MUST_CHECK bool supervise_run(const struct dataset *d, bool watch, struct err *e);

/* Wait before start number n_failures + 1: first * 2^(n_failures - 1), at most max. */
uint64_t supervise_backoff_ms(uint64_t first_ms, uint64_t max_ms, uint64_t n_failures);

#endif
