#include "programs/report.h"

#include "base/clock.h"
#include "programs/report_html.h"

#include <errno.h>
#include <stdlib.h>

enum { CONF_TEXT_BYTES = 1 << 20 };

bool report_write(const struct dataset *d, const char *path, struct err *e)
{
    struct report_data *data = NULL;
    struct buf conf_text;
    char *page = NULL;
    size_t page_bytes = 0;
    bool ok = false;
    buf_init(&conf_text, CONF_TEXT_BYTES);
    FILE *out = open_memstream(&page, &page_bytes); /* all that goes in is bounded */
    if (out == NULL) {
        err_set_errno(e, ERR_FATAL, errno, "cannot make the report");
        goto out;
    }
    if (!report_data_new(d, &data, e) || !conf_print(&settings_table, &d->settings, &conf_text, e))
        goto out;
    report_html(d, data, buf_span(&conf_text), clock_wall_s(), out);
    if (fflush(out) != 0 || ferror(out)) {
        err_set_errno(e, ERR_FATAL, errno, "cannot make the report");
        goto out;
    }
    ok = file_write_atomic(path, (struct span){page, page_bytes}, e);
out:
    if (out != NULL)
        fclose(out);
    free(page);
    report_data_free(data);
    buf_release(&conf_text);
    return ok;
}
