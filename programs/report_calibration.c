#include "programs/report_calibration.h"

#include "base/buf.h"
#include "base/file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CSV_MAX_BYTES = 1 << 16, COLUMNS = 5 };
static const char csv_name[] = "calibration.csv";

bool calibration_write(const char *dataset_dir, const struct calibration_point *points, size_t n,
                       struct err *e)
{
    char path[PATH_BYTES];
    struct buf text;
    buf_init(&text, CSV_MAX_BYTES);
    bool ok = path_join(path, dataset_dir, csv_name, e) &&
              buf_printf(&text, e, "evalue,expected,observed,low,high\n");
    for (size_t i = 0; ok && i < n; i++)
        ok = buf_printf(&text, e, "%.9g,%.9g,%.9g,%.9g,%.9g\n", points[i].evalue,
                        points[i].expected, points[i].observed, points[i].low, points[i].high);
    ok = ok && file_write_atomic(path, buf_span(&text), e);
    buf_release(&text);
    return ok;
}

static bool parse_line(const char *line, struct calibration_point *out)
{
    double v[COLUMNS];
    for (size_t i = 0; i < COLUMNS; i++) {
        char *end;
        v[i] = strtod(line, &end);
        if (end == line || !isfinite(v[i]) || (i + 1 < COLUMNS && *end != ','))
            return false;
        line = end + 1;
    }
    *out = (struct calibration_point){v[0], v[1], v[2], v[3], v[4]};
    return true;
}

size_t calibration_read(const char *dataset_dir,
                        struct calibration_point out[CALIBRATION_POINTS_MAX])
{
    char path[PATH_BYTES];
    struct err ignored = {0};
    struct buf text;
    size_t n = 0;
    buf_init(&text, CSV_MAX_BYTES);
    if (path_join(path, dataset_dir, csv_name, &ignored) && file_exists(path) &&
        file_read_all(path, &text, &ignored) && buf_terminate(&text, &ignored)) {
        char *rest = NULL;
        for (char *line = strtok_r((char *)text.data, "\n", &rest);
             line != NULL && n < CALIBRATION_POINTS_MAX; line = strtok_r(NULL, "\n", &rest))
            n += parse_line(line, &out[n]);
    }
    buf_release(&text);
    return n;
}

/* ---------------------------------------------------------------- drawing */

enum { SIDE = 300, LEFT = 60, TOP = 10, BOTTOM = 40 };
/* Both axes are logarithms over this range. */
static const double AXIS_LOW = 1e-4, AXIS_HIGH = 1e4;
enum { AXIS_DECADES = 8 };

static double at(double value)
{
    double share = log(fmin(fmax(value, AXIS_LOW), AXIS_HIGH) / AXIS_LOW);
    return SIDE * share / log(AXIS_HIGH / AXIS_LOW);
}

static void axes(FILE *out)
{
    for (int decade = 0; decade <= AXIS_DECADES; decade += 2) {
        double v = AXIS_LOW * pow(10.0, decade);
        fprintf(out, "<text class=\"tick end\" x=\"%d\" y=\"%.1f\">%g</text>\n", LEFT - 8,
                TOP + SIDE - at(v) + 4, v);
        fprintf(out, "<text class=\"tick middle\" x=\"%.1f\" y=\"%d\">%g</text>\n", LEFT + at(v),
                TOP + SIDE + 17, v);
        fprintf(out, "<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>\n", LEFT,
                TOP + SIDE - at(v), LEFT + SIDE, TOP + SIDE - at(v));
    }
    fprintf(
        out,
        "<line class=\"axis\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>\n"
        "<text class=\"tick middle\" x=\"%d\" y=\"%d\">false matches a query, expected</text>\n",
        LEFT, TOP + SIDE, LEFT + SIDE, TOP, LEFT + SIDE / 2, TOP + SIDE + 34);
}

void report_calibration(const struct calibration_point *points, size_t n, FILE *out)
{
    if (n == 0)
        return;
    fputs("<h2 id=\"calibration\">How true the E-values are</h2>\n<p>An E-value promises how many "
          "unrelated songs a query finds by chance. Below is how many it did find: points on the "
          "line keep the promise, points above it are too bold. Bars are 95 % intervals over "
          "works.</p>\n<figure>\n",
          out);
    fprintf(out,
            "<svg role=\"img\" viewBox=\"0 0 %d %d\" width=\"%d\"><title>observed against expected "
            "false matches</title>\n",
            LEFT + SIDE + 12, TOP + SIDE + BOTTOM, LEFT + SIDE + 12);
    axes(out);
    for (size_t i = 0; i < n; i++) {
        double x = LEFT + at(points[i].expected);
        fprintf(out, "<line class=\"axis\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>", x,
                TOP + SIDE - at(points[i].low), x, TOP + SIDE - at(points[i].high));
        fprintf(out, "<circle class=\"strong\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>\n", x,
                TOP + SIDE - at(points[i].observed));
    }
    fputs("</svg>\n<figcaption>Upwards: false matches a query, observed. By <code>refrain eval "
          "--by align</code>.</figcaption>\n</figure>\n",
          out);
}
