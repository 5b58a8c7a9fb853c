/*
 * What a record of the CSV is found again by, as a key of the catalogue (catalog_find):
 *
 *     't' track id            the first record of this id; with NUL and k behind it, the k-th
 *     'b' digest              a record that cannot be used, by its bytes; the k-th as above
 *     'u' digest              the row that a link belongs to
 */
#ifndef REFRAIN_IDENTITY_H
#define REFRAIN_IDENTITY_H

#include "ingest/catalog.h"

struct identity {
    uint8_t bytes[CATALOG_KEY_BYTES_MAX];
    size_t base_len, len;
    uint32_t occurrence; /* k, from 1 */
};

struct span identity_span(const struct identity *id);
void identity_of_track(struct identity *out, const char *track_id);
void identity_of_bad(struct identity *out, uint64_t digest);
/* At some hosts the path alone names the preview; a query says who asks. */
void identity_of_link(struct identity *out, const char *url);
/* Of the k-th record of the same id or bytes, k > 1. */
void identity_set_occurrence(struct identity *id, uint32_t k);

#endif
