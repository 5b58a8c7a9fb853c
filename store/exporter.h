/*
 * What the formats of store/export.h share; the room's own.
 */
#ifndef REFRAIN_STORE_EXPORTER_H
#define REFRAIN_STORE_EXPORTER_H

#include "base/json.h"
#include "store/draft.h"
#include "store/export.h"

/* One clip as a format takes it; lent for the call. */
struct export_clip {
    uint64_t key;
    const struct record_info *info;
    const struct store_track_info *track;
    const char *augment;
    const void *values; /* exporter.clip_bytes of them, (n_frames, n_mels) */
};

struct exporter {
    struct store *store;
    const struct store_snapshot *snap;
    struct store_stat stat;
    const char *path;
    enum export_values values;
    float scale, offset;           /* dB = value * scale + offset */
    float grid_scale, grid_offset; /* the same of the records' levels */
    size_t n_values, clip_bytes;
    struct draft data, index; /* of the format, as it needs them */
    uint64_t n_bytes;         /* written to data */
    void *state;              /* of the format; it frees it in its drop */
};

/* NULL where there is nothing to do. drop runs in any case, last. */
struct export_sink {
    const char *name;
    bool (*begin)(struct exporter *x, struct err *e);
    bool (*put)(struct exporter *x, const struct export_clip *clip, struct err *e);
    bool (*end)(struct exporter *x, struct err *e);
    void (*drop)(struct exporter *x);
};

extern const struct export_sink export_sink_npy, export_sink_safetensors, export_sink_wds,
    export_sink_kaldi, export_sink_mds;

/* Appends to data. */
MUST_CHECK bool exporter_write(struct exporter *x, const void *bytes, size_t n_bytes,
                               struct err *e);

/* The members of an open object: what a clip is. */
void export_describe(struct json *j, const struct export_clip *clip);

#endif
