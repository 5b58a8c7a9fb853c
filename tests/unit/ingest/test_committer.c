/* What is durable when, what a full disk does, and the note about the last request. */
#include "ingest/committer.h"

#include "base/file.h"
#include "ingest/row.h"
#include "ingest/session.h"
#include "tests/test.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

enum { BODY_BYTES = 20000, ROWS = 150, WAIT_MS = 10000 };

static char dir[] = "/tmp/refrain-test-committer-XXXXXX";
static struct err e;
static struct catalog *catalog;
static struct spool *spool;
static struct todo_item items[ROWS];

static void open_all(void)
{
    char command[128];
    struct catalog_write *w;
    e = (struct err){0};
    snprintf(command, sizeof command, "rm -rf %s/catalog.mdb %s/spool", dir, dir);
    CHECK(system(command) == 0);
    CHECK_OK(catalog_open(dir, true, &catalog, &e) && spool_open(dir, &spool, &e), &e);
    CHECK_OK(catalog_begin(catalog, &w, &e), &e);
    for (int i = 0; i < ROWS; i++) {
        struct catalog_row row = {.state = ROW_DIRECT, .url = "http://x/1"};
        snprintf(row.track_id, sizeof row.track_id, "t%d", i);
        CHECK_OK(catalog_add(w, (struct span){row.track_id, strlen(row.track_id)}, &row, &e), &e);
        items[i] = (struct todo_item){.due = {0, row.row}};
        memcpy(items[i].track_id, row.track_id, sizeof row.track_id);
    }
    CHECK_OK(catalog_commit(w, &e), &e);
}

static void close_all(void)
{
    catalog_close(catalog);
    spool_close(spool);
}

static struct committer *open_slow_committer(uint64_t high_water_bytes, uint64_t disk_floor_bytes,
                                             uint64_t group_ns)
{
    const struct committer_params p = {.catalog = catalog,
                                       .spool = spool,
                                       .dataset_dir = dir,
                                       .high_water_bytes = high_water_bytes,
                                       .disk_floor_bytes = disk_floor_bytes,
                                       .max_waiting_bytes = 1 << 20,
                                       .max_outcomes = ROWS,
                                       .group_ns = group_ns};
    struct committer *c = NULL;
    CHECK_OK(committer_open(&p, &c, &e), &e);
    return c;
}

static struct committer *open_committer(uint64_t high_water_bytes, uint64_t disk_floor_bytes)
{
    return open_slow_committer(high_water_bytes, disk_floor_bytes, COMMIT_GROUP_NS);
}

static void push(struct committer *c, struct todo_item *item, enum row_state state)
{
    struct outcome o = {.item = item, .state = state, .attempts = 2, .not_before_ms = 4711};
    row_set_text(o.cause, sizeof o.cause, state == ROW_DONE ? "" : "timeout");
    if (state == ROW_DONE) {
        static uint8_t bytes[BODY_BYTES];
        buf_init(&o.body, BODY_BYTES);
        memset(bytes, (int)item->due.row, sizeof bytes);
        CHECK_OK(buf_append(&o.body, bytes, sizeof bytes, &e), &e);
    }
    committer_push(c, &o);
    CHECK(o.body.data == NULL); /* given away */
}

/* Waits for the descriptor until `n` outcomes are collected. */
static size_t collect(struct committer *c, struct outcome *out, size_t n)
{
    size_t n_got = 0;
    while (n_got < n) {
        struct pollfd fd = {.fd = committer_fd(c), .events = POLLIN};
        if (poll(&fd, 1, WAIT_MS) <= 0)
            break;
        committer_fd_clear(c);
        n_got += committer_collect(c, out + n_got, n - n_got);
    }
    return n_got;
}

static void test_collected_is_durable(void)
{
    static struct outcome out[ROWS];
    struct catalog_totals t;
    struct catalog_row row;
    struct spool_usage usage;
    open_all();
    struct committer *c = open_committer(UINT64_MAX, 0);
    for (int i = 0; i < ROWS; i++)
        push(c, &items[i], i % 3 == 2 ? ROW_WAIT : ROW_DONE);
    committer_count(c, 200, 3, 12345);
    CHECK_U64(collect(c, out, ROWS), ROWS);
    for (int i = 0; i < ROWS; i++)
        CHECK(out[i].item == &items[i]);
    CHECK_OK(spool_measure(spool, &usage, &e), &e);
    CHECK_U64(usage.new_files, ROWS * 2 / 3);
    CHECK_U64(usage.new_bytes, ROWS * 2 / 3 * BODY_BYTES);
    CHECK_OK(catalog_totals(catalog, &t, &e), &e);
    CHECK_U64(t.states[ROW_DONE], ROWS * 2 / 3);
    CHECK_U64(t.states[ROW_WAIT], ROWS / 3);
    CHECK_OK(catalog_get(catalog, 3, &row, &e), &e);
    CHECK_STR(row.cause, "timeout");
    CHECK_U64(row.not_before_ms, 4711);
    CHECK_U64(row.attempts, 2);
    CHECK_OK(catalog_get(catalog, 1, &row, &e), &e);
    CHECK_U64(row.preview_bytes, BODY_BYTES);
    CHECK_OK(committer_finish(c, &e), &e);
    CHECK_OK(catalog_totals(catalog, &t, &e), &e);
    CHECK_U64(t.requests, 200);
    CHECK_U64(t.throttled, 3);
    CHECK_U64(t.bytes, 12345);
    committer_close(c);
    close_all();
}

static void test_finish_commits_what_was_pushed(void)
{
    struct outcome out;
    struct catalog_row row;
    open_all();
    struct committer *c = open_committer(UINT64_MAX, 0);
    push(c, &items[0], ROW_DONE);
    CHECK_OK(committer_finish(c, &e), &e);
    CHECK_U64(committer_collect(c, &out, 1), 1);
    CHECK_OK(catalog_get(catalog, 1, &row, &e), &e);
    CHECK_U64(row.state, ROW_DONE);
    committer_close(c);
    committer_close(NULL);
    close_all();
}

/* A group that would wait for ever is committed when nothing more is to be expected. */
static void test_hurry(void)
{
    struct outcome out[3];
    open_all();
    struct committer *c = open_slow_committer(UINT64_MAX, 0, 1000 * NS_PER_S);
    committer_hurry(c); /* with nothing to hurry */
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3; i++)
            push(c, &items[3 * round + i], ROW_DONE);
        committer_hurry(c);
        committer_hurry(c);
        CHECK_U64(collect(c, out, 3), 3);
        CHECK(out[2].item == &items[3 * round + 2]);
    }
    push(c, &items[6], ROW_DONE);
    committer_hurry(c);
    CHECK_OK(committer_finish(c, &e), &e); /* with the mark on its way */
    committer_close(c);
    close_all();
}

static void test_room(void)
{
    struct outcome out[4];
    open_all();
    struct committer *c = open_committer(3 * BODY_BYTES, 0);
    CHECK_U64(committer_room(c), ROOM_OK);
    for (int i = 0; i < 3; i++)
        push(c, &items[i], ROW_DONE);
    /* At once, before and after they are published. */
    CHECK_U64(committer_room(c), ROOM_SPOOL_FULL);
    CHECK_U64(collect(c, out, 3), 3);
    CHECK_U64(committer_room(c), ROOM_SPOOL_FULL);
    struct spool_item list[1];
    size_t n;
    CHECK_OK(spool_list(spool, list, 1, &n, &e) && spool_remove(spool, list, &e), &e);
    for (int i = 0; i < 100 && committer_room(c) != ROOM_OK; i++)
        clock_sleep_ns(100 * NS_PER_MS);
    CHECK_U64(committer_room(c), ROOM_OK);
    committer_close(c);
    c = open_committer(UINT64_MAX, UINT64_MAX);
    CHECK_U64(committer_room(c), ROOM_DISK_LOW);
    committer_close(c);
    close_all();
}

/* A disk that takes no more: an error and no row that claims to be DONE. */
static void test_full_disk(void)
{
    struct rlimit old, small;
    struct catalog_row row;
    struct spool_usage usage;
    open_all();
    struct committer *c = open_committer(UINT64_MAX, 0);
    CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0);
    small = (struct rlimit){.rlim_cur = BODY_BYTES / 2, .rlim_max = old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
    push(c, &items[0], ROW_DONE);
    push(c, &items[1], ROW_DONE);
    CHECK(!committer_finish(c, &e));
    CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0);
    CHECK_U64(e.kind, ERR_FATAL);
    CHECK(strstr(e.msg, "spool/tmp/0000000001-t0") != NULL);
    committer_close(c);
    CHECK_OK(catalog_get(catalog, 1, &row, &e), &e);
    CHECK_U64(row.state, ROW_DIRECT);
    CHECK_OK(spool_measure(spool, &usage, &e), &e);
    CHECK_U64(usage.new_files, 0);
    close_all();
}

/* Killed between the rename and the commit: the preview is there, the row does not know it. */
static void test_recovery(void)
{
    struct spool_item item;
    struct catalog_row row;
    uint64_t n;
    open_all();
    CHECK_OK(spool_write(spool, 5, "t4", (struct span){"bytes", 5}, &item, &e), &e);
    CHECK_OK(spool_publish(spool, &item, 1, &e), &e);
    CHECK_OK(spool_write(spool, 6, "other", (struct span){"bytes", 5}, &item, &e), &e);
    CHECK_OK(spool_publish(spool, &item, 1, &e), &e);
    CHECK_OK(spool_write(spool, ROWS + 9, "t9", (struct span){"bytes", 5}, &item, &e), &e);
    CHECK_OK(spool_publish(spool, &item, 1, &e), &e);
    CHECK_OK(committer_recover(catalog, spool, &n, &e), &e);
    CHECK_U64(n, 1);
    CHECK_OK(catalog_get(catalog, 5, &row, &e), &e);
    CHECK_U64(row.state, ROW_DONE);
    CHECK_U64(row.preview_bytes, 5);
    CHECK_OK(catalog_get(catalog, 6, &row, &e), &e);
    CHECK_U64(row.state, ROW_DIRECT); /* another id: not its preview */
    CHECK_OK(committer_recover(catalog, spool, &n, &e), &e);
    CHECK_U64(n, 0);
    close_all();
}

static void test_session(void)
{
    struct session s;
    open_all();
    CHECK_OK(session_read(catalog, 1000, &s, &e), &e);
    CHECK(!s.hold); /* nothing was ever asked */
    CHECK_OK(session_mark_open(catalog, &e), &e);
    CHECK_OK(session_read(catalog, 1000, &s, &e), &e);
    CHECK(s.hold && s.held_since_ns == 1000); /* killed: it may have been just now */
    CHECK_OK(session_mark_closed(catalog, 400, &e), &e);
    CHECK_OK(session_read(catalog, 1000, &s, &e), &e);
    CHECK(s.hold);
    CHECK_U64(s.held_since_ns, 400);
    CHECK_OK(session_read(catalog, 300, &s, &e), &e);
    CHECK_U64(s.held_since_ns, 300); /* a clock that went back is not believed */
    close_all();
}

int main(void)
{
    if (mkdtemp(dir) == NULL)
        return 1;
    RUN(test_collected_is_durable);
    RUN(test_finish_commits_what_was_pushed);
    RUN(test_hurry);
    RUN(test_room);
    RUN(test_full_disk);
    RUN(test_recovery);
    RUN(test_session);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) != 0 || test_done();
}
