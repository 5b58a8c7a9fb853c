/*
 * What `refrain store stat`, `ls` and `get` print.
 */
#ifndef REFRAIN_STORE_LIST_H
#define REFRAIN_STORE_LIST_H

#include "store/store.h"

#include <stdio.h>

void store_print_stat(const struct store_stat *st, bool as_json, FILE *out);

/* Every record, in key order: a line or a JSON object each. */
MUST_CHECK bool store_print_list(struct store *s, bool as_json, FILE *out, struct err *e);

/* The row of a track id, or of a row number in digits; ERR_PERM when there is neither. */
MUST_CHECK bool store_find_row(struct store *s, const char *track_or_row, uint64_t *out,
                               struct err *e);

/* One record's header; npy_path, if not NULL, gets its dB values, (n_frames, n_mels) float32. */
MUST_CHECK bool store_print_record(struct store *s, uint64_t key, const char *npy_path,
                                   bool as_json, FILE *out, struct err *e);

#endif
