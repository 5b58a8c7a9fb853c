#include "programs/html.h"
#include "programs/report_parts.h"

#include <math.h>

double report_model_gain(const struct report_model *m)
{
    return 1 - m->metrics.best.val_loss / m->metrics.best.baseline_loss;
}

const struct report_model *report_best_model(const struct report_data *r)
{
    const struct report_model *best = NULL;
    for (size_t i = 0; i < r->n_models; i++) {
        double gain = report_model_gain(&r->models[i]);
        if (isfinite(gain) && (best == NULL || gain > report_model_gain(best)))
            best = &r->models[i];
    }
    return best;
}

static void cell_number(FILE *out, double value)
{
    fputs("<td class=\"n\">", out);
    if (isfinite(value))
        fprintf(out, "%.4g", value);
    else
        fputs("\u2013", out);
    fputs("</td>", out);
}

static void model_row(FILE *out, const struct report_model *m)
{
    const struct metrics_line *best = &m->metrics.best;
    double gain = 100 * report_model_gain(m);
    fputs("<tr><td>", out);
    html_text(out, m->name);
    fputs("</td>", out);
    cell_number(out, m->metrics.last.epoch);
    cell_number(out, m->metrics.last.step);
    cell_number(out, best->epoch);
    cell_number(out, best->train_loss);
    cell_number(out, best->val_loss);
    cell_number(out, best->baseline_loss);
    if (isfinite(gain))
        fprintf(out, "<td class=\"n\"><span class=\"%s\">%.1f %% %s</span></td></tr>\n",
                gain > 0 ? "good" : "bad", fabs(gain), gain > 0 ? "better" : "worse");
    else
        fputs("<td class=\"n\">\u2013</td></tr>\n", out);
}

/* As an image, so that nothing in the file reaches this page. */
static void picture(FILE *out, const struct buf *svg, const char *what)
{
    fprintf(out, "<img alt=\"%s\" src=\"", what);
    html_data_uri(out, "image/svg+xml", buf_span(svg));
    fputs("\"/>\n", out);
}

static void model_pictures(FILE *out, const struct report_model *m)
{
    if (m->curves_svg.len > 0) {
        fputs("<figure>\n", out);
        picture(out, &m->curves_svg, "training, validation and baseline loss");
        fputs("</figure>\n", out);
    }
    if (m->distances_svg.len == 0)
        return;
    fputs("<figure>\n", out);
    picture(out, &m->distances_svg, "histograms of the distances of positives and negatives");
    fputs("<figcaption>As <code>refrain eval</code> measured it on clips that training never saw: "
          "how far the augmented copy (or another version) and another song lie from a clip, to "
          "the model and to each baseline. The less they overlap the better.</figcaption>\n"
          "</figure>\n",
          out);
}

void report_models(const struct report_data *r, FILE *out)
{
    report_heading(out, "models", "Models");
    if (r->n_models == 0) {
        fputs("<p>None yet: <code>refrain train</code> makes one.</p>\n", out);
        return;
    }
    fputs("<p>Triplet loss on tracks that training never saw, against the baseline: the same loss "
          "on the spectrograms themselves, standardised and of unit length. Less is "
          "better.</p>\n<div class=\"scroll\"><table><tr><th>Model</th><th class=\"n\">Epochs</th>"
          "<th class=\"n\">Steps</th><th class=\"n\">Best epoch</th><th class=\"n\">Training</th>"
          "<th class=\"n\">Validation</th><th class=\"n\">Baseline</th>"
          "<th class=\"n\">Against it</th></tr>\n",
          out);
    for (size_t i = 0; i < r->n_models; i++)
        model_row(out, &r->models[i]);
    fputs("</table></div>\n", out);
    for (size_t i = 0; i < r->n_models; i++)
        model_pictures(out, &r->models[i]);
}
