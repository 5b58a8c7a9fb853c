/*
 * Spare links. When the CSV has a track id several times with different links, the first record is
 * the row and the further ones are DUP; but their links are kept, and one after the other is tried
 * when the one before has failed for good. The row knows how many it has tried (n_spares_tried), so
 * that a restart does not begin anew.
 */
#ifndef REFRAIN_SPARE_H
#define REFRAIN_SPARE_H

#include "ingest/todo.h"

/* Gives the item the next link that is not the one it has; false when there is none. What was
 * counted for the link before is forgotten. The item's outcome is then ROW_RESOLVED, from no
 * source. A catalogue that cannot be read has no spares: whoever writes to it next will say so. */
MUST_CHECK bool spare_take(struct catalog *c, struct todo_item *item);

/* Makes a row that has ended RESOLVED, with the link of its id's k-th record. */
void spare_set(struct catalog_row *row, uint32_t k, const char *url);

#endif
