/*
 * `refrain store doctor`: how a store lies on its disk, what this machine makes of it, and what
 * would help.
 */
#ifndef REFRAIN_STORE_DOCTOR_PROGRAM_H
#define REFRAIN_STORE_DOCTOR_PROGRAM_H

#include "base/err.h"

#include <stdio.h>

/* Takes about two seconds: reads warm records on one core, and pieces of the file past the cache.
 */
MUST_CHECK bool store_doctor_run(const char *path, bool as_json, FILE *out, struct err *e);

#endif
