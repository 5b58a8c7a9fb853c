/*
 * One preview to its records: read, decode in a sandbox, and for each of its clips cut, resample,
 * log-mel, augmented views, encode. A worker is one thread's scratch and one decoder process; it
 * touches neither the store nor, except for reading one file, the spool. What comes out is a pure
 * function of the plan and the file.
 */
#ifndef REFRAIN_EXTRACT_WORKER_H
#define REFRAIN_EXTRACT_WORKER_H

#include "ingest/spool.h"
#include "programs/extract_plan.h"

#include <pthread.h>

enum extract_outcome {
    EXTRACT_DONE,   /* tensors hold one clip or more with all its views */
    EXTRACT_BAD,    /* the preview is to be set aside: cause, why */
    EXTRACT_FAILED, /* the program cannot go on: why */
};

/* CPU time of a worker's steps, in the order of the work. */
enum extract_step {
    STEP_READ,
    STEP_DECODE,
    STEP_CLIP,
    STEP_RESAMPLE,
    STEP_AUGMENT,
    STEP_LOGMEL,
    STEP_ENCODE,
    EXTRACT_STEPS,
};
const char *extract_step_name(enum extract_step s); /* "decode" */

struct extract_tensor {
    uint32_t clip_i, view_i; /* view 0 is the clip itself */
    struct buf record;
    char augment[AUGMENT_RECORD_BYTES]; /* what was drawn */
};

/* A track on its way from the spool to the store. Used again for the next one: {0} at first. */
struct extract_job {
    struct spool_item item;
    enum extract_outcome outcome;
    const char *cause; /* lends a constant: "TOO_SHORT" */
    struct err why;
    uint64_t source_id;
    struct extract_tensor
        *tensors; /* by clip, then view; those beyond n_tensors keep their memory */
    size_t n_tensors, cap_tensors;
    uint32_t n_silent; /* clips of a track with others that are left out */
    uint64_t cpu_ns[EXTRACT_STEPS];
};
void extract_job_release(struct extract_job *j);

struct extract_worker;
/* Borrows plan, sandbox, spool and mutex for life; `large_mu` is shared by all workers: who holds
 * it may decode beyond plan->limits.max_pcm_bytes. */
MUST_CHECK bool extract_worker_new(const struct extract_plan *plan, struct sandbox *sandbox,
                                   struct spool *spool, pthread_mutex_t *large_mu,
                                   struct extract_worker **out, struct err *e);
void extract_worker_free(struct extract_worker *w);

/* Fills everything but job->item. */
void extract_worker_run(struct extract_worker *w, struct extract_job *job);

#endif
