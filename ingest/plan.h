/*
 * The plan: music_info.csv into the catalogue. Run again on the same file it does nothing; on a
 * grown or changed one it takes what is new and leaves what is known. Row numbers follow the order
 * of first sight.
 *
 *     a row known by its track id    its name, tags and so on are refreshed; a link that changed
 *                                    is taken over unless the row is DONE
 *     the same id again in the file  DUP of the first, which takes the link if it has none
 *     the same link under another id DUP of the first
 *     a row that cannot be used      BAD_ROW with its cause; known again by its bytes
 *     a row that vanished            stays
 */
#ifndef REFRAIN_PLAN_H
#define REFRAIN_PLAN_H

#include "ingest/catalog.h"

struct plan_params {
    const char *csv_path;
    bool allow_http;
    bool leave_open_tail; /* a last line without a newline is still being written: --watch */
};

struct plan_result {
    bool unchanged; /* the file is the one imported last: nothing was read */
    uint64_t n_records;
    uint64_t n_new, n_changed, n_bad, n_duplicate, n_no_link; /* of them */
};

/* Commits in groups, so that a kill loses nothing that another run would not find again. */
MUST_CHECK bool plan_import(struct catalog *c, const struct plan_params *p, struct plan_result *out,
                            struct err *e);

#endif
