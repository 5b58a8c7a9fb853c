/*
 * What was compared, and with what: the files by their SHA-256, and all that decides the figures,
 * so that somebody else can check in a year that this comes of these files. On every page and in
 * JSON.
 */
#ifndef REFRAIN_MATCH_PROVENANCE_H
#define REFRAIN_MATCH_PROVENANCE_H

#include "base/json.h"
#include "programs/match_pair.h"

/* The date of an analysis: now, or SOURCE_DATE_EPOCH (reproducible-builds.org), Unix seconds. What
 * is no such number is ERR_USAGE. */
MUST_CHECK bool match_date(int64_t *out, struct err *e);

/* "2026-11-22T22:41:00Z"; empty for what is no date. */
enum { MATCH_DATE_BYTES = 32 };
const char *match_date_text(int64_t made_s, char out[MATCH_DATE_BYTES]);

/* Of a file: bytes, sha256, format, rate_hz, channels, as members. */
void match_file_json(const struct match_song *s, struct json *j);

/* Of the analysis: an object `made`. law: "shipped", or what was fitted. */
void match_made_json(int64_t made_s, const char *law, struct json *j);

/* The law that judges two songs without a data set. */
extern const char match_law_shipped[];

/* The section of the page, as XHTML. */
void match_provenance_html(const struct match_pair *pair, int64_t made_s, FILE *out);

#endif
