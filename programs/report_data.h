/*
 * What the report shows, gathered before a line of it is written. Bounded: distinct names, clips,
 * models and file sizes all have limits.
 */
#ifndef REFRAIN_REPORT_DATA_H
#define REFRAIN_REPORT_DATA_H

#include "base/buf.h"
#include "programs/metrics.h"
#include "programs/status.h"

enum { REPORT_CLIPS_MAX = 6, YEAR_FIRST = 1900, YEARS_MAX = 200 };

struct report_clip {
    struct catalog_row row; /* zeroed but for the number when the catalogue does not know it */
    uint32_t n_frames, n_mels, start_ms;
    struct buf png;
    bool has_positive;
    struct buf positive_png;
    char augment[STORE_AUGMENT_BYTES]; /* what was drawn for the positive */
};

struct report_model {
    char name[STATUS_MODEL_NAME_BYTES];
    struct metrics metrics;
    struct buf curves_svg, distances_svg; /* empty: there is none */
};

struct report_data {
    struct status status;
    struct tally *genres, *tags; /* marked: stored */
    struct {
        uint64_t n, n_stored;
    } years[YEARS_MAX];
    uint64_t n_with_year, n_with_genre, n_with_tags;
    size_t n_clips;
    struct report_clip clips[REPORT_CLIPS_MAX];
    size_t n_models;
    struct report_model models[STATUS_MODELS_MAX];
};

/* Gives a heap object in *out; free even after a failure. */
MUST_CHECK bool report_data_new(const struct dataset *d, struct report_data **out, struct err *e);
void report_data_free(struct report_data *r);

/* Splits "rock, indie pop,90s" and adds each trimmed, non-empty name. */
void report_add_tags(struct tally *tags, const char *text, bool stored);

#endif
