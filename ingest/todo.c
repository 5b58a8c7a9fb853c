/*
 * The invariant, with `scan` the place up to which the catalogue was looked through: an unfinished
 * row below `scan` is taken, or its group has `has_skipped` set and the row is not below
 * `skipped_from`. So no row is forgotten, whatever the order in which rows come back to wait; and
 * because taken rows are in a set, none is taken twice.
 */
#include "ingest/todo.h"

#include "base/hash.h"
#include "base/mem.h"
#include "ingest/url.h"

#include <stdio.h>
#include <string.h>

/* Rows looked at in one refill: about 10 ms. */
enum { LOOK_MAX = 4096, SET_EMPTY = 0 };

struct group_queue {
    struct todo_item *first, *last;
    size_t n;
    bool has_skipped;
    struct catalog_due skipped_from;
};

struct todo {
    struct catalog *c;
    struct hosts *h;
    size_t n_ahead, n_items_max, n_items, n_queued;
    size_t n_adopted_max, n_adopted; /* of n_items_max and n_items */
    struct todo_item *youngest;
    struct catalog_due scan;
    bool at_end;
    int64_t next_due_ms; /* of rows at and behind `scan`; valid when at_end */
    struct group_queue queues[HOSTS_MAX];
    /* Taken rows, open addressing with linear probing; rows are numbered from 1. */
    uint64_t *set;
    size_t set_slots;
};

/* ---------------------------------------------------------------- the set of taken rows */

static size_t set_find(const struct todo *t, uint64_t row)
{
    size_t at = hash_mix64(row) & (t->set_slots - 1);
    while (t->set[at] != SET_EMPTY && t->set[at] != row)
        at = (at + 1) & (t->set_slots - 1);
    return at;
}

static void set_remove(struct todo *t, uint64_t row)
{
    size_t hole = set_find(t, row), mask = t->set_slots - 1;
    assert(t->set[hole] == row);
    /* Move back what was pushed past the hole (Knuth, volume 3, algorithm 6.4R). */
    for (size_t at = (hole + 1) & mask; t->set[at] != SET_EMPTY; at = (at + 1) & mask) {
        size_t home = hash_mix64(t->set[at]) & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            t->set[hole] = t->set[at];
            hole = at;
        }
    }
    t->set[hole] = SET_EMPTY;
}

/* ---------------------------------------------------------------- queues */

static int64_t expiry_of(const struct todo_item *item)
{
    return item->expires_s == 0 ? INT64_MAX : item->expires_s;
}

/* Behind what expires no later: in the order of arrival where nothing expires. */
static void queue_insert(struct todo *t, struct todo_item *item)
{
    struct group_queue *q = &t->queues[item->group_i];
    struct todo_item **at = &q->first;
    if (q->last != NULL && expiry_of(q->last) <= expiry_of(item))
        at = &q->last->next;
    else
        while (*at != NULL && expiry_of(*at) <= expiry_of(item))
            at = &(*at)->next;
    item->next = *at;
    *at = item;
    if (item->next == NULL)
        q->last = item;
    q->n++;
    t->n_queued++;
}

struct todo_item *todo_peek(struct todo *t, size_t group_i)
{
    return t->queues[group_i].first;
}

struct todo_item *todo_take(struct todo *t, size_t group_i)
{
    struct group_queue *q = &t->queues[group_i];
    struct todo_item *item = q->first;
    assert(item != NULL);
    q->first = item->next;
    if (q->first == NULL)
        q->last = NULL;
    item->next = NULL;
    q->n--;
    t->n_queued--;
    return item;
}

void todo_untake(struct todo *t, struct todo_item *item)
{
    struct group_queue *q = &t->queues[item->group_i];
    item->next = q->first;
    q->first = item;
    if (q->last == NULL)
        q->last = item;
    q->n++;
    t->n_queued++;
}

static void item_free(struct todo *t, struct todo_item *item)
{
    if (item->younger != NULL)
        item->younger->older = item->older;
    else
        t->youngest = item->older;
    if (item->older != NULL)
        item->older->younger = item->younger;
    t->n_adopted -= item->is_adopted;
    mem_free(item->url);
    mem_free(item->name);
    mem_free(item->artist);
    mem_free(item);
}

/* ---------------------------------------------------------------- looking */

struct look {
    struct todo *t;
    int64_t now_ms;
    size_t n_looked;
    size_t only_group_i;   /* SIZE_MAX: all */
    struct catalog_due at; /* where the next look goes on */
    enum { LOOK_ENDED, LOOK_NOT_DUE, LOOK_NO_ROOM, LOOK_LONG_ENOUGH } why;
};

static struct catalog_due due_behind(struct catalog_due due)
{
    return (struct catalog_due){due.due_ms, due.row + 1};
}

static struct todo_item *make_item(struct todo *t, const struct catalog_row *row,
                                   struct catalog_due due)
{
    struct todo_item *item = mem_zalloc(1, sizeof *item);
    item->due = due;
    snprintf(item->track_id, sizeof item->track_id, "%s", row->track_id);
    item->url = mem_strdup(catalog_row_link(row));
    item->name = mem_strdup(row->name);
    item->artist = mem_strdup(row->artist);
    item->artist_key = row->artist_key;
    item->duration_ms = row->duration_ms;
    item->attempts = row->attempts;
    item->expires_s = row->resolved_url[0] != '\0' ? row->expires_s : url_expires_s(row->url);
    item->match_permille = row->match_permille;
    item->source = row->source;
    item->sources_tried = row->sources_tried;
    item->n_spares_tried = row->n_spares_tried;
    t->set[set_find(t, due.row)] = due.row;
    t->n_items++;
    item->older = t->youngest;
    if (t->youngest != NULL)
        t->youngest->younger = item;
    t->youngest = item;
    return item;
}

static void take_row(struct todo *t, const struct catalog_row *row, struct catalog_due due,
                     size_t group_i)
{
    struct todo_item *item = make_item(t, row, due);
    item->group_i = item->target_group_i = group_i;
    queue_insert(t, item);
}

struct todo_item *todo_adopt(struct todo *t, const struct catalog_row *row)
{
    if (t->n_adopted == t->n_adopted_max || t->set[set_find(t, row->row)] == row->row)
        return NULL;
    struct todo_item *item = make_item(t, row, (struct catalog_due){0, row->row});
    item->is_adopted = true;
    t->n_adopted++;
    return item;
}

size_t todo_adopted(const struct todo *t)
{
    return t->n_adopted;
}

size_t todo_adopt_room(const struct todo *t)
{
    return t->n_adopted_max - t->n_adopted;
}

void todo_queue_link(struct todo *t, struct todo_item *item)
{
    char host[HOST_BYTES_MAX];
    url_host(item->url, host);
    item->group_i = item->target_group_i = hosts_find(t->h, host);
    queue_insert(t, item);
}

static void skip_from(struct group_queue *q, struct catalog_due due)
{
    if (!q->has_skipped || catalog_due_compare(due, q->skipped_from) < 0)
        q->skipped_from = due;
    q->has_skipped = true;
}

static bool look_at(void *arg, struct catalog_due due, const struct catalog_row *row)
{
    struct look *l = arg;
    struct todo *t = l->t;
    bool is_first_pass = l->only_group_i == SIZE_MAX;
    l->at = due;
    l->why = LOOK_NO_ROOM;
    if (!is_first_pass && catalog_due_compare(due, t->scan) >= 0) {
        l->why = LOOK_ENDED;
        return false;
    }
    if (due.due_ms > l->now_ms) {
        l->why = LOOK_NOT_DUE;
        return false;
    }
    if (l->n_looked++ == LOOK_MAX) {
        l->why = LOOK_LONG_ENOUGH;
        return false;
    }
    char host[HOST_BYTES_MAX];
    url_host(catalog_row_link(row), host);
    size_t group_i = hosts_find(t->h, host);
    struct group_queue *q = &t->queues[group_i];
    bool is_ours = is_first_pass ? !q->has_skipped : group_i == l->only_group_i;
    if (is_ours && t->set[set_find(t, due.row)] != due.row) {
        if (t->n_items - t->n_adopted == t->n_items_max - t->n_adopted_max)
            return false;
        if (q->n < t->n_ahead)
            take_row(t, row, due, group_i);
        else if (is_first_pass)
            skip_from(q, due);
        else
            return false;
    }
    l->at = due_behind(due);
    l->why = LOOK_ENDED;
    return true;
}

/* From `from` on; l->why says how it ended: at the end, at a row that is not due, or for lack of
 * room or of patience. */
static bool look(struct look *l, struct catalog_due from, struct err *e)
{
    l->at = from;
    l->why = LOOK_ENDED;
    return catalog_each_due(l->t->c, from, look_at, l, e);
}

static bool look_for_group(struct todo *t, size_t group_i, int64_t now_ms, bool *out_more,
                           struct err *e)
{
    struct group_queue *q = &t->queues[group_i];
    struct look l = {.t = t, .now_ms = now_ms, .only_group_i = group_i};
    if (!look(&l, q->skipped_from, e))
        return false;
    q->has_skipped = l.why != LOOK_ENDED;
    q->skipped_from = l.at;
    *out_more = *out_more || l.why == LOOK_LONG_ENOUGH;
    return true;
}

bool todo_refill(struct todo *t, int64_t now_ms, bool *out_more, struct err *e)
{
    *out_more = false;
    if (!t->at_end || t->next_due_ms <= now_ms) {
        struct look l = {.t = t, .now_ms = now_ms, .only_group_i = SIZE_MAX};
        if (!look(&l, t->scan, e))
            return false;
        t->scan = l.at;
        t->at_end = l.why == LOOK_ENDED || l.why == LOOK_NOT_DUE;
        t->next_due_ms = l.why == LOOK_NOT_DUE ? l.at.due_ms : INT64_MAX;
        *out_more = l.why == LOOK_LONG_ENOUGH;
    }
    for (size_t i = 0; i < hosts_count(t->h); i++) {
        struct group_queue *q = &t->queues[i];
        bool is_wanted =
            q->has_skipped && q->skipped_from.due_ms <= now_ms && q->n <= t->n_ahead / 2;
        if (is_wanted && !look_for_group(t, i, now_ms, out_more, e))
            return false;
    }
    return true;
}

void todo_settle(struct todo *t, struct todo_item *item, bool again, int64_t due_ms)
{
    struct catalog_due due = {due_ms, item->due.row};
    set_remove(t, item->due.row);
    if (again && catalog_due_compare(due, t->scan) < 0)
        skip_from(&t->queues[item->group_i], due);
    else if (again && t->at_end)
        t->next_due_ms = due_ms < t->next_due_ms ? due_ms : t->next_due_ms;
    t->n_items--;
    item_free(t, item);
}

void todo_rewind(struct todo *t)
{
    t->scan = (struct catalog_due){0};
    t->at_end = false;
    for (size_t i = 0; i < HOSTS_MAX; i++)
        t->queues[i].has_skipped = false;
}

int64_t todo_next_due_ms(const struct todo *t)
{
    int64_t next_ms = t->at_end ? t->next_due_ms : 0;
    for (size_t i = 0; i < hosts_count(t->h); i++)
        if (t->queues[i].has_skipped && t->queues[i].skipped_from.due_ms < next_ms)
            next_ms = t->queues[i].skipped_from.due_ms;
    return next_ms;
}

size_t todo_queued(const struct todo *t)
{
    return t->n_queued;
}

size_t todo_items_max(const struct todo *t)
{
    return t->n_items_max;
}

size_t todo_taken(const struct todo *t)
{
    return t->n_items;
}

/* ---------------------------------------------------------------- life */

struct todo *todo_new(struct catalog *c, struct hosts *h, size_t n_ahead, size_t n_adopted)
{
    enum { GROUPS_FULL = 16 };
    struct todo *t = mem_zalloc(1, sizeof *t);
    t->c = c;
    t->h = h;
    t->n_ahead = n_ahead;
    /* Room for some groups that wait with a full queue beside those that go on. */
    t->n_items_max = GROUPS_FULL * n_ahead + n_adopted;
    t->n_adopted_max = n_adopted;
    t->set_slots = 64;
    while (t->set_slots < 4 * t->n_items_max)
        t->set_slots *= 2;
    t->set = mem_zalloc(t->set_slots, sizeof *t->set);
    return t;
}

void todo_free(struct todo *t)
{
    if (t == NULL)
        return;
    while (t->youngest != NULL)
        item_free(t, t->youngest);
    mem_free(t->set);
    mem_free(t);
}
