/*
 * One preview to its records: read, decode, cut, resample, log-mel, augmented views, encode. A
 * worker is one thread's scratch; it touches neither the store nor, except for reading one file,
 * the spool. What comes out is a pure function of the plan and the file.
 */
#ifndef REFRAIN_EXTRACT_WORKER_H
#define REFRAIN_EXTRACT_WORKER_H

#include "ingest/spool.h"
#include "programs/extract_plan.h"

#include <pthread.h>

enum extract_outcome {
    EXTRACT_DONE,   /* records hold n_views records */
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

/* A track on its way from the spool to the store. Used again for the next one. */
struct extract_job {
    struct spool_item item;
    enum extract_outcome outcome;
    const char *cause; /* lends a constant: "TOO_SHORT" */
    struct err why;
    uint64_t source_id;
    struct buf *records;                    /* n_views; [0] is the clip itself */
    char (*augments)[AUGMENT_RECORD_BYTES]; /* n_views; what was drawn */
    uint64_t cpu_ns[EXTRACT_STEPS];
};
void extract_job_init(struct extract_job *j, const struct extract_plan *plan);
void extract_job_release(struct extract_job *j, const struct extract_plan *plan);

struct extract_worker;
/* Borrows all three for life; `large_mu` is shared by all workers: who holds it may decode beyond
 * plan->limits.max_pcm_bytes. */
struct extract_worker *extract_worker_new(const struct extract_plan *plan, struct spool *spool,
                                          pthread_mutex_t *large_mu);
void extract_worker_free(struct extract_worker *w);

/* Fills everything but job->item. */
void extract_worker_run(struct extract_worker *w, struct extract_job *job);

#endif
