#include "train/curves.h"

#include "base/buf.h"
#include "base/file.h"
#include "train/svg.h"

#include <math.h>
#include <string.h>

enum {
    WIDTH = 860,
    HEIGHT = 420,
    LEFT = 64,
    RIGHT = 150, /* room for the names of the lines */
    TOP = 56,
    BOTTOM = 52,
    POINTS_MAX = 400, /* longer histories are thinned: no picture shows more */
    NAME_GAP = 17,    /* least distance of two names, so that they do not overlap */
    SVG_MAX_BYTES = 4 << 20,
};

struct frame {
    double x_max, y_max; /* data; both start at 0 */
};

static double place_x(const struct frame *f, double x)
{
    return LEFT + x / f->x_max * (WIDTH - LEFT - RIGHT);
}

static double place_y(const struct frame *f, double y)
{
    return HEIGHT - BOTTOM - fmin(y / f->y_max, 1.0) * (HEIGHT - TOP - BOTTOM);
}

/* The least of 1, 2, 5 times a power of ten that cuts `span` into at most n pieces. */
static double nice_step(double span, int n)
{
    double power = pow(10.0, floor(log10(span / n)));
    static const double factors[] = {1, 2, 5, 10};
    for (size_t i = 0; i < ARRAY_LEN(factors); i++)
        if (span / (factors[i] * power) <= n)
            return factors[i] * power;
    return 10 * power;
}

static bool put_head(struct buf *out, const char *title, struct err *e)
{
    return buf_printf(
               out, e,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\" "
               "font-family=\"system-ui, sans-serif\" font-size=\"13\">\n<title>Loss over epochs: ",
               WIDTH, HEIGHT) &&
           svg_put_text(out, title, e) &&
           buf_printf(out, e,
                      "</title>\n<style>\n"
                      ".text{fill:#24292f}.soft{fill:#6e7781}.grid{stroke:#d8dee4;shape-rendering:"
                      "crispEdges}"
                      ".axis{stroke:#8c959f}\n"
                      ".train{stroke:#0969da}.val{stroke:#bc4c00}.base{stroke:#6e7781}\n"
                      ".ftrain{fill:#0969da}.fval{fill:#bc4c00}.fbase{fill:#6e7781}\n"
                      ".line{fill:none;stroke-width:2.2;stroke-linejoin:round;"
                      "stroke-linecap:round}\n"
                      "@media (prefers-color-scheme:dark){\n"
                      ".text{fill:#e6edf3}.soft{fill:#8d96a0}.grid{stroke:#30363d}"
                      ".axis{stroke:#6e7681}\n"
                      ".train{stroke:#58a6ff}.val{stroke:#f0883e}.base{stroke:#8d96a0}\n"
                      ".ftrain{fill:#58a6ff}.fval{fill:#f0883e}.fbase{fill:#8d96a0}}\n"
                      "</style>\n<text class=\"text\" x=\"%d\" y=\"28\" font-size=\"17\" "
                      "font-weight=\"600\">Triplet loss: ",
                      LEFT) &&
           svg_put_text(out, title, e) && buf_printf(out, e, "</text>\n");
}

static bool put_axes(struct buf *out, const struct frame *f, struct err *e)
{
    double step = nice_step(f->y_max, 6);
    for (int i = 0; i * step <= f->y_max * (1 + 1e-9); i++) {
        double y = place_y(f, i * step);
        if (!buf_printf(
                out, e,
                "<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>"
                "<text class=\"soft\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>\n",
                LEFT, y, WIDTH - RIGHT, y, LEFT - 10, y + 4.5, i * step))
            return false;
    }
    step = fmax(1.0, nice_step(f->x_max, 10));
    for (int i = 0; i * step <= f->x_max * (1 + 1e-9); i++) {
        double x = place_x(f, i * step);
        if (!buf_printf(
                out, e,
                "<line class=\"axis\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>"
                "<text class=\"soft\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.0f</text>\n",
                x, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 5, x, HEIGHT - BOTTOM + 21, i * step))
            return false;
    }
    return buf_printf(
        out, e,
        "<line class=\"axis\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>"
        "<text class=\"soft\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">epoch</text>\n",
        LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, (LEFT + WIDTH - RIGHT) / 2,
        HEIGHT - 10);
}

typedef double column_fn(const struct history_row *row);

static double train_loss(const struct history_row *row)
{
    return row->train_loss;
}

static double val_loss(const struct history_row *row)
{
    return row->val_loss;
}

static double baseline_loss(const struct history_row *row)
{
    return row->baseline_loss;
}

static const struct {
    const char *name, *class;
    column_fn *column;
    bool dashed;
} lines[] = {
    {"baseline", "base", baseline_loss, true},
    {"training", "train", train_loss, false},
    {"validation", "val", val_loss, false},
};

static bool put_line(struct buf *out, const struct frame *f, const struct history *h, size_t line_i,
                     struct err *e)
{
    size_t every = (h->n + POINTS_MAX - 1) / POINTS_MAX, n_points = 0;
    if (!buf_printf(out, e, "<polyline class=\"line %s\"%s points=\"", lines[line_i].class,
                    lines[line_i].dashed ? " stroke-dasharray=\"6 6\"" : ""))
        return false;
    for (size_t i = 0; i < h->n; i++) {
        double y = lines[line_i].column(&h->rows[i]);
        if (!isfinite(y) || (i % every != 0 && i + 1 != h->n))
            continue;
        n_points++;
        if (!buf_printf(out, e, "%.1f,%.1f ", place_x(f, h->rows[i].epoch), place_y(f, y)))
            return false;
    }
    if (!buf_printf(out, e, "\"/>\n"))
        return false;
    const struct history_row *last = &h->rows[h->n - 1];
    if (n_points != 1)
        return true;
    return buf_printf(out, e, "<circle class=\"f%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>\n",
                      lines[line_i].class, place_x(f, last->epoch),
                      place_y(f, lines[line_i].column(last)));
}

/* Names and last values at the right, pushed apart where lines end close to each other. */
static bool put_names(struct buf *out, const struct frame *f, const struct history *h,
                      struct err *e)
{
    size_t order[ARRAY_LEN(lines)] = {0}, n = 0;
    double values[ARRAY_LEN(lines)];
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        values[i] = (double)NAN;
        for (size_t k = 0; k < h->n; k++)
            if (isfinite(lines[i].column(&h->rows[k])))
                values[i] = lines[i].column(&h->rows[k]);
        if (!isfinite(values[i]))
            continue;
        size_t at = n++;
        for (; at > 0 && values[order[at - 1]] < values[i]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    double above = -HEIGHT;
    for (size_t i = 0; i < n; i++) {
        double y = fmax(place_y(f, values[order[i]]) + 4.5, above + NAME_GAP);
        above = y;
        if (!buf_printf(
                out, e,
                "<text class=\"f%s\" x=\"%d\" y=\"%.1f\" font-weight=\"600\">%s %.3f</text>\n",
                lines[order[i]].class, WIDTH - RIGHT + 10, y, lines[order[i]].name,
                values[order[i]]))
            return false;
    }
    return true;
}

static bool put_best(struct buf *out, const struct frame *f, const struct history *h, struct err *e)
{
    size_t best = 0;
    for (size_t i = 1; i < h->n; i++)
        if (h->rows[i].val_loss < h->rows[best].val_loss)
            best = i;
    const struct history_row *row = &h->rows[best];
    if (!isfinite(row->val_loss))
        return true;
    double below = 100.0 * (1.0 - row->val_loss / row->baseline_loss);
    return buf_printf(
        out, e,
        "<circle class=\"fval\" cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\"/>\n"
        "<text class=\"soft\" x=\"%d\" y=\"46\">best validation %.4f after epoch %.0f, "
        "%.0f %% %s the baseline</text>\n",
        place_x(f, row->epoch), place_y(f, row->val_loss), LEFT, row->val_loss, row->epoch,
        fabs(below), below >= 0.0 ? "below" : "above");
}

bool curves_write(const struct history *h, const char *title, double margin, const char *path,
                  struct err *e)
{
    struct buf out;
    struct frame f = {.x_max = 1.0, .y_max = fmax(margin, 1e-3)};
    bool ok = true;
    buf_init(&out, SVG_MAX_BYTES);
    for (size_t i = 0; i < h->n; i++) {
        f.x_max = fmax(f.x_max, h->rows[i].epoch);
        for (size_t k = 0; k < ARRAY_LEN(lines); k++)
            if (isfinite(lines[k].column(&h->rows[i])))
                f.y_max = fmax(f.y_max, lines[k].column(&h->rows[i]));
    }
    ok = put_head(&out, title, e) && put_axes(&out, &f, e);
    for (size_t i = 0; ok && h->n > 0 && i < ARRAY_LEN(lines); i++)
        ok = put_line(&out, &f, h, i, e);
    ok = ok && (h->n == 0 || (put_best(&out, &f, h, e) && put_names(&out, &f, h, e))) &&
         buf_printf(&out, e, "</svg>\n") && file_write_atomic(path, buf_span(&out), e);
    buf_release(&out);
    return ok;
}
