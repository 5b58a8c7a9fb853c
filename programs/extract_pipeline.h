/*
 * The extract stage: spool in, store out.
 *
 *     spool/new -> owner -> [todo] -> workers -> [done] -> owner -> store, then the file goes
 *
 * One thread, the caller's, owns the spool and the store: it lists, claims, puts, commits and
 * removes. Workers own nothing but scratch. A preview's file is removed (or kept, or set aside)
 * only after the commit that holds its tensors, so that a crash at any instant repeats work and
 * loses none.
 *
 * Memory does not depend on what or how much is in the spool. At the most: for each worker a file
 * and the copy of it that its decoder process sees (fetch.max_bytes, 8 MiB each), 16 MiB of decoded
 * samples shared with that process, some 10 MiB of the process's own, a clip at the file's rate
 * (7.3 MiB for 10 s at 192 kHz) and some 3 MiB of scratch; 128 MiB for the one preview at a time
 * that needs more samples than that; 64 MiB of records on their way, 16 MiB in the store's open
 * batch. That is 650 MiB with the 8 workers a large machine starts by default; a spool of ordinary
 * previews takes about 25 MiB a worker. A listener's copy of a preview comes on top.
 */
#ifndef REFRAIN_EXTRACT_PIPELINE_H
#define REFRAIN_EXTRACT_PIPELINE_H

#include "programs/dataset.h"
#include "programs/extract_worker.h"

struct extract_report {
    uint64_t n_tracks;  /* added to the store */
    uint64_t n_clips;   /* records, augmented views included */
    uint64_t n_bad;     /* set aside */
    uint64_t n_silent;  /* clips left out of tracks that have others */
    uint64_t n_skipped; /* were in the store already */
    uint64_t n_commits;
    uint32_t n_threads;
    double seconds;
    double commit_seconds; /* of them, waiting for the disk */
    double cpu_seconds[EXTRACT_STEPS];
    uint64_t rss_anon_peak_bytes; /* of this process, sampled four times a second */
};

/* Works until the spool is empty, or with `watch` until program_request_stop. A stop finishes and
 * commits the tracks in work. The report is filled on failure too. ERR_FATAL: a lock held by
 * another process, a full disk; ERR_USAGE: a store of another recipe. What is committed stays. */
MUST_CHECK bool extract_run(const struct dataset *d, bool watch, struct extract_report *out,
                            struct err *e);

#endif
