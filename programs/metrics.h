/*
 * The metrics.csv of a model, summed up. One line an epoch; columns by name, in any order, unknown
 * ones ignored: epoch, step, train_loss, val_loss, baseline_loss.
 */
#ifndef REFRAIN_METRICS_H
#define REFRAIN_METRICS_H

#include "base/buf.h"

struct metrics_line {
    double epoch, step, train_loss, val_loss, baseline_loss; /* NAN: no such column or no number */
};

struct metrics {
    size_t n_lines;                 /* 0: nothing is known */
    struct metrics_line best, last; /* best: least validation loss, the first of equal ones */
};

/* Lines without the right number of fields (the one being written) are skipped. */
void metrics_parse(struct span text, struct metrics *out);

#endif
