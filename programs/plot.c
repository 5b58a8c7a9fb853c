#include "programs/plot.h"

#include "features/mel.h"
#include "programs/html.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Everything is in CSS pixels of a chart that is as wide as PLOT_WIDTH; the page may shrink it. */
enum { PLOT_WIDTH = 460, LABEL_WIDTH = 150, VALUE_WIDTH = 84, ROW_HEIGHT = 22, BAR_HEIGHT = 13 };
enum { LABEL_CHARS_MAX = 24 };

static void svg_begin(FILE *out, const char *title, int width, int height)
{
    fprintf(out, "<svg viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\"><title>",
            width, height, width, height);
    html_text(out, title);
    fputs("</title>\n", out);
}

static void svg_rect(FILE *out, const char *class_name, double x, double y, double w, double h)
{
    fprintf(out, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>",
            class_name, x, y, w, h);
}

static double share_of(uint64_t n, uint64_t of)
{
    return of == 0 ? 0 : (double)n / (double)of;
}

/* ---------------------------------------------------------------- bars */

static void bar_label(FILE *out, const char *label, double y)
{
    fprintf(out, "<text class=\"label\" x=\"%d\" y=\"%.1f\">", LABEL_WIDTH - 8, y);
    html_text_cut(out, label, LABEL_CHARS_MAX);
    fputs("</text>", out);
}

void plot_bars(FILE *out, const char *title, const struct plot_bar *bars, size_t n,
               const char *bar_class)
{
    char pale[32], strong[32], text[COUNT_TEXT_BYTES];
    snprintf(pale, sizeof pale, "pale %s", bar_class);
    snprintf(strong, sizeof strong, "strong %s", bar_class);
    uint64_t most = 1;
    for (size_t i = 0; i < n; i++)
        most = u64_max(most, bars[i].n);
    const double width = PLOT_WIDTH - LABEL_WIDTH - VALUE_WIDTH;
    svg_begin(out, title, PLOT_WIDTH, (int)n * ROW_HEIGHT + 4);
    for (size_t i = 0; i < n; i++) {
        double y = (double)i * ROW_HEIGHT + 4, w = width * share_of(bars[i].n, most);
        bar_label(out, bars[i].label, y + 11);
        svg_rect(out, pale, LABEL_WIDTH, y, fmax(w, 1), BAR_HEIGHT);
        if (bars[i].part > 0)
            svg_rect(out, strong, LABEL_WIDTH, y, width * share_of(bars[i].part, most), BAR_HEIGHT);
        fprintf(out, "<text class=\"value\" x=\"%.1f\" y=\"%.1f\">%s</text>\n", LABEL_WIDTH + w + 7,
                y + 11, count_text(bars[i].n, text));
    }
    fputs("</svg>\n", out);
}

void plot_sizes(FILE *out, const char *title, const struct plot_size *sizes, size_t n)
{
    char text[COUNT_TEXT_BYTES];
    double most = 1;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, sizes[i].n_bytes);
    const double width = PLOT_WIDTH - LABEL_WIDTH - VALUE_WIDTH;
    svg_begin(out, title, PLOT_WIDTH, (int)n * ROW_HEIGHT + 4);
    for (size_t i = 0; i < n; i++) {
        double y = (double)i * ROW_HEIGHT + 4, w = width * sizes[i].n_bytes / most;
        bar_label(out, sizes[i].label, y + 11);
        svg_rect(out, i == 0 ? "strong" : "pale", LABEL_WIDTH, y, fmax(w, 1), BAR_HEIGHT);
        fprintf(out, "<text class=\"value\" x=\"%.1f\" y=\"%.1f\">%s</text>\n", LABEL_WIDTH + w + 7,
                y + 11, bytes_text(sizes[i].n_bytes, text));
    }
    fputs("</svg>\n", out);
}

void plot_shares(FILE *out, const char *title, const struct plot_share *shares, size_t n)
{
    enum { WIDTH = 960, HEIGHT = 26, GAP = 2 };
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += shares[i].n;
    double x = 0;
    svg_begin(out, title, WIDTH, HEIGHT);
    for (size_t i = 0; i < n; i++) {
        double w = WIDTH * share_of(shares[i].n, total);
        if (shares[i].n == 0)
            continue;
        fprintf(out, "<rect class=\"%s\" x=\"%.2f\" y=\"0\" width=\"%.2f\" height=\"%d\"><title>",
                shares[i].class_name, x, fmax(w - GAP, 0.75), HEIGHT);
        html_text(out, shares[i].label);
        fprintf(out, ": %" PRIu64 "</title></rect>", shares[i].n);
        x += w;
    }
    fputs("</svg>\n", out);
}

/* ---------------------------------------------------------------- columns */

void plot_columns(FILE *out, const char *title, uint32_t first, const struct plot_bar *columns,
                  size_t n)
{
    enum { WIDTH = 960, HEIGHT = 168, LEFT = 52, TOP = 10, BOTTOM = 24 };
    const double plot_h = HEIGHT - TOP - BOTTOM, plot_w = WIDTH - LEFT;
    uint64_t most = 1;
    for (size_t i = 0; i < n; i++)
        most = u64_max(most, columns[i].n);
    uint64_t step = (uint64_t)fmax(1, plot_step((double)most, 4));
    double pitch = fmin(plot_w / (double)n, 40), w = fmax(pitch - 2, 1);
    char text[COUNT_TEXT_BYTES];

    svg_begin(out, title, WIDTH, HEIGHT);
    for (uint64_t v = 0; v <= most; v += step) {
        double y = TOP + plot_h * (1 - share_of(v, most));
        fprintf(out, "<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>", LEFT, y,
                WIDTH, y);
        fprintf(out, "<text class=\"tick end\" x=\"%d\" y=\"%.1f\">%s</text>\n", LEFT - 8, y + 4,
                count_text(v, text));
    }
    for (size_t i = 0; i < n; i++) {
        double x = LEFT + pitch * (double)i, h = plot_h * share_of(columns[i].n, most);
        double h_part = plot_h * share_of(columns[i].part, most);
        uint32_t year = first + (uint32_t)i;
        if (columns[i].n > 0)
            svg_rect(out, "pale", x + 1, TOP + plot_h - h, w, h);
        if (columns[i].part > 0)
            svg_rect(out, "strong", x + 1, TOP + plot_h - h_part, w, h_part);
        if (year % 10 == 0 || n <= 12)
            fprintf(out, "<text class=\"tick middle\" x=\"%.1f\" y=\"%d\">%" PRIu32 "</text>\n",
                    x + pitch / 2, HEIGHT - 8, year);
    }
    fputs("</svg>\n", out);
}

double plot_step(double span, unsigned n_max)
{
    double least = span / n_max, power = pow(10, floor(log10(fmax(least, 1e-300))));
    static const double factors[] = {1, 2, 5, 10};
    for (size_t i = 0; i < ARRAY_LEN(factors); i++)
        if (factors[i] * power >= least * (1 - 1e-9))
            return factors[i] * power;
    return 10 * power;
}

/* ---------------------------------------------------------------- spectrogram */

double plot_mel_height(double hz, enum feature_mel scale, double f_min_hz, double f_max_hz,
                       uint32_t n_mels)
{
    /* librosa's band i peaks at mel_min + (i + 1) * (mel_max - mel_min) / (n_mels + 1). */
    double mel_min = mel_scale_from_hz(scale, f_min_hz);
    double mel_max = mel_scale_from_hz(scale, f_max_hz);
    double band = (mel_scale_from_hz(scale, hz) - mel_min) / (mel_max - mel_min) * (n_mels + 1) - 1;
    return (band + 0.5) / n_mels;
}

enum { CLIP_LEFT = 44, CLIP_TOP = 6, CLIP_WIDTH = 400, CLIP_HEIGHT = 150, CLIP_BOTTOM = 24 };

size_t plot_frequency_ticks(const struct plot_clip *clip, struct plot_tick out[PLOT_TICKS_MAX])
{
    static const uint32_t ticks_hz[] = {128, 512, 1024, 2048, 4096, 8192, 16384, 32768};
    static_assert(ARRAY_LEN(ticks_hz) <= PLOT_TICKS_MAX, "all fit");
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(ticks_hz); i++) {
        double height =
            plot_mel_height(ticks_hz[i], clip->scale, clip->f_min_hz, clip->f_max_hz, clip->n_mels);
        if (height < 0 || height > 1)
            continue;
        out[n].at = height;
        snprintf(out[n++].label, sizeof out->label, "%" PRIu32, ticks_hz[i]);
    }
    return n;
}

size_t plot_time_ticks(const struct plot_clip *clip, struct plot_tick out[PLOT_TICKS_MAX])
{
    double length_s = clip->n_frames * clip->frame_s, step_s = plot_step(length_s, 6);
    size_t n = size_min(1 + (size_t)(length_s / step_s + 1e-6), PLOT_TICKS_MAX);
    for (size_t i = 0; i < n; i++) {
        double t = (double)i * step_s;
        out[i].at = fmin(t / length_s, 1);
        snprintf(out[i].label, sizeof out->label, "%g%s", t, i + 1 == n ? " s" : "");
    }
    return n;
}

static void frequency_axis(FILE *out, const struct plot_clip *clip)
{
    struct plot_tick ticks[PLOT_TICKS_MAX];
    size_t n = plot_frequency_ticks(clip, ticks);
    for (size_t i = 0; i < n; i++) {
        double y = CLIP_TOP + CLIP_HEIGHT * (1 - ticks[i].at);
        fprintf(out, "<line class=\"axis\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>",
                CLIP_LEFT - 4, y, CLIP_LEFT, y);
        fprintf(out, "<text class=\"tick end\" x=\"%d\" y=\"%.1f\">%s</text>\n", CLIP_LEFT - 7,
                y + 4, ticks[i].label);
    }
    fprintf(out, "<text class=\"tick\" x=\"0\" y=\"%d\">Hz</text>\n", CLIP_TOP + CLIP_HEIGHT + 17);
}

static void time_axis(FILE *out, const struct plot_clip *clip)
{
    struct plot_tick ticks[PLOT_TICKS_MAX];
    size_t n = plot_time_ticks(clip, ticks);
    for (size_t i = 0; i < n; i++) {
        double x = CLIP_LEFT + CLIP_WIDTH * ticks[i].at;
        int y = CLIP_TOP + CLIP_HEIGHT;
        fprintf(out, "<line class=\"axis\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>", x, y, x,
                y + 4);
        fprintf(out, "<text class=\"tick middle\" x=\"%.1f\" y=\"%d\">%s</text>\n", x, y + 17,
                ticks[i].label);
    }
}

void plot_spectrogram(FILE *out, const struct plot_clip *clip)
{
    svg_begin(out, clip->title, CLIP_LEFT + CLIP_WIDTH + 12, CLIP_TOP + CLIP_HEIGHT + CLIP_BOTTOM);
    fprintf(out,
            "<image x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" preserveAspectRatio=\"none\" "
            "href=\"",
            CLIP_LEFT, CLIP_TOP, CLIP_WIDTH, CLIP_HEIGHT);
    html_data_uri(out, "image/png", clip->png);
    fputs("\"/>\n", out);
    frequency_axis(out, clip);
    time_axis(out, clip);
    fputs("</svg>\n", out);
}

void plot_spectrogram_file(FILE *out, const struct plot_clip *clip)
{
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
            "height=\"%d\">\n"
            "<style>text{font:11px system-ui,\"DejaVu Sans\",sans-serif;fill:#5d6771}"
            ".end{text-anchor:end}.middle{text-anchor:middle}.axis{stroke:#5d6771}</style>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
            CLIP_LEFT + CLIP_WIDTH + 12, CLIP_TOP + CLIP_HEIGHT + CLIP_BOTTOM,
            2 * (CLIP_LEFT + CLIP_WIDTH + 12), 2 * (CLIP_TOP + CLIP_HEIGHT + CLIP_BOTTOM));
    plot_spectrogram(out, clip);
    fputs("</svg>\n", out);
}
