#include "programs/status.h"

#include "base/clock.h"
#include "base/json.h"
#include "programs/advice.h"
#include "programs/html.h"

#include <inttypes.h>
#include <math.h>

enum { BAR_CELLS = 24, CAUSES_SHOWN = 16, ADVICE_SHOWN = 6 };

/* Requests for each row that has its preview; NAN without any. */
static double requests_per_row(const struct status *s)
{
    uint64_t n = s->states[ROW_DONE] + s->states[ROW_REJECTED];
    return n > 0 ? (double)s->requests / (double)n : NAN;
}

static double pause_left_s(const struct standing_host *h)
{
    int64_t left_ms = h->paused_until_ms - clock_wall_s() * 1000;
    return left_ms > 0 ? (double)left_ms / 1000 : 0;
}

/* ---------------------------------------------------------------- for machines */

static void json_latency(struct json *j, const struct latency *l)
{
    json_object(j, "latency_ms");
    json_u64(j, "n", latency_count(l));
    json_f64(j, "p50", latency_quantile_ms(l, 0.5));
    json_f64(j, "p90", latency_quantile_ms(l, 0.9));
    json_f64(j, "p99", latency_quantile_ms(l, 0.99));
    json_end(j);
}

static void json_hosts(struct json *j, const struct standing *s)
{
    json_array(j, "hosts");
    for (size_t i = 0; i < s->n_hosts; i++) {
        const struct standing_host *h = &s->hosts[i];
        json_object(j, NULL);
        json_str(j, "name", h->name);
        json_u64(j, "permits", h->n_permits);
        json_f64(j, "window_s", (double)h->window_ms / 1000);
        json_u64(j, "free", h->n_free);
        json_u64(j, "in_flight", h->n_in_flight);
        json_u64(j, "rows_left", h->n_left);
        json_u64(j, "requests", h->n_requests);
        json_u64(j, "throttled", h->n_throttled);
        json_f64(j, "paused_s", pause_left_s(h));
        json_end(j);
    }
    json_end(j);
}

void status_print_json(const struct dataset *d, struct status *s, FILE *out)
{
    struct json j;
    json_init(&j, out);
    json_object(&j, NULL);
    json_str(&j, "dir", d->dir);
    json_u64(&j, "rows", s->rows);
    json_object(&j, "states");
    for (enum row_state state = 0; state < ROW_STATES; state++)
        json_u64(&j, row_state_name(state), s->states[state]);
    json_end(&j);
    size_t n_causes;
    const struct tally_item *causes = tally_sorted(s->causes, &n_causes);
    json_object(&j, "causes");
    for (size_t i = 0; i < n_causes; i++)
        json_u64(&j, causes[i].name, causes[i].n);
    json_end(&j);
    json_u64(&j, "clips", s->store.clips);
    json_u64(&j, "tracks", s->store.tracks);
    json_u64(&j, "requests", s->requests);
    json_u64(&j, "throttled", s->throttled);
    json_f64(&j, "requests_per_row", requests_per_row(s));
    json_latency(&j, &s->standing.latency);
    json_hosts(&j, &s->standing);
    json_u64(&j, "fetched_bytes", s->fetched_bytes);
    json_u64(&j, "spool_files", s->spool.new_files);
    json_u64(&j, "spool_bytes", s->spool.new_bytes);
    json_u64(&j, "bad", s->spool.bad_files);
    json_u64(&j, "store_bytes", s->store.file_bytes);
    json_u64(&j, "payload_bytes", s->store.payload_bytes);
    json_f64(&j, "max_error_db", s->store.max_err_db);
    json_hex64(&j, "root", s->store.root);
    json_f64(&j, "eta_s", s->eta_s);
    json_array(&j, "models");
    for (size_t i = 0; i < s->n_models; i++)
        json_str(&j, NULL, s->models[i]);
    json_end(&j);
    json_end(&j);
    json_finish(&j);
}

/* ---------------------------------------------------------------- for people */

/* A share of BAR_CELLS full blocks with an eighth at its end; anything above zero shows. */
static void print_bar(FILE *out, double share)
{
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    unsigned n = (unsigned)ceil(share * BAR_CELLS * 8 - 1e-9);
    for (unsigned i = 0; i < n / 8; i++)
        fputs("█", out);
    fputs(eighths[n % 8], out);
}

static void print_count(FILE *out, const char *name, uint64_t n, uint64_t of)
{
    char text[COUNT_TEXT_BYTES];
    double share = of > 0 ? (double)n / (double)of : 0;
    fprintf(out, "  %-18s %9s %6.1f %%  ", name, count_text(n, text), 100 * share);
    print_bar(out, share);
    putc('\n', out);
}

static void print_rows(const struct status *s, FILE *out)
{
    char text[COUNT_TEXT_BYTES];
    fprintf(out, "rows                 %9s\n", count_text(s->rows, text));
    for (enum row_state state = 0; state < ROW_STATES; state++)
        if (s->states[state] > 0)
            print_count(out, row_state_name(state), s->states[state], s->rows);
}

static void print_causes(struct status *s, FILE *out)
{
    size_t n_causes;
    const struct tally_item *causes = tally_sorted(s->causes, &n_causes);
    if (n_causes == 0)
        return;
    fprintf(out, "\ncauses\n");
    for (size_t i = 0; i < n_causes && i < CAUSES_SHOWN; i++)
        print_count(out, causes[i].name, causes[i].n, s->rows);
    if (n_causes > CAUSES_SHOWN)
        fprintf(out, "  and %zu more: --json has all\n", n_causes - CAUSES_SHOWN);
    fprintf(out, "\nwhat to do\n");
    for (size_t i = 0; i < n_causes && i < ADVICE_SHOWN; i++) {
        const struct advice *advice = advice_find(causes[i].name);
        if (advice != NULL)
            fprintf(out, "  %s: %s; %s\n", causes[i].name, advice->means, advice->what_to_do);
        else
            fprintf(out, "  %s: --rows FILE lists the rows\n", causes[i].name);
    }
}

static void print_eta(const struct status *s, FILE *out)
{
    char text[COUNT_TEXT_BYTES];
    uint64_t left = s->rows - status_rows_ended(s);
    if (!s->has_catalog)
        fprintf(out, "left       nothing has been fetched yet\n");
    else if (left == 0)
        fprintf(out, "left       no row\n");
    else if (isnan(s->eta_s))
        fprintf(out, "left       %s rows, no limit on their hosts\n", count_text(left, text));
    else {
        fprintf(out, "left       %s rows, ", count_text(left, text));
        fprintf(out, "%s at least by the limits in refrain.conf\n", duration_text(s->eta_s, text));
    }
}

/* Where the fetch that runs or ran last stood. */
static void print_hosts(const struct status *s, FILE *out)
{
    enum { HOSTS_SHOWN = 6 };
    const struct standing *now = &s->standing;
    char a[COUNT_TEXT_BYTES], b[COUNT_TEXT_BYTES];
    const struct latency *l = &now->latency;
    if (now->wall_ms == 0)
        return;
    fprintf(out, "latency    half of the requests within %.3g ms, 90 %% %.3g ms, 99 %% %.3g ms\n",
            latency_quantile_ms(l, 0.5), latency_quantile_ms(l, 0.9), latency_quantile_ms(l, 0.99));
    for (size_t i = 0; i < now->n_hosts && i < HOSTS_SHOWN; i++) {
        const struct standing_host *h = &now->hosts[i];
        double paused_s = pause_left_s(h);
        fprintf(out, "host       %s: %s rows left, %s requests", h->name, count_text(h->n_left, a),
                count_text(h->n_requests, b));
        if (h->n_permits > 0)
            fprintf(out, ", %" PRIu32 " of %" PRIu32 " in %g s free", h->n_free, h->n_permits,
                    (double)h->window_ms / 1000);
        if (h->n_throttled > 0)
            fprintf(out, ", throttled %s", count_text(h->n_throttled, a));
        if (paused_s > 0)
            fprintf(out, ", paused for %s", duration_text(paused_s, a));
        putc('\n', out);
    }
    if (now->n_hosts > HOSTS_SHOWN)
        fprintf(out, "host       and %" PRIu32 " more\n", now->n_hosts - HOSTS_SHOWN);
}

static void print_stores(const struct status *s, FILE *out)
{
    char a[COUNT_TEXT_BYTES], b[COUNT_TEXT_BYTES], c[COUNT_TEXT_BYTES];
    fprintf(out, "requests   %s, throttled %s, %s fetched", count_text(s->requests, a),
            count_text(s->throttled, b), bytes_text((double)s->fetched_bytes, c));
    if (!isnan(requests_per_row(s)))
        fprintf(out, ", %.3g requests a preview", requests_per_row(s));
    putc('\n', out);
    print_hosts(s, out);
    fprintf(out, "spool      %s waiting (%s), %s set aside in spool/bad\n",
            count_text(s->spool.new_files, a), bytes_text((double)s->spool.new_bytes, b),
            count_text(s->spool.bad_files, c));
    fprintf(out, "store      %s clips of %s tracks, %s", count_text(s->store.clips, a),
            count_text(s->store.tracks, b), bytes_text((double)s->store.file_bytes, c));
    if (s->store.clips > 0) {
        double clip_bytes = (double)s->store.payload_bytes / (double)s->store.clips;
        fprintf(out, ", %s a clip, off by %.3g dB at most", bytes_text(clip_bytes, a),
                s->store.max_err_db);
    }
    fprintf(out, "\nmodels    ");
    for (size_t i = 0; i < s->n_models; i++)
        fprintf(out, " %s", s->models[i]);
    fprintf(out, "%s\n", s->n_models == 0 ? " none" : "");
}

void status_print_text(const struct dataset *d, struct status *s, FILE *out)
{
    fprintf(out, "%s\n\n", d->dir);
    print_rows(s, out);
    print_causes(s, out);
    putc('\n', out);
    print_eta(s, out);
    print_stores(s, out);
}
