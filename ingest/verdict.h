/*
 * What became of one item's bytes, and the sentence that says why.
 */
#ifndef REFRAIN_VERDICT_H
#define REFRAIN_VERDICT_H

#include "base/err.h"

/* Names are the causes of spool/bad. */
enum decode_verdict {
    DECODE_OK,
    DECODE_NOT_AUDIO, /* no allowed container or codec, or no audio stream */
    DECODE_EMPTY,     /* 0 bytes */
    DECODE_CORRUPT,   /* more than 1 % of the packets failed, or time is missing */
    DECODE_TOO_LONG,  /* over a limit of bytes, time or memory */
    DECODE_NONFINITE, /* NaN or infinity among float samples */
    DECODE_CRASHED,   /* the process that decoded it crashed, hung or took too much memory */
    DECODE_VERDICTS,
};
const char *decode_verdict_name(enum decode_verdict v); /* "NOT_AUDIO" */

/* Sets verdict and sentence (ERR_PERM); false, for `return decode_reject(...)`. */
bool decode_reject(enum decode_verdict *verdict, enum decode_verdict v, struct err *e,
                   const char *format, ...) PRINTF_LIKE(4, 5);

#endif
