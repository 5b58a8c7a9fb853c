/*
 * What may be fetched next: a small window of the catalogue's due rows in memory, one queue for
 * each host group, so that a host that is paused or at its limit does not keep the others waiting.
 *
 * An item is taken from the catalogue, queued, in flight, and given back once the commit that holds
 * its outcome is durable; until then its row is not taken again. Time is the wall clock in ms, as
 * the catalogue keeps it.
 */
#ifndef REFRAIN_TODO_H
#define REFRAIN_TODO_H

#include "ingest/catalog.h"
#include "ingest/hosts.h"

struct todo_item {
    struct catalog_due due;
    char track_id[TRACK_ID_MAX_BYTES + 1];
    char *url;           /* owned; the redirect's target once it was redirected */
    char *name, *artist; /* owned */
    uint64_t artist_key;
    int64_t expires_s;       /* of url; 0: does not expire */
    uint16_t match_permille; /* as in the catalogue */
    uint8_t source;          /* of url; 0: the CSV */
    uint8_t sources_tried;
    uint32_t n_spares_tried;
    bool is_adopted;      /* taken by todo_adopt */
    uint32_t duration_ms; /* of the song; 0: not known */
    uint32_t attempts;
    uint32_t n_redirects;
    size_t group_i;             /* of the link in the catalogue */
    size_t target_group_i;      /* of `url`: another one after a redirect to another host */
    uint64_t n_answered_before; /* the target group's count when this row was first throttled */
    uint32_t n_throttled;
    struct todo_item *next;            /* in its queue */
    struct todo_item *older, *younger; /* all that are taken */
};

struct todo;

/* Borrows both for life. `n_ahead` items are kept ready for each group, and up to `n_adopted` may
 * be adopted beside them. */
struct todo *todo_new(struct catalog *c, struct hosts *h, size_t n_ahead, size_t n_adopted);
void todo_free(struct todo *t); /* NULL is fine; frees the items too, wherever they are */

/* Fills the queues. Looks at a bounded number of rows, so that the loop goes on; *out_more says
 * that there are rows it has not looked at. */
MUST_CHECK bool todo_refill(struct todo *t, int64_t now_ms, bool *out_more, struct err *e);

/* The first item of a group's queue, NULL when it is empty. Lends until todo_take. */
struct todo_item *todo_peek(struct todo *t, size_t group_i);
struct todo_item *todo_take(struct todo *t, size_t group_i);
/* Back to the front of its group's queue: nothing happened to it. */
void todo_untake(struct todo *t, struct todo_item *item);

/* Takes a row that is NEED, out of any queue; NULL when it is taken already or there is no room. */
struct todo_item *todo_adopt(struct todo *t, const struct catalog_row *row);
size_t todo_adopted(const struct todo *t);
size_t todo_adopt_room(const struct todo *t);
/* The item has a link now: into the queue of its host. Links that expire earlier go first. */
void todo_queue_link(struct todo *t, struct todo_item *item);

/* The item's outcome is durable. `again` when it waits: it is due at `due_ms`. Frees the item. */
void todo_settle(struct todo *t, struct todo_item *item, bool again, int64_t due_ms);

/* Rows were added to the catalogue, or changed: look from the beginning. */
void todo_rewind(struct todo *t);

size_t todo_queued(const struct todo *t);
size_t todo_items_max(const struct todo *t);
size_t todo_taken(const struct todo *t); /* queued, in flight and not yet durable */

/* When the next row that is not taken is due; INT64_MAX when there is none. 0 when
 * not all was looked at. */
int64_t todo_next_due_ms(const struct todo *t);

#endif
