/*
 * One event, one line, key=value, on stderr, with errno preserved. Levels by how often they may
 * fire: error  the stage stops          warn   an item is set aside info   about once a minute
 * debug  about once an item, never once a frame Under systemd (JOURNAL_STREAM set) lines carry the
 * <N> priority prefix.
 *
 *     log_warn("item set aside", "row=%" PRIu64 " why=\"%s\"", row, e.msg);
 *
 * The progress line of base/progress.h shares the terminal: a log line clears it first.
 */
#ifndef REFRAIN_LOG_H
#define REFRAIN_LOG_H

#include "base/base.h"

#include <stdio.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level); /* before threads start; default LOG_INFO */
void log_set_name(const char *program);   /* borrows; printed first on each line */

/* `fields` is a printf format of key=value pairs, "" for none. Thread-safe; one write per line. */
void log_line(enum log_level level, const char *event, const char *fields, ...) PRINTF_LIKE(3, 4);

#define log_error(event, ...) log_line(LOG_ERROR, event, __VA_ARGS__)
#define log_warn(event, ...) log_line(LOG_WARN, event, __VA_ARGS__)
#define log_info(event, ...) log_line(LOG_INFO, event, __VA_ARGS__)
#define log_debug(event, ...) log_line(LOG_DEBUG, event, __VA_ARGS__)

/* Writes `text` as the transient last line of a terminal; "" clears it. For base/progress.c only.
 */
void log_transient(const char *text);

#endif
