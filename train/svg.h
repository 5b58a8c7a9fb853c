/*
 * Foreign text in the pictures that train writes.
 */
#ifndef REFRAIN_SVG_H
#define REFRAIN_SVG_H

#include "base/buf.h"

/* Appends `text` with <, > and & written as entities. */
MUST_CHECK bool svg_put_text(struct buf *out, const char *text, struct err *e);

#endif
