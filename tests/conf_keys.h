/* A small table with a key of each type, for the tests of base/conf.c. */
#ifndef REFRAIN_TESTS_CONF_KEYS_H
#define REFRAIN_TESTS_CONF_KEYS_H

#include "base/conf.h"

struct values {
    bool flag;
    uint64_t count;
    double ratio;
    char name[CONF_STR_BYTES];
    int kind, many;
    struct conf_rate_list limit;
};

static const struct conf_key keys[] = {
    {"flag", CONF_BOOL, offsetof(struct values, flag), "off", 0, 0, "", "A switch.", NULL},
    {"count", CONF_U64, offsetof(struct values, count), "5", 1, 10, "items", "How many.", NULL},
    {"ratio", CONF_F64, offsetof(struct values, ratio), "0.5", 0, 1, "", "How much.", NULL},
    {"name", CONF_STR, offsetof(struct values, name), "", 0, 0, "", "What.", NULL},
    {"kind", CONF_ENUM, offsetof(struct values, kind), "b", 0, 0, "", "Which.", "a|b|long"},
    {"many", CONF_ENUM, offsetof(struct values, many), "few", 2, 9, "", "How many.", "one|few"},
    {"limit.*", CONF_RATES, offsetof(struct values, limit), "default=20/1", 0, 0, "N/SECONDS",
     "How often.", NULL},
};
static const struct conf_table table = {keys, ARRAY_LEN(keys)};

#endif
