/*
 * The two threads that make outcomes durable, so that the loop that drives the network never waits
 * for the disk. One writes bodies, the other commits them in groups of COMMIT_GROUP_MAX or after
 * COMMIT_GROUP_NS; while one group is on its way to the disk one more may gather: so a kill costs
 * COMMIT_PENDING_MAX previews that were there already, and those that were on the way.
 *
 *     bodies to spool/tmp, data synced, renamed into spool/new, directory synced,
 *     then one catalogue commit with the new states and the counters.
 *
 * So a row is DONE only after its preview is in spool/new. Killed between the two, the next run
 * finds the preview there and marks the row without asking the host again (committer_recover).
 *
 * It also watches the room: how full the spool and the disk are.
 */
#ifndef REFRAIN_COMMITTER_H
#define REFRAIN_COMMITTER_H

#include "base/clock.h"
#include "ingest/catalog.h"
#include "ingest/local.h"
#include "ingest/spool.h"
#include "ingest/standing.h"
#include "ingest/todo.h"

enum { COMMIT_GROUP_MAX = 32, COMMIT_PENDING_MAX = 2 * COMMIT_GROUP_MAX };
#define COMMIT_GROUP_NS (200 * NS_PER_MS)

/* What became of an item. */
struct outcome {
    struct todo_item *item;
    enum row_state state;
    char cause[CATALOG_CAUSE_BYTES];
    uint32_t attempts;
    int64_t not_before_ms;
    struct buf body; /* of DONE */
    bool is_local;   /* the item's link is a file: state and cause are the thread's to find */
};

struct committer_params {
    struct catalog *catalog;
    struct spool *spool;
    struct local *local; /* for outcomes that are local */
    const char *dataset_dir;
    uint64_t high_water_bytes, disk_floor_bytes;
    uint64_t max_waiting_bytes; /* of bodies that are not on the disk yet */
    size_t max_outcomes;        /* that can ever be pushed and not yet collected */
    uint64_t group_ns; /* how long a group may wait for more; 0: only while more is queued */
};

struct committer;

/* ERR_FATAL when the disk does not answer. */
MUST_CHECK bool committer_open(const struct committer_params *p, struct committer **out,
                               struct err *e);

/* Gives the outcome, with its body, to the thread. Never waits. */
void committer_push(struct committer *c, struct outcome *outcome);

/* Nothing more will be pushed for a while: what was is committed now, and not when its group has
 * waited its time. */
void committer_hurry(struct committer *c);

/* Adds to the lifetime counters with the next commit. */
void committer_count(struct committer *c, uint64_t requests, uint64_t throttled, uint64_t bytes);

/* Written with the next commit, and at the latest some seconds from now. */
void committer_tell(struct committer *c, const struct standing *s);

enum committer_room {
    ROOM_OK,
    ROOM_BUSY,       /* outcomes wait for the disk */
    ROOM_SPOOL_FULL, /* spool.high_water is reached: extract must catch up */
    ROOM_DISK_LOW,   /* less than disk.floor is free */
};
/* May more be fetched? */
enum committer_room committer_room(struct committer *c);

/* Outcomes that are pushed and not collected. */
size_t committer_pending(struct committer *c);

/* Collects outcomes that are durable, without their bodies; up to `max`. */
size_t committer_collect(struct committer *c, struct outcome *out, size_t max);

/* Readable when there may be something to collect, or room again. */
int committer_fd(const struct committer *c);
void committer_fd_clear(struct committer *c);

/* False once the disk failed; nothing is committed after that. */
MUST_CHECK bool committer_check(struct committer *c, struct err *e);

/* Commits what was pushed and ends the thread. What was not collected is still to be collected. */
MUST_CHECK bool committer_finish(struct committer *c, struct err *e);
void committer_close(struct committer *c); /* NULL is fine; finishes without asking */

/* At start: rows whose preview already lies in spool/new are DONE. */
MUST_CHECK bool committer_recover(struct catalog *c, struct spool *s, uint64_t *out_n,
                                  struct err *e);

#endif
