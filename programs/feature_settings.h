/*
 * The features.* keys as a spec: the preset, with the numbers that the configuration changes.
 */
#ifndef REFRAIN_FEATURE_SETTINGS_H
#define REFRAIN_FEATURE_SETTINGS_H

#include "conf/settings.h"
#include "features/spec.h"

/* A key that is 0 takes the preset's number, any other stands. */
struct feature_spec feature_spec_from_settings(const struct settings *s);

/* ERR_USAGE when a kind that has no settings is given some. */
MUST_CHECK bool feature_settings_check(const struct settings *s, struct err *e);

#endif
