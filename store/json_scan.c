#include "store/json_scan.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_BYTES = 64 };

void json_scan_init(struct json_scan *j, struct span text)
{
    *j = (struct json_scan){.at = text.ptr};
    j->start = j->at;
    j->end = text.len > 0 ? j->at + text.len : j->at;
}

static bool bad(const struct json_scan *j, const char *what, struct err *e)
{
    return err_set(e, ERR_PERM, "JSON: %s at byte %zu", what, (size_t)(j->at - j->start));
}

static void skip_blanks(struct json_scan *j)
{
    while (j->at < j->end && (*j->at == ' ' || *j->at == '\n' || *j->at == '\r' || *j->at == '\t'))
        j->at++;
}

static bool take(struct json_scan *j, char wanted)
{
    skip_blanks(j);
    if (j->at == j->end || *j->at != (uint8_t)wanted)
        return false;
    j->at++;
    return true;
}

/* ---------------------------------------------------------------- objects, arrays */

bool json_scan_begin(struct json_scan *j, char kind, struct err *e)
{
    assert(kind == '{' || kind == '[');
    if (!take(j, kind))
        return bad(j, kind == '{' ? "an object is missing" : "an array is missing", e);
    if (j->depth == JSON_SCAN_DEPTH_MAX)
        return bad(j, "nested too deep", e);
    j->fresh[j->depth++] = true;
    return true;
}

/* To the next entry of what was entered last, or out of it. */
static bool next(struct json_scan *j, char close, bool *more, struct err *e)
{
    assert(j->depth > 0);
    bool fresh = j->fresh[j->depth - 1];
    *more = false;
    if (take(j, close)) {
        j->depth--;
        return true;
    }
    if (!fresh && !take(j, ','))
        return bad(j, "a comma or an end is missing", e);
    j->fresh[j->depth - 1] = false;
    *more = true;
    return true;
}

bool json_scan_item(struct json_scan *j, bool *more, struct err *e)
{
    return next(j, ']', more, e);
}

/* ---------------------------------------------------------------- strings */

static bool hex4(struct json_scan *j, uint32_t *out, struct err *e)
{
    *out = 0;
    for (int i = 0; i < 4; i++, j->at++) {
        uint8_t d = j->at < j->end ? *j->at : 0;
        uint32_t v = d >= '0' && d <= '9'   ? (uint32_t)(d - '0')
                     : d >= 'a' && d <= 'f' ? (uint32_t)(d - 'a') + 10
                     : d >= 'A' && d <= 'F' ? (uint32_t)(d - 'A') + 10
                                            : 16;
        if (v == 16)
            return bad(j, "a bad \\u escape", e);
        *out = *out << 4 | v;
    }
    return true;
}

static size_t utf8(uint32_t code, uint8_t out[4])
{
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1; code >>= 6)
        out[i] = (uint8_t)(0x80 | (code & 0x3f));
    out[0] = (uint8_t)(lead[n] | code);
    return n;
}

/* One escape behind its backslash; surrogates come in pairs. */
static bool escape(struct json_scan *j, uint8_t out[4], size_t *n, struct err *e)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    uint8_t kind = j->at < j->end ? *j->at++ : 0;
    const char *found = kind ? strchr(from, kind) : NULL;
    uint32_t code, low;
    if (found) {
        out[0] = (uint8_t)to[found - from];
        *n = 1;
        return true;
    }
    if (kind != 'u')
        return bad(j, "a bad escape", e);
    if (!hex4(j, &code, e))
        return false;
    if (code >= 0xd800 && code < 0xdc00) {
        if (j->end - j->at < 6 || j->at[0] != '\\' || j->at[1] != 'u')
            return bad(j, "half a surrogate pair", e);
        j->at += 2;
        if (!hex4(j, &low, e))
            return false;
        if (low < 0xdc00 || low > 0xdfff)
            return bad(j, "half a surrogate pair", e);
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code == 0 || (code >= 0xdc00 && code < 0xe000)) {
        return bad(j, "a NUL or half a surrogate pair", e);
    }
    *n = utf8(code, out);
    return true;
}

/* out NULL: only past it. *fits says whether out had the room. */
static bool string(struct json_scan *j, char *out, size_t out_bytes, bool *fits, struct err *e)
{
    size_t len = 0;
    *fits = true;
    if (!take(j, '"'))
        return bad(j, "a string is missing", e);
    for (;;) {
        uint8_t piece[4];
        size_t n = 1;
        if (j->at == j->end)
            return bad(j, "a string has no end", e);
        piece[0] = *j->at++;
        if (piece[0] == '"')
            break;
        if (piece[0] < 0x20)
            return bad(j, "a control character in a string", e);
        if (piece[0] == '\\' && !escape(j, piece, &n, e))
            return false;
        if (out && len + n < out_bytes)
            memcpy(out + len, piece, n);
        else
            *fits = false;
        len += n;
    }
    if (out)
        out[*fits ? len : 0] = '\0';
    return true;
}

bool json_scan_string(struct json_scan *j, char *out, size_t out_bytes, struct err *e)
{
    bool fits;
    assert(out_bytes > 0);
    return string(j, out, out_bytes, &fits, e) && (fits || bad(j, "too long a string", e));
}

bool json_scan_member(struct json_scan *j, char out_name[JSON_SCAN_KEY_BYTES], bool *more,
                      struct err *e)
{
    bool fits;
    out_name[0] = '\0';
    if (!next(j, '}', more, e))
        return false;
    if (!*more)
        return true;
    return string(j, out_name, JSON_SCAN_KEY_BYTES, &fits, e) &&
           (take(j, ':') || bad(j, "a colon is missing", e));
}

/* ---------------------------------------------------------------- numbers */

/* The characters a number may have, as text. */
static bool number_text(struct json_scan *j, char out[NUMBER_BYTES], struct err *e)
{
    size_t n = 0;
    skip_blanks(j);
    const uint8_t *from = j->at;
    while (j->at < j->end && *j->at && strchr("+-.0123456789eE", *j->at)) {
        if (n + 1 == NUMBER_BYTES)
            return bad(j, "too long a number", e);
        out[n++] = (char)*j->at++;
    }
    out[n] = '\0';
    if (n > 0 && (out[0] == '-' || (out[0] >= '0' && out[0] <= '9')))
        return true;
    j->at = from;
    return bad(j, "a number is missing", e);
}

bool json_scan_number(struct json_scan *j, double *out, struct err *e)
{
    char text[NUMBER_BYTES], *end;
    if (!number_text(j, text, e))
        return false;
    double value = strtod(text, &end);
    if (*end || !isfinite(value))
        return bad(j, "a bad number", e);
    *out = value;
    return true;
}

bool json_scan_u64(struct json_scan *j, uint64_t *out, struct err *e)
{
    char text[NUMBER_BYTES], *end;
    if (!number_text(j, text, e))
        return false;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (*end || text[0] == '-' || errno)
        return bad(j, "not a whole number of 64 bits", e);
    *out = value;
    return true;
}

bool json_scan_hex64(struct json_scan *j, uint64_t *out, struct err *e)
{
    char text[17], *end;
    if (!json_scan_string(j, text, sizeof text, e))
        return false;
    if (strlen(text) != 16 || strspn(text, "0123456789abcdefABCDEF") != 16)
        return bad(j, "not 16 hexadecimal digits", e);
    *out = strtoull(text, &end, 16);
    return true;
}

/* ---------------------------------------------------------------- what nobody asked for */

static bool skip_word(struct json_scan *j, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(j->end - j->at) < n || memcmp(j->at, word, n) != 0)
        return false;
    j->at += n;
    return true;
}

static bool skip_scalar(struct json_scan *j, struct err *e)
{
    char text[NUMBER_BYTES];
    bool fits;
    if (*j->at == '"')
        return string(j, NULL, 0, &fits, e);
    return skip_word(j, "true") || skip_word(j, "false") || skip_word(j, "null") ||
           number_text(j, text, e);
}

bool json_scan_skip(struct json_scan *j, struct err *e)
{
    char kinds[JSON_SCAN_DEPTH_MAX] = {0}, name[JSON_SCAN_KEY_BYTES];
    unsigned outside = j->depth;
    bool more = true;
    do {
        if (more) {
            skip_blanks(j);
            if (j->at == j->end)
                return bad(j, "a value is missing", e);
            char kind = (char)*j->at;
            if (kind == '{' || kind == '[') {
                if (!json_scan_begin(j, kind, e))
                    return false;
                kinds[j->depth - 1] = kind;
            } else if (!skip_scalar(j, e)) {
                return false;
            }
        }
        if (j->depth > outside && !(kinds[j->depth - 1] == '{' ? json_scan_member(j, name, &more, e)
                                                               : json_scan_item(j, &more, e)))
            return false;
    } while (j->depth > outside);
    return true;
}
