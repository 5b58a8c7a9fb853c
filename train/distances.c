#include "train/distances.h"

#include "base/buf.h"
#include "base/file.h"
#include "train/svg.h"

#include <math.h>

enum { WIDTH = 860, LEFT = 120, RIGHT = 24, TOP = 64, ROW = 84, GAP = 14, BOTTOM = 44 };
enum { SVG_MAX_BYTES = 1 << 20, TICKS = 8 };

static size_t bin_of(double distance)
{
    double at = distance / DISTANCE_MAX * DISTANCE_BINS;
    return at < 0 ? 0 : size_min((size_t)at, DISTANCE_BINS - 1);
}

void distances_count(const double *positive, const double *negative, size_t n,
                     struct distances *out)
{
    *out = (struct distances){0};
    for (size_t i = 0; i < n; i++) {
        out->positive[bin_of(positive[i])]++;
        out->negative[bin_of(negative[i])]++;
    }
}

static bool put_head(struct buf *out, int height, const char *title, struct err *e)
{
    return buf_printf(out, e,
                      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
                      "role=\"img\" font-family=\"system-ui, sans-serif\" font-size=\"13\">\n"
                      "<title>Distances from the anchor: ",
                      WIDTH, height) &&
           svg_put_text(out, title, e) &&
           buf_printf(out, e,
                      "</title>\n<style>\n"
                      ".text{fill:#24292f}.soft{fill:#6e7781}.axis{stroke:#8c959f}\n"
                      ".positive{fill:#0969da;fill-opacity:.55}"
                      ".negative{fill:#bc4c00;fill-opacity:.45}\n"
                      "@media (prefers-color-scheme:dark){"
                      ".text{fill:#e6edf3}.soft{fill:#8d96a0}.axis{stroke:#6e7681}\n"
                      ".positive{fill:#58a6ff}.negative{fill:#f0883e}}\n"
                      "</style>\n<text class=\"text\" x=\"%d\" y=\"26\" font-size=\"17\" "
                      "font-weight=\"600\">Distances from the anchor: ",
                      LEFT) &&
           svg_put_text(out, title, e) &&
           buf_printf(out, e,
                      "</text>\n<rect class=\"positive\" x=\"%d\" y=\"39\" width=\"12\" "
                      "height=\"12\"/><text class=\"soft\" x=\"%d\" y=\"50\">positives</text>"
                      "<rect class=\"negative\" x=\"%d\" y=\"39\" width=\"12\" height=\"12\"/>"
                      "<text class=\"soft\" x=\"%d\" y=\"50\">negatives</text>\n",
                      LEFT, LEFT + 18, LEFT + 100, LEFT + 118);
}

static double place_x(double distance)
{
    return LEFT + distance / DISTANCE_MAX * (WIDTH - LEFT - RIGHT);
}

/* Steps from bin to bin, `most` as high as the row. */
static bool put_steps(struct buf *out, const uint32_t *counts, uint32_t most, int foot,
                      const char *class_name, struct err *e)
{
    bool ok = buf_printf(out, e, "<path class=\"%s\" d=\"M%d %d", class_name, LEFT, foot);
    for (size_t i = 0; ok && i < DISTANCE_BINS; i++) {
        double high = (double)foot - (double)counts[i] / (double)most * (ROW - GAP);
        ok = buf_printf(out, e, "V%.1fH%.1f", high,
                        place_x((double)(i + 1) * DISTANCE_MAX / DISTANCE_BINS));
    }
    return ok && buf_printf(out, e, "V%dZ\"/>\n", foot);
}

static bool put_row(struct buf *out, const struct distances_row *row, int foot, struct err *e)
{
    uint32_t most = 1;
    for (size_t i = 0; i < DISTANCE_BINS; i++) {
        most = row->counts->positive[i] > most ? row->counts->positive[i] : most;
        most = row->counts->negative[i] > most ? row->counts->negative[i] : most;
    }
    return buf_printf(out, e, "<text class=\"text\" x=\"%d\" y=\"%d\" text-anchor=\"end\">",
                      LEFT - 12, foot - 4) &&
           svg_put_text(out, row->name, e) && buf_printf(out, e, "</text>\n") &&
           put_steps(out, row->counts->negative, most, foot, "negative", e) &&
           put_steps(out, row->counts->positive, most, foot, "positive", e) &&
           buf_printf(out, e, "<line class=\"axis\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>\n",
                      LEFT, foot, WIDTH - RIGHT, foot);
}

static bool put_ticks(struct buf *out, int foot, struct err *e)
{
    for (int i = 0; i <= TICKS; i++) {
        double distance = DISTANCE_MAX * i / TICKS;
        if (!buf_printf(out, e,
                        "<text class=\"soft\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.2f"
                        "</text>\n",
                        place_x(distance), foot + 18, distance))
            return false;
    }
    return true;
}

bool distances_write(const struct distances_row *rows, size_t n_rows, const char *title,
                     const char *path, struct err *e)
{
    struct buf out;
    int foot = TOP;
    buf_init(&out, SVG_MAX_BYTES);
    bool ok = put_head(&out, TOP + (int)n_rows * ROW + BOTTOM, title, e);
    for (size_t i = 0; ok && i < n_rows; i++) {
        foot += ROW;
        ok = put_row(&out, &rows[i], foot, e);
    }
    ok = ok && put_ticks(&out, foot, e) && buf_printf(&out, e, "</svg>\n") &&
         file_write_atomic(path, buf_span(&out), e);
    buf_release(&out);
    return ok;
}
