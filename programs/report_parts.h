/*
 * Sections of the report's page that stand in files of their own.
 */
#ifndef REFRAIN_REPORT_PARTS_H
#define REFRAIN_REPORT_PARTS_H

#include "programs/report_data.h"

#include <stdio.h>

void report_heading(FILE *out, const char *id, const char *title);

/* What a model's best epoch saves of the baseline's loss, as a share; NAN when it is not known. */
double report_model_gain(const struct report_model *m);

/* The model that gains most; NULL when none has figures. */
const struct report_model *report_best_model(const struct report_data *r);

/* Losses, curves, and the distances that `refrain eval` measured. */
void report_models(const struct report_data *r, FILE *out);

/* Every key of a refrain.conf with its value and reason. */
void report_conf(struct span conf_text, FILE *out);

#endif
