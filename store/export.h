/*
 * A store as a NumPy array that maps into memory, with a JSON file beside it that says what each
 * row of it is. For users who have neither LMDB nor zstd.
 */
#ifndef REFRAIN_EXPORT_H
#define REFRAIN_EXPORT_H

#include "store/store.h"

enum export_values {
    EXPORT_LEVELS, /* u8, dB = level * scale + offset; u8 stores only */
    EXPORT_DB,     /* float32 dB */
};

struct export_report {
    uint64_t clips, bytes;
};

/* Writes `path` ((N, n_frames, n_mels), key order) and, with ".json" in place of a trailing ".npy",
 * the description. Each is put in place by a rename when it is whole. */
MUST_CHECK bool store_export_npy(struct store *s, const char *path, enum export_values values,
                                 struct export_report *out, struct err *e);

#endif
