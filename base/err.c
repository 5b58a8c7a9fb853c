#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void err_fill(struct err *e, enum err_kind kind, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(e->msg, sizeof e->msg, format, ap);
    va_end(ap);
    e->kind = kind;
}

void err_fill_errno(struct err *e, enum err_kind kind, int errnum, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(e->msg, sizeof e->msg, format, ap);
    va_end(ap);
    e->kind = kind;
    size_t len = strlen(e->msg);
    char text[128];
    snprintf(e->msg + len, sizeof e->msg - len, ": %s", strerror_r(errnum, text, sizeof text));
}

void err_fill_context(struct err *e, const char *format, ...)
{
    char context[ERR_MSG_BYTES];
    va_list ap;
    va_start(ap, format);
    vsnprintf(context, sizeof context, format, ap);
    va_end(ap);

    /* The context is kept whole and the old message loses its tail, if one must. */
    size_t context_len = strlen(context), msg_len = strlen(e->msg);
    size_t at = size_min(context_len + 2, sizeof e->msg - 1);
    size_t kept = size_min(msg_len, sizeof e->msg - 1 - at);
    memmove(e->msg + at, e->msg, kept);
    e->msg[at + kept] = '\0';
    memcpy(e->msg, context, size_min(context_len, at));
    if (at == context_len + 2)
        memcpy(e->msg + context_len, ": ", 2);
}

const char *err_kind_name(enum err_kind kind)
{
    static const char *const names[] = {
        [ERR_NONE] = "none",   [ERR_TEMP] = "temp",   [ERR_PERM] = "perm",
        [ERR_FATAL] = "fatal", [ERR_USAGE] = "usage", [ERR_STOP] = "stop",
    };
    assert((size_t)kind < ARRAY_LEN(names));
    return names[kind];
}
