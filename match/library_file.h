/*
 * DIR/sequences.map: a library as its songs lie in memory, so that opening one decodes nothing.
 * Derived of the store, named by its root, made again whenever it is not of this root. Internal to
 * match/; the bytes are in docs/FORMAT.md.
 */
#ifndef REFRAIN_LIBRARY_FILE_H
#define REFRAIN_LIBRARY_FILE_H

#include "match/library.h"

/* Whole or absent. */
MUST_CHECK bool library_file_write(const char *path, const struct library *l, struct err *e);

/* Maps it. False, and *out untouched, for whatever is not exactly a library of this root. */
bool library_file_open(const char *path, uint64_t root, struct library *out);

/* The same of bytes on MEM_ALIGN_BYTES, which are lent until library_file_release. */
bool library_file_parse(void *bytes, size_t n_bytes, uint64_t root, struct library *out);
void library_file_release(struct library *l); /* what parsing has made; the bytes are left alone */

#endif
