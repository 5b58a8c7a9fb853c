#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void json_init(struct json *j, FILE *out)
{
    *j = (struct json){.out = out};
}

/* Length of the valid UTF-8 sequence at `at`, 0 when it is not one (overlong forms, surrogates and
 * values over U+10FFFF are not). */
static size_t utf8_length(const unsigned char *at)
{
    if (at[0] < 0x80)
        return 1;
    size_t n = at[0] >= 0xF0 ? 4 : at[0] >= 0xE0 ? 3 : 2;
    if (at[0] < 0xC2 || at[0] > 0xF4)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((at[i] & 0xC0) != 0x80)
            return 0;
    if ((at[0] == 0xE0 && at[1] < 0xA0) || (at[0] == 0xED && at[1] > 0x9F) ||
        (at[0] == 0xF0 && at[1] < 0x90) || (at[0] == 0xF4 && at[1] > 0x8F))
        return 0;
    return n;
}

static void json_text(FILE *out, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    fputc('"', out);
    while (*at != '\0') {
        size_t n = utf8_length(at);
        if (n == 0) {
            fputs("\\ufffd", out);
            at++;
            continue;
        }
        if (*at == '"' || *at == '\\')
            fprintf(out, "\\%c", *at);
        else if (*at < 0x20 || *at == 0x7f)
            fprintf(out, "\\u%04x", *at);
        else
            fwrite(at, 1, n, out);
        at += n;
    }
    fputc('"', out);
}

static void json_item(struct json *j, const char *key)
{
    assert(j->depth == 0 || (key == NULL) == j->is_array[j->depth - 1]);
    if (j->depth > 0 && j->has_items[j->depth - 1])
        fputs(", ", j->out);
    if (j->depth > 0)
        j->has_items[j->depth - 1] = true;
    if (key != NULL) {
        json_text(j->out, key);
        fputs(": ", j->out);
    }
}

static void json_open(struct json *j, const char *key, bool is_array)
{
    assert(j->depth < JSON_DEPTH_MAX);
    json_item(j, key);
    fputc(is_array ? '[' : '{', j->out);
    j->is_array[j->depth] = is_array;
    j->has_items[j->depth] = false;
    j->depth++;
}

void json_object(struct json *j, const char *key)
{
    json_open(j, key, false);
}

void json_array(struct json *j, const char *key)
{
    json_open(j, key, true);
}

void json_end(struct json *j)
{
    assert(j->depth > 0);
    j->depth--;
    fputc(j->is_array[j->depth] ? ']' : '}', j->out);
}

void json_finish(struct json *j)
{
    assert(j->depth == 0);
    fputc('\n', j->out);
}

void json_str(struct json *j, const char *key, const char *value)
{
    json_item(j, key);
    if (value == NULL)
        fputs("null", j->out);
    else
        json_text(j->out, value);
}

void json_u64(struct json *j, const char *key, uint64_t value)
{
    json_item(j, key);
    fprintf(j->out, "%" PRIu64, value);
}

void json_i64(struct json *j, const char *key, int64_t value)
{
    json_item(j, key);
    fprintf(j->out, "%" PRId64, value);
}

void json_f64(struct json *j, const char *key, double value)
{
    json_item(j, key);
    if (isfinite(value))
        fprintf(j->out, "%.9g", value);
    else
        fputs("null", j->out);
}

void json_bool(struct json *j, const char *key, bool value)
{
    json_item(j, key);
    fputs(value ? "true" : "false", j->out);
}

void json_null(struct json *j, const char *key)
{
    json_item(j, key);
    fputs("null", j->out);
}

void json_hex64(struct json *j, const char *key, uint64_t value)
{
    json_item(j, key);
    fprintf(j->out, "\"%016" PRIx64 "\"", value);
}
