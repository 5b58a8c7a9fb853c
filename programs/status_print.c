#include "programs/status.h"

#include "base/json.h"
#include "programs/advice.h"
#include "programs/html.h"

#include <inttypes.h>
#include <math.h>

enum { BAR_CELLS = 24, CAUSES_SHOWN = 16, ADVICE_SHOWN = 6 };

/* ---------------------------------------------------------------- for machines */

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

static void print_stores(const struct status *s, FILE *out)
{
    char a[COUNT_TEXT_BYTES], b[COUNT_TEXT_BYTES], c[COUNT_TEXT_BYTES];
    fprintf(out, "requests   %s, throttled %s, %s fetched\n", count_text(s->requests, a),
            count_text(s->throttled, b), bytes_text((double)s->fetched_bytes, c));
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
