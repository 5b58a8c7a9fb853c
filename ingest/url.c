#include "ingest/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_alnum(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_hex(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static char to_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_missing(const char *text, size_t len)
{
    static const char *const words[] = {"nan", "none", "null", "n/a", "na", "\\n", "-", "<na>"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strlen(words[i]) == len && strncasecmp(words[i], text, len) == 0)
            return true;
    return len == 0;
}

/* Letters, digits, "-", "_" and "." in labels that are not empty; or an IPv6 address in brackets.
 */
static bool host_is_valid(const char *host, size_t len)
{
    if (len == 0 || len >= HOST_BYTES_MAX)
        return false;
    if (host[0] == '[') {
        if (len < 4 || host[len - 1] != ']')
            return false;
        for (size_t i = 1; i + 1 < len; i++)
            if (!is_hex((unsigned char)host[i]) && host[i] != ':' && host[i] != '.')
                return false;
        return memchr(host, ':', len) != NULL;
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)host[i];
        bool empty_label = c == '.' && (i == 0 || host[i - 1] == '.');
        if ((!is_alnum(c) && c != '-' && c != '_' && c != '.') || empty_label)
            return false;
    }
    return true;
}

static bool port_is_valid(const char *port, size_t len)
{
    unsigned value = 0;
    if (len == 0 || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (port[i] < '0' || port[i] > '9')
            return false;
        value = value * 10 + (unsigned)(port[i] - '0');
    }
    return value >= 1 && value <= 65535;
}

/* Splits "host:port"; the host keeps its brackets. */
static bool authority_is_valid(const char *at, size_t len, size_t *out_host_len)
{
    const char *bracket = at[0] == '[' ? memchr(at, ']', len) : at;
    if (bracket == NULL)
        return false;
    const char *colon = memchr(bracket, ':', len - (size_t)(bracket - at));
    *out_host_len = colon == NULL ? len : (size_t)(colon - at);
    return host_is_valid(at, *out_host_len) &&
           (colon == NULL || port_is_valid(colon + 1, len - *out_host_len - 1));
}

/* RFC 3986 section 3.3 and 3.4: what may stand in a path and a query as it is. */
static bool path_char_is_plain(unsigned char c)
{
    return is_alnum(c) || (c != '\0' && strchr("-._~!$&'()*+,;=:@/?", c) != NULL);
}

/* Returns the length, or 0 when it does not fit. */
static size_t encode_path(const char *path, size_t len, char *out, size_t cap)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)path[i];
        bool is_escape = c == '%' && i + 2 < len && is_hex((unsigned char)path[i + 1]) &&
                         is_hex((unsigned char)path[i + 2]);
        if (n + 4 > cap)
            return 0;
        if (is_escape || path_char_is_plain(c))
            out[n++] = (char)c;
        else
            n += (size_t)snprintf(out + n, 4, "%%%02X", c);
    }
    out[n] = '\0';
    return n;
}

enum url_verdict url_normalize(const char *text, bool allow_http, char out[URL_BYTES_MAX])
{
    out[0] = '\0';
    text += strspn(text, " \t\r\n");
    size_t len = strlen(text);
    while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
        len--;
    if (is_missing(text, len))
        return URL_MISSING;
    const char *scheme;
    if (len > 8 && strncasecmp(text, "https://", 8) == 0)
        scheme = "https://";
    else if (allow_http && len > 7 && strncasecmp(text, "http://", 7) == 0)
        scheme = "http://";
    else
        return URL_BAD;

    const char *authority = text + strlen(scheme), *end = text + len;
    const char *fragment = memchr(authority, '#', (size_t)(end - authority));
    if (fragment != NULL)
        end = fragment;
    size_t authority_len = 0, host_len;
    while (authority + authority_len < end && strchr("/?", authority[authority_len]) == NULL)
        authority_len++;
    if (authority_len == 0 || !authority_is_valid(authority, authority_len, &host_len))
        return URL_BAD;
    const char *path = authority + authority_len;
    int n = snprintf(out, URL_BYTES_MAX, "%s%.*s%s", scheme, (int)authority_len, authority,
                     path < end && *path == '/' ? "" : "/");
    for (int i = 0; i < n && i < URL_BYTES_MAX; i++)
        out[i] = to_lower(out[i]);
    if (n < 0 || n >= URL_BYTES_MAX ||
        (path < end &&
         encode_path(path, (size_t)(end - path), out + n, URL_BYTES_MAX - (size_t)n) == 0)) {
        out[0] = '\0';
        return URL_BAD;
    }
    return URL_OK;
}

int64_t url_expires_s(const char *url)
{
    static const char *const names[] = {"exp=", "expires="};
    for (const char *at = url; *at != '\0'; at++) {
        if (strchr("?&=~", *at) == NULL)
            continue;
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
            size_t len = strlen(names[i]);
            size_t n =
                strncasecmp(at + 1, names[i], len) == 0 ? strspn(at + 1 + len, "0123456789") : 0;
            if (n >= 9 && n <= 11)
                return strtoll(at + 1 + len, NULL, 10);
        }
    }
    return 0;
}

void url_host(const char *url, char out[HOST_BYTES_MAX])
{
    const char *at = strstr(url, "://");
    at = at == NULL ? url : at + 3;
    size_t len = strcspn(at, "/?#");
    if (at[0] == '[') {
        at++;
        len = strcspn(at, "]/?#");
    } else {
        len = size_min(len, strcspn(at, ":"));
    }
    len = size_min(len, HOST_BYTES_MAX - 1);
    for (size_t i = 0; i < len; i++)
        out[i] = to_lower(at[i]);
    out[len] = '\0';
}

bool host_has_suffix(const char *host, const char *suffix)
{
    size_t host_len = strlen(host), len = strlen(suffix);
    if (len == 0 || len > host_len || strcasecmp(host + host_len - len, suffix) != 0)
        return false;
    return len == host_len || host[host_len - len - 1] == '.';
}
