#include "base/conf.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONF_LINE_BYTES = 2048, CONF_KEYS_MAX = 256, CONF_WRAP_COLUMN = 96 };

static void *conf_at(const struct conf_key *k, void *values)
{
    return (char *)values + k->offset;
}

static const void *conf_at_const(const struct conf_key *k, const void *values)
{
    return (const char *)values + k->offset;
}

/* ---------------------------------------------------------------- values */

static bool parse_bool(const char *text, bool *out)
{
    static const char *const yes[] = {"on", "yes", "true", "1"};
    static const char *const no[] = {"off", "no", "false", "0"};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *out = strcmp(text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

static bool parse_f64(const char *text, double *out)
{
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    return end != text && *end == '\0' && errno == 0 && isfinite(*out);
}

static bool parse_u64(const char *text, uint64_t *out)
{
    char *end;
    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return *end == '\0' && errno == 0;
}

static bool parse_enum(const char *choices, const char *text, int *out)
{
    size_t len = strlen(text);
    for (int i = 0;; i++) {
        size_t n = strcspn(choices, "|");
        if (n == len && memcmp(choices, text, n) == 0) {
            *out = i;
            return true;
        }
        if (choices[n] == '\0')
            return false;
        choices += n + 1;
    }
}

/* "N/SECONDS". */
static bool parse_rate(const char *text, struct conf_rate *out)
{
    const char *slash = strchr(text, '/');
    char count[16];
    uint64_t n;
    if (slash == NULL || (size_t)(slash - text) >= sizeof count)
        return false;
    memcpy(count, text, (size_t)(slash - text));
    count[slash - text] = '\0';
    if (!parse_u64(count, &n) || n < 1 || n > 100000 || !parse_f64(slash + 1, &out->window_s))
        return false;
    out->n = (uint32_t)n;
    return out->window_s >= 0.001 && out->window_s <= 86400;
}

/* "N/SECONDS,N/SECONDS,gap:SECONDS" or "off" into an item. */
static bool parse_limit(const char *text, struct conf_limit *out)
{
    char copy[CONF_LINE_BYTES];
    size_t n = 0;
    *out = (struct conf_limit){0};
    if (strcmp(text, "off") == 0)
        return true;
    snprintf(copy, sizeof copy, "%s", text);
    char *rest = copy;
    for (char *part; (part = strsep(&rest, ",")) != NULL;) {
        part += strspn(part, " ");
        if (strncmp(part, "gap:", 4) == 0) {
            if (out->gap_s > 0 || !parse_f64(part + 4, &out->gap_s) || out->gap_s < 0.001 ||
                out->gap_s > 86400)
                return false;
            continue;
        }
        if (n > CONF_RATES_ALSO || !parse_rate(part, n == 0 ? &out->rate : &out->also[n - 1]))
            return false;
        n++;
    }
    return n > 0;
}

static bool rates_set(struct conf_rate_list *list, const char *name, const char *text,
                      struct err *e)
{
    struct conf_limit limit;
    if (*name == '\0' || strlen(name) >= CONF_NAME_BYTES)
        return err_set(e, ERR_USAGE, "the name in '*' must have 1 to %d bytes",
                       CONF_NAME_BYTES - 1);
    if (!parse_limit(text, &limit))
        return err_set(
            e, ERR_USAGE,
            "'%s' is not N/SECONDS (1..100000 requests in 0.001..86400 s), up to %d of them "
            "and a gap:SECONDS with commas between, or off",
            text, CONF_RATES_ALSO + 1);
    size_t i = 0;
    while (i < list->n && strcmp(list->items[i].name, name) != 0)
        i++;
    if (i == CONF_RATES_MAX)
        return err_set(e, ERR_USAGE, "more than %d hosts", CONF_RATES_MAX);
    if (i == list->n)
        list->n++;
    snprintf(list->items[i].name, sizeof list->items[i].name, "%s", name);
    list->items[i].limit = limit;
    return true;
}

static bool value_parse(const struct conf_key *k, const char *text, void *values, struct err *e)
{
    void *at = conf_at(k, values);
    uint64_t u;
    double d;
    switch (k->type) {
    case CONF_BOOL:
        return parse_bool(text, at) || err_set(e, ERR_USAGE, "'%s' is not on or off", text);
    case CONF_U64:
        if (!parse_u64(text, &u))
            return err_set(e, ERR_USAGE, "'%s' is not a whole number", text);
        if ((double)u < k->min || (double)u > k->max)
            return err_set(e, ERR_USAGE, "%s is outside %.15g..%.15g %s", text, k->min, k->max,
                           k->unit);
        *(uint64_t *)at = u;
        return true;
    case CONF_F64:
        if (!parse_f64(text, &d))
            return err_set(e, ERR_USAGE, "'%s' is not a number", text);
        if (d < k->min || d > k->max)
            return err_set(e, ERR_USAGE, "%s is outside %.15g..%.15g %s", text, k->min, k->max,
                           k->unit);
        *(double *)at = d;
        return true;
    case CONF_STR:
        if (strlen(text) >= CONF_STR_BYTES)
            return err_set(e, ERR_USAGE, "longer than %d bytes", CONF_STR_BYTES - 1);
        snprintf(at, CONF_STR_BYTES, "%s", text);
        return true;
    case CONF_ENUM:
        if (k->max > 0 && parse_u64(text, &u) && (double)u >= k->min && (double)u <= k->max) {
            *(int *)at = -(int)u;
            return true;
        }
        if (k->max > 0)
            return parse_enum(k->choices, text, at) ||
                   err_set(e, ERR_USAGE, "'%s' is not one of %s and no number %.15g..%.15g", text,
                           k->choices, k->min, k->max);
        return parse_enum(k->choices, text, at) ||
               err_set(e, ERR_USAGE, "'%s' is not one of %s", text, k->choices);
    case CONF_RATES:
        break; /* set by name */
    }
    return err_set(e, ERR_USAGE, "needs a name in place of '*'");
}

/* ---------------------------------------------------------------- keys */

static size_t family_length(const struct conf_key *k)
{
    return k->type == CONF_RATES ? strlen(k->name) - 1 : 0; /* without the '*' */
}

static const struct conf_key *key_find(const struct conf_table *t, const char *name)
{
    for (size_t i = 0; i < t->n_keys; i++) {
        const struct conf_key *k = &t->keys[i];
        size_t n = family_length(k);
        if (n > 0 ? strncmp(name, k->name, n) == 0 : strcmp(name, k->name) == 0)
            return k;
    }
    return NULL;
}

static bool key_set(const struct conf_table *t, const char *name, const char *text, void *values,
                    struct err *e)
{
    const struct conf_key *k = key_find(t, name);
    if (k == NULL)
        return err_set(e, ERR_USAGE, "there is no key '%s'", name);
    bool ok = k->type == CONF_RATES
                  ? rates_set(conf_at(k, values), name + family_length(k), text, e)
                  : value_parse(k, text, values, e);
    return ok || err_wrap(e, "%s", name);
}

void conf_defaults(const struct conf_table *t, void *values)
{
    for (size_t i = 0; i < t->n_keys; i++) {
        const struct conf_key *k = &t->keys[i];
        struct err e = {0};
        bool ok;
        if (k->type == CONF_RATES) {
            struct conf_rate_list *list = conf_at(k, values);
            char text[CONF_STR_BYTES];
            *list = (struct conf_rate_list){0};
            snprintf(text, sizeof text, "%s", k->initial);
            char *rest = text;
            ok = true;
            for (char *item; ok && (item = strsep(&rest, " ")) != NULL;) {
                char *name = strsep(&item, "=");
                ok = item != NULL && rates_set(list, name, item, &e);
            }
        } else {
            ok = value_parse(k, k->initial, values, &e);
        }
        assert(ok); /* a default that does not parse is our mistake */
        (void)ok;
    }
}

/* Cuts blanks off both ends, in place. */
static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t n = strlen(text);
    while (n > 0 && isspace((unsigned char)text[n - 1]))
        text[--n] = '\0';
    return text;
}

/* Splits "key = value" at the first '='. A '#' that follows a blank starts a comment. */
static bool line_split(char *line, char **out_key, char **out_value, struct err *e)
{
    for (char *at = line; *at != '\0'; at++)
        if (*at == '#' && (at == line || isspace((unsigned char)at[-1]))) {
            *at = '\0';
            break;
        }
    char *equals = strchr(line, '=');
    *out_key = trim(line);
    if (equals == NULL) {
        if (**out_key == '\0')
            return true; /* blank */
        return err_set(e, ERR_USAGE, "'%.60s' has no '='", *out_key);
    }
    *equals = '\0';
    *out_key = trim(line);
    *out_value = trim(equals + 1);
    return true;
}

bool conf_set(const struct conf_table *t, const char *assignment, void *values, struct err *e)
{
    char line[CONF_LINE_BYTES], *key, *value = NULL;
    if (strlen(assignment) >= sizeof line)
        return err_set(e, ERR_USAGE, "an assignment is longer than %d bytes", CONF_LINE_BYTES - 1);
    snprintf(line, sizeof line, "%s", assignment);
    if (!line_split(line, &key, &value, e))
        return false;
    if (value == NULL)
        return err_set(e, ERR_USAGE, "'%.60s' is not key=value", assignment);
    return key_set(t, key, value, values, e);
}

/* Keys already given in this text. */
struct seen_keys {
    size_t n;
    char names[CONF_KEYS_MAX][CONF_NAME_BYTES];
};

static bool seen_add(struct seen_keys *seen, const char *key, struct err *e)
{
    for (size_t i = 0; i < seen->n; i++)
        if (strcmp(seen->names[i], key) == 0)
            return err_set(e, ERR_USAGE, "'%s' is given twice", key);
    if (seen->n == CONF_KEYS_MAX)
        return err_set(e, ERR_USAGE, "more than %d keys", CONF_KEYS_MAX);
    snprintf(seen->names[seen->n++], CONF_NAME_BYTES, "%s", key);
    return true;
}

static bool parse_line(const struct conf_table *t, char *line, struct seen_keys *seen, void *values,
                       struct err *e)
{
    char *key = NULL, *value = NULL;
    if (!line_split(line, &key, &value, e))
        return false;
    if (value == NULL)
        return true;
    if (strlen(key) >= CONF_NAME_BYTES)
        return err_set(e, ERR_USAGE, "a key is longer than %d bytes", CONF_NAME_BYTES - 1);
    return seen_add(seen, key, e) && key_set(t, key, value, values, e);
}

bool conf_parse(const struct conf_table *t, struct span text, const char *source, void *values,
                struct err *e)
{
    static const char bom[] = "\xEF\xBB\xBF";
    const char *at = text.ptr, *end = at + text.len;
    if (text.len >= 3 && memcmp(at, bom, 3) == 0)
        at += 3;
    struct seen_keys seen = {0};
    for (unsigned line_number = 1; at < end; line_number++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t n = (size_t)((newline == NULL ? end : newline) - at);
        char line[CONF_LINE_BYTES];
        bool ok;
        if (n >= sizeof line) {
            ok = err_set(e, ERR_USAGE, "the line is longer than %d bytes", CONF_LINE_BYTES - 1);
        } else if (memchr(at, '\0', n) != NULL) {
            ok = err_set(e, ERR_USAGE, "the line holds a NUL byte");
        } else {
            memcpy(line, at, n);
            line[n] = '\0';
            ok = parse_line(t, line, &seen, values, e);
        }
        if (!ok)
            return err_wrap(e, "%s:%u", source, line_number);
        at += n + 1;
    }
    return true;
}

/* ---------------------------------------------------------------- printing */

static void enum_name(const char *choices, int value, char *out, size_t cap)
{
    while (value-- > 0)
        choices += strcspn(choices, "|") + 1;
    snprintf(out, cap, "%.*s", (int)strcspn(choices, "|"), choices);
}

static void limit_text(const struct conf_limit *limit, char *out, size_t cap)
{
    if (limit->rate.n == 0) {
        snprintf(out, cap, "off");
        return;
    }
    int n = snprintf(out, cap, "%" PRIu32 "/%.15g", limit->rate.n, limit->rate.window_s);
    for (size_t i = 0; i < CONF_RATES_ALSO && limit->also[i].n > 0; i++)
        n += snprintf(out + n, cap - (size_t)n, ",%" PRIu32 "/%.15g", limit->also[i].n,
                      limit->also[i].window_s);
    if (limit->gap_s > 0)
        snprintf(out + n, cap - (size_t)n, ",gap:%.15g", limit->gap_s);
}

static void value_text(const struct conf_key *k, const void *values, char *out, size_t cap)
{
    const void *at = conf_at_const(k, values);
    switch (k->type) {
    case CONF_BOOL:
        snprintf(out, cap, "%s", *(const bool *)at ? "on" : "off");
        break;
    case CONF_U64:
        snprintf(out, cap, "%" PRIu64, *(const uint64_t *)at);
        break;
    case CONF_F64:
        snprintf(out, cap, "%.15g", *(const double *)at);
        break;
    case CONF_STR:
        snprintf(out, cap, "%s", (const char *)at);
        break;
    case CONF_ENUM:
        if (*(const int *)at < 0)
            snprintf(out, cap, "%d", -*(const int *)at);
        else
            enum_name(k->choices, *(const int *)at, out, cap);
        break;
    case CONF_RATES:
        assert(!"a family is printed item by item");
    }
}

/* "# words" wrapped. */
static bool print_comment(struct buf *out, const char *text, struct err *e)
{
    size_t column = 0;
    while (*text != '\0') {
        size_t n = strcspn(text, " ");
        if (column > 0 && column + 1 + n > CONF_WRAP_COLUMN) {
            if (!buf_append(out, "\n", 1, e))
                return false;
            column = 0;
        }
        if (!buf_printf(out, e, "%s%.*s", column == 0 ? "# " : " ", (int)n, text))
            return false;
        column += n + (column == 0 ? 2 : 1);
        text += n;
        text += strspn(text, " ");
    }
    return buf_append(out, "\n", 1, e);
}

static bool print_range(struct buf *out, const struct conf_key *k, struct err *e)
{
    switch (k->type) {
    case CONF_U64:
    case CONF_F64:
        return buf_printf(out, e, "# default %s%s%s, range %.15g..%.15g\n", k->initial,
                          *k->unit ? " " : "", k->unit, k->min, k->max);
    case CONF_ENUM:
        if (k->max > 0)
            return buf_printf(out, e, "# default %s, one of %s, or a number %.15g..%.15g\n",
                              k->initial, k->choices, k->min, k->max);
        return buf_printf(out, e, "# default %s, one of %s\n", k->initial, k->choices);
    case CONF_BOOL:
        return buf_printf(out, e, "# default %s, on or off\n", k->initial);
    case CONF_RATES:
        return buf_printf(out, e, "# at first %s; %s or off\n", k->initial, k->unit);
    case CONF_STR:
        break;
    }
    return true;
}

static bool print_value(struct buf *out, const struct conf_key *k, const void *values,
                        struct err *e)
{
    char text[CONF_LINE_BYTES];
    if (k->type != CONF_RATES) {
        value_text(k, values, text, sizeof text);
        return buf_printf(out, e, "%s =%s%s\n", k->name, *text ? " " : "", text);
    }
    const struct conf_rate_list *list = conf_at_const(k, values);
    for (size_t i = 0; i < list->n; i++) {
        limit_text(&list->items[i].limit, text, sizeof text);
        if (!buf_printf(out, e, "%.*s%s = %s\n", (int)family_length(k), k->name,
                        list->items[i].name, text))
            return false;
    }
    return true;
}

bool conf_print(const struct conf_table *t, const void *values, struct buf *out, struct err *e)
{
    for (size_t i = 0; i < t->n_keys; i++) {
        const struct conf_key *k = &t->keys[i];
        if ((i > 0 && !buf_append(out, "\n", 1, e)) || !print_comment(out, k->reason, e) ||
            !print_range(out, k, e) || !print_value(out, k, values, e))
            return false;
    }
    return true;
}
