/*
 * A list of numbers as long as the data set, in a file without a name that is mapped: the kernel
 * can write its pages out and drop them, and none of it is anonymous memory. The file is written
 * with write(2), not through the map, so that a full disk is an error and not SIGBUS.
 *
 *     struct list_writer w;
 *     bool ok = list_begin(&w, dir, e) && list_add(&w, 7, e);
 *     ok = list_finish(&w, ok, &list, e);
 */
#ifndef REFRAIN_STORE_LIST_H
#define REFRAIN_STORE_LIST_H

#include "base/err.h"

struct list {
    const uint64_t *items;
    size_t n;
    size_t map_bytes;
};

struct list_writer {
    int fd;
    uint64_t *chunk;
    size_t n_chunk, n;
};

/* The file lies in `dir`, in /tmp when that is read-only, in memory when that is too. When it
 * fails there is nothing to finish. */
MUST_CHECK bool list_begin(struct list_writer *w, const char *dir, struct err *e);
MUST_CHECK bool list_add(struct list_writer *w, uint64_t item, struct err *e);
/* Ends the writing in any case; the list is made when ok. */
MUST_CHECK bool list_finish(struct list_writer *w, bool ok, struct list *out, struct err *e);
void list_release(struct list *list); /* safe on {0}, may run twice */

#endif
