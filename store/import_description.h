/*
 * The JSON file beside an export (store/export.c), read along with the arrays it describes.
 */
#ifndef REFRAIN_STORE_IMPORT_DESCRIPTION_H
#define REFRAIN_STORE_IMPORT_DESCRIPTION_H

#include "base/buf.h"
#include "store/json_scan.h"
#include "store/store.h"

struct import_description {
    struct buf text;
    struct json_scan json;         /* stands before the next clip */
    bool levels;                   /* values are levels of 8 bits */
    float scale, offset;           /* dB = value * scale + offset */
    float grid_scale, grid_offset; /* of the records */
    struct store_recipe recipe;
    uint64_t root;
};

struct import_described {
    uint64_t key;
    char track_id[STORE_TRACK_ID_BYTES];
    char augment[STORE_AUGMENT_BYTES];
    struct record_info info; /* start_ms, ref_db, errors, source */
};

/* *found is false when there is none, or the file is another kind of JSON. */
MUST_CHECK bool import_description_open(struct import_description *d, const char *path, bool *found,
                                        struct err *e);
MUST_CHECK bool import_description_parse(struct import_description *d, bool *found, struct err *e);
/* The next clip; *more is false behind the last. */
MUST_CHECK bool import_description_next(struct import_description *d, struct import_described *out,
                                        bool *more, struct err *e);
void import_description_close(struct import_description *d); /* safe on {0} */

#endif
