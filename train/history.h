/*
 * One row an epoch, from row 0 (the untrained network) on: the truth behind metrics.csv and
 * curves.svg, kept in the checkpoint so that both can be written anew after a crash.
 */
#ifndef REFRAIN_HISTORY_H
#define REFRAIN_HISTORY_H

#include "base/err.h"

enum { HISTORY_COLUMNS = 13, HISTORY_ROWS_MAX = 100000 };

/* All float64, so that the array is a tensor. NAN where there is no value. */
struct history_row {
    double epoch, step;
    double train_loss, val_loss, baseline_loss;
    double active_share, mean_positive, mean_negative; /* training */
    double gradient_norm;                              /* mean over the steps, before clipping */
    double learning_rate, clips_per_s, loader_wait, seconds;
};

static_assert(sizeof(struct history_row) == HISTORY_COLUMNS * sizeof(double), "rows are a tensor");

struct history {
    size_t n, cap;
    struct history_row *rows; /* owned */
};

void history_add(struct history *h, const struct history_row *row);
void history_release(struct history *h); /* safe on {0}, may run twice */

/* metrics.csv, atomically; fields without a value are empty. */
MUST_CHECK bool history_write_csv(const struct history *h, const char *path, struct err *e);

#endif
