/*
 * Arrays of others become records: .npy, .npz, Kaldi's archives and scripts, WebDataset's tars, all
 * of these in .gz where they are read from front to back.
 *
 * A file with the description of an export beside it (export.h) comes back as what it was: keys,
 * tracks, recipe, certificates; the root is the same. Anything else is foreign: a two-dimensional
 * array is a track of one clip, or of several when it is cut; rows are given in the order of the
 * files, behind those that are there; a name that is there with the same values is left as it is,
 * so that the same command may be run again. What the numbers mean is what the caller declares, and
 * stands in the recipe; the certificate counts from the numbers in the file.
 */
#ifndef REFRAIN_STORE_IMPORT_H
#define REFRAIN_STORE_IMPORT_H

#include "store/store.h"

enum { IMPORT_SPEC_BYTES = 1024, IMPORT_MEMBER_BYTES = 128 };

struct store_import_params {
    enum record_dtype dtype; /* 0: of the store or the description, else u8 */
    int zstd_level;
    double lowest, highest; /* what quantised dtypes cover; decibels: -80 and 0 */
    double scale, offset;   /* value kept = value in the file * scale + offset */
    bool has_scale;         /* they were said; bytes need it */
    bool relative;          /* to each clip's maximum, floored at `lowest`: power_to_db(ref=max) */
    bool mels_first;        /* arrays are (mels, frames) */
    uint64_t cut_frames; /* clips of so many frames, one after the other; 0: an array is a clip */
    double frame_ms;     /* from frame to frame, for start_ms; 0: not known */
    const char *member;  /* which members of a tar: "mel.npy"; NULL: those that end in npy */
    const char *prefix;  /* in front of names; "" for none */
    const char *spec;    /* "key=value\n" lines: what the features are; "" when not declared */
    struct store_writer_params writer;
};

struct store_import_listener {
    /* An array or a file that was not taken, and why. */
    void (*refused)(void *arg, const char *name, const char *why);
    void (*progress)(void *arg, uint64_t clips);
    bool (*stop)(void *arg); /* asked to stop: what is there is committed */
    void *arg;
};

struct store_import_report {
    uint64_t tracks, clips; /* added */
    uint64_t there;         /* tracks that were there already */
    uint64_t refused;       /* arrays and files */
    uint64_t files;         /* read to the end */
    uint64_t root;          /* of the store now; 0 when nothing was ever put into it */
    uint64_t exported_root; /* of the description; 0 without one */
    double max_err_db;
};

struct store_import;

/* Looks into the store of dataset_dir if there is one; nothing is written before the first clip.
 * params and listener are borrowed until the end. */
MUST_CHECK bool store_import_open(const char *dataset_dir, const struct store_import_params *params,
                                  const struct store_import_listener *listener,
                                  struct store_import **out, struct err *e);
/* A file that cannot be read is told to the listener: true. False: stop. */
MUST_CHECK bool store_import_file(struct store_import *im, const char *path, struct err *e);
/* Commits. */
MUST_CHECK bool store_import_finish(struct store_import *im, struct store_import_report *out,
                                    struct err *e);
void store_import_close(struct store_import *im); /* drops what is not committed */

#endif
