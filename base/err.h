/*
 * The one error type. A kind says what the caller does next, never where the error happened; the
 * message is a sentence with the values and limits in it. Outer context goes in front:
 * "track 7f: decode: ...". The world gives errors, our own mistakes give asserts.
 *
 *     if (len < HEADER_BYTES)
 *         return err_set(e, ERR_PERM, "record is %zu bytes, header needs %d", len, HEADER_BYTES);
 *     if (!clip_cut(&pcm, &clip, e))
 *         return err_wrap(e, "track %s", id);
 */
#ifndef REFRAIN_ERR_H
#define REFRAIN_ERR_H

#include "base/base.h"

enum err_kind {
    ERR_NONE,
    ERR_TEMP,  /* retry later */
    ERR_PERM,  /* set this item aside and go on */
    ERR_FATAL, /* stop the program, exit 1 */
    ERR_USAGE, /* the command line or the configuration is wrong, exit 2 */
    ERR_STOP,  /* asked to stop, exit 0 */
};

enum { ERR_MSG_BYTES = 400 };

/* Zeroed before first use; untouched on success. Lives on the stack: failing allocates nothing. */
struct err {
    enum err_kind kind;
    char msg[ERR_MSG_BYTES];
};

/* err_set(e, kind, format, ...): an expression that is false, so that `return err_set(...)` is the
 * failing path of a bool function. */
#define err_set(...) (err_fill(__VA_ARGS__), err_false())

/* err_set_errno(e, kind, errnum, format, ...): with ": " and the text of errnum behind the message.
 */
#define err_set_errno(...) (err_fill_errno(__VA_ARGS__), err_false())

/* err_wrap(e, format, ...): puts "context: " in front of the message; the kind stays. */
#define err_wrap(...) (err_fill_context(__VA_ARGS__), err_false())

/* Behind the three, which are macros only so that static analysis sees that they are false. */
void err_fill(struct err *e, enum err_kind kind, const char *format, ...) PRINTF_LIKE(3, 4);
void err_fill_errno(struct err *e, enum err_kind kind, int errnum, const char *format, ...)
    PRINTF_LIKE(4, 5);
void err_fill_context(struct err *e, const char *format, ...) PRINTF_LIKE(2, 3);

static inline bool err_false(void)
{
    return false;
}

/* "temp", "perm", ... for logs. */
const char *err_kind_name(enum err_kind kind);

#endif
