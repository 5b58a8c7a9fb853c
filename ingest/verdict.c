#include "ingest/verdict.h"

#include <stdarg.h>
#include <stdio.h>

const char *decode_verdict_name(enum decode_verdict v)
{
    static const char *const names[DECODE_VERDICTS] = {"OK",       "NOT_AUDIO", "EMPTY",  "CORRUPT",
                                                       "TOO_LONG", "NONFINITE", "CRASHED"};
    assert(v < DECODE_VERDICTS);
    return names[v];
}

bool decode_reject(enum decode_verdict *verdict, enum decode_verdict v, struct err *e,
                   const char *format, ...)
{
    char text[ERR_MSG_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    *verdict = v;
    return err_set(e, ERR_PERM, "%s", text);
}
