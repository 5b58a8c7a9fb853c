/*
 * A catalogue of audio files that lie in a folder: title, artist, genre and year from their tags,
 * length from their frames, the id from their bytes, so that it does not change when a file is
 * moved or the folder is scanned again. Two files of the same bytes have the same id.
 */
#ifndef REFRAIN_SCAN_H
#define REFRAIN_SCAN_H

#include "base/err.h"

struct scan_result {
    uint64_t n_taken;
    uint64_t
        n_skipped;    /* audio by its first bytes, and damaged, cut or of a kind that is not read */
    uint64_t n_other; /* no audio, symlinks, names that begin with a dot */
    uint64_t largest_bytes, longest_ms; /* of those taken */
};

/* Writes a music_info.csv with file:// links, in the order of names. Symlinks are not followed. A
 * folder that cannot be read is ERR_USAGE, one inside it a warning. */
MUST_CHECK bool scan_folder(const char *folder, const char *csv_path, struct scan_result *out,
                            struct err *e);

#endif
