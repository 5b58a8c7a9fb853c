/*
 * JSON writer onto a FILE (use open_memstream for memory). Strings are escaped; invalid UTF-8
 * becomes U+FFFD; non-finite numbers become null. `key` is NULL inside arrays and at the top.
 *
 *     struct json j;
 *     json_init(&j, stdout);
 *     json_object(&j, NULL);
 *     json_u64(&j, "clips", n);
 *     json_end(&j);            // closes the innermost object or array
 *     json_finish(&j);         // newline; asserts that all is closed
 */
#ifndef REFRAIN_JSON_H
#define REFRAIN_JSON_H

#include "base/base.h"

#include <stdio.h>

enum { JSON_DEPTH_MAX = 32 };

struct json {
    FILE *out;
    unsigned depth;
    bool has_items[JSON_DEPTH_MAX];
    bool is_array[JSON_DEPTH_MAX];
};

void json_init(struct json *j, FILE *out);
void json_object(struct json *j, const char *key);
void json_array(struct json *j, const char *key);
void json_end(struct json *j);
void json_finish(struct json *j);

void json_str(struct json *j, const char *key, const char *value); /* NULL value: null */
void json_u64(struct json *j, const char *key, uint64_t value);
void json_i64(struct json *j, const char *key, int64_t value);
void json_f64(struct json *j, const char *key, double value); /* 9 significant digits */
void json_bool(struct json *j, const char *key, bool value);
void json_null(struct json *j, const char *key);
void json_hex64(struct json *j, const char *key, uint64_t value); /* "16 hex digits" as a string */

#endif
