/*
 * Links as they stand in a CSV: is it one, what does it look like when written properly, which host
 * does it name. Nothing here resolves or connects.
 */
#ifndef REFRAIN_URL_H
#define REFRAIN_URL_H

#include "base/err.h"

enum { URL_BYTES_MAX = 2048, HOST_BYTES_MAX = 256 };

enum url_verdict {
    URL_OK,
    URL_MISSING, /* empty, nan, none, null, n/a, \N, - in any case */
    URL_BAD,     /* not http(s)://host[:port]/..., or longer than URL_BYTES_MAX - 1 */
};

/* Writes the link as it will be requested: scheme and host in lower case, no fragment, "/" for an
 * empty path, and what RFC 3986 does not allow in a path (blanks, quotes, non-ASCII bytes, a lone
 * "%") percent-encoded. `out` is "" unless URL_OK. http:// is URL_BAD unless allow_http. A link
 * with user:password@ is URL_BAD: no preview needs one. */
enum url_verdict url_normalize(const char *text, bool allow_http, char out[URL_BYTES_MAX]);

/* When a signed link expires, in seconds since 1970; 0 for one that does not say: "exp=" or
 * "expires=" and nine to eleven digits, as a parameter or within one
 * ("hdnea=exp=1798761600~acl=..."). */
int64_t url_expires_s(const char *url);

/* The host of a normalised link, without brackets and port. */
void url_host(const char *url, char out[HOST_BYTES_MAX]);

/* True when `suffix` is the host or ends it at a label border: "dzcdn.net" fits "a.dzcdn.net" and
 * not "xdzcdn.net". Case does not matter. */
bool host_has_suffix(const char *host, const char *suffix);

#endif
