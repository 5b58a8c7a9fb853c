/*
 * Counts by name: causes, genres, tags, hosts. Bounded: past its limit of distinct names further
 * ones are counted together. Names are compared byte by byte.
 */
#ifndef REFRAIN_TALLY_H
#define REFRAIN_TALLY_H

#include "base/base.h"

enum { TALLY_NAME_BYTES = 128 };

struct tally_item {
    char name[TALLY_NAME_BYTES]; /* a longer one is cut on a character border */
    uint64_t n;
    uint64_t n_marked; /* of n: those added as marked ("stored") */
};

struct tally;
struct tally *tally_new(size_t max_names);
void tally_free(struct tally *t); /* NULL is fine */

void tally_add(struct tally *t, struct span name, bool marked);
void tally_add_str(struct tally *t, const char *name, bool marked);

/* Most frequent first, equal ones by name. Lent until the next tally_add or tally_free. */
const struct tally_item *tally_sorted(struct tally *t, size_t *out_n);

uint64_t tally_overflow(const struct tally *t); /* additions that found no room */

#endif
