#include "base/progress.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define TERMINAL_EVERY_NS (NS_PER_S / 4)
#define LOG_EVERY_NS (10 * NS_PER_S)
#define RATE_EVERY_NS (NS_PER_S / 2)
#define RATE_SMOOTH_S 10.0
#define ETA_MAX_S 3.6e6 /* a thousand hours */

void progress_init(struct progress *p, const char *stage, const char *unit, uint64_t total)
{
    *p = (struct progress){.stage = stage, .unit = unit, .total = total};
    p->on_terminal = isatty(STDERR_FILENO) == 1;
}

/* Exponential smoothing whose weight follows the time passed, so that uneven calls do no harm. */
static void progress_measure(struct progress *p, uint64_t now_ns)
{
    uint64_t span_ns = now_ns - p->rate_ns;
    if (span_ns < RATE_EVERY_NS)
        return;
    double span_s = (double)span_ns / 1e9;
    double rate = (double)(p->done - p->rate_done) / span_s;
    double weight = span_s >= RATE_SMOOTH_S ? 1 : span_s / RATE_SMOOTH_S;
    bool first = p->rate_ns == p->started_ns;
    p->rate_per_s = first ? rate : p->rate_per_s + weight * (rate - p->rate_per_s);
    p->rate_ns = now_ns;
    p->rate_done = p->done;
}

double progress_eta_s(const struct progress *p)
{
    if (p->has_eta)
        return p->eta_s;
    if (p->total == 0 || p->rate_per_s <= 0)
        return -1;
    double eta_s = p->done >= p->total ? 0 : (double)(p->total - p->done) / p->rate_per_s;
    return eta_s > ETA_MAX_S ? -1 : eta_s; /* the rate of something that stands still */
}

static void progress_format_eta(char *out, size_t cap, double eta_s)
{
    if (eta_s < 0) {
        snprintf(out, cap, "-");
        return;
    }
    uint64_t s = (uint64_t)(eta_s + 0.5);
    if (s >= 3600)
        snprintf(out, cap, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s / 60 % 60);
    else
        snprintf(out, cap, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
}

static void progress_show(struct progress *p)
{
    char eta[32], of[32] = "";
    progress_format_eta(eta, sizeof eta, progress_eta_s(p));
    if (p->total > 0)
        snprintf(of, sizeof of, "/%" PRIu64, p->total);
    if (!p->on_terminal) {
        log_info("progress", "stage=%s %s=%" PRIu64 "%s per_s=%.1f eta=%s%s%s", p->stage, p->unit,
                 p->done, of, p->rate_per_s, eta, *p->extra ? " " : "", p->extra);
        return;
    }
    char line[400];
    snprintf(line, sizeof line, "%s  %" PRIu64 "%s %s  %.1f/s  ETA %s  %s", p->stage, p->done, of,
             p->unit, p->rate_per_s, eta, p->extra);
    log_transient(line);
}

void progress_update(struct progress *p, uint64_t now_ns, uint64_t done, const char *extra, ...)
{
    if (p->started_ns == 0) {
        p->started_ns = p->rate_ns = p->shown_ns = now_ns;
        p->started_done = p->rate_done = done;
    }
    p->done = done;
    progress_measure(p, now_ns);
    if (now_ns - p->shown_ns < (p->on_terminal ? TERMINAL_EVERY_NS : LOG_EVERY_NS))
        return;
    va_list ap;
    va_start(ap, extra);
    vsnprintf(p->extra, sizeof p->extra, extra, ap);
    va_end(ap);
    p->shown_ns = now_ns;
    progress_show(p);
}

void progress_finish(struct progress *p, uint64_t now_ns)
{
    if (p->on_terminal)
        log_transient("");
    double seconds = (double)(now_ns - p->started_ns) / 1e9;
    uint64_t done = p->done - p->started_done;
    log_info("finished", "stage=%s %s=%" PRIu64 " seconds=%.1f per_s=%.1f", p->stage, p->unit, done,
             p->started_ns == 0 ? 0.0 : seconds,
             p->started_ns == 0 || seconds <= 0 ? 0.0 : (double)done / seconds);
}
