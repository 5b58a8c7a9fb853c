#include "programs/match_catalogue.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/program.h"
#include "base/progress.h"
#include "match/compare.h"
#include "programs/match_copies.h"
#include "programs/match_pair.h"
#include "programs/match_provenance.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum { TOP_MAX = 1000 };

static bool show_progress(void *arg, uint64_t n_done, uint64_t n)
{
    struct progress *p = arg;
    p->total = n;
    progress_update(p, clock_now_ns(), n_done, "%s", "");
    return !program_stop_requested();
}

static unsigned threads_of(unsigned asked)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (asked > 0)
        return asked;
    return (unsigned)(cores < 1 ? 1 : cores > SEARCH_THREADS_MAX ? SEARCH_THREADS_MAX : cores);
}

bool match_catalogue_open(const char *dir, unsigned threads, struct match_catalogue *out,
                          struct err *e)
{
    struct match_catalogue c = {.threads = threads_of(threads)};
    struct progress progress;
    progress_init(&progress, "cohort", "pairs", 0);
    bool ok = dataset_open(dir, &c.dataset, e) && library_open(dir, &c.library, e) &&
              cohort_open(dir, &c.library, c.dataset.settings.seed, c.threads, show_progress,
                          &progress, &c.cohort, e);
    if (!ok) {
        match_catalogue_close(&c);
        return false;
    }
    *out = c;
    out->search = (struct search){&out->library, &out->cohort};
    return true;
}

bool match_catalogue_open_library(const char *dir, unsigned threads, struct match_catalogue *out,
                                  struct err *e)
{
    struct match_catalogue c = {.threads = threads_of(threads)};
    if (!dataset_open(dir, &c.dataset, e) || !library_open(dir, &c.library, e))
        return false;
    *out = c;
    return true;
}

/* What was learnt of songs saves time only: a folder that cannot be written to does without. */
void match_catalogue_close(struct match_catalogue *c)
{
    struct err ignored = {0};
    if (c->cohort.is_new &&
        !cohort_keep(c->dataset.dir, &c->library, c->dataset.settings.seed, &c->cohort, &ignored))
        log_debug("excesses are not kept", "why=\"%s\"", ignored.msg);
    cohort_release(&c->cohort);
    library_close(&c->library);
    *c = (struct match_catalogue){0};
}

/* ---------------------------------------------------------------- search */

/* What is searched for: a file, or a song of the library. */
struct asked {
    struct match_song file;
    const struct sequence *sequence; /* NULL: too short or too long to align */
    const char *name;
    size_t self_i;
};

static bool asked_open(const struct match_catalogue *c, const char *query, struct asked *out,
                       struct err *e)
{
    *out = (struct asked){.name = query, .self_i = SIZE_MAX};
    if (file_exists(query)) {
        if (!match_song_open(query, &out->file, e))
            return false;
        out->sequence = out->file.sequence.n_frames > 0 ? &out->file.sequence : NULL;
        return true;
    }
    const struct library_song *song = library_find(&c->library, query);
    if (song == NULL)
        return err_set(e, ERR_USAGE,
                       "%.200s is neither an audio file nor a track id or row with a sequence",
                       query);
    out->sequence = &song->sequence;
    out->name = song->track_id;
    out->self_i = (size_t)(song - c->library.songs);
    return true;
}

static void segment_json(struct json *j, const struct segment *s)
{
    json_object(j, NULL);
    json_u64(j, "from_ms", s->a_from_ms);
    json_u64(j, "to_ms", s->a_to_ms);
    json_u64(j, "other_from_ms", s->b_from_ms);
    json_u64(j, "other_to_ms", s->b_to_ms);
    json_i64(j, "shift_semitones", s->shift_semitones);
    json_f64(j, "tempo_ratio", (double)s->tempo_ratio);
    json_str(j, "aspect", match_aspect_name(s->aspect));
    json_f64(j, "evalue", s->evalue);
    json_end(j);
}

static void hit_json(struct json *j, const struct library_song *song, const struct search_hit *hit,
                     const struct match *m)
{
    json_object(j, NULL);
    json_str(j, "track", song->track_id);
    json_u64(j, "row", song->row);
    json_f64(j, "evalue", hit->evalue);
    json_f64(j, "qvalue", hit->qvalue);
    json_f64(j, "score", hit->level / ALIGN_UNIT);
    json_array(j, "segments");
    for (size_t i = 0; i < m->n_segments; i++)
        segment_json(j, &m->segments[i]);
    json_end(j);
    json_end(j);
}

static void hit_print(FILE *out, size_t place, const struct library_song *song,
                      const struct search_hit *hit, const struct match *m)
{
    char times[4][MATCH_TEXT_BYTES], evalue[MATCH_TEXT_BYTES];
    fprintf(out, "%3zu  %-24s  %8s  %7.2g", place, song->track_id,
            match_evalue_text(hit->evalue, evalue), hit->qvalue);
    if (m->n_segments > 0) {
        const struct segment *s = &m->segments[0];
        fprintf(out, "  %s-%s is %s-%s, %+d semitones, tempo x%.2f, %s",
                match_time_text(s->a_from_ms, times[0]), match_time_text(s->a_to_ms, times[1]),
                match_time_text(s->b_from_ms, times[2]), match_time_text(s->b_to_ms, times[3]),
                s->shift_semitones, (double)s->tempo_ratio, match_aspect_name(s->aspect));
    }
    fputc('\n', out);
}

static void copies_show(const struct match_catalogue *c, const struct asked *q,
                        const struct match_copies *copies, FILE *out)
{
    match_copies_print(copies, &c->library, out);
    if (q->sequence == NULL)
        fprintf(out, "melody and harmony are not compared: %s\n", q->file.no_sequence);
}

/* What the E-values go by. */
static void law_text(const struct cohort *c, char *out, size_t cap)
{
    if (c->null.n_pairs > 0)
        snprintf(out, cap,
                 "fitted on %" PRIu64 " pairs of this data set; E-values of about 1 are within a "
                 "factor of %.2f",
                 c->null.n_pairs, c->evalue_factor);
    else
        snprintf(out, cap, "%s", match_law_shipped);
}

/* The file that was asked with, and what answers. */
static void search_made_json(const struct match_catalogue *c, const struct asked *q, int64_t made_s,
                             struct json *j)
{
    char law[256];
    if (q->self_i == SIZE_MAX) {
        json_object(j, "file");
        match_file_json(&q->file, j);
        json_end(j);
    } else
        json_null(j, "file");
    law_text(&c->cohort, law, sizeof law);
    match_made_json(made_s, law, j);
}

static bool hits_show(const struct match_catalogue *c, const struct asked *q,
                      const struct search_request *r, const struct search_hit *hits, size_t n,
                      const struct match_copies *copies, double seconds, FILE *out, struct err *e)
{
    struct json j;
    bool ok = true;
    if (r->json) {
        json_init(&j, out);
        json_object(&j, NULL);
        json_str(&j, "query", q->name);
        json_u64(&j, "songs", c->library.n_songs);
        json_f64(&j, "seconds", seconds);
        json_str(&j, "not_aligned", q->sequence == NULL ? q->file.no_sequence : NULL);
        match_copies_json(copies, &c->library, &j);
        json_array(&j, "hits");
    } else {
        copies_show(c, q, copies, out);
        fprintf(out, "%s in %zu songs, %.2f s; E: as good by chance; q: false among those so far\n",
                q->name, c->library.n_songs, seconds);
        fprintf(out, "  #  %-24s  %8s  %7s  best passage\n", "track", "E", "q");
    }
    for (size_t i = 0; ok && i < n; i++) {
        const struct library_song *song = &c->library.songs[hits[i].song_i];
        struct match m = {0};
        ok = match_compare(q->sequence, &song->sequence, &c->cohort.null,
                           (double)c->library.n_songs, &m, e);
        if (ok && r->json)
            hit_json(&j, song, &hits[i], &m);
        else if (ok)
            hit_print(out, i + 1, song, &hits[i], &m);
        match_release(&m);
    }
    if (r->json) {
        json_end(&j);
        search_made_json(c, q, r->made_s, &j);
        json_end(&j);
        json_finish(&j);
    }
    return ok;
}

bool match_catalogue_search(struct match_catalogue *c, const struct search_request *r, FILE *out,
                            struct err *e)
{
    struct asked q;
    struct match_copies copies;
    if (r->top < 1 || r->top > TOP_MAX)
        return err_set(e, ERR_USAGE, "--top %" PRIu64 ": from 1 to %d", r->top, TOP_MAX);
    if (!asked_open(c, r->query, &q, e))
        return false;
    struct search_hit *hits = mem_alloc(r->top, sizeof *hits);
    const struct search_query query = {q.sequence, q.self_i, c->threads, r->exhaustive};
    size_t n = 0;
    uint64_t began_ns = clock_now_ns();
    bool ok = (q.self_i == SIZE_MAX
                   ? match_copies_of_file(&c->library, q.file.samples, q.file.n_samples, c->threads,
                                          &copies, e)
                   : match_copies_of_song(&c->library, q.self_i, c->threads, &copies, e)) &&
              (q.sequence == NULL || search_run(&c->search, &query, r->top, hits, &n, e)) &&
              hits_show(c, &q, r, hits, n, &copies, (double)(clock_now_ns() - began_ns) / NS_PER_S,
                        out, e);
    mem_free(hits);
    match_song_close(&q.file);
    return ok;
}
