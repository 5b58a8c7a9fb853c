#include "train/groups.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELD_BYTES = 512, COLUMNS_MAX = 256, HASH_TRACK = 1, HASH_WORK = 2 };

struct slot {
    uint64_t track, group; /* track 0: empty */
};

static uint64_t text_hash(const char *text, uint64_t purpose)
{
    uint64_t h = hash64(text, strlen(text), purpose);
    return h == 0 ? 1 : h;
}

/* ---------------------------------------------------------------- CSV */

/* RFC 4180: fields separated by commas, quoted ones may hold commas, quotes (doubled) and line
 * ends; a CR before the LF is dropped. */
struct csv {
    FILE *in;
    size_t line;
    char fields[2][FIELD_BYTES];
    uint32_t wanted[2]; /* column numbers kept in fields[] */
    bool found[2];
    uint64_t hash;
};

static int csv_get(struct csv *c)
{
    int ch = fgetc(c->in);
    if (ch != EOF)
        c->hash = hash_mix64(c->hash ^ (uint64_t)(uint8_t)ch);
    if (ch == '\n')
        c->line++;
    return ch;
}

struct field {
    char text[FIELD_BYTES];
    size_t len;
    bool too_long;
};

static void field_put(struct field *f, int ch)
{
    if (f->len + 1 >= sizeof f->text)
        f->too_long = true;
    else
        f->text[f->len++] = (char)ch;
}

/* Reads one field; returns what ended it: ',', '\n' or EOF. */
static int csv_field(struct csv *c, struct field *f)
{
    *f = (struct field){0};
    int ch = csv_get(c);
    if (ch == '"') {
        for (;;) {
            ch = csv_get(c);
            if (ch == EOF)
                break;
            if (ch == '"') {
                ch = csv_get(c);
                if (ch != '"')
                    break;
            }
            field_put(f, ch);
        }
    }
    for (; ch != ',' && ch != '\n' && ch != EOF; ch = csv_get(c))
        field_put(f, ch);
    if (ch != ',' && f->len > 0 && f->text[f->len - 1] == '\r')
        f->len--;
    f->text[f->len] = '\0';
    return ch;
}

/* Reads a row into fields[]; *out_any is false at the end of the file. */
static bool csv_row(struct csv *c, bool *out_any, struct err *e)
{
    int end = ',';
    size_t first_line = c->line;
    *out_any = false;
    c->found[0] = c->found[1] = false;
    for (uint32_t column = 0; end == ','; column++) {
        struct field f;
        if (column == COLUMNS_MAX)
            return err_set(e, ERR_USAGE, "line %zu has more than %d columns", first_line,
                           COLUMNS_MAX);
        end = csv_field(c, &f);
        if (end != EOF || f.len > 0 || column > 0)
            *out_any = true;
        for (size_t k = 0; k < 2; k++) {
            if (column != c->wanted[k])
                continue;
            if (f.too_long)
                return err_set(e, ERR_USAGE, "line %zu: a field is longer than %d bytes",
                               first_line, FIELD_BYTES - 1);
            memcpy(c->fields[k], f.text, f.len + 1);
            c->found[k] = f.len > 0;
        }
    }
    return true;
}

static bool csv_header(struct csv *c, struct err *e)
{
    static const char *const names[2] = {"track_id", "work_id"};
    int end = ',';
    bool found[2] = {false, false};
    for (uint32_t column = 0; end == ',' && column < COLUMNS_MAX; column++) {
        struct field f;
        end = csv_field(c, &f);
        const char *text = strncmp(f.text, "\xef\xbb\xbf", 3) == 0 ? f.text + 3 : f.text;
        for (size_t k = 0; k < 2; k++) {
            if (strcmp(text, names[k]) != 0)
                continue;
            c->wanted[k] = column;
            found[k] = true;
        }
    }
    if (!found[0] || !found[1])
        return err_set(e, ERR_USAGE, "the first line needs the columns track_id and work_id");
    return true;
}

/* ---------------------------------------------------------------- table */

static struct slot *find_slot(const struct groups *g, uint64_t track)
{
    struct slot *slots = g->table.base;
    for (size_t i = (size_t)hash_mix64(track);; i++) {
        struct slot *s = &slots[i & (g->n_slots - 1)];
        if (s->track == 0 || s->track == track)
            return s;
    }
}

static bool add_row(struct groups *g, const struct csv *c, size_t line, struct err *e)
{
    if (!c->found[0] || !c->found[1])
        return err_set(e, ERR_USAGE, "line %zu lacks a track_id or a work_id", line);
    uint64_t track = text_hash(c->fields[0], HASH_TRACK);
    uint64_t group = text_hash(c->fields[1], HASH_WORK);
    struct slot *s = find_slot(g, track);
    if (s->track == track && s->group != group)
        return err_set(e, ERR_USAGE, "line %zu gives track %s a second work", line, c->fields[0]);
    g->n_tracks += s->track == 0;
    *s = (struct slot){track, group};
    return true;
}

/* Room for twice as many rows as the file has lines. */
static bool make_table(FILE *in, const char *work_dir, struct groups *g, struct err *e)
{
    size_t n_lines = 2;
    for (int ch; (ch = fgetc(in)) != EOF;)
        n_lines += ch == '\n';
    rewind(in);
    g->n_slots = 16;
    while (g->n_slots < 2 * n_lines)
        g->n_slots *= 2;
    return mapping_init(&g->table, work_dir, g->n_slots * sizeof(struct slot), e);
}

bool groups_load(const char *path, const char *work_dir, struct groups *out, struct err *e)
{
    struct groups g = {0};
    struct csv *c = mem_zalloc(1, sizeof *c);
    bool ok = false, any = true;
    c->line = 1;
    c->in = fopen(path, "rbe");
    if (c->in == NULL) {
        err_set_errno(e, ERR_USAGE, errno, "%s", path);
        goto out;
    }
    if (!make_table(c->in, work_dir, &g, e) || !csv_header(c, e)) {
        err_wrap(e, "%s", path);
        goto out;
    }
    for (;;) {
        size_t line = c->line;
        if (!csv_row(c, &any, e) || (any && !add_row(&g, c, line, e))) {
            err_wrap(e, "%s", path);
            goto out;
        }
        if (!any)
            break;
    }
    if (ferror(c->in)) {
        err_set(e, ERR_FATAL, "%s: cannot be read to its end", path);
        goto out;
    }
    g.content_hash = c->hash;
    *out = g;
    ok = true;
out:
    if (!ok)
        groups_release(&g);
    if (c->in != NULL)
        fclose(c->in);
    mem_free(c);
    return ok;
}

void groups_release(struct groups *g)
{
    mapping_release(&g->table);
    *g = (struct groups){0};
}

uint64_t groups_of(const struct groups *g, const char *track_id, bool *out_known)
{
    uint64_t track = text_hash(track_id, HASH_TRACK);
    *out_known = false;
    if (g != NULL && g->n_slots > 0) {
        const struct slot *s = find_slot(g, track);
        *out_known = s->track == track;
        if (*out_known)
            return s->group;
    }
    return track;
}
