#include "programs/report_html.h"

#include "programs/advice.h"
#include "programs/feature_settings.h"
#include "programs/html.h"
#include "programs/plot.h"
#include "programs/report_calibration.h"
#include "programs/report_parts.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BARS_MAX = 12, CLOUD_MAX = 70, CLOUD_SIZES = 6 };

/* ---------------------------------------------------------------- pieces */

static void count(FILE *out, uint64_t n)
{
    char text[COUNT_TEXT_BYTES];
    fputs(count_text(n, text), out);
}

static void size(FILE *out, double n_bytes)
{
    char text[COUNT_TEXT_BYTES];
    fputs(bytes_text(n_bytes, text), out);
}

static void figure_count(FILE *out, const char *name, uint64_t n, const char *unit)
{
    fprintf(out, "<div><dt>%s</dt><dd>", name);
    count(out, n);
    fprintf(out, "<span class=\"unit\">%s</span></dd></div>\n", unit);
}

static void figure_size(FILE *out, const char *name, double n_bytes, const char *unit)
{
    fprintf(out, "<div><dt>%s</dt><dd>", name);
    size(out, n_bytes);
    fprintf(out, "<span class=\"unit\">%s</span></dd></div>\n", unit);
}

/* The first n of a tally as bars. The strings stay the tally's. */
static size_t tally_bars(struct tally *t, struct plot_bar *out, size_t n_max)
{
    size_t n;
    const struct tally_item *items = tally_sorted(t, &n);
    n = size_min(n, n_max);
    for (size_t i = 0; i < n; i++)
        out[i] = (struct plot_bar){items[i].name, items[i].n, items[i].n_marked};
    return n;
}

/* ---------------------------------------------------------------- head */

static void head(const struct dataset *d, const struct report_data *r, int64_t made_s, FILE *out)
{
    const char *slash = strrchr(d->dir, '/');
    const char *name = slash != NULL && slash[1] != '\0' ? slash + 1 : d->dir;
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
          "<meta name=\"referrer\" content=\"no-referrer\"/>\n"
          "<title>",
          out);
    html_text(out, name);
    fputs(" \u00b7 refrain</title>\n<style>\n", out);
    for (size_t i = 0; i < REPORT_STYLE_PARTS; i++)
        fputs(report_style[i], out);
    fputs("</style>\n</head>\n<body>\n<h1>", out);
    html_text(out, name);
    fputs("</h1>\n<p class=\"soft\">", out);
    char date[64] = "";
    time_t made = (time_t)made_s;
    struct tm utc;
    if (gmtime_r(&made, &utc) != NULL)
        strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", &utc);
    fputs("A data set of refrain, as of ", out);
    html_text(out, date);
    fputs(", in <code>", out);
    html_text(out, d->dir);
    fputs("</code>, from <code>", out);
    html_text(out, d->settings.catalog.csv);
    fputs("</code></p>\n", out);

    const struct store_stat *store = &r->status.store;
    double clip_bytes = store->clips > 0 ? (double)store->payload_bytes / (double)store->clips : 0;
    fputs("<dl class=\"figures\">\n", out);
    figure_count(out, "Catalogue", r->status.rows, "rows");
    figure_count(out, "Stored", store->tracks, "tracks");
    figure_count(out, "Clips", store->clips, "views included");
    figure_size(out, "Store", (double)store->file_bytes, "on disk");
    figure_size(out, "A clip", clip_bytes, "stored");
    const struct report_model *best = report_best_model(r);
    if (best != NULL)
        fprintf(
            out,
            "<div><dt>Loss</dt><dd>%.1f %%<span class=\"unit\">%s the baseline</span></dd></div>\n",
            100 * fabs(report_model_gain(best)), report_model_gain(best) > 0 ? "below" : "above");
    else
        figure_count(out, "Requests", r->status.requests, "made");
    fputs("</dl>\n", out);
}

/* ---------------------------------------------------------------- what was fetched */

static const struct {
    const char *class_name, *meaning;
} states[ROW_STATES] = {
    [ROW_NEW] = {"wait", "not looked at yet"},
    [ROW_DIRECT] = {"wait", "has a link, waits for its turn"},
    [ROW_NEED] = {"wait", "has no link, a resolver must find one"},
    [ROW_WAIT] = {"wait", "will be tried again"},
    [ROW_DONE] = {"done", "fetched"},
    [ROW_NO_MATCH] = {"miss", "has no link and none was found"},
    [ROW_GONE] = {"miss", "the link is dead"},
    [ROW_REJECTED] = {"lost", "what came was no usable preview"},
    [ROW_BAD_ROW] = {"lost", "the row of the CSV cannot be used"},
    [ROW_DUP] = {"dup", "the same song as an earlier row"},
    [ROW_DEAD] = {"lost", "out of attempts"},
    [ROW_RESOLVED] = {"wait", "a source has a link for it, waits for its turn"},
};

/* What is there first, then what may still come, then what is lost. */
static const enum row_state state_order[ROW_STATES] = {
    ROW_DONE, ROW_NEW,      ROW_DIRECT, ROW_NEED,     ROW_RESOLVED, ROW_WAIT,
    ROW_DUP,  ROW_NO_MATCH, ROW_GONE,   ROW_REJECTED, ROW_DEAD,     ROW_BAD_ROW,
};

static void states_table(const struct status *s, FILE *out)
{
    struct plot_share shares[ROW_STATES];
    for (size_t i = 0; i < ROW_STATES; i++) {
        enum row_state state = state_order[i];
        shares[i] =
            (struct plot_share){row_state_name(state), states[state].class_name, s->states[state]};
    }
    fputs("<figure>\n", out);
    plot_shares(out, "Rows by state", shares, ROW_STATES);
    fputs("</figure>\n<table class=\"wide\"><tr><th>State</th><th class=\"n\">Rows</th><th "
          "class=\"n\">Share</th>"
          "<th>Meaning</th></tr>\n",
          out);
    for (size_t i = 0; i < ROW_STATES; i++) {
        enum row_state state = state_order[i];
        if (s->states[state] == 0)
            continue;
        fprintf(out, "<tr><td><span class=\"key %s\"></span>%s</td><td class=\"n\">",
                states[state].class_name, row_state_name(state));
        count(out, s->states[state]);
        fprintf(out, "</td><td class=\"n\">%.1f %%</td><td>%s</td></tr>\n",
                100.0 * (double)s->states[state] / (double)s->rows, states[state].meaning);
    }
    fputs("</table>\n", out);
}

static void causes_table(struct status *s, FILE *out)
{
    struct plot_bar bars[BARS_MAX];
    size_t n = tally_bars(s->causes, bars, BARS_MAX);
    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++)
        bars[i].part = bars[i].n;
    fputs("<h3>Why rows failed or wait</h3>\n<div class=\"pair\">\n<figure>\n", out);
    plot_bars(out, "Rows by cause", bars, n, "warm");
    fputs("</figure>\n<table><tr><th>Cause</th><th>What it means, what to do</th></tr>\n", out);
    for (size_t i = 0; i < n; i++) {
        const struct advice *advice = advice_find(bars[i].label);
        fputs("<tr><td><code>", out);
        html_text(out, bars[i].label);
        fputs("</code></td><td>", out);
        if (advice != NULL)
            fprintf(out, "%s; <span class=\"soft\">%s</span>", advice->means, advice->what_to_do);
        else
            fputs("<span class=\"soft\"><code>refrain status --rows</code> lists the rows</span>",
                  out);
        fputs("</td></tr>\n", out);
    }
    fputs("</table>\n</div>\n", out);
}

static void section_fetched(struct report_data *r, FILE *out)
{
    const struct status *s = &r->status;
    report_heading(out, "fetched", "What was fetched");
    if (s->rows == 0) {
        fputs("<p>Nothing yet: <code>refrain run</code> has not read the catalogue.</p>\n", out);
        return;
    }
    uint64_t left = s->rows - status_rows_ended(s);
    fputs("<p>", out);
    count(out, s->requests);
    fputs(" requests, ", out);
    count(out, s->throttled);
    fputs(" of them throttled by the host, brought ", out);
    size(out, (double)s->fetched_bytes);
    fputs(". ", out);
    if (left > 0) {
        char text[COUNT_TEXT_BYTES];
        count(out, left);
        fputs(" rows are left", out);
        if (isfinite(s->eta_s))
            fprintf(out, ", %s at least by the limits", duration_text(s->eta_s, text));
        fputs(". ", out);
    } else
        fputs("The catalogue is drained. ", out);
    if (s->spool.new_files > 0) {
        count(out, s->spool.new_files);
        fputs(" previews wait for extract.", out);
    }
    fputs("</p>\n", out);
    states_table(s, out);
    causes_table(&r->status, out);
}

/* ---------------------------------------------------------------- the music */

static void bars_figure(FILE *out, const char *title, struct tally *t, uint64_t n_rows)
{
    struct plot_bar bars[BARS_MAX];
    size_t n = tally_bars(t, bars, BARS_MAX);
    size_t n_names;
    tally_sorted(t, &n_names);
    fprintf(out, "<figure>\n<h3>%s</h3>\n", title);
    if (n > 0)
        plot_bars(out, title, bars, n, "");
    fputs("<figcaption>", out);
    count(out, n_rows);
    fputs(" songs have one; ", out);
    count(out, n_names);
    fprintf(out, " different ones%s.</figcaption>\n</figure>\n",
            n_names > n ? ", the most frequent are shown" : "");
}

static int by_name(const void *a, const void *b)
{
    const struct tally_item *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

/* Sizes follow the square root of the count, so that areas follow the count, spread over what is
 * shown; tags that are all about as frequent get one size. */
static unsigned cloud_step(uint64_t n, uint64_t least, uint64_t most)
{
    enum { MIDDLE = 2 };
    if (most < 2 * least)
        return MIDDLE;
    double low = sqrt((double)least), high = sqrt((double)most);
    double share = (sqrt((double)n) - low) / (high - low);
    return (unsigned)(share * (CLOUD_SIZES - 1) + 0.5);
}

static void tag_cloud(struct tally *tags, FILE *out)
{
    size_t n;
    const struct tally_item *items = tally_sorted(tags, &n);
    const struct tally_item *shown[CLOUD_MAX];
    if (n == 0)
        return;
    n = size_min(n, CLOUD_MAX);
    uint64_t most = items[0].n, least = items[n - 1].n;
    for (size_t i = 0; i < n; i++)
        shown[i] = &items[i];
    qsort(shown, n, sizeof shown[0], by_name);
    fputs("<h3>Tag cloud</h3>\n<p class=\"cloud\">\n", out);
    for (size_t i = 0; i < n; i++) {
        fprintf(out, "<span class=\"t%u\" title=\"%" PRIu64 "\">",
                cloud_step(shown[i]->n, least, most), shown[i]->n);
        html_text_cut(out, shown[i]->name, 40);
        fputs("</span>\n", out);
    }
    fputs("</p>\n", out);
}

static void years_figure(const struct report_data *r, FILE *out)
{
    struct plot_bar columns[YEARS_MAX];
    size_t first = YEARS_MAX, last = 0;
    for (size_t i = 0; i < YEARS_MAX; i++) {
        columns[i] = (struct plot_bar){NULL, r->years[i].n, r->years[i].n_stored};
        if (r->years[i].n > 0) {
            first = size_min(first, i);
            last = i;
        }
    }
    if (first > last)
        return;
    fputs("<figure>\n<h3>Years</h3>\n", out);
    plot_columns(out, "Songs by year", YEAR_FIRST + (uint32_t)first, columns + first,
                 last - first + 1);
    fputs("<figcaption>", out);
    count(out, r->n_with_year);
    fputs(" songs have a year.</figcaption>\n</figure>\n", out);
}

static void section_music(struct report_data *r, FILE *out)
{
    if (r->n_with_genre == 0 && r->n_with_tags == 0 && r->n_with_year == 0)
        return;
    report_heading(out, "music", "The music");
    fputs("<p class=\"soft\"><span class=\"key done\"></span>stored \u2003 "
          "<span class=\"key pale\"></span>in the catalogue</p>\n<div class=\"pair\">\n",
          out);
    bars_figure(out, "Genres", r->genres, r->n_with_genre);
    bars_figure(out, "Tags", r->tags, r->n_with_tags);
    fputs("</div>\n", out);
    years_figure(r, out);
    tag_cloud(r->tags, out);
}

/* ---------------------------------------------------------------- clips */

static void clip_name(const struct report_clip *c, FILE *out)
{
    if (c->row.name[0] == '\0' && c->row.artist[0] == '\0') {
        fprintf(out, "row %" PRIu64, c->row.row);
        return;
    }
    html_text_cut(out, c->row.name, 60);
    fputs(" <span class=\"soft\">", out);
    html_text_cut(out, c->row.artist, 60);
    fputs("</span>", out);
}

/* "time_stretch rate=1.22755948; gain db=-4.47": names with spaces, numbers with three digits, and
 * without the keys of noise, which only a program can use. */
static void drawn_text(const char *augment, FILE *out)
{
    bool first = true;
    while (*augment != '\0') {
        size_t len = strcspn(augment, " ;");
        const char *equals = memchr(augment, '=', len);
        char name[64], *end;
        size_t name_len = size_min(equals != NULL ? (size_t)(equals - augment) : len, 63);
        memcpy(name, augment, name_len);
        name[name_len] = '\0';
        for (char *c = name; *c != '\0'; c++)
            *c = *c == '_' ? ' ' : *c;
        double value = equals != NULL ? strtod(equals + 1, &end) : 0;
        if (equals == NULL) {
            fputs(first ? "" : "; ", out);
            html_text(out, name);
        } else if (end == augment + len) {
            putc(' ', out);
            html_text(out, name);
            fprintf(out, " %.3g", value);
        }
        first = false;
        augment += len;
        augment += strspn(augment, " ;");
    }
}

static void clip_figures(const struct dataset *d, const struct report_clip *c, FILE *out)
{
    const struct feature_spec spec = feature_spec_from_settings(&d->settings);
    struct plot_clip plot = {
        .title = "log-mel spectrogram",
        .png = buf_span(&c->png),
        .n_frames = c->n_frames,
        .n_mels = c->n_mels,
        .frame_s = (double)spec.hop / spec.rate_hz,
        .scale = spec.mel,
        .f_min_hz = spec.f_min_hz,
        .f_max_hz = feature_f_max_hz(&spec),
    };
    fputs("<h3>", out);
    clip_name(c, out);
    fputs("</h3>\n<div class=\"pair\">\n<figure>\n", out);
    plot_spectrogram(out, &plot);
    fprintf(out, "<figcaption>The clip, from %.1f s of its preview.</figcaption>\n</figure>\n",
            c->start_ms / 1000.0);
    if (c->has_positive) {
        plot.png = buf_span(&c->positive_png);
        plot.title = "log-mel spectrogram of the augmented positive";
        fputs("<figure>\n", out);
        plot_spectrogram(out, &plot);
        fputs("<figcaption>Its augmented positive: ", out);
        drawn_text(c->augment[0] != '\0' ? c->augment : "nothing was drawn", out);
        fputs(".</figcaption>\n</figure>\n", out);
    }
    fputs("</div>\n", out);
}

static void section_clips(const struct dataset *d, const struct report_data *r, FILE *out)
{
    if (r->n_clips == 0)
        return;
    const struct feature_spec spec = feature_spec_from_settings(&d->settings);
    report_heading(out, "clips", "A few clips");
    fprintf(out, "<p class=\"soft\">Log-mel spectrograms as they are stored, %" PRIu32 " bands, ",
            spec.n_mels);
    if (feature_spec_is_bounded(&spec))
        fprintf(out, "from %g dB below the loudest point (dark) to it (bright).</p>\n",
                spec.top_db);
    else
        fputs("from each clip's smallest value (dark) to its largest (bright).</p>\n", out);
    for (size_t i = 0; i < r->n_clips; i++)
        clip_figures(d, &r->clips[i], out);
}

/* ---------------------------------------------------------------- store */

static void section_store(const struct dataset *d, const struct report_data *r, FILE *out)
{
    const struct store_stat *s = &r->status.store;
    if (s->clips == 0)
        return;
    report_heading(out, "store", "The store");
    double clip_bytes = (double)s->payload_bytes / (double)s->clips;
    double float_bytes = r->n_clips > 0 ? 4.0 * r->clips[0].n_frames * r->clips[0].n_mels : 0;
    /* The ancestor kept the clip's samples as float32. */
    double samples_bytes =
        4.0 * feature_spec_from_settings(&d->settings).rate_hz * (double)d->settings.clip.ms / 1000;
    const struct plot_size sizes[] = {
        {"stored", clip_bytes},
        {"as float32", float_bytes},
        {"as the ancestor did", samples_bytes},
    };
    fputs("<div class=\"pair\">\n<figure>\n<h3>Bytes a clip</h3>\n", out);
    plot_sizes(out, "Bytes a clip", sizes, ARRAY_LEN(sizes));
    fputs("<figcaption>The ancestor pickled the samples of each clip as float32.</figcaption>\n"
          "</figure>\n<table><tr><th>Figure</th><th class=\"n\">Value</th></tr>\n"
          "<tr><td>Clips and augmented views</td><td class=\"n\">",
          out);
    count(out, s->clips);
    fputs("</td></tr>\n<tr><td>Tracks</td><td class=\"n\">", out);
    count(out, s->tracks);
    fputs("</td></tr>\n<tr><td>On disk</td><td class=\"n\">", out);
    size(out, (double)s->file_bytes);
    fputs("</td></tr>\n<tr><td>Tensors</td><td class=\"n\">", out);
    size(out, (double)s->payload_bytes);
    fprintf(out,
            "</td></tr>\n<tr><td>Values</td><td class=\"n\">%s</td></tr>\n"
            "<tr><td>Largest error, measured on every clip</td><td class=\"n\">%.3g dB</td></tr>\n"
            "<tr><td>Root mean square error</td><td class=\"n\">%.3g dB</td></tr>\n"
            "<tr><td>Root hash</td><td class=\"n\"><code>%016" PRIx64 "</code></td></tr>\n"
            "</table>\n</div>\n",
            record_dtype_name(s->dtype), s->max_err_db, s->rms_err_db, s->root);
}

/* ---------------------------------------------------------------- matching */

static void section_matching(const struct dataset *d, FILE *out)
{
    struct calibration_point points[CALIBRATION_POINTS_MAX];
    report_calibration(points, calibration_read(d->dir, points), out);
}

/* ---------------------------------------------------------------- page */

void report_html(const struct dataset *d, struct report_data *r, struct span conf_text,
                 int64_t made_s, FILE *out)
{
    head(d, r, made_s, out);
    section_fetched(r, out);
    section_music(r, out);
    section_clips(d, r, out);
    section_store(d, r, out);
    report_models(r, out);
    section_matching(d, out);
    report_conf(conf_text, out);
    fputs("<footer>Made by refrain " REFRAIN_VERSION ".</footer>\n</body>\n</html>\n", out);
}
