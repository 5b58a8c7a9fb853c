/*
 * A log-mel as a picture file with axes in seconds and hertz: .svg as the report draws it, .png
 * with the same marks in letters of our own.
 */
#ifndef REFRAIN_FEATURE_PICTURE_H
#define REFRAIN_FEATURE_PICTURE_H

#include "features/spec.h"

enum feature_picture { FEATURE_PICTURE_NONE, FEATURE_PICTURE_PNG, FEATURE_PICTURE_SVG };

/* By the end of the path. */
enum feature_picture feature_picture_of(const char *path);

/* values: (n_frames, spec->n_mels), time first, as logmel_compute gave them. Written atomically. */
MUST_CHECK bool feature_picture_write(const char *path, const struct feature_spec *spec,
                                      const float *values, size_t n_frames, struct err *e);

#endif
