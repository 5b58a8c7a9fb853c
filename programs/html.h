/*
 * Writing HTML and SVG onto a FILE such that nothing foreign can become markup. Whatever comes from
 * the catalogue, the store or a file name goes through html_text; formats are literals of ours.
 */
#ifndef REFRAIN_HTML_H
#define REFRAIN_HTML_H

#include "base/base.h"

#include <stdio.h>

/* The text with & < > " ' as entities, good inside elements and quoted attributes, in HTML and in
 * XML. Bytes that are not UTF-8 and control characters (XML allows only tab and newline) become
 * U+FFFD. NULL writes nothing. */
void html_text(FILE *out, const char *text);

/* As html_text, of at most n_max characters; a cut is shown by an ellipsis. */
void html_text_cut(FILE *out, const char *text, size_t n_max);

/* "data:MIME;base64,..." */
void html_data_uri(FILE *out, const char *mime, struct span bytes);

/* Length in bytes of the valid UTF-8 character at `text`, 0 when there is none (RFC 3629: no
 * overlong forms, no surrogates, nothing above U+10FFFF). */
size_t utf8_char_bytes(const char *text);

enum { COUNT_TEXT_BYTES = 32 };

/* 50683 as "50 683": groups of three digits. */
const char *count_text(uint64_t n, char out[COUNT_TEXT_BYTES]);

/* "35.9 KB", "1.82 GB": powers of 1000, three digits. */
const char *bytes_text(double n_bytes, char out[COUNT_TEXT_BYTES]);

/* "2 h 10 min", "45 s"; "unknown" for what is not finite or negative. */
const char *duration_text(double seconds, char out[COUNT_TEXT_BYTES]);

#endif
