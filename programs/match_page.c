#include "programs/match_page.h"

#include "base/file.h"
#include "programs/html.h"
#include "programs/match_picture.h"
#include "programs/match_provenance.h"
#include "programs/plot.h"
#include "programs/report_html.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PICTURE_MAX_BYTES = 8 << 20, SIDES = 2 };

struct page {
    FILE *out;
    const struct match_pair *pair;
    const struct match_page_params *params;
    struct err *e;
};

static const struct match_song *song_of(const struct page *p, int side)
{
    return side == 0 ? &p->pair->a : &p->pair->b;
}

/* ---------------------------------------------------------------- head */

static void head(const struct page *p)
{
    FILE *out = p->out;
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
          "<meta name=\"referrer\" content=\"no-referrer\"/>\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src "
          "data:; media-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'\"/>\n"
          "<title>",
          out);
    html_text_cut(out, p->pair->a.name, 60);
    fputs(" and ", out);
    html_text_cut(out, p->pair->b.name, 60);
    fputs(" \u00b7 refrain</title>\n<style>\n", out);
    for (size_t i = 0; i < REPORT_STYLE_PARTS; i++)
        fputs(report_style[i], out);
    fputs(match_page_style, out);
    fputs("</style>\n</head>\n<body>\n", out);
}

static void songs(const struct page *p)
{
    char date[MATCH_DATE_BYTES], length[MATCH_TEXT_BYTES];
    fprintf(p->out,
            "<h1>What two songs share</h1>\n<p class=\"soft\">Compared by refrain, %.10s</p>\n"
            "<dl class=\"songs\">\n",
            match_date_text(p->pair->made_s, date));
    for (int side = 0; side < SIDES; side++) {
        const struct match_song *s = song_of(p, side);
        fprintf(p->out, "<dt><span class=\"side\">%c</span></dt><dd>", 'A' + side);
        html_text(p->out, s->name);
        fprintf(p->out, " <span class=\"soft\">%s</span></dd>\n",
                match_time_text(s->len_ms, length));
    }
    fputs("</dl>\n", p->out);
}

/* A sentence of ours that may hold nothing foreign but is escaped all the same. */
static void verdict(const struct page *p)
{
    char *text = NULL;
    size_t n;
    FILE *memory = open_memstream(&text, &n);
    assert(memory != NULL); /* memory is there or the program is not */
    match_pair_sentence(p->pair, memory);
    fclose(memory);
    fputs("<p class=\"verdict\">", p->out);
    html_text(p->out, text);
    fputs("</p>\n<p class=\"note\">", p->out);
    html_text(p->out, match_disclaimer);
    fputs("</p>\n", p->out);
    free(text);
}

/* ---------------------------------------------------------------- axes */

static void axis(const struct page *p, const char *name, const char *value, const char *unit)
{
    fprintf(p->out, "<div><dt>%s</dt><dd>", name);
    html_text(p->out, value);
    fputs("<span class=\"unit\">", p->out);
    html_text(p->out, unit);
    fputs("</span></dd></div>\n", p->out);
}

static void axis_evalue(const struct page *p, const char *name, double evalue, const char *unit)
{
    char text[MATCH_TEXT_BYTES], value[MATCH_TEXT_BYTES + 4];
    snprintf(value, sizeof value, "E = %s", match_evalue_text(evalue, text));
    axis(p, name, value, unit);
}

static void axis_likeness(const struct page *p, const struct likeness *l)
{
    char value[MATCH_TEXT_BYTES], unit[PATH_BYTES + ERR_MSG_BYTES], count[COUNT_TEXT_BYTES];
    char from[MATCH_TEXT_BYTES], to[MATCH_TEXT_BYTES];
    if (l->known) {
        snprintf(value, sizeof value, "%.1f %%", l->percentile);
        snprintf(unit, sizeof unit,
                 "of %s pairs of songs are less alike to the model %s; %s\u2013%s of both, cosine "
                 "%.3f",
                 count_text(l->cohort_pairs, count), l->model, match_time_text(l->from_ms, from),
                 match_time_text(l->from_ms + l->clip_ms, to), l->cosine);
        axis(p, "Sounds like", value, unit);
    } else if (l->asked)
        axis(p, "Sounds like", "none", l->why_not);
}

static void axes(const struct page *p)
{
    static const char *const names[] = {[MATCH_HARMONY] = "Harmony", [MATCH_MELODY] = "Melody"};
    const struct match_pair *pair = p->pair;
    const char *why = pair->a.no_sequence[0] != '\0' ? pair->a.no_sequence : pair->b.no_sequence;
    char unit[ERR_MSG_BYTES], change[MATCH_TEXT_BYTES];
    fputs("<dl class=\"figures\">\n", p->out);
    snprintf(unit, sizeof unit, "%s%.0f %% of B, %.1f %% of bits differ; %s",
             match_is_copy(pair) ? "" : "what comes nearest, not enough for a claim: ",
             100 * pair->copy.share, 100 * pair->copy.bit_error_rate,
             match_change_text(&pair->copy, change));
    if (pair->copy.score > 0 && pair->copy.evalue <= 1)
        axis_evalue(p, "Copy: the same recording", pair->copy.evalue, unit);
    else
        axis(p, "Copy: the same recording", "none", "no part of B fits a part of A");
    for (enum match_aspect aspect = MATCH_MELODY; aspect >= MATCH_HARMONY; aspect--) {
        if (pair->has_cover && isfinite(pair->aspect_evalue[aspect]))
            axis_evalue(p, names[aspect], pair->aspect_evalue[aspect],
                        "the best segment below that has it");
        else
            axis(p, names[aspect], "none", pair->has_cover ? "nothing stands out" : why);
    }
    axis_likeness(p, &pair->likeness);
    fputs(
        "</dl>\n<p class=\"soft\">E is how many passages as good as this a comparison of two "
        "unrelated songs gives: 1 is chance, 0.001 once in a thousand comparisons. Each axis is a "
        "question of its own; there is no figure for all.</p>\n",
        p->out);
}

/* ---------------------------------------------------------------- segments */

static void play_button(const struct page *p, const char *label, const char *parts)
{
    fprintf(p->out, "<button type=\"button\" class=\"play\" data-play=\"%s\">%s</button>", parts,
            label);
}

static void play_cell(const struct page *p, const struct segment *s)
{
    char a[64], b[64], both[130];
    snprintf(a, sizeof a, "a %.2f %.2f", s->a_from_ms / 1000.0, s->a_to_ms / 1000.0);
    snprintf(b, sizeof b, "b %.2f %.2f", s->b_from_ms / 1000.0, s->b_to_ms / 1000.0);
    snprintf(both, sizeof both, "%s %s", a, b);
    fputs("<td class=\"players\">", p->out);
    play_button(p, "\u25b6 A", a);
    play_button(p, "\u25b6 B", b);
    play_button(p, "A, then B", both);
    fputs("</td>", p->out);
}

/* "0:47-1:05 in A is 1:02-1:19 in B, +2 semitones, tempo x1.06, E = 3e-7, melody" */
static void segment_row(const struct page *p, size_t i)
{
    const struct segment *s = &p->pair->cover.segments[i];
    char t[4][MATCH_TEXT_BYTES];
    fprintf(p->out, "<tr class=\"s%zu\"><td><span class=\"swatch\">%zu</span></td>", i, i + 1);
    fprintf(p->out, "<td>%s\u2013%s</td><td>%s\u2013%s</td>", match_time_text(s->a_from_ms, t[0]),
            match_time_text(s->a_to_ms, t[1]), match_time_text(s->b_from_ms, t[2]),
            match_time_text(s->b_to_ms, t[3]));
    fprintf(p->out,
            "<td class=\"n\">%+" PRId32
            "</td><td class=\"n\">\u00d7%.2f</td><td class=\"n\">%s</td>",
            s->shift_semitones, (double)s->tempo_ratio, match_evalue_text(s->evalue, t[0]));
    fprintf(p->out, "<td>%s</td>",
            s->aspect == MATCH_BOTH ? "melody and harmony" : match_aspect_name(s->aspect));
    if (p->params->embed_audio)
        play_cell(p, s);
    fputs("</tr>\n", p->out);
}

static void copy_segment(const struct page *p)
{
    const struct copy_match *m = &p->pair->copy;
    char t[4][MATCH_TEXT_BYTES];
    struct segment s = {m->from_ms, m->to_ms, m->query_from_ms, m->query_to_ms, 0, 1, 0, 0, 0};
    if (!match_is_copy(p->pair))
        return;
    fprintf(p->out, "<p>The same recording: %s\u2013%s in A is %s\u2013%s in B.</p>\n",
            match_time_text(m->from_ms, t[0]), match_time_text(m->to_ms, t[1]),
            match_time_text(m->query_from_ms, t[2]), match_time_text(m->query_to_ms, t[3]));
    if (p->params->embed_audio) {
        fputs("<table><tr>", p->out);
        play_cell(p, &s);
        fputs("</tr></table>\n", p->out);
    }
}

static void segments(const struct page *p)
{
    const struct match *m = &p->pair->cover;
    fputs("<h2 id=\"segments\">Where</h2>\n", p->out);
    copy_segment(p);
    if (m->n_segments == 0) {
        fputs("<p>No passage of melody or harmony stands out.</p>\n", p->out);
        return;
    }
    fputs(
        "<div class=\"scroll\"><table><tr><th></th><th>in A</th><th>is in B</th><th "
        "class=\"n\">semitones</th><th class=\"n\">tempo</th><th class=\"n\">E</th><th>aspect</th>",
        p->out);
    if (p->params->embed_audio)
        fputs("<th>listen</th>", p->out);
    fputs("</tr>\n", p->out);
    for (size_t i = 0; i < m->n_segments; i++)
        segment_row(p, i);
    fputs(
        "</table></div>\n<p class=\"soft\">Semitones: how much higher B is. Tempo: how many times "
        "as fast. The best comes first; rows with E near 1 or above are what chance gives, shown "
        "so that nothing is hidden.</p>\n",
        p->out);
}

/* ---------------------------------------------------------------- players */

/* By the first bytes; browsers want to be told. NULL: none that they play. */
static const char *audio_mime(struct span file)
{
    const uint8_t *b = file.ptr;
    static const struct {
        size_t at;
        const char *bytes, *mime;
    } kinds[] = {{0, "ID3", "audio/mpeg"},     {0, "OggS", "audio/ogg"},
                 {0, "fLaC", "audio/flac"},    {0, "RIFF", "audio/wav"},
                 {4, "ftyp", "audio/mp4"},     {0, "\xff\xfb", "audio/mpeg"},
                 {0, "\xff\xf3", "audio/mpeg"}};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        size_t len = strlen(kinds[i].bytes);
        if (file.len >= kinds[i].at + len && memcmp(b + kinds[i].at, kinds[i].bytes, len) == 0)
            return kinds[i].mime;
    }
    return "audio/mpeg";
}

static bool player(const struct page *p, int side)
{
    const struct match_song *s = song_of(p, side);
    struct buf file;
    buf_init(&file, MATCH_AUDIO_MAX_BYTES);
    char sha256[DIGEST_TEXT_BYTES];
    bool ok = file_read_all(s->path, &file, p->e);
    if (ok)
        digest_sha256(buf_span(&file), sha256);
    if (ok && strcmp(sha256, s->sha256) != 0)
        ok = err_set(p->e, ERR_PERM, "it was changed while it was compared: compare again");
    if (ok) {
        fprintf(p->out, "<p><span class=\"side\">%c</span>", 'A' + side);
        html_text(p->out, s->name);
        fprintf(p->out,
                "</p>\n<audio id=\"audio-%c\" controls=\"controls\" preload=\"metadata\" "
                "src=\"",
                'a' + side);
        html_data_uri(p->out, audio_mime(buf_span(&file)), buf_span(&file));
        fputs("\"></audio>\n", p->out);
    } else
        err_wrap(p->e, "embedding %s", s->path);
    buf_release(&file);
    return ok;
}

static bool players(const struct page *p)
{
    if (!p->params->embed_audio) {
        fputs("<p class=\"soft players\">The page holds no sound; made with "
              "<code>--embed-audio</code> "
              "it plays each passage.</p>\n",
              p->out);
        return true;
    }
    fputs("<div class=\"players\">\n", p->out);
    bool ok = player(p, 0) && player(p, 1);
    fputs("</div>\n", p->out);
    return ok;
}

/* ---------------------------------------------------------------- pictures */

enum { AXIS_LEFT = 52, AXIS_TOP = 8, AXIS_BOTTOM = 26, AXIS_RIGHT = 14 };

static void svg_image(FILE *out, double x, double y, double w, double h, struct span png)
{
    fprintf(out,
            "<image x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" "
            "preserveAspectRatio=\"none\" href=\"",
            x, y, w, h);
    html_data_uri(out, "image/png", png);
    fputs("\"/>\n", out);
}

/* A mark each 1, 2, 5, 10, 15, 30 s, or minutes, such that there are at most n_max. */
static uint64_t time_step_ms(uint64_t len_ms, uint64_t n_max)
{
    static const uint64_t steps_s[] = {1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800};
    for (size_t i = 0; i < ARRAY_LEN(steps_s); i++)
        if (len_ms <= steps_s[i] * 1000 * n_max)
            return steps_s[i] * 1000;
    return 3600 * 1000;
}

static void time_axis(FILE *out, uint64_t len_ms, double x, double y, double length, bool is_down)
{
    char text[MATCH_TEXT_BYTES];
    uint64_t step = time_step_ms(len_ms, is_down ? 10 : 12);
    for (uint64_t ms = 0; ms <= len_ms; ms += step) {
        double at = length * (double)ms / (double)len_ms;
        if (is_down)
            fprintf(out, "<text class=\"tick end\" x=\"%.1f\" y=\"%.1f\">%s</text>\n", x - 7,
                    y + at + 4, match_time_text(ms, text));
        else
            fprintf(out, "<text class=\"tick middle\" x=\"%.1f\" y=\"%.1f\">%s</text>\n", x + at,
                    y + 17, match_time_text(ms, text));
    }
}

/* Cells of a path are frames; `scale` is picture units a frame for each side. */
static void path_line(const struct page *p, size_t i, double scale_a, double scale_b)
{
    static const char *const classes[] = {"under", "path"};
    const struct match *m = &p->pair->cover;
    for (size_t line = 0; line < ARRAY_LEN(classes); line++) {
        fprintf(p->out, "<polyline class=\"%s\" points=\"", classes[line]);
        for (size_t c = m->path_from[i]; c < m->path_from[i + 1]; c++)
            fprintf(p->out, "%.1f,%.1f ", AXIS_LEFT + scale_a * (m->path[c].a + 0.5),
                    AXIS_TOP + scale_b * (m->path[c].b + 0.5));
        fputs("\"/>\n", p->out);
    }
    const struct match_cell *first = &m->path[m->path_from[i]];
    fprintf(p->out, "<text class=\"number\" x=\"%.1f\" y=\"%.1f\">%zu</text>\n",
            AXIS_LEFT + scale_a * first->a + 6, AXIS_TOP + scale_b * first->b + 4, i + 1);
}

static bool matrix(const struct page *p)
{
    enum { WIDTH = 560 };
    const struct match_pair *pair = p->pair;
    struct buf png;
    double height = WIDTH * (double)pair->b.len_ms / (double)pair->a.len_ms;
    int32_t shift = pair->cover.n_segments > 0 ? -pair->cover.segments[0].shift_semitones : 0;
    if (!pair->has_cover)
        return true;
    height = fmin(fmax(height, 120), 900);
    buf_init(&png, PICTURE_MAX_BYTES);
    bool ok = match_picture_similarity(&pair->a, &pair->b, shift, &png, p->e);
    if (ok) {
        double scale_a = WIDTH / (double)pair->a.sequence.n_frames;
        double scale_b = height / (double)pair->b.sequence.n_frames;
        fprintf(
            p->out,
            "<h2 id=\"matrix\">One song against the other</h2>\n<figure>\n<svg class=\"matrix\" "
            "role=\"img\" viewBox=\"0 0 %d %.0f\"><title>similarity matrix with the "
            "paths</title>\n",
            AXIS_LEFT + WIDTH + AXIS_RIGHT, AXIS_TOP + height + AXIS_BOTTOM);
        svg_image(p->out, AXIS_LEFT, AXIS_TOP, WIDTH, height, buf_span(&png));
        time_axis(p->out, pair->a.len_ms, AXIS_LEFT, AXIS_TOP + height, WIDTH, false);
        time_axis(p->out, pair->b.len_ms, AXIS_LEFT, AXIS_TOP, height, true);
        for (size_t i = 0; i < pair->cover.n_segments; i++) {
            fprintf(p->out, "<g class=\"s%zu\">", i);
            path_line(p, i, scale_a, scale_b);
            fputs("</g>\n", p->out);
        }
        fprintf(
            p->out,
            "</svg>\n<figcaption>Time in A to the right, in B downwards, B moved by %+d "
            "semitone%s. Bright is alike; a passage that both share is a bright line that falls "
            "to the right, its slope the tempo ratio. The numbers are the table's.</figcaption>\n"
            "</figure>\n",
            shift, abs(shift) == 1 ? "" : "s");
    }
    buf_release(&png);
    return ok;
}

static void segment_mark(const struct page *p, int side, size_t i, double width, double height)
{
    const struct match_song *s = song_of(p, side);
    const struct segment *g = &p->pair->cover.segments[i];
    double from = side == 0 ? g->a_from_ms : g->b_from_ms;
    double to = side == 0 ? g->a_to_ms : g->b_to_ms;
    double x = AXIS_LEFT + width * from / (double)s->len_ms;
    double w = width * (fmin(to, (double)s->len_ms) - from) / (double)s->len_ms;
    double inset = 2 + 3 * (double)i, number = 5 + 16 * (double)i; /* those of one place differ */
    fprintf(p->out,
            "<g class=\"s%zu\"><rect class=\"mark\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
            "height=\"%.1f\"/><text class=\"number\" x=\"%.1f\" y=\"%.1f\">%zu</text></g>\n",
            i, x, AXIS_TOP + inset, w, height - 2 * inset, x + number, AXIS_TOP + inset + 16,
            i + 1);
}

static bool spectrogram(const struct page *p, int side)
{
    enum { WIDTH = 900, HEIGHT = 170 };
    const struct match_song *s = song_of(p, side);
    const struct feature_spec spec = feature_spec_of(FEATURE_LIBROSA_0_10);
    struct plot_tick ticks[PLOT_TICKS_MAX];
    const struct plot_clip clip = {.n_mels = spec.n_mels,
                                   .scale = spec.mel,
                                   .f_min_hz = spec.f_min_hz,
                                   .f_max_hz = feature_f_max_hz(&spec)};
    struct buf png;
    buf_init(&png, PICTURE_MAX_BYTES);
    bool ok = match_picture_spectrogram(s, &spec, &png, p->e);
    if (ok) {
        fprintf(p->out,
                "<figure>\n<svg role=\"img\" viewBox=\"0 0 %d %d\"><title>log-mel spectrogram of "
                "%c</title>\n",
                AXIS_LEFT + WIDTH + AXIS_RIGHT, AXIS_TOP + HEIGHT + AXIS_BOTTOM, 'A' + side);
        svg_image(p->out, AXIS_LEFT, AXIS_TOP, WIDTH, HEIGHT, buf_span(&png));
        time_axis(p->out, s->len_ms, AXIS_LEFT, AXIS_TOP + HEIGHT, WIDTH, false);
        for (size_t i = 0, n = plot_frequency_ticks(&clip, ticks); i < n; i++)
            fprintf(p->out, "<text class=\"tick end\" x=\"%d\" y=\"%.1f\">%s</text>\n",
                    AXIS_LEFT - 7, AXIS_TOP + HEIGHT * (1 - ticks[i].at) + 4, ticks[i].label);
        for (size_t i = 0; i < p->pair->cover.n_segments; i++)
            segment_mark(p, side, i, WIDTH, HEIGHT);
        fprintf(p->out, "</svg>\n<figcaption><span class=\"side\">%c</span>", 'A' + side);
        html_text(p->out, s->name);
        fputs(": frequency in Hz upwards, loudness as colour.</figcaption>\n</figure>\n", p->out);
    }
    buf_release(&png);
    return ok;
}

/* ---------------------------------------------------------------- page */

static void method(const struct page *p)
{
    fputs(
        "<footer>\n<p>Melody and harmony are sequences of twelve pitch classes, seven frames a "
        "second, taken from the sound; the songs are laid against each other in all twelve "
        "transpositions, and the passages that fit best are held against what unrelated songs "
        "give. Copies are found by Chromaprint fingerprints, also shifted in pitch or speed by up "
        "to 8 %.</p>\n<p>",
        p->out);
    html_text(p->out, match_disclaimer);
    fputs("</p>\n</footer>\n", p->out);
    if (p->params->embed_audio)
        fprintf(p->out, "<script>\n%s</script>\n", match_page_script);
    fputs("</body>\n</html>\n", p->out);
}

bool match_page(const struct match_pair *pair, const struct match_page_params *params, FILE *out,
                struct err *e)
{
    const struct page p = {out, pair, params, e};
    head(&p);
    songs(&p);
    verdict(&p);
    axes(&p);
    segments(&p);
    if (!players(&p) || !matrix(&p))
        return false;
    fputs("<h2 id=\"spectrograms\">The sound</h2>\n", out);
    if (!spectrogram(&p, 0) || !spectrogram(&p, 1))
        return false;
    match_provenance_html(pair, pair->made_s, out);
    method(&p);
    return true;
}

bool match_page_write(const char *path, const struct match_pair *pair,
                      const struct match_page_params *params, struct err *e)
{
    char *text = NULL;
    size_t n_bytes = 0;
    FILE *out = open_memstream(&text, &n_bytes);
    if (out == NULL)
        return err_set(e, ERR_FATAL, "no memory for %s", path);
    bool ok = match_page(pair, params, out, e);
    bool written = fclose(out) == 0;
    if (ok && !written)
        ok = err_set(e, ERR_FATAL, "no memory for %s", path);
    ok = ok && file_write_atomic(path, (struct span){text, n_bytes}, e);
    free(text);
    return ok;
}
