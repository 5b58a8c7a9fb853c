#include "programs/csv_out.h"

#include "programs/html.h" /* utf8_char_bytes */

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

bool csv_out_open(struct csv_out *c, const char *path, struct err *e)
{
    *c = (struct csv_out){0};
    if (strcmp(path, "-") == 0) {
        c->out = stdout;
        return true;
    }
    int len = snprintf(c->path, sizeof c->path, "%s", path);
    int temp_len = snprintf(c->temp, sizeof c->temp, "%s.tmp", path);
    if (len < 0 || temp_len < 0 || (size_t)temp_len >= sizeof c->temp)
        return err_set(e, ERR_USAGE, "the path is longer than %d bytes", PATH_BYTES - 5);
    c->out = fopen(c->temp, "we");
    return c->out != NULL || err_set_errno(e, ERR_FATAL, errno, "cannot write %s", c->temp);
}

static void begin_field(struct csv_out *c)
{
    if (c->is_started)
        putc(',', c->out);
    c->is_started = true;
}

void csv_out_text(struct csv_out *c, const char *text)
{
    begin_field(c);
    bool is_quoted = strpbrk(text, ",\"\r\n") != NULL;
    if (is_quoted)
        putc('"', c->out);
    for (size_t n; *text != '\0'; text += n) {
        n = utf8_char_bytes(text);
        if (*text == '"')
            putc('"', c->out);
        if (n > 0)
            fwrite(text, 1, n, c->out);
        else
            fputs("\xef\xbf\xbd", c->out);
        n = size_max(n, 1);
    }
    if (is_quoted)
        putc('"', c->out);
}

void csv_out_u64(struct csv_out *c, uint64_t value)
{
    begin_field(c);
    fprintf(c->out, "%" PRIu64, value);
}

bool csv_out_end(struct csv_out *c)
{
    putc('\n', c->out);
    c->is_started = false;
    return ferror(c->out) == 0;
}

bool csv_out_close(struct csv_out *c, bool ok, struct err *e)
{
    if (c->out == NULL)
        return false;
    bool is_file = c->out != stdout, was_ok = ok;
    errno = 0;
    ok = ok && fflush(c->out) == 0 && ferror(c->out) == 0;
    ok = ok && (!is_file || fdatasync(fileno(c->out)) == 0);
    if (is_file)
        ok = fclose(c->out) == 0 && ok;
    ok = ok && (!is_file || rename(c->temp, c->path) == 0);
    if (is_file && !ok)
        unlink(c->temp);
    c->out = NULL;
    return ok || (was_ok && err_set_errno(e, ERR_FATAL, errno, "cannot write %s",
                                          is_file ? c->path : "the rows"));
}
