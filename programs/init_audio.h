/*
 * `refrain init DIR --audio FOLDER`: the catalogue of a folder of audio files, made by
 * refrain-scan, and the settings that follow from it.
 */
#ifndef REFRAIN_INIT_AUDIO_H
#define REFRAIN_INIT_AUDIO_H

#include "conf/settings.h"

struct audio_scan {
    uint64_t n_songs, n_skipped;
    uint64_t largest_bytes, longest_ms;
};

/* Runs refrain-scan, which writes `csv_path`. Its own words go to stderr. ERR_USAGE for a folder
 * without audio. */
MUST_CHECK bool audio_scan_run(const char *folder, const char *csv_path, struct audio_scan *out,
                               struct err *e);

/* Lets the largest and longest of them in, as far as the keys may go. */
void audio_scan_apply(const struct audio_scan *scan, struct settings *settings);

#endif
