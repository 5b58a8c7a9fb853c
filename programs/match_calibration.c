#include "programs/match_calibration.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/program.h"
#include "base/progress.h"

#include <inttypes.h>
#include <math.h>

struct calibration {
    struct match_catalogue *c;
    uint64_t *groups; /* (n_songs) */
    struct chance_tally all;
    struct progress progress;
};

/* Songs outside of from..from + n are searched for in them. */
static bool search_part(struct calibration *k, size_t from, size_t n, struct chance_tally *one,
                        struct err *e)
{
    const struct library *l = &k->c->library;
    const struct library part = library_part(l, from, n);
    struct cohort cohort = {0};
    struct search_hit *hits = mem_alloc(n, sizeof *hits);
    bool ok =
        cohort_make(&part, k->c->dataset.settings.seed, k->c->threads, NULL, NULL, &cohort, e);
    const struct search search = {&part, &cohort};
    for (size_t i = 0; ok && i < l->n_songs; i++) {
        const struct search_query q = {&l->songs[i].sequence, SIZE_MAX, k->c->threads, true};
        size_t n_hits = 0;
        if (i >= from && i < from + n)
            continue;
        ok = library_check_song(l, i, e) && search_run(&search, &q, n, hits, &n_hits, e) &&
             (!program_stop_requested() || err_set(e, ERR_STOP, "asked to stop"));
        chance_tally_query(&k->all);
        chance_tally_query(one);
        for (size_t h = 0; ok && h < n_hits; h++) {
            const size_t song_i = from + hits[h].song_i;
            if (k->groups[song_i] == k->groups[i])
                continue;
            chance_tally_add(&k->all, i, song_i, hits[h].evalue, (double)n);
            chance_tally_add(one, i, song_i, hits[h].evalue, (double)n);
        }
        progress_update(&k->progress, clock_now_ns(), k->all.n_queries, "%s", "");
    }
    cohort_release(&cohort);
    mem_free(hits);
    return ok;
}

static bool search_parts(struct calibration *k, struct calibration_result *out, struct err *e)
{
    bool ok = true;
    progress_update(&k->progress, clock_now_ns(), 0, "%s", "");
    for (size_t at = 0; ok && at < out->n_catalogues; at++) {
        struct chance_tally one;
        chance_tally_init(&one, out->n_songs);
        ok = search_part(k, at * out->n_catalogue, out->n_catalogue, &one, e);
        for (size_t t = 0; ok && t < EVAL_EVALUES; t++) {
            const double a_query = one.n_found[t] / (double)one.n_queries;
            out->least[t] = at == 0 ? a_query : fmin(out->least[t], a_query);
            out->most[t] = at == 0 ? a_query : fmax(out->most[t], a_query);
        }
        chance_tally_release(&one);
    }
    return ok;
}

bool match_calibrate(struct match_catalogue *c, const char *groups_path, uint64_t n_catalogue,
                     struct calibration_result *out, struct err *e)
{
    const size_t n = c->library.n_songs;
    struct calibration k = {.c = c};
    if (n_catalogue < COHORT_LIBRARY_MIN || n_catalogue > COHORT_SAMPLE || 2 * n_catalogue > n)
        return err_set(e, ERR_USAGE,
                       "--catalogue %" PRIu64 ": from %d to %d songs, and at most half of the %zu "
                       "that have sequences",
                       n_catalogue, COHORT_LIBRARY_MIN, COHORT_SAMPLE, n);
    *out = (struct calibration_result){
        .n_songs = n, .n_catalogue = n_catalogue, .n_catalogues = n / n_catalogue};
    k.groups = mem_alloc(n, sizeof *k.groups);
    chance_tally_init(&k.all, n);
    progress_init(&k.progress, "eval", "queries", out->n_catalogues * (n - n_catalogue));
    bool ok = match_groups_load(c, groups_path, k.groups, e) && search_parts(&k, out, e);
    progress_finish(&k.progress, clock_now_ns());
    if (ok) {
        chance_tally_measure(&k.all, k.groups, c->dataset.settings.seed, out->chance);
        out->n_queries = k.all.n_queries;
    }
    chance_tally_release(&k.all);
    mem_free(k.groups);
    return ok;
}

/* ---------------------------------------------------------------- output */

void match_calibration_print(const struct calibration_result *r, FILE *out)
{
    fprintf(out,
            "%zu catalogues of %zu songs, each searched for the songs outside of it: %zu queries\n"
            "%-10s %18s %21s %10s   %s\n",
            r->n_catalogues, r->n_catalogue, r->n_queries, "E up to", "unrelated a query", "95 %",
            "promised", "least and most of a catalogue");
    for (size_t t = 0; t < EVAL_EVALUES; t++) {
        const struct figure *f = &r->chance[t].unrelated;
        fprintf(out, "%-10g %18.5f %10.5f to %7.5f %10.5f   %.5f to %.5f\n", r->chance[t].evalue,
                f->value, f->lo, f->hi, r->chance[t].promised, r->least[t], r->most[t]);
    }
}

void match_calibration_json(const struct calibration_result *r, FILE *out)
{
    struct json j;
    json_init(&j, out);
    json_object(&j, NULL);
    json_u64(&j, "songs", r->n_songs);
    json_u64(&j, "catalogue", r->n_catalogue);
    json_u64(&j, "catalogues", r->n_catalogues);
    json_u64(&j, "queries", r->n_queries);
    json_array(&j, "by_evalue");
    for (size_t t = 0; t < EVAL_EVALUES; t++) {
        json_object(&j, NULL);
        chance_point_json(&r->chance[t], &j);
        json_f64(&j, "least", r->least[t]);
        json_f64(&j, "most", r->most[t]);
        json_end(&j);
    }
    json_end(&j);
    json_end(&j);
    json_finish(&j);
}
