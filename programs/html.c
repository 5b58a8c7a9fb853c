#include "programs/html.h"

#include <inttypes.h>
#include <math.h>

static const char replacement[] = "\xEF\xBF\xBD"; /* U+FFFD */

size_t utf8_char_bytes(const char *text)
{
    const uint8_t *s = (const uint8_t *)text;
    if (s[0] < 0x80)
        return s[0] != 0;
    size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < len; i++) /* a NUL ends it: 0 is no continuation byte */
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool surrogate = s[0] == 0xed && s[1] >= 0xa0;
    bool beyond = s[0] == 0xf4 && s[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : len;
}

static const char *entity(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

void html_text_cut(FILE *out, const char *text, size_t n_max)
{
    if (text == NULL)
        return;
    for (size_t n = 0; *text != '\0'; n++) {
        if (n == n_max) {
            fputs("\u2026", out);
            return;
        }
        size_t len = utf8_char_bytes(text);
        const char *name = entity(*text);
        bool control = ((uint8_t)*text < 0x20 && *text != '\t' && *text != '\n') || *text == 0x7f;
        if (name != NULL)
            fputs(name, out);
        else if (len == 0 || control)
            fputs(replacement, out);
        else
            fwrite(text, 1, len, out);
        text += len == 0 ? 1 : len;
    }
}

void html_text(FILE *out, const char *text)
{
    html_text_cut(out, text, SIZE_MAX);
}

void html_data_uri(FILE *out, const char *mime, struct span bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    fprintf(out, "data:%s;base64,", mime);
    const uint8_t *p = bytes.ptr;
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t word = (uint32_t)p[i] << 16;
        word |= left > 1 ? (uint32_t)p[i + 1] << 8 : 0;
        word |= left > 2 ? (uint32_t)p[i + 2] : 0;
        putc(digits[word >> 18], out);
        putc(digits[word >> 12 & 63], out);
        putc(left > 1 ? digits[word >> 6 & 63] : '=', out);
        putc(left > 2 ? digits[word & 63] : '=', out);
    }
}

const char *count_text(uint64_t n, char out[COUNT_TEXT_BYTES])
{
    char plain[24];
    int len = snprintf(plain, sizeof plain, "%" PRIu64, n);
    size_t at = 0;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            out[at++] = ' ';
        out[at++] = plain[i];
    }
    out[at] = '\0';
    return out;
}

const char *bytes_text(double n_bytes, char out[COUNT_TEXT_BYTES])
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB", "PB"};
    size_t unit_i = 0;
    /* 999.5 would round to "1000" */
    while (n_bytes >= 999.5 && unit_i + 1 < ARRAY_LEN(units)) {
        n_bytes /= 1000;
        unit_i++;
    }
    int n_decimals = unit_i == 0 || n_bytes >= 99.95 ? 0 : n_bytes >= 9.995 ? 1 : 2;
    snprintf(out, COUNT_TEXT_BYTES, "%.*f %s", n_decimals, n_bytes, units[unit_i]);
    return out;
}

const char *duration_text(double seconds, char out[COUNT_TEXT_BYTES])
{
    if (!isfinite(seconds) || seconds < 0 || seconds > 1e12) {
        snprintf(out, COUNT_TEXT_BYTES, "unknown");
        return out;
    }
    uint64_t s = (uint64_t)(seconds + 0.5);
    if (s < 60)
        snprintf(out, COUNT_TEXT_BYTES, "%" PRIu64 " s", s);
    else if (s < 3600)
        snprintf(out, COUNT_TEXT_BYTES, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
    else if (s < 86400)
        snprintf(out, COUNT_TEXT_BYTES, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s / 60 % 60);
    else
        snprintf(out, COUNT_TEXT_BYTES, "%" PRIu64 " d %" PRIu64 " h", s / 86400, s / 3600 % 24);
    return out;
}
