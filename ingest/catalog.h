/*
 * The catalogue: rows of music_info.csv and their states, in DIR/catalog.mdb (LMDB, one writer:
 * fetch). A row's number is given once, in order of first sight, and never changes: records in the
 * store are keyed by it. Rows are found again by track id. States that matter after a crash are
 * durable; a row in flight comes back as an input.
 *
 *     NEW -> DIRECT|NEED -> RESOLVED(source, url, expiry) -> FETCHED (in the same step handed over)
 *         -> DONE
 *     WAIT(not_before, attempt, cause) from anywhere
 *     ends: DONE, NO_MATCH, GONE, REJECTED(cause), BAD_ROW, DUP(of), DEAD(cause)
 */
#ifndef REFRAIN_CATALOG_H
#define REFRAIN_CATALOG_H

#include "base/err.h"
#include "ingest/spool.h" /* TRACK_ID_MAX_BYTES */

/* Numbers are on disk: append only. */
enum row_state {
    ROW_NEW,
    ROW_DIRECT,   /* has a link to fetch */
    ROW_NEED,     /* has no usable link: a resolver must find one */
    ROW_WAIT,     /* try again at not_before_s */
    ROW_DONE,     /* handed over */
    ROW_NO_MATCH, /* no link and no resolver found one */
    ROW_GONE,     /* the link is dead (404, 410) */
    ROW_REJECTED, /* the bytes are not a preview */
    ROW_BAD_ROW,  /* the CSV row cannot be used */
    ROW_DUP,      /* same song as an earlier row */
    ROW_DEAD,     /* out of attempts */
    ROW_RESOLVED, /* a source has a link for it: resolved_url, until expires_s */
    ROW_STATES,
};

const char *row_state_name(enum row_state s); /* "DONE" */
bool row_state_is_final(enum row_state s);

enum {
    CATALOG_TEXT_BYTES = 256,
    CATALOG_URL_BYTES = 2048,
    CATALOG_TAGS_BYTES = 1024,
    CATALOG_CAUSE_BYTES = 32
};

/* One row as read back. Text is UTF-8, cut at its limit on a character border. */
struct catalog_row {
    uint64_t row;
    char track_id[TRACK_ID_MAX_BYTES + 1];
    char name[CATALOG_TEXT_BYTES], artist[CATALOG_TEXT_BYTES], genre[CATALOG_TEXT_BYTES];
    char tags[CATALOG_TAGS_BYTES];
    char url[CATALOG_URL_BYTES];          /* as the CSV has it */
    char resolved_url[CATALOG_URL_BYTES]; /* as a source has it, "" for none: it goes before url */
    uint32_t year;                        /* 0: not given */
    uint32_t duration_ms;                 /* of the song; 0: not given */
    enum row_state state;
    char cause[CATALOG_CAUSE_BYTES]; /* "http_404", "timeout", "no_link"; "" for none */
    uint32_t attempts;
    int64_t not_before_s;  /* wall clock, rounded up; WAIT only */
    int64_t not_before_ms; /* the same, as it is kept */
    uint64_t preview_bytes;
    uint64_t dup_of;
    uint64_t csv_line; /* where it was first seen, from 1 */
    /* Resolving, see ingest/resolve.h. */
    int64_t expires_s;       /* of resolved_url, wall clock; 0: does not expire */
    uint64_t artist_key;     /* rows of one artist share it; set before a row is NEED */
    uint8_t source;          /* where resolved_url is from, enum source_id; 0: nowhere */
    uint8_t sources_tried;   /* bit i: source i has nothing for this row */
    uint16_t match_permille; /* how well resolved_url fits name, artist and duration */
    uint32_t n_spares_tried; /* links of further records with this track id, see ingest/spare.h */
};

/* What is fetched for the row. */
const char *catalog_row_link(const struct catalog_row *row);

struct catalog;

/* Read-only for status and report; a missing catalogue is ERR_PERM with a sentence. */
MUST_CHECK bool catalog_open(const char *dataset_dir, bool writable, struct catalog **out,
                             struct err *e);
void catalog_close(struct catalog *c);

/* Lifetime counters, kept in the catalogue. */
struct catalog_totals {
    uint64_t rows;
    uint64_t states[ROW_STATES];
    uint64_t requests, throttled, bytes;
};
MUST_CHECK bool catalog_totals(struct catalog *c, struct catalog_totals *out, struct err *e);

/* Calls fn for every row in row order, in one read transaction; fn returns false to stop. The row
 * is lent until fn returns. */
typedef bool catalog_row_fn(void *arg, const struct catalog_row *row);
MUST_CHECK bool catalog_each(struct catalog *c, catalog_row_fn *fn, void *arg, struct err *e);

MUST_CHECK bool catalog_get(struct catalog *c, uint64_t row, struct catalog_row *out,
                            struct err *e);

/* The row with this identity, in a transaction of its own; see catalog_find. */
MUST_CHECK bool catalog_look_up(struct catalog *c, struct span key, struct catalog_row *out,
                                bool *out_found, struct err *e);

/* ---------------------------------------------------------------- for fetch alone
 * Rows that are not final lie in a second index, ordered by when they are due and then by number: a
 * catalogue with nothing left to do costs one look. Rows without a wait are due at 0. */
struct catalog_due {
    int64_t due_ms; /* wall clock */
    uint64_t row;
};
int catalog_due_compare(struct catalog_due a, struct catalog_due b);
struct catalog_due catalog_row_due(const struct catalog_row *row);

/* Calls fn for unfinished rows from `from` on, in order of due time; fn returns false to stop. */
typedef bool catalog_due_fn(void *arg, struct catalog_due due, const struct catalog_row *row);
MUST_CHECK bool catalog_each_due(struct catalog *c, struct catalog_due from, catalog_due_fn *fn,
                                 void *arg, struct err *e);

/* Rows that need a resolver lie in a third index, ordered by artist and then by number; they are
 * not due before they have a link. */
struct catalog_need {
    uint64_t artist_key, row;
};
typedef bool catalog_need_fn(void *arg, const struct catalog_row *row);
MUST_CHECK bool catalog_each_need(struct catalog *c, struct catalog_need from, catalog_need_fn *fn,
                                  void *arg, struct err *e);

/* A write transaction. Only one exists at a time; a second begin waits. Nothing is there before the
 * commit, which makes it durable, and nothing is left after an abort. Disk errors are ERR_FATAL. */
struct catalog_write;
MUST_CHECK bool catalog_begin(struct catalog *c, struct catalog_write **out, struct err *e);
MUST_CHECK bool catalog_commit(struct catalog_write *w, struct err *e); /* frees w in any case */
void catalog_abort(struct catalog_write *w);                            /* NULL is fine */

/* Identities: what a CSV row is found again by, of 1 to CATALOG_KEY_BYTES_MAX bytes. */
enum { CATALOG_KEY_BYTES_MAX = 128 };
MUST_CHECK bool catalog_find(struct catalog_write *w, struct span key, uint64_t *out_row,
                             bool *out_found, struct err *e);
/* Gives the row the next number (row->row) and stores it under a key that is not there yet. */
MUST_CHECK bool catalog_add(struct catalog_write *w, struct span key, struct catalog_row *row,
                            struct err *e);
/* One more identity of a row that is there; replaces who had it. */
MUST_CHECK bool catalog_alias(struct catalog_write *w, struct span key, uint64_t row,
                              struct err *e);
MUST_CHECK bool catalog_read(struct catalog_write *w, uint64_t row, struct catalog_row *out,
                             struct err *e);
/* Replaces a row; the totals and the order of due rows follow. */
MUST_CHECK bool catalog_put(struct catalog_write *w, const struct catalog_row *row, struct err *e);
void catalog_count(struct catalog_write *w, uint64_t requests, uint64_t throttled, uint64_t bytes);

/* Small values by name beside the rows. A missing one reads as 0 bytes. */
enum { CATALOG_NOTE_BYTES_MAX = 2048 };
MUST_CHECK bool catalog_note_get(struct catalog *c, const char *name,
                                 uint8_t out[CATALOG_NOTE_BYTES_MAX], size_t *out_bytes,
                                 struct err *e);
MUST_CHECK bool catalog_note_set(struct catalog_write *w, const char *name, struct span value,
                                 struct err *e);

#endif
