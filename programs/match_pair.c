#include "programs/match_pair.h"

#include "base/json.h"
#include "match/compare.h"
#include "programs/html.h"
#include "programs/match_provenance.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* As many as good by chance: below SURE a claim is made, below MAYBE it is worth an ear. */
static const double SURE = 1e-3, MAYBE = 0.1;
/* To call it one recording more is asked, because copies have more: three seconds of one stand at
 * 1e-6, and a held chord in two songs now and then at 1e-4 (docs/MATCH.md). */
static const double COPY_SURE = 1e-5;
/* A version shares this much of the shorter song, a borrowing less. */
static const double VERSION_SHARE = 0.5;
/* A song of which this share is there is there: fingerprints are blurred at both ends. */
static const double MOST = 0.9;

const char match_disclaimer[] =
    "This is evidence for a human ear, not a legal verdict: it says where two recordings sound "
    "alike and how often chance does that, not who borrowed from whom, or whether one may.";

/* ---------------------------------------------------------------- comparing */

/* What A in B says of B in A. */
static void swap_sides(struct copy_match *m, uint64_t b_len_ms)
{
    struct copy_match was = *m;
    m->pitch_ratio = 1 / was.pitch_ratio;
    m->tempo_ratio = 1 / was.tempo_ratio;
    m->from_ms = was.query_from_ms;
    m->to_ms = was.query_to_ms;
    m->query_from_ms = was.from_ms;
    m->query_to_ms = was.to_ms;
    m->share = (double)(was.to_ms - was.from_ms) / (double)b_len_ms;
}

/* The shorter one is looked for in the longer one: what is shifted may be a small part of it. */
static bool compare_recordings(struct match_pair *p, struct err *e)
{
    bool a_is_query = p->a.n_samples < p->b.n_samples;
    const struct match_song *query_song = a_is_query ? &p->a : &p->b;
    const struct match_song *known_song = a_is_query ? &p->b : &p->a;
    struct fingerprint known = {0};
    struct copy_query query = {0};
    bool ok = fingerprint_compute(known_song->samples, known_song->n_samples, SEQUENCE_RATE_HZ, 1,
                                  &known, e) &&
              copy_query_init(query_song->samples, query_song->n_samples, SEQUENCE_RATE_HZ, true,
                              &query, e);
    if (ok)
        copy_compare(&known, &query, 1, &p->copy);
    if (ok && a_is_query)
        swap_sides(&p->copy, p->b.len_ms);
    fingerprint_release(&known);
    copy_query_release(&query);
    return ok;
}

static bool is_unchanged(const struct copy_match *m)
{
    return m->pitch_ratio == 1 && m->tempo_ratio == 1;
}

bool match_is_copy(const struct match_pair *p)
{
    return p->same_bytes || (p->copy.score > 0 && p->copy.evalue <= COPY_SURE);
}

enum match_verdict match_verdict_of(const struct match_pair *p)
{
    const struct copy_match *c = &p->copy;
    double of_a = (double)(c->to_ms - c->from_ms) / (double)u64_max(1, p->a.len_ms);
    if (p->same_bytes || (match_is_copy(p) && is_unchanged(c) && c->share >= MOST && of_a >= MOST))
        return MATCH_SAME;
    if (match_is_copy(p))
        return MATCH_COPY;
    double evalue = p->has_cover ? p->cover.evalue : INFINITY;
    if (evalue <= SURE)
        return match_shared_part(&p->cover, p->a.len_ms, p->b.len_ms, MAYBE) >= VERSION_SHARE
                   ? MATCH_VERSION
                   : MATCH_BORROWED;
    return evalue <= MAYBE || c->evalue <= MAYBE ? MATCH_MAYBE : MATCH_NOTHING;
}

static void find_aspect_evalues(struct match_pair *p)
{
    p->aspect_evalue[MATCH_HARMONY] = p->aspect_evalue[MATCH_MELODY] = INFINITY;
    for (size_t i = 0; i < p->cover.n_segments; i++) {
        const struct segment *s = &p->cover.segments[i];
        for (enum match_aspect aspect = MATCH_HARMONY; aspect <= MATCH_MELODY; aspect++)
            if ((s->aspect & aspect) != 0)
                p->aspect_evalue[aspect] = fmin(p->aspect_evalue[aspect], s->evalue);
    }
}

bool match_pair_open(const char *path_a, const char *path_b, int64_t made_s, struct match_pair *out,
                     struct err *e)
{
    struct match_pair p = {.made_s = made_s};
    bool ok = match_song_open(path_a, &p.a, e) && match_song_open(path_b, &p.b, e) &&
              compare_recordings(&p, e);
    p.same_bytes = ok && p.a.n_bytes == p.b.n_bytes && strcmp(p.a.sha256, p.b.sha256) == 0;
    if (ok && p.a.sequence.n_frames > 0 && p.b.sequence.n_frames > 0) {
        ok = match_compare(&p.a.sequence, &p.b.sequence, &null_model_default, 1, &p.cover, e);
        p.has_cover = ok;
    }
    if (ok) {
        find_aspect_evalues(&p);
        p.verdict = match_verdict_of(&p);
        *out = p;
    } else
        match_pair_close(&p);
    return ok;
}

void match_pair_close(struct match_pair *p)
{
    match_song_close(&p->a);
    match_song_close(&p->b);
    match_release(&p->cover);
    *p = (struct match_pair){0};
}

/* ---------------------------------------------------------------- words */

const char *match_verdict_name(enum match_verdict v)
{
    static const char *const names[] = {"same", "copy", "version", "borrowed", "maybe", "nothing"};
    return names[v];
}

const char *match_time_text(uint64_t ms, char out[MATCH_TEXT_BYTES])
{
    uint64_t s = (ms + 500) / 1000;
    if (s < 3600)
        snprintf(out, MATCH_TEXT_BYTES, "%" PRIu64 ":%02" PRIu64, s / 60, s % 60);
    else
        snprintf(out, MATCH_TEXT_BYTES, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, s / 3600,
                 s / 60 % 60, s % 60);
    return out;
}

const char *match_evalue_text(double evalue, char out[MATCH_TEXT_BYTES])
{
    if (!(evalue >= 1e-99))
        snprintf(out, MATCH_TEXT_BYTES, "0");
    else if (evalue < 0.01) {
        int power = (int)floor(log10(evalue));
        double lead = evalue / pow(10, power);
        if (lround(lead) == 10) {
            lead = 1;
            power++;
        }
        snprintf(out, MATCH_TEXT_BYTES, "%lde%d", lround(lead), power);
    } else
        snprintf(out, MATCH_TEXT_BYTES, evalue < 10 ? "%.2g" : "%.0f", evalue);
    return out;
}

const char *match_change_text(const struct copy_match *m, char out[MATCH_TEXT_BYTES])
{
    double pitch = ((double)m->pitch_ratio - 1) * 100, tempo = ((double)m->tempo_ratio - 1) * 100;
    if (is_unchanged(m))
        snprintf(out, MATCH_TEXT_BYTES, "pitch and speed unchanged");
    else if (m->change == COPY_SPEED)
        snprintf(out, MATCH_TEXT_BYTES, "played %.1f %% %s, pitch with it", fabs(tempo),
                 tempo > 0 ? "faster" : "slower");
    else if (m->change == COPY_PITCH)
        snprintf(out, MATCH_TEXT_BYTES, "pitch shifted %s by %.1f %%, tempo kept",
                 pitch > 0 ? "up" : "down", fabs(pitch));
    else
        snprintf(out, MATCH_TEXT_BYTES, "played %.1f %% %s, pitch kept", fabs(tempo),
                 tempo > 0 ? "faster" : "slower");
    return out;
}

/* B as it is compared with A. */
static void copy_sentence(const struct match_pair *p, FILE *out)
{
    const struct copy_match *m = &p->copy;
    char t[4][MATCH_TEXT_BYTES], change[MATCH_TEXT_BYTES];
    double of_a = (double)(m->to_ms - m->from_ms) / (double)u64_max(1, p->a.len_ms);
    if (m->share >= MOST)
        fputs(of_a >= MOST ? "B is the recording A" : "B is a part of the recording A", out);
    else if (of_a >= MOST)
        fputs("B holds the recording A", out);
    else
        fprintf(out, "%.0f %% of B is a recording that A holds as well", 100 * m->share);
    fprintf(out, ": %s\u2013%s of A is %s\u2013%s of B, %s.", match_time_text(m->from_ms, t[0]),
            match_time_text(m->to_ms, t[1]), match_time_text(m->query_from_ms, t[2]),
            match_time_text(m->query_to_ms, t[3]), match_change_text(m, change));
}

static const char *rarity_text(double evalue, char out[MATCH_TEXT_BYTES])
{
    char count[COUNT_TEXT_BYTES];
    if (evalue > 0.5)
        snprintf(out, MATCH_TEXT_BYTES, "unrelated songs do that all the time");
    else if (evalue < 1e-12)
        snprintf(out, MATCH_TEXT_BYTES,
                 "chance does not do that once in a trillion pairs of songs");
    else {
        double n = 1 / evalue, step = pow(10, floor(log10(n)));
        double round = floor(n / step) * step;
        const char *unit = n >= 1e9 ? " billion" : n >= 1e6 ? " million" : "";
        double of = n >= 1e9 ? 1e9 : n >= 1e6 ? 1e6 : 1;
        snprintf(out, MATCH_TEXT_BYTES, "chance does that in one of %s%s pairs of unrelated songs",
                 count_text((uint64_t)(round / of + 0.5), count), unit);
    }
    return out;
}

static void segment_sentence(const struct segment *s, FILE *out)
{
    char t[4][MATCH_TEXT_BYTES], rarity[MATCH_TEXT_BYTES];
    fprintf(out, "%s\u2013%s in A is %s\u2013%s in B (%s)", match_time_text(s->a_from_ms, t[0]),
            match_time_text(s->a_to_ms, t[1]), match_time_text(s->b_from_ms, t[2]),
            match_time_text(s->b_to_ms, t[3]),
            s->aspect == MATCH_BOTH ? "melody and harmony" : match_aspect_name(s->aspect));
    fprintf(out, "; %s.", rarity_text(s->evalue, rarity));
}

static void likeness_sentence(const struct likeness *l, FILE *out)
{
    char from[MATCH_TEXT_BYTES], to[MATCH_TEXT_BYTES];
    fprintf(
        out,
        " To the model %s what is heard at %s\u2013%s sounds more alike than %.1f %% of its data "
        "set's pairs of songs.",
        l->model, match_time_text(l->from_ms, from), match_time_text(l->from_ms + l->clip_ms, to),
        l->percentile);
}

static void verdict_sentence(const struct match_pair *p, FILE *out)
{
    switch (p->verdict) {
    case MATCH_SAME:
        fputs(p->same_bytes ? "A and B are the same file, byte for byte."
                            : "A and B are the same recording from begin to end.",
              out);
        break;
    case MATCH_COPY:
        copy_sentence(p, out);
        break;
    case MATCH_VERSION:
        fputs("A and B share so much that they are very likely versions of one song: ", out);
        segment_sentence(&p->cover.segments[0], out);
        break;
    case MATCH_BORROWED:
        fputs("A and B very likely share a passage: ", out);
        segment_sentence(&p->cover.segments[0], out);
        break;
    case MATCH_MAYBE:
        fputs("There is a likeness that chance gives now and then; listen before you believe it",
              out);
        if (p->has_cover && p->cover.n_segments > 0) {
            fputs(": ", out);
            segment_sentence(&p->cover.segments[0], out);
        } else
            putc('.', out);
        break;
    case MATCH_NOTHING:
        fputs("Nothing was found that two unrelated songs would not share.", out);
        break;
    }
}

void match_pair_sentence(const struct match_pair *p, FILE *out)
{
    verdict_sentence(p, out);
    if (p->likeness.known)
        likeness_sentence(&p->likeness, out);
}

/* ---------------------------------------------------------------- printing */

static void print_axis(FILE *out, const char *name, bool has, double evalue, const char *else_say)
{
    char text[MATCH_TEXT_BYTES];
    if (has)
        fprintf(out, "  %-12s E = %s\n", name, match_evalue_text(evalue, text));
    else
        fprintf(out, "  %-12s %s\n", name, else_say);
}

static void print_likeness(FILE *out, const struct likeness *l)
{
    char count[COUNT_TEXT_BYTES];
    if (l->known)
        fprintf(out, "  %-12s cosine %.3f, %.1f %% of %s pairs of songs are less alike\n",
                "sounds like", l->cosine, l->percentile, count_text(l->cohort_pairs, count));
    else if (l->asked)
        fprintf(out, "  %-12s %s\n", "sounds like", l->why_not);
}

void match_pair_print(const struct match_pair *p, FILE *out)
{
    char t[4][MATCH_TEXT_BYTES];
    const char *why = p->a.no_sequence[0] != '\0' ? p->a.no_sequence : p->b.no_sequence;
    fprintf(out, "A  %s (%s)\nB  %s (%s)\n\n", p->a.path, match_time_text(p->a.len_ms, t[0]),
            p->b.path, match_time_text(p->b.len_ms, t[1]));
    match_pair_sentence(p, out);
    fputs("\n\n", out);
    print_axis(out, "copy", p->copy.score > 0, p->copy.evalue, "nothing fits");
    for (enum match_aspect aspect = MATCH_MELODY; aspect >= MATCH_HARMONY; aspect--)
        print_axis(out, match_aspect_name(aspect),
                   p->has_cover && isfinite(p->aspect_evalue[aspect]), p->aspect_evalue[aspect],
                   p->has_cover ? "nothing stands out" : why);
    print_likeness(out, &p->likeness);
    for (size_t i = 0; i < p->cover.n_segments; i++) {
        const struct segment *s = &p->cover.segments[i];
        fprintf(out, "%s  %s\u2013%s in A  %s\u2013%s in B  %+d semitones  tempo \u00d7%.2f  E = ",
                i == 0 ? "\n" : "", match_time_text(s->a_from_ms, t[0]),
                match_time_text(s->a_to_ms, t[1]), match_time_text(s->b_from_ms, t[2]),
                match_time_text(s->b_to_ms, t[3]), s->shift_semitones, (double)s->tempo_ratio);
        fprintf(out, "%s  %s\n", match_evalue_text(s->evalue, t[0]), match_aspect_name(s->aspect));
    }
    fprintf(out, "\n%s\n", match_disclaimer);
}

static void json_song(struct json *j, const char *key, const struct match_song *s)
{
    json_object(j, key);
    json_str(j, "path", s->path);
    match_file_json(s, j);
    json_u64(j, "ms", s->len_ms);
    json_f64(j, "tuning_semitones", s->sequence.n_frames > 0 ? (double)s->sequence.tuning : NAN);
    json_str(j, "not_aligned", s->no_sequence[0] != '\0' ? s->no_sequence : NULL);
    json_end(j);
}

void match_copy_json(const struct copy_match *m, struct json *j)
{
    json_f64(j, "evalue", m->evalue);
    json_f64(j, "share", m->share);
    json_f64(j, "bit_error_rate", m->bit_error_rate);
    json_f64(j, "pitch_ratio", (double)m->pitch_ratio);
    json_f64(j, "tempo_ratio", (double)m->tempo_ratio);
}

static void json_copy(struct json *j, const struct copy_match *m)
{
    json_object(j, "copy");
    match_copy_json(m, j);
    json_f64(j, "score", m->score);
    json_u64(j, "a_from_ms", m->from_ms);
    json_u64(j, "a_to_ms", m->to_ms);
    json_u64(j, "b_from_ms", m->query_from_ms);
    json_u64(j, "b_to_ms", m->query_to_ms);
    json_end(j);
}

static void json_segment(struct json *j, const struct segment *s)
{
    json_object(j, NULL);
    json_u64(j, "a_from_ms", s->a_from_ms);
    json_u64(j, "a_to_ms", s->a_to_ms);
    json_u64(j, "b_from_ms", s->b_from_ms);
    json_u64(j, "b_to_ms", s->b_to_ms);
    json_i64(j, "semitones", s->shift_semitones);
    json_f64(j, "tempo_ratio", (double)s->tempo_ratio);
    json_str(j, "aspect", match_aspect_name(s->aspect));
    json_f64(j, "score", (double)s->score);
    json_f64(j, "evalue", s->evalue);
    json_end(j);
}

static void json_likeness(struct json *j, const struct likeness *l)
{
    if (!l->asked) {
        json_null(j, "sounds_like");
        return;
    }
    json_object(j, "sounds_like");
    json_str(j, "model", l->model);
    json_f64(j, "cosine", l->known ? l->cosine : NAN);
    json_f64(j, "percentile", l->known ? l->percentile : NAN);
    json_u64(j, "cohort_pairs", l->cohort_pairs);
    json_u64(j, "from_ms", l->from_ms);
    json_u64(j, "to_ms", l->from_ms + l->clip_ms);
    json_str(j, "not_compared", l->known ? NULL : l->why_not);
    json_end(j);
}

static char *sentence_text(const struct match_pair *p)
{
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    assert(out != NULL); /* memory is there or the program is not */
    match_pair_sentence(p, out);
    fclose(out);
    return text;
}

void match_pair_json(const struct match_pair *p, FILE *out)
{
    struct json j;
    char *sentence = sentence_text(p);
    json_init(&j, out);
    json_object(&j, NULL);
    json_song(&j, "a", &p->a);
    json_song(&j, "b", &p->b);
    json_str(&j, "verdict", match_verdict_name(p->verdict));
    json_str(&j, "sentence", sentence);
    json_copy(&j, &p->copy);
    if (p->has_cover) {
        json_object(&j, "cover");
        json_f64(&j, "evalue", p->cover.evalue);
        json_f64(&j, "score", (double)p->cover.score);
        json_f64(&j, "melody_evalue", p->aspect_evalue[MATCH_MELODY]);
        json_f64(&j, "harmony_evalue", p->aspect_evalue[MATCH_HARMONY]);
        json_array(&j, "segments");
        for (size_t i = 0; i < p->cover.n_segments; i++)
            json_segment(&j, &p->cover.segments[i]);
        json_end(&j);
        json_end(&j);
    } else
        json_null(&j, "cover");
    json_likeness(&j, &p->likeness);
    match_made_json(p->made_s, match_law_shipped, &j);
    json_str(&j, "note", match_disclaimer);
    json_end(&j);
    json_finish(&j);
    free(sentence);
}
