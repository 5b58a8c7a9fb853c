/*
 * Progress of long work: on a terminal one line rewritten in place, four times a second; otherwise
 * a key=value log line at most once in ten seconds. Time is passed in.
 *
 *     progress_init(&p, "extract", "clips", total);
 *     progress_update(&p, clock_now_ns(), done, "bad=%u", n_bad);
 *     progress_finish(&p, clock_now_ns());
 */
#ifndef REFRAIN_PROGRESS_H
#define REFRAIN_PROGRESS_H

#include "base/base.h"

struct progress {
    const char *stage;
    const char *unit;
    uint64_t total; /* 0: not known, no ETA */
    uint64_t done;
    uint64_t started_ns;
    uint64_t started_done;
    uint64_t shown_ns;
    double rate_per_s; /* smoothed over about ten seconds */
    uint64_t rate_ns;
    uint64_t rate_done;
    bool has_eta; /* the caller knows better than the rate: */
    double eta_s;
    bool on_terminal;
    char extra[160];
};

void progress_init(struct progress *p, const char *stage, const char *unit, uint64_t total);

/* Shows the line when it is due; `extra` is a printf format with what else is worth a glance. */
void progress_update(struct progress *p, uint64_t now_ns, uint64_t done, const char *extra, ...)
    PRINTF_LIKE(4, 5);

/* Clears the line and logs the totals. */
void progress_finish(struct progress *p, uint64_t now_ns);

/* Seconds left, by p->eta_s or at the present rate; negative when not known. */
double progress_eta_s(const struct progress *p);

#endif
