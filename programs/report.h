/*
 * `refrain report`: a data set as one HTML file that stands alone. Inline SVG and data URIs, no
 * script, no font, nothing fetched; light and dark, screen and paper. All foreign text goes through
 * html_text. The same data set gives the same file, but for its date.
 */
#ifndef REFRAIN_REPORT_H
#define REFRAIN_REPORT_H

#include "programs/dataset.h"

/* Writes the report to `path` atomically. */
MUST_CHECK bool report_write(const struct dataset *d, const char *path, struct err *e);

#endif
