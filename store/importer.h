/*
 * The inside of store/import.h: what files have in common (import.c) and how an array becomes
 * records (import_put.c). The room's own.
 */
#ifndef REFRAIN_STORE_IMPORTER_H
#define REFRAIN_STORE_IMPORTER_H

#include "base/file.h"
#include "store/import.h"
#include "store/import_description.h"
#include "store/import_ids.h"
#include "store/import_matrix.h"

/* The tracks that are there, and what the next ones must fit. */
struct import_existing {
    struct store_recipe recipe; /* dtype 0: there is no store */
    uint32_t n_frames, n_mels;  /* of all records; 0: none yet */
    uint64_t next_row;
    struct import_ids ids;
};

/* A track whose records come in, one after the other. */
struct import_track {
    uint64_t row, source_id;
    char track_id[STORE_TRACK_ID_BYTES];
    size_t n_views;
    struct buf records[STORE_VIEWS_MAX];
    struct store_view views[STORE_VIEWS_MAX];
    char augment[STORE_VIEWS_MAX][STORE_AUGMENT_BYTES];
    size_t n_bytes;
};

struct store_import {
    char dataset_dir[PATH_BYTES];
    const struct store_import_params *params;
    const struct store_import_listener *listener;
    struct store_import_report report;
    struct import_existing there;
    struct store_recipe recipe; /* of the writer, once it is open */
    struct store_writer *writer;
    struct record_encoder *encoder;
    double lowest, highest; /* of the encoder's grid */
    struct import_track *track;
    /* of the file that is read */
    const char *path;
    bool is_described;
    struct import_description description;
};

/* The array m of im->path: into records. False: stop (never ERR_PERM). */
MUST_CHECK bool import_put(struct store_import *im, struct import_matrix *m, struct err *e);
/* The file has ended: the last track goes in; a description must have ended too. */
MUST_CHECK bool import_put_end(struct store_import *im, struct err *e);
void import_refuse(struct store_import *im, const char *name, const struct err *why);

#endif
