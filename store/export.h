/*
 * A store in the formats of others, for users who have neither LMDB nor zstd. Beside each lies a
 * JSON file that says what each clip of it is, in the order of the file: key order.
 *
 *   npy          one array (N, n_frames, n_mels) that maps into memory
 *   safetensors  the same as tensor "clips", the keys as tensor "keys"
 *   wds          WebDataset: a tar with KEY.npy and KEY.json for each clip, and FILE.idx
 *   kaldi        a matrix of float32 for each clip in FILE, and FILE.scp
 *   mds          Mosaic Streaming: a folder of shards of at most 64 MiB and index.json
 */
#ifndef REFRAIN_EXPORT_H
#define REFRAIN_EXPORT_H

#include "base/file.h"
#include "store/store.h"

enum export_format {
    EXPORT_NPY,
    EXPORT_SAFETENSORS,
    EXPORT_WDS,
    EXPORT_KALDI,
    EXPORT_MDS,
    EXPORT_FORMATS
};

enum export_values {
    EXPORT_LEVELS, /* u8, dB = level * scale + offset; u8 stores only */
    EXPORT_DB,     /* float32 dB */
};

struct export_report {
    uint64_t clips, bytes; /* bytes: of the values */
};

const char *export_format_name(enum export_format f); /* "npy" */
bool export_format_parse(const char *name, enum export_format *out);

/* Writes `path`; the description has ".json" in place of its ending. Each file is put in place by a
 * rename when it is whole, the description last. Kaldi has no levels: ERR_USAGE. */
MUST_CHECK bool store_export(struct store *s, const char *path, enum export_format format,
                             enum export_values values, struct export_report *out, struct err *e);

/* Where the description of the export `path` lies: "x.npy", "x.tar", "x" have "x.json". */
void export_description_path(const char *path, char out[PATH_BYTES]);

#endif
