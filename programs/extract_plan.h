/*
 * What decides the bytes of every record extract writes: made once from the configuration, then
 * shared read-only by all workers. The same plan and the same audio give the same records, in any
 * thread, in any order, on any day; the recipe is the plan as text, which the store keeps and
 * compares.
 */
#ifndef REFRAIN_EXTRACT_PLAN_H
#define REFRAIN_EXTRACT_PLAN_H

#include "features/augment.h"
#include "features/feature.h"
#include "ingest/clip.h"
#include "ingest/sandbox_decoder.h"
#include "programs/feature_settings.h"
#include "store/store.h"

struct extract_job;

/* Whoever wants the whole of each preview, not its clips alone: called in the worker's thread for
 * each preview that decodes, before its clips are cut. `whole` is mono at the file's rate. */
struct extract_listener {
    void *(*begin)(void *arg); /* one state for each worker */
    void (*end)(void *state);
    /* False with ERR_PERM sets the preview aside, with ERR_FATAL ends the stage. */
    bool (*hear)(void *state, struct extract_job *job, const struct clip *whole, struct err *e);
    void *arg;
};

struct extract_plan {
    struct feature_spec spec;
    uint64_t spec_hash;
    struct feature_plan *features;
    struct augment_chain *chain; /* NULL when there is one view only */
    uint64_t augment_seed;       /* of this epoch's draws */
    uint32_t n_views;            /* of a clip: itself and its augmented positives */
    uint32_t n_clips_max;        /* of a track */
    struct clip_params clip;
    size_t n_samples; /* of a clip at spec.rate_hz; every picture has the same shape */
    size_t n_frames;
    enum record_dtype dtype;
    int zstd_level;
    /* Beside the bytes: */
    struct decode_limits limits;
    uint64_t large_pcm_bytes; /* the limit of the one worker at a time that may exceed limits' */
    uint64_t n_files_each;    /* previews that a decoder process takes */
    bool needs_filter;        /* no decoder process without a system call filter */
    const struct extract_listener *listener; /* NULL: nobody listens */
};

/* ERR_USAGE when the configuration makes no possible plan. Borrows nothing. */
MUST_CHECK bool extract_plan_init(const struct settings *s, struct extract_plan *out,
                                  struct err *e);
void extract_plan_release(struct extract_plan *p); /* safe on {0}, may run twice */

/* ERR_USAGE when the text does not fit. */
MUST_CHECK bool extract_plan_recipe(const struct extract_plan *p, const struct settings *s,
                                    struct store_recipe *out, struct err *e);

/* The most bytes all records of a track can have. */
size_t extract_plan_track_bytes(const struct extract_plan *p);

/* Starts what decodes for this plan; see sandbox_open for when. */
MUST_CHECK bool extract_plan_sandbox(const struct extract_plan *p, struct sandbox **out,
                                     struct err *e);

#endif
