/*
 * The configuration engine. One row per key: the row parses, validates, prints the example file and
 * the manual, and is checked against conf/refrain.conf by a test. The file is `key = value` lines,
 * `#` comments, no sections; an unknown key, a value out of range or a key given twice is an error
 * with file and line. The values land in a plain struct that is const after start.
 *
 * A key that ends in ".*" is a family: every `prefix.NAME = value` is collected in a
 * struct conf_rate_list (the only family type there is).
 */
#ifndef REFRAIN_CONF_H
#define REFRAIN_CONF_H

#include "base/buf.h"

enum { CONF_STR_BYTES = 512, CONF_RATES_MAX = 64, CONF_RATES_ALSO = 2, CONF_NAME_BYTES = 128 };

enum conf_type {
    CONF_BOOL,  /* bool: on/off, yes/no, true/false */
    CONF_U64,   /* uint64_t */
    CONF_F64,   /* double */
    CONF_STR,   /* char[CONF_STR_BYTES], may be empty */
    CONF_ENUM,  /* int: index into choices; where max > 0 a number from min to max, negated */
    CONF_RATES, /* struct conf_rate_list, "N/SECONDS[,N/SECONDS...][,gap:SECONDS]" or "off" each;
                   key name ends in ".*" */
};

/* N requests in any window of this many seconds; n == 0 means no limit ("off"). */
struct conf_rate {
    uint32_t n;
    double window_s;
};

/* All of them hold at the same time. */
struct conf_limit {
    struct conf_rate rate;
    struct conf_rate also[CONF_RATES_ALSO]; /* n == 0: none */
    double gap_s;                           /* least time from one request to the next; 0: none */
};

struct conf_rate_list {
    size_t n;
    struct {
        char name[CONF_NAME_BYTES]; /* what stands for the '*': "default" or a host suffix */
        struct conf_limit limit;
    } items[CONF_RATES_MAX];
};

struct conf_key {
    const char *name;
    enum conf_type type;
    size_t offset;       /* into the caller's struct */
    const char *initial; /* default, as text; for CONF_RATES "name=value name=value" */
    double min, max;     /* CONF_U64, CONF_F64 and CONF_ENUM, inclusive */
    const char *unit;    /* "ms", "bytes", "requests/s", "" */
    const char *reason;  /* a sentence: what it does and why this default */
    const char *choices; /* CONF_ENUM: "a|b|c" in the order of the C enum */
};

struct conf_table {
    const struct conf_key *keys;
    size_t n_keys;
};

/* Sets every key to its default. */
void conf_defaults(const struct conf_table *t, void *values);

/* Applies a file's text over `values`. Errors are ERR_USAGE and name source:line. */
MUST_CHECK bool conf_parse(const struct conf_table *t, struct span text, const char *source,
                           void *values, struct err *e);

/* Applies one "key=value". */
MUST_CHECK bool conf_set(const struct conf_table *t, const char *assignment, void *values,
                         struct err *e);

/* Prints every key with default, range, unit, reason and present value, in the file's own syntax.
 */
MUST_CHECK bool conf_print(const struct conf_table *t, const void *values, struct buf *out,
                           struct err *e);

#endif
