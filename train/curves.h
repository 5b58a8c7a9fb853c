/*
 * curves.svg: training, validation and baseline loss over epochs, as one self-contained picture
 * that is readable on light and dark pages (colours by prefers-color-scheme, no scripts, no fonts
 * of its own).
 */
#ifndef REFRAIN_CURVES_H
#define REFRAIN_CURVES_H

#include "train/history.h"

/* `title` is shown escaped. Written atomically. */
MUST_CHECK bool curves_write(const struct history *h, const char *title, double margin,
                             const char *path, struct err *e);

#endif
