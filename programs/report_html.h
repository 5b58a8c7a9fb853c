/*
 * The report's page: what report_data.h gathered, as HTML. The page is well-formed XML too, so that
 * a test can hold it against an XML parser.
 */
#ifndef REFRAIN_REPORT_HTML_H
#define REFRAIN_REPORT_HTML_H

#include "programs/report_data.h"

#include <stdio.h>

/* `conf_text` is what conf_print says of the settings; `made_s` is the date that is shown. */
void report_html(const struct dataset *d, struct report_data *r, struct span conf_text,
                 int64_t made_s, FILE *out);

/* The style sheet, in parts because C promises string literals of 4095 bytes only. */
enum { REPORT_STYLE_PARTS = 2 };
extern const char *const report_style[REPORT_STYLE_PARTS];

#endif
