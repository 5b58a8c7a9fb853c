#include "programs/match_eval.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/program.h"
#include "base/progress.h"
#include "match/compare.h"
#include "train/groups.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    EVAL_SONGS_MAX = 8192, /* bounds a matrix of floats: 256 MiB */
    SEGMENTS_BYTES_MAX = 64 << 20,
    FIELDS = 7,
};

/* Both overlaps of a passage that counts as located. */
static const double LOCATED = 0.6;

struct passage {
    size_t song_i, source_i;
    double from_s, to_s, source_from_s, source_to_s;
};

struct evaluation {
    struct match_catalogue *c;
    enum eval_axis axis;
    size_t n;
    float *levels;    /* (n, n); by copy -ln E, -INFINITY where nothing fits */
    uint64_t *groups; /* (n) */
    double *values;
    struct passage *passages;
    size_t n_passages, cap_passages;
    bool *is_borrower; /* (n) */
};

/* ---------------------------------------------------------------- input */

bool match_groups_load(const struct match_catalogue *c, const char *path, uint64_t *out,
                       struct err *e)
{
    struct groups g = {0};
    bool known;
    if (!groups_load(path, c->dataset.dir, &g, e))
        return false;
    for (size_t i = 0; i < c->library.n_songs; i++)
        out[i] = groups_of(&g, c->library.songs[i].track_id, &known);
    groups_release(&g);
    return true;
}

static void add_passage(struct evaluation *v, char *const fields[FIELDS])
{
    const struct library_song *song = library_find(&v->c->library, fields[1]);
    const struct library_song *source = library_find(&v->c->library, fields[2]);
    if (song == NULL || source == NULL)
        return;
    if (v->n_passages == v->cap_passages) {
        v->cap_passages = size_max(64, 2 * v->cap_passages);
        v->passages = mem_resize(v->passages, v->cap_passages, sizeof *v->passages);
    }
    struct passage *p = &v->passages[v->n_passages++];
    *p = (struct passage){(size_t)(song - v->c->library.songs),
                          (size_t)(source - v->c->library.songs),
                          strtod(fields[3], NULL),
                          strtod(fields[4], NULL),
                          strtod(fields[5], NULL),
                          strtod(fields[6], NULL)};
    v->is_borrower[p->song_i] = true;
}

/* kind,track_id,other_id,start_s,end_s,other_start_s,other_end_s,... without quotes. */
static bool load_passages(struct evaluation *v, const char *path, struct err *e)
{
    static const char header[] = "kind,track_id,other_id,start_s,end_s,other_start_s,other_end_s";
    struct buf file;
    buf_init(&file, SEGMENTS_BYTES_MAX);
    bool ok = file_read_all(path, &file, e) && buf_terminate(&file, e);
    if (ok && strncmp((const char *)file.data, header, sizeof header - 1) != 0)
        ok = err_set(e, ERR_USAGE, "%s does not begin with the columns %s", path, header);
    char *line_state, *line = ok ? strtok_r((char *)file.data, "\r\n", &line_state) : NULL;
    for (size_t n = 2; line != NULL && (line = strtok_r(NULL, "\r\n", &line_state)) != NULL; n++) {
        char *fields[FIELDS], *state, *field = strtok_r(line, ",", &state);
        size_t k = 0;
        for (; field != NULL && k < FIELDS; field = strtok_r(NULL, ",", &state))
            fields[k++] = field;
        if (k < FIELDS) {
            ok = err_set(e, ERR_USAGE, "%s: line %zu has %zu fields of %d", path, n, k, FIELDS);
            break;
        }
        if (strcmp(fields[0], "borrowing") == 0)
            add_passage(v, fields);
    }
    buf_release(&file);
    return ok;
}

/* ---------------------------------------------------------------- scores */

static bool align_all(struct evaluation *v, struct err *e)
{
    struct progress progress;
    struct search_hit *hits = mem_alloc(v->n, sizeof *hits);
    bool ok = true;
    progress_init(&progress, "eval", "songs", v->n);
    for (size_t i = 0; ok && i < v->n; i++) {
        const struct search_query q = {&v->c->library.songs[i].sequence, i, v->c->threads, true};
        size_t n_hits = 0;
        ok = !program_stop_requested() || err_set(e, ERR_STOP, "asked to stop");
        ok = ok && search_run(&v->c->search, &q, v->n, hits, &n_hits, e);
        v->levels[i * v->n + i] = 0;
        for (size_t k = 0; ok && k < n_hits; k++)
            v->levels[i * v->n + hits[k].song_i] = (float)hits[k].level;
        progress_update(&progress, clock_now_ns(), i + 1, "%s", "");
    }
    progress_finish(&progress, clock_now_ns());
    mem_free(hits);
    return ok;
}

static bool has_prints(const struct library *l)
{
    for (size_t i = 0; i < l->n_songs; i++)
        if (l->songs[i].print.n_codes > 0)
            return true;
    return false;
}

/* Without shifts a pair is the same from both sides: each is compared once. */
static bool copy_all(struct evaluation *v, struct err *e)
{
    const struct library_song *songs = v->c->library.songs;
    struct progress progress;
    bool ok =
        has_prints(&v->c->library) ||
        err_set(e, ERR_USAGE,
                "%.200s has sequences without fingerprints, of an earlier version: remove its "
                "sequences.mdb and make it again with `refrain match DIR --sequences`",
                v->c->dataset.dir);
    progress_init(&progress, "eval", "songs", v->n);
    for (size_t i = 0; ok && i < v->n; i++) {
        struct copy_take as_it_is = {COPY_SPEED, 1, 1, songs[i].print};
        const struct copy_query q = {
            .len_ms = sequence_ms(songs[i].sequence.n_frames), .n_takes = 1, .takes = &as_it_is};
        ok = !program_stop_requested() || err_set(e, ERR_STOP, "asked to stop");
        v->levels[i * v->n + i] = 0;
        for (size_t k = i + 1; ok && k < v->n; k++) {
            struct copy_match m;
            copy_compare(&songs[k].print, &q, (double)v->n, &m);
            v->levels[i * v->n + k] = v->levels[k * v->n + i] =
                m.score > 0 ? (float)-log(m.evalue) : -INFINITY;
        }
        progress_update(&progress, clock_now_ns(), i + 1, "%s", "");
    }
    progress_finish(&progress, clock_now_ns());
    return ok;
}

static double evalue_of(const struct evaluation *v, float level)
{
    return v->axis == EVAL_COPY ? exp(-(double)level)
                                : cohort_chance(&v->c->cohort, (double)level) * (double)v->n;
}

static struct figure figure_of(struct evaluation *v, const struct ranking *rankings, size_t offset)
{
    for (size_t i = 0; i < v->n; i++)
        memcpy(&v->values[i], (const uint8_t *)&rankings[i] + offset, sizeof(double));
    return figure_mean(v->values, v->groups, v->n, v->c->dataset.settings.seed);
}

static void versions_measure(struct evaluation *v, struct eval_result *out)
{
    struct ranking *rankings = mem_alloc(v->n, sizeof *rankings);
    float *distances = mem_alloc(v->n, sizeof *distances);
    for (size_t i = 0; i < v->n; i++) {
        for (size_t k = 0; k < v->n; k++)
            distances[k] = -v->levels[i * v->n + k];
        ranking_of(distances, v->groups, v->n, i, v->c->dataset.settings.seed, &rankings[i]);
        out->n_queries += isnan(rankings[i].average_precision) ? 0 : 1;
    }
    out->two_choice = figure_of(v, rankings, offsetof(struct ranking, two_choice));
    out->auc = figure_of(v, rankings, offsetof(struct ranking, auc));
    out->map = figure_of(v, rankings, offsetof(struct ranking, average_precision));
    out->mr1 = figure_of(v, rankings, offsetof(struct ranking, first_rank));
    out->p1 = figure_of(v, rankings, offsetof(struct ranking, precision_1));
    out->p10 = figure_of(v, rankings, offsetof(struct ranking, precision_10));
    mem_free(distances);
    mem_free(rankings);
}

/* Passages are versions of nothing and unrelated to nobody: a pair of borrower and source is left
 * out of both. */
static bool is_borrowed_pair(const struct evaluation *v, size_t i, size_t k)
{
    return v->is_borrower[i] || v->is_borrower[k];
}

static void evalues_measure(struct evaluation *v, struct eval_result *out)
{
    const uint64_t seed = v->c->dataset.settings.seed;
    double *found = mem_zalloc(EVAL_EVALUES * v->n, sizeof *found); /* 0 or 1; NAN: no version */
    struct chance_tally tally;
    chance_tally_init(&tally, v->n);
    for (size_t i = 0; i < v->n; i++) {
        double least = INFINITY;
        bool has_version = false;
        if (!v->is_borrower[i])
            chance_tally_query(&tally);
        for (size_t k = 0; k < v->n; k++) {
            if (k == i || is_borrowed_pair(v, i, k))
                continue;
            double evalue = evalue_of(v, v->levels[i * v->n + k]);
            if (v->groups[k] != v->groups[i]) {
                chance_tally_add(&tally, i, k, evalue, (double)v->n);
                continue;
            }
            has_version = true;
            least = fmin(least, evalue);
        }
        for (size_t t = 0; t < EVAL_EVALUES; t++)
            found[t * v->n + i] = !has_version ? NAN : least <= eval_evalues[t] ? 1 : 0;
    }
    for (size_t t = 0; t < EVAL_EVALUES; t++)
        out->found[t] = figure_mean(found + t * v->n, v->groups, v->n, seed);
    chance_tally_measure(&tally, v->groups, seed, out->chance);
    chance_tally_release(&tally);
    mem_free(found);
}

/* What is in both, of the longer. */
static double overlap(double from, double to, double true_from, double true_to)
{
    double both = fmin(to, true_to) - fmax(from, true_from);
    return fmax(0, both) / fmax(to - from, true_to - true_from);
}

static bool place_measure(struct evaluation *v, const struct passage *p, double *out, struct err *e)
{
    const struct library_song *songs = v->c->library.songs;
    struct match m = {0};
    *out = 0;
    if (!match_compare(&songs[p->song_i].sequence, &songs[p->source_i].sequence, &v->c->cohort.null,
                       (double)v->n, &m, e))
        return false;
    for (size_t i = 0; i < m.n_segments; i++) {
        const struct segment *s = &m.segments[i];
        if ((s->aspect & MATCH_MELODY) == 0)
            continue;
        *out = fmin(
            overlap(s->a_from_ms / 1000.0, s->a_to_ms / 1000.0, p->from_s, p->to_s),
            overlap(s->b_from_ms / 1000.0, s->b_to_ms / 1000.0, p->source_from_s, p->source_to_s));
        break; /* the best one is what is shown */
    }
    match_release(&m);
    return true;
}

/* Candidates are all songs that borrow nothing. A song may have several rows, echoes of a phrase
 * that its source repeats: the best place counts. */
static bool passages_measure(struct evaluation *v, struct eval_result *out, struct err *e)
{
    double *first = mem_alloc(v->n, sizeof *first), *first_5 = mem_alloc(v->n, sizeof *first_5);
    double *located = mem_alloc(v->n, sizeof *located);
    bool ok = true;
    for (size_t i = 0; i < v->n; i++)
        first[i] = first_5[i] = located[i] = v->values[i] = NAN;
    for (size_t at = 0; ok && at < v->n_passages; at++) {
        const struct passage *p = &v->passages[at];
        const float *levels = v->levels + p->song_i * v->n;
        size_t before = 0;
        for (size_t k = 0; k < v->n; k++)
            before += k != p->song_i && !v->is_borrower[k] && levels[k] > levels[p->source_i];
        double place;
        out->n_passages += isnan(first[p->song_i]) ? 1 : 0;
        first[p->song_i] = fmax(before == 0, isnan(first[p->song_i]) ? 0 : first[p->song_i]);
        first_5[p->song_i] = fmax(before < 5, isnan(first_5[p->song_i]) ? 0 : first_5[p->song_i]);
        if (before > 0)
            continue;
        ok = place_measure(v, p, &place, e);
        v->values[p->song_i] = fmax(place, isnan(v->values[p->song_i]) ? 0 : v->values[p->song_i]);
        located[p->song_i] = v->values[p->song_i] >= LOCATED;
    }
    uint64_t seed = v->c->dataset.settings.seed;
    out->first = figure_mean(first, v->groups, v->n, seed);
    out->first_5 = figure_mean(first_5, v->groups, v->n, seed);
    out->located = figure_mean(located, v->groups, v->n, seed);
    out->overlap = figure_mean(v->values, v->groups, v->n, seed);
    mem_free(first);
    mem_free(first_5);
    mem_free(located);
    return ok;
}

static size_t count_works(const struct evaluation *v)
{
    size_t n = 0;
    for (size_t i = 0; i < v->n; i++) {
        size_t k = 0;
        while (k < i && v->groups[k] != v->groups[i])
            k++;
        n += k == i;
    }
    return n;
}

bool match_eval(struct match_catalogue *c, enum eval_axis axis, const char *groups_path,
                const char *segments_path, struct eval_result *out, struct err *e)
{
    assert(axis == EVAL_ALIGN || segments_path == NULL);
    const size_t n = c->library.n_songs;
    struct evaluation v = {.c = c, .axis = axis, .n = n};
    *out = (struct eval_result){.axis = axis, .n_songs = n};
    if (n < 2 || n > EVAL_SONGS_MAX)
        return err_set(e, ERR_USAGE, "%zu songs with sequences; from 2 to %d can be measured", n,
                       EVAL_SONGS_MAX);
    v.levels = mem_alloc(n * n, sizeof *v.levels);
    v.groups = mem_alloc(n, sizeof *v.groups);
    v.values = mem_alloc(n, sizeof *v.values);
    v.is_borrower = mem_zalloc(n, sizeof *v.is_borrower);
    bool ok = match_groups_load(c, groups_path, v.groups, e) &&
              (segments_path == NULL || load_passages(&v, segments_path, e)) &&
              (axis == EVAL_COPY ? copy_all : align_all)(&v, e);
    if (ok) {
        out->n_works = count_works(&v);
        versions_measure(&v, out);
        evalues_measure(&v, out);
        ok = passages_measure(&v, out, e);
    }
    mem_free(v.levels);
    mem_free(v.groups);
    mem_free(v.values);
    mem_free(v.passages);
    mem_free(v.is_borrower);
    return ok;
}

/* ---------------------------------------------------------------- output */

static const char *const axis_names[] = {[EVAL_ALIGN] = "align", [EVAL_COPY] = "copy"};

static void print_figure(FILE *out, const char *name, const struct figure *f)
{
    if (!isnan(f->value))
        fprintf(out, "%-34s %6.4f   %.4f to %.4f\n", name, f->value, f->lo, f->hi);
}

void match_eval_print(const struct eval_result *r, FILE *out)
{
    fprintf(out, "by %s: %zu songs of %zu works, %zu queries; 95 %% intervals over works\n",
            axis_names[r->axis], r->n_songs, r->n_works, r->n_queries);
    print_figure(out, "two-choice", &r->two_choice);
    print_figure(out, "area under ROC", &r->auc);
    print_figure(out, "MAP", &r->map);
    print_figure(out, "MR1", &r->mr1);
    print_figure(out, "P@1", &r->p1);
    print_figure(out, "P@10", &r->p10);
    fprintf(out, "%-12s %10s %22s %21s %10s\n", "E up to", "found", "unrelated a query", "95 %",
            "expected");
    for (size_t t = 0; t < EVAL_EVALUES; t++)
        fprintf(out, "%-12g %10.3f %22.4f %10.4f to %7.4f %10.4f\n", eval_evalues[t],
                r->found[t].value, r->chance[t].unrelated.value, r->chance[t].unrelated.lo,
                r->chance[t].unrelated.hi, r->chance[t].promised);
    if (r->n_passages == 0)
        return;
    fprintf(out, "%zu borrowed passages\n", r->n_passages);
    print_figure(out, "source first", &r->first);
    print_figure(out, "source in the first five", &r->first_5);
    print_figure(out, "of those first, located to 60 %", &r->located);
    print_figure(out, "of those first, mean overlap", &r->overlap);
}

void match_eval_json(const struct eval_result *r, FILE *out)
{
    struct json j;
    json_init(&j, out);
    json_object(&j, NULL);
    json_str(&j, "by", axis_names[r->axis]);
    json_u64(&j, "songs", r->n_songs);
    json_u64(&j, "works", r->n_works);
    json_u64(&j, "queries", r->n_queries);
    figure_json(&j, "two_choice", &r->two_choice);
    figure_json(&j, "auc", &r->auc);
    figure_json(&j, "map", &r->map);
    figure_json(&j, "mr1", &r->mr1);
    figure_json(&j, "p1", &r->p1);
    figure_json(&j, "p10", &r->p10);
    json_array(&j, "by_evalue");
    for (size_t t = 0; t < EVAL_EVALUES; t++) {
        json_object(&j, NULL);
        figure_json(&j, "found", &r->found[t]);
        chance_point_json(&r->chance[t], &j);
        json_end(&j);
    }
    json_end(&j);
    json_u64(&j, "passages", r->n_passages);
    figure_json(&j, "first", &r->first);
    figure_json(&j, "first_5", &r->first_5);
    figure_json(&j, "located", &r->located);
    figure_json(&j, "overlap", &r->overlap);
    json_end(&j);
    json_finish(&j);
}
