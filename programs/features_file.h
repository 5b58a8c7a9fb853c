/*
 * `refrain features`: the log-mel of one audio file, or another of its features, without a data
 * set.
 */
#ifndef REFRAIN_FEATURES_FILE_H
#define REFRAIN_FEATURES_FILE_H

#include "features/feature.h"
#include "programs/view_record.h"

struct features_request {
    const char *audio_path;
    const char *out_path; /* .npy, float32 (n_rows, n_frames) as librosa has it; .png or .svg draw
                             the log-mel */
    uint64_t start_ms;
    uint64_t ms; /* 0: to the end */
    struct feature_spec spec;
    /* The view that this is the record of, bit for bit: ms is the data set's clip.ms, silence where
     * the audio ends before. NULL: the window itself. */
    const struct view_record *view;
};

struct features_result {
    uint32_t rate_hz, n_channels; /* of the file */
    uint64_t start_ms, ms;
    size_t n_rows, n_frames;
    float ref_db; /* of the log-mel */
};

MUST_CHECK bool features_write(const struct features_request *r, struct features_result *out,
                               struct err *e);

#endif
