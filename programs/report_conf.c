#include "conf/settings.h"
#include "programs/html.h"
#include "programs/report_parts.h"

#include <ctype.h>
#include <string.h>

void report_heading(FILE *out, const char *id, const char *title)
{
    fprintf(out, "<h2 id=\"%s\">%s</h2>\n", id, title);
}

static const struct conf_key *key_find(struct span name)
{
    for (size_t i = 0; i < settings_table.n_keys; i++) {
        const struct conf_key *key = &settings_table.keys[i];
        size_t len = strlen(key->name), prefix = key->type == CONF_RATES ? len - 1 : len;
        if (key->type == CONF_RATES ? name.len > prefix : name.len == len)
            if (memcmp(key->name, name.ptr, prefix) == 0)
                return key;
    }
    return NULL;
}

/* A family's default is a list of "NAME=VALUE". */
static bool is_initial(const struct conf_key *key, const char *name, const char *value)
{
    if (key->type != CONF_RATES)
        return strcmp(key->initial, value) == 0;
    char assignment[CONF_NAME_BYTES * 2 + CONF_STR_BYTES];
    int len = snprintf(assignment, sizeof assignment, "%s=%s", name + strlen(key->name) - 1, value);
    const char *at = strstr(key->initial, assignment);
    return at != NULL && (at == key->initial || at[-1] == ' ') &&
           (at[len] == '\0' || at[len] == ' ');
}

/* conf_print's own lines, "key = value" between comments: one truth for how a value is written. */
static void conf_row(FILE *out, const char *line, size_t len)
{
    const char *equals = memchr(line, '=', len);
    if (len == 0 || line[0] == '#' || equals == NULL)
        return;
    size_t name_len = (size_t)(equals - line);
    while (name_len > 0 && line[name_len - 1] == ' ')
        name_len--;
    const char *value = equals + 1;
    size_t value_len = len - (size_t)(value - line);
    while (value_len > 0 && *value == ' ') {
        value++;
        value_len--;
    }
    char name[CONF_NAME_BYTES * 2], text[CONF_STR_BYTES + 2];
    snprintf(name, sizeof name, "%.*s", (int)name_len, line);
    snprintf(text, sizeof text, "%.*s", (int)value_len, value);
    const struct conf_key *key = key_find((struct span){line, name_len});
    bool changed = key != NULL && !is_initial(key, name, text);
    fprintf(out, "<tr%s><td><code>", changed ? " class=\"changed\"" : "");
    html_text(out, name);
    fputs("</code></td><td><code>", out);
    html_text(out, text);
    fputs("</code>", out);
    if (key != NULL && key->unit[0] != '\0' && isdigit((unsigned char)text[0])) {
        fputs(" <span class=\"soft\">", out);
        html_text(out, key->unit);
        fputs("</span>", out);
    }
    fputs("</td><td class=\"soft\">", out);
    html_text(out, key != NULL ? key->reason : "");
    fputs("</td></tr>\n", out);
}

void report_conf(struct span conf_text, FILE *out)
{
    report_heading(out, "configuration", "Configuration");
    fputs("<p class=\"soft\">Values other than the default stand on a tinted ground.</p>\n"
          "<div class=\"scroll\"><table class=\"conf\"><tr><th>Key</th><th>Value</th>"
          "<th>What it does</th></tr>\n",
          out);
    const char *at = conf_text.ptr, *end = at + conf_text.len;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((newline == NULL ? end : newline) - at);
        conf_row(out, at, len);
        at += len + 1;
    }
    fputs("</table></div>\n", out);
}
