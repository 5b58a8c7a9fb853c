#include "ingest/ratelimit.h"

#include "base/clock.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <time.h>

static const char *const field_names[RATELIMIT_FIELDS] = {
    [FIELD_RETRY_AFTER] = "Retry-After",
    [FIELD_DATE] = "Date",
    [FIELD_RATELIMIT] = "RateLimit",
    [FIELD_POLICY] = "RateLimit-Policy",
    [FIELD_LIMIT] = "RateLimit-Limit",
    [FIELD_REMAINING] = "RateLimit-Remaining",
    [FIELD_RESET] = "RateLimit-Reset",
    [FIELD_X_LIMIT] = "X-RateLimit-Limit",
    [FIELD_X_REMAINING] = "X-RateLimit-Remaining",
    [FIELD_X_RESET] = "X-RateLimit-Reset",
};

enum { EPOCH_LEAST_S = 1000000000, WINDOW_MAX_S = 86400 };

void ratelimit_reset(struct ratelimit_fields *f)
{
    for (size_t i = 0; i < RATELIMIT_FIELDS; i++)
        f->text[i][0] = '\0';
}

void ratelimit_take_line(struct ratelimit_fields *f, const char *line, size_t len)
{
    for (size_t i = 0; i < RATELIMIT_FIELDS; i++) {
        size_t name_len = strlen(field_names[i]);
        if (len <= name_len || line[name_len] != ':' ||
            strncasecmp(line, field_names[i], name_len) != 0)
            continue;
        const char *at = line + name_len + 1, *end = line + len;
        while (at < end && (*at == ' ' || *at == '\t'))
            at++;
        while (end > at && strchr(" \t\r\n", end[-1]) != NULL)
            end--;
        size_t n = (size_t)(end - at);
        if (n >= RATELIMIT_FIELD_BYTES || memchr(at, '\0', n) != NULL)
            n = 0;
        memcpy(f->text[i], at, n);
        f->text[i][n] = '\0';
    }
}

/* ---------------------------------------------------------------- Retry-After */

/* The three spellings of RFC 9110 section 5.6.7. */
static bool parse_http_date(const char *text, int64_t *out_s)
{
    static const char *const forms[] = {
        "%a, %d %b %Y %H:%M:%S GMT",
        "%A, %d-%b-%y %H:%M:%S GMT",
        "%a %b %d %H:%M:%S %Y",
    };
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        struct tm tm = {0};
        const char *end = strptime(text, forms[i], &tm);
        if (end == NULL || *end != '\0')
            continue;
        *out_s = timegm(&tm);
        return *out_s >= 0;
    }
    return false;
}

bool ratelimit_server_s(const struct ratelimit_fields *f, int64_t *out_s)
{
    return parse_http_date(f->text[FIELD_DATE], out_s);
}

/* Digits alone; a number beyond `max` is `max`. */
static bool parse_count(const char *text, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    if (text[0] == '\0' || text[strspn(text, "0123456789")] != '\0')
        return false;
    for (; *text != '\0' && value <= max; text++)
        value = value * 10 + (uint64_t)(*text - '0');
    *out = u64_min(value, max);
    return true;
}

bool retry_after_parse(const char *value, const char *server_date, int64_t wall_s, uint64_t *out_ms)
{
    uint64_t seconds = 0;
    int64_t then_s, now_s = wall_s;
    *out_ms = 0;
    if (value == NULL || value[0] == '\0')
        return false;
    if (!parse_count(value, RATELIMIT_WAIT_MAX_MS / 1000, &seconds)) {
        if (!parse_http_date(value, &then_s))
            return false;
        if (server_date != NULL && server_date[0] != '\0')
            (void)parse_http_date(server_date, &now_s);
        seconds = then_s > now_s ? (uint64_t)(then_s - now_s) : 0;
    }
    *out_ms = u64_min(seconds, RATELIMIT_WAIT_MAX_MS / 1000) * 1000;
    return seconds > 0;
}

/* ---------------------------------------------------------------- structured fields
 * As much of RFC 9651 as the fields use: a list of items or of name=value pairs, each with
 * parameters. Of strings and tokens only the letter is kept that tells them apart. */

enum { NAME_BYTES = 16 };

struct value {
    enum { VALUE_NONE, VALUE_INTEGER, VALUE_OTHER } kind;
    int64_t integer;
};

struct member {
    char name[NAME_BYTES]; /* of a pair, else "" */
    struct value value;
    struct value q, w, r, t; /* parameters */
    bool is_of_requests;     /* no quota unit but "requests" */
};

static const char *skip_blanks(const char *at)
{
    assert(at != NULL);
    return at + strspn(at, " \t");
}

static const char *parse_string(const char *at, struct value *out)
{
    out->kind = VALUE_OTHER;
    for (at++; *at != '"'; at++) {
        if (*at == '\\' && (at[1] == '"' || at[1] == '\\'))
            at++;
        else if (*at < ' ' || *at > '~' || *at == '\\')
            return NULL;
    }
    return at + 1;
}

/* Up to 15 digits, as the RFC has it; of a decimal the whole part, rounded up. */
static const char *parse_integer(const char *at, struct value *out)
{
    bool is_negative = *at == '-';
    at += is_negative;
    size_t n = strspn(at, "0123456789");
    if (n == 0 || n > 15)
        return NULL;
    out->kind = VALUE_INTEGER;
    out->integer = 0;
    for (; n > 0; n--, at++)
        out->integer = out->integer * 10 + (*at - '0');
    if (*at == '.') {
        n = strspn(at + 1, "0123456789");
        if (n == 0 || n > 3)
            return NULL;
        out->integer += strspn(at + 1, "0") < n;
        at += 1 + n;
    }
    if (is_negative)
        out->integer = -out->integer;
    return at;
}

/* Returns what follows, NULL when it is malformed. */
static const char *parse_value(const char *at, struct value *out)
{
    if (*at == '"')
        return parse_string(at, out);
    if (*at == '-' || isdigit((unsigned char)*at))
        return parse_integer(at, out);
    out->kind = VALUE_OTHER;
    if (*at == ':') { /* bytes */
        size_t n =
            strspn(at + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=");
        return at[1 + n] == ':' ? at + n + 2 : NULL;
    }
    if (*at == '?') /* a truth value */
        return at[1] == '0' || at[1] == '1' ? at + 2 : NULL;
    if (!isalpha((unsigned char)*at) && *at != '*')
        return NULL;
    while (isalnum((unsigned char)*at) || (*at != '\0' && strchr("!#$%&'*+-.^_`|~:/", *at) != NULL))
        at++;
    return at;
}

static const char *parse_name(const char *at, char out[NAME_BYTES])
{
    size_t n = 0;
    if (!islower((unsigned char)*at) && *at != '*')
        return NULL;
    for (; islower((unsigned char)*at) || isdigit((unsigned char)*at) ||
           (*at != '\0' && strchr("_-.*", *at) != NULL);
         at++)
        if (n + 1 < NAME_BYTES)
            out[n++] = *at;
    out[n] = '\0';
    return at;
}

static bool is_quota_unit(const char *at)
{
    return strncmp(at, "\"requests\"", 10) == 0 || strncmp(at, "requests", 8) == 0;
}

static const char *parse_parameters(const char *at, struct member *m)
{
    while (*at == ';') {
        char name[NAME_BYTES];
        struct value value = {.kind = VALUE_OTHER};
        at = parse_name(skip_blanks(at + 1), name);
        if (at == NULL)
            return NULL;
        if (*at == '=') {
            if (strcmp(name, "qu") == 0)
                m->is_of_requests = is_quota_unit(at + 1);
            at = parse_value(at + 1, &value);
            if (at == NULL)
                return NULL;
        }
        struct value *slot = strcmp(name, "q") == 0   ? &m->q
                             : strcmp(name, "w") == 0 ? &m->w
                             : strcmp(name, "r") == 0 ? &m->r
                             : strcmp(name, "t") == 0 ? &m->t
                                                      : NULL;
        if (slot != NULL)
            *slot = value;
    }
    return at;
}

/* The next member of the list; *at is NULL afterwards when the field is malformed, and at the end
 * of the text when this was the last. */
static void parse_member(const char **at, struct member *m)
{
    *m = (struct member){.is_of_requests = true};
    const char *p = *at, *name_end = parse_name(p, m->name);
    if (name_end != NULL && *name_end == '=')
        p = parse_value(name_end + 1, &m->value);
    else {
        m->name[0] = '\0';
        p = parse_value(p, &m->value);
    }
    if (p != NULL)
        p = parse_parameters(p, m);
    if (p != NULL) {
        p = skip_blanks(p);
        if (*p == ',') {
            p = skip_blanks(p + 1);
            p = *p == '\0' ? NULL : p; /* a comma that nothing follows */
        } else if (*p != '\0') {
            p = NULL;
        }
    }
    *at = p;
}

/* ---------------------------------------------------------------- what they mean */

static bool value_in(struct value v, int64_t lo, int64_t hi)
{
    return v.kind == VALUE_INTEGER && v.integer >= lo && v.integer <= hi;
}

static uint64_t wait_ms(int64_t seconds)
{
    return u64_min((uint64_t)seconds, RATELIMIT_WAIT_MAX_MS / 1000) * 1000;
}

/* The tightest of what is said counts: the least that remains, for the longest. */
static void set_remaining(struct ratelimit *out, uint64_t remaining, uint64_t reset_ms)
{
    if (!out->has_remaining || remaining < out->remaining) {
        out->remaining = remaining;
        out->reset_ms = reset_ms;
    } else if (remaining == out->remaining) {
        out->reset_ms = u64_max(out->reset_ms, reset_ms);
    }
    out->has_remaining = true;
}

static void add_policy(struct ratelimit *out, struct value quota, struct value window)
{
    if (out->n_policies == RATELIMIT_POLICIES_MAX || !value_in(quota, 1, LIMITER_PERMITS_MAX) ||
        !value_in(window, 1, WINDOW_MAX_S))
        return;
    out->policies[out->n_policies++] = (struct limiter_rate){
        .n = (uint32_t)quota.integer,
        .window_ns = (uint64_t)window.integer * NS_PER_S,
    };
}

/* RateLimit of draft 07: pairs; of draft 08 and later: items with parameters. */
static void read_remaining(const char *text, struct ratelimit *out)
{
    struct ratelimit found = *out;
    struct value remaining = {0}, reset = {0};
    struct member m;
    for (const char *at = skip_blanks(text); *at != '\0';) {
        parse_member(&at, &m);
        if (at == NULL)
            return;
        if (strcmp(m.name, "remaining") == 0)
            remaining = m.value;
        else if (strcmp(m.name, "reset") == 0)
            reset = m.value;
        else if (m.name[0] == '\0' && value_in(m.r, 0, INT64_MAX))
            set_remaining(&found, (uint64_t)m.r.integer,
                          value_in(m.t, 0, INT64_MAX) ? wait_ms(m.t.integer) : 0);
    }
    if (value_in(remaining, 0, INT64_MAX))
        set_remaining(&found, (uint64_t)remaining.integer,
                      value_in(reset, 0, INT64_MAX) ? wait_ms(reset.integer) : 0);
    *out = found;
}

/* RateLimit-Policy, and RateLimit-Limit where it has a window: "100;w=60" and "name";q=100;w=60. */
static void read_policies(const char *text, struct ratelimit *out)
{
    struct ratelimit found = *out;
    struct member m;
    for (const char *at = skip_blanks(text); *at != '\0';) {
        parse_member(&at, &m);
        if (at == NULL)
            return;
        if (m.name[0] == '\0' && m.is_of_requests)
            add_policy(&found, m.value.kind == VALUE_INTEGER ? m.value : m.q, m.w);
    }
    *out = found;
}

/* Remaining and Reset as two fields. A Reset from 10^9 on is a time of day. */
static void read_pair(const char *remaining_text, const char *reset_text, const char *date,
                      int64_t wall_s, struct ratelimit *out)
{
    struct value remaining = {0}, reset = {0};
    const char *at = parse_value(remaining_text, &remaining);
    if (at == NULL || *at != '\0' || !value_in(remaining, 0, INT64_MAX))
        return;
    at = parse_value(reset_text, &reset);
    bool has_reset = at != NULL && *at == '\0' && value_in(reset, 0, INT64_MAX);
    if (has_reset && reset.integer >= EPOCH_LEAST_S) {
        int64_t now_s = wall_s;
        (void)parse_http_date(date, &now_s);
        reset.integer = reset.integer > now_s ? reset.integer - now_s : 0;
    }
    set_remaining(out, (uint64_t)remaining.integer, has_reset ? wait_ms(reset.integer) : 0);
}

void ratelimit_read(const struct ratelimit_fields *f, int64_t wall_s, struct ratelimit *out)
{
    const char *date = f->text[FIELD_DATE];
    *out = (struct ratelimit){0};
    (void)retry_after_parse(f->text[FIELD_RETRY_AFTER], date, wall_s, &out->retry_after_ms);
    read_remaining(f->text[FIELD_RATELIMIT], out);
    read_pair(f->text[FIELD_REMAINING], f->text[FIELD_RESET], date, wall_s, out);
    read_pair(f->text[FIELD_X_REMAINING], f->text[FIELD_X_RESET], date, wall_s, out);
    read_policies(f->text[FIELD_POLICY], out);
    if (out->n_policies == 0)
        read_policies(f->text[FIELD_LIMIT], out);
}
