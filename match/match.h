/*
 * What two songs share: the figures and places that every part of the room speaks in. Each axis has
 * a figure of its own: versions and borrowings (alignment, an E-value), copies (fingerprints), and
 * there is no number for all.
 */
#ifndef REFRAIN_MATCH_H
#define REFRAIN_MATCH_H

#include "match/sequence.h"

enum { MATCH_SEGMENTS_MAX = 8, MATCH_PATH_MAX = 4096 };

enum match_aspect { MATCH_HARMONY = 1, MATCH_MELODY = 2, MATCH_BOTH = 3 };
const char *match_aspect_name(enum match_aspect aspect); /* "harmony", "melody", "both" */

/* A passage of A that is also in B. */
struct segment {
    uint32_t a_from_ms, a_to_ms, b_from_ms, b_to_ms;
    int32_t shift_semitones; /* from A to B, -5 to 6 */
    float tempo_ratio;       /* of B to A: above 1, B is faster */
    enum match_aspect aspect;
    float score;   /* of the alignment, raw */
    double evalue; /* passages as good as this expected by chance in what was searched */
};

/* One cell of an alignment, in frames of SEQUENCE_HOP. */
struct match_cell {
    uint16_t a, b;
};

struct match {
    float score;   /* of the best segment, raw: the cover axis */
    double evalue; /* of the best segment; above 1 is what chance gives */
    double qvalue; /* share of false ones among the matches up to this one; NAN outside a search */
    double copy;   /* copy axis: share of B that is a recording of A, 0 to 1; NAN: not looked at */
    size_t n_segments;
    struct segment segments[MATCH_SEGMENTS_MAX]; /* the most significant first */
    size_t path_from[MATCH_SEGMENTS_MAX + 1];    /* cells of segment i: path[path_from[i]..[i+1]) */
    size_t n_path;
    struct match_cell *path; /* owned: match_release */
};
void match_release(struct match *m); /* safe on {0}, may run twice */

/* What segments with E up to `evalue` cover, of the shorter song, 0 to 1. A phrase that comes once
 * in one song and three times in the other covers much of that and little of the first: the lesser
 * counts. What lies over each other counts once. */
double match_shared_part(const struct match *m, uint64_t a_ms, uint64_t b_ms, double evalue);

#endif
