/*
 * The sounds-like axis of `refrain match A B`: how alike two songs are to a model that was trained
 * on a data set, and how many of that data set's pairs of songs are less alike. A figure of its
 * own: it says nothing about who has what from whom, and no verdict comes of it. It is computed by
 * refrain-train, a process of its own: this program knows no networks.
 */
#ifndef REFRAIN_MATCH_LIKENESS_H
#define REFRAIN_MATCH_LIKENESS_H

#include "programs/dataset.h"

struct likeness_model {
    struct dataset dataset;
    char name[128];
};

/* "DIR", whose model "default" is meant, or "DIR/NAME". Without such a model ERR_USAGE, which says
 * how to train one. */
MUST_CHECK bool likeness_model_find(const char *text, struct likeness_model *out, struct err *e);

struct likeness {
    bool asked, known;
    char why_not[ERR_MSG_BYTES]; /* asked and not known: a clip is too short, refrain-train fails */
    char model[PATH_BYTES + 130];
    uint64_t from_ms, clip_ms; /* what was compared of both songs */
    double cosine;
    double percentile;     /* of the data set's pairs of songs are less alike */
    uint64_t cohort_pairs; /* how many of them were looked at */
};

/* One clip of each file, from the middle of the shorter one, which lasts shorter_ms. What keeps the
 * model from a figure is no error but out->why_not. */
MUST_CHECK bool likeness_compare(const struct likeness_model *m, const char *path_a,
                                 const char *path_b, uint64_t shorter_ms, struct likeness *out,
                                 struct err *e);

/* What `refrain embed --audio A B --json` prints; the rest of *out is left. Any bytes may come in.
 */
MUST_CHECK bool likeness_parse(struct span json, struct likeness *out, struct err *e);

#endif
