/*
 * How true the E-values of a data set are: `refrain eval DIR --by align` counts unrelated songs up
 * to each E beside how many there should be, and the report draws it. DIR/calibration.csv:
 * evalue,expected,observed,low,high a line, the last three per query with their interval.
 */
#ifndef REFRAIN_REPORT_CALIBRATION_H
#define REFRAIN_REPORT_CALIBRATION_H

#include "base/err.h"

#include <stdio.h>

enum { CALIBRATION_POINTS_MAX = 32 };

struct calibration_point {
    double evalue, expected, observed, low, high;
};

MUST_CHECK bool calibration_write(const char *dataset_dir, const struct calibration_point *points,
                                  size_t n, struct err *e);

/* Lines that are not five numbers are left out; 0 when there is no such file. */
size_t calibration_read(const char *dataset_dir,
                        struct calibration_point out[CALIBRATION_POINTS_MAX]);

/* The section of the report; nothing without points. */
void report_calibration(const struct calibration_point *points, size_t n, FILE *out);

#endif
