/*
 * The fetch stage: plan, then fetch until every row has a final state. One loop drives the network
 * (ingest/transport.h), one thread the disk (ingest/committer.h).
 */
#ifndef REFRAIN_STAGE_H
#define REFRAIN_STAGE_H

#include "base/conf.h"
#include "ingest/catalog.h"
#include "ingest/latency.h"
#include "ingest/plan.h"
#include "ingest/source.h"
#include "ingest/spool.h"
#include "ingest/transport.h"

struct stage_params {
    const char *dataset_dir, *csv_path;
    struct fetch_params fetch;
    const struct conf_rate_list *limits;
    uint64_t seed;
    uint64_t attempts, backoff_ms, backoff_max_ms, max_redirects;
    const char *file_root; /* beneath which file:// links may lie; "": none may */
    uint64_t preview_ms;   /* how long previews are, where nothing else tells; 0: not known */
    uint64_t high_water_bytes, disk_floor_bytes;
    enum source_id sources[SOURCES]; /* of links for rows without one, in order */
    size_t n_sources;
    const char *source_bases[SOURCES]; /* by source: "https://api.deezer.com" */
    const char *country;
    uint64_t resolve_pages;
    bool once;                 /* do not wait for rows that wait */
    bool watch;                /* when nothing is left, wait for the CSV to grow */
    int stop_fd;               /* readable: finish what is in flight and return; -1 for none */
    const struct world *world; /* NULL: the real one */
};

struct stage_result {
    struct plan_result plan;
    uint64_t n_recovered;                /* found in the spool, not asked for again */
    uint64_t requests, throttled, bytes; /* of this run */
    uint64_t n_fetched, n_failed,
        n_retries;                  /* rows that became DONE; that ended otherwise; waits */
    uint64_t n_queries, n_resolved; /* asked of sources; rows that got a link from one */
    struct latency latency;         /* of this run's requests, from start to last byte */
    double seconds;
    bool is_stopped; /* by stop_fd */
};

/* The catalogue is open for writing and the data set is locked. ERR_FATAL when the disk or the
 * catalogue fails, ERR_USAGE for a CSV or a limit that cannot be used; nothing that is committed is
 * lost. */
MUST_CHECK bool stage_run(const struct stage_params *p, struct catalog *c, struct spool *s,
                          struct stage_result *out, struct err *e);

#endif
