/*
 * What `refrain eval` tells train/ about a data set's mel bands, which knows no feature spec.
 */
#ifndef REFRAIN_MEL_BANDS_H
#define REFRAIN_MEL_BANDS_H

#include "conf/settings.h"
#include "train/chroma_fold.h"

/* False when the pictures of these settings are no mel pictures. */
bool mel_bands_from_settings(const struct settings *s, struct chroma_bands *out);

#endif
