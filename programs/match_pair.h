/*
 * `refrain match A B`: what two songs share, as figures for each axis and one sentence; printed, as
 * JSON, or as a page (match_page.h).
 */
#ifndef REFRAIN_MATCH_PAIR_H
#define REFRAIN_MATCH_PAIR_H

#include "match/match.h"
#include "programs/match_likeness.h"
#include "programs/match_song.h"

#include <stdio.h>

enum match_verdict {
    MATCH_SAME,     /* the same file, or the same recording from begin to end */
    MATCH_COPY,     /* a recording of the other, changed or cut */
    MATCH_VERSION,  /* much of the song */
    MATCH_BORROWED, /* a passage */
    MATCH_MAYBE,    /* something that chance gives now and then */
    MATCH_NOTHING,
};
const char *match_verdict_name(enum match_verdict v); /* "same", "copy", ... */

struct match_pair {
    struct match_song a, b;
    int64_t made_s; /* the date of the analysis, Unix time */
    bool same_bytes;
    bool has_cover; /* the alignment ran: both have sequences */
    struct match cover;
    double aspect_evalue[3]; /* by enum match_aspect: least of the segments; [0] unused, INFINITY */
    struct copy_match copy;  /* of B in A */
    enum match_verdict verdict;
    struct likeness likeness; /* no part of the verdict; what match_pair_open leaves is not asked */
};

/* made_s: the date that is said of it. */
MUST_CHECK bool match_pair_open(const char *path_a, const char *path_b, int64_t made_s,
                                struct match_pair *out, struct err *e);
void match_pair_close(struct match_pair *p); /* safe on {0}, may run twice */

/* Is a copy claimed? A larger E-value is shown, but then nothing is said to be one recording. */
bool match_is_copy(const struct match_pair *p);

/* What the figures of both axes come to. */
enum match_verdict match_verdict_of(const struct match_pair *p);

/* The verdict as one sentence in plain words; one more of the likeness where it is known. */
void match_pair_sentence(const struct match_pair *p, FILE *out);

/* How the copy differs: "the same speed and pitch", "4.1 % faster, pitch and tempo". */
enum { MATCH_TEXT_BYTES = 96 };
const char *match_change_text(const struct copy_match *m, char out[MATCH_TEXT_BYTES]);
struct json;
void match_copy_json(const struct copy_match *m, struct json *j); /* its figures, as members */

/* "0:47", "1:02:03" */
const char *match_time_text(uint64_t ms, char out[MATCH_TEXT_BYTES]);

/* "3e-7", "0.02", "1.4", "12": two digits, what is below 1e-99 is "0". */
const char *match_evalue_text(double evalue, char out[MATCH_TEXT_BYTES]);

void match_pair_print(const struct match_pair *p, FILE *out);
void match_pair_json(const struct match_pair *p, FILE *out);

/* What every output says of itself. */
extern const char match_disclaimer[];

#endif
