/* Host groups and the queues of what may be fetched next. */
#include "ingest/hosts.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "ingest/row.h"
#include "ingest/todo.h"
#include "tests/test.h"

#include <stdlib.h>

static struct err e;
static const struct conf_rate_list limits = {
    .n = 4,
    .items = {{"default", {.rate = {2, 1}}},
              {"dzcdn.net", {.rate = {50, 5}}},
              {"fast.dzcdn.net", {.rate = {0, 1}}},
              {"x", {.rate = {1, 60}}}},
};

static struct hosts *open_hosts(bool hold, uint64_t since_ns)
{
    struct hosts_params p = {.limits = &limits,
                             .seed = 1,
                             .backoff_ms = 1000,
                             .backoff_max_ms = 60000,
                             .n_in_flight = 16,
                             .hold = hold,
                             .held_since_ns = since_ns};
    struct hosts *h = NULL;
    e = (struct err){0};
    CHECK_OK(hosts_open(&p, &h, &e), &e);
    return h;
}

static size_t count_starts(struct hosts *h, size_t group_i, uint64_t now_ns)
{
    size_t n = 0;
    while (n < 1000 && hosts_start(h, group_i, now_ns))
        n++;
    return n;
}

static void test_groups(void)
{
    struct hosts *h = open_hosts(false, 0);
    size_t a = hosts_find(h, "cdns-preview-0.dzcdn.net");
    CHECK_U64(hosts_find(h, "cdns-preview-f.dzcdn.net"), a);
    CHECK_U64(hosts_find(h, "dzcdn.net"), a);
    size_t fast = hosts_find(h, "a.fast.dzcdn.net");
    CHECK(fast != a);
    size_t one = hosts_find(h, "one.example"), other = hosts_find(h, "other.example");
    CHECK(one != other);
    CHECK_U64(count_starts(h, a, 5), 50);
    CHECK_U64(count_starts(h, fast, 5), 1000);
    CHECK_U64(count_starts(h, one, 5), 2);
    CHECK_U64(count_starts(h, other, 5), 2);
    hosts_close(h);
}

/* More hosts than there are groups share the last one's limit. */
static void test_too_many_hosts(void)
{
    struct hosts *h = open_hosts(false, 0);
    char name[32];
    for (int i = 0; i < HOSTS_MAX + 100; i++) {
        snprintf(name, sizeof name, "h%d.example", i);
        size_t group_i = hosts_find(h, name);
        CHECK_U64(group_i, i < HOSTS_MAX ? i : HOSTS_MAX - 1);
    }
    hosts_close(h);
    hosts_close(NULL);
}

static void test_hold_after_restart(void)
{
    uint64_t since_ns = 100 * NS_PER_S;
    struct hosts *h = open_hosts(true, since_ns);
    size_t g = hosts_find(h, "one.example");
    uint64_t free_ns = since_ns + LIMITER_GRACE_NS + NS_PER_S;
    CHECK_U64(hosts_next_ns(h, g, since_ns), free_ns);
    CHECK_U64(count_starts(h, g, free_ns - 1), 0);
    CHECK_U64(count_starts(h, g, free_ns), 2);
    hosts_close(h);
}

static void test_throttle(void)
{
    struct hosts *h = open_hosts(false, 0);
    size_t g = hosts_find(h, "one.example");
    uint64_t now_ns = NS_PER_S;
    CHECK(hosts_start(h, g, now_ns));
    limiter_finish(&hosts_group(h, g)->limiter, now_ns);
    /* The host's own word counts, to the millisecond. */
    CHECK_U64(hosts_throttled(h, g, 7000, 0, now_ns), 7000);
    CHECK_U64(count_starts(h, g, now_ns + 6999 * NS_PER_MS), 0);
    CHECK_U64(hosts_next_ns(h, g, now_ns), now_ns + 7 * NS_PER_S);
    /* More answers of the same storm change nothing; a longer wish does. */
    CHECK_U64(hosts_throttled(h, g, 2000, 0, now_ns), 7000);
    CHECK_U64(hosts_throttled(h, g, 9000, 0, now_ns), 9000);
    now_ns += 9 * NS_PER_S;
    CHECK(hosts_start(h, g, now_ns));
    hosts_group(h, g)->n_in_flight = 1;
    CHECK(!hosts_start(h, g, now_ns)); /* one asks whether it is over */
    CHECK_U64(hosts_next_ns(h, g, now_ns), UINT64_MAX);
    limiter_finish(&hosts_group(h, g)->limiter, now_ns);
    hosts_group(h, g)->n_in_flight = 0;
    hosts_answered(h, g, now_ns);
    CHECK_U64(count_starts(h, g, now_ns), 0); /* two in a window were too many: one now */
    CHECK_U64(count_starts(h, g, now_ns + NS_PER_S), 1);
    hosts_close(h);
}

/* Without advice pauses double up to their maximum, never below half of the step. */
static void test_backoff(void)
{
    struct hosts *h = open_hosts(false, 0);
    size_t g = hosts_find(h, "one.example");
    uint64_t now_ns = NS_PER_S, step_ms = 1000, last_ms = 0;
    for (int i = 0; i < 12; i++, step_ms = u64_min(step_ms * 2, 60000)) {
        last_ms = hosts_unreachable(h, g, now_ns);
        CHECK(last_ms >= step_ms / 2 && last_ms <= step_ms);
        now_ns += last_ms * NS_PER_MS;
    }
    CHECK(last_ms >= 30000);
    hosts_answered(h, g, now_ns);
    CHECK(hosts_unreachable(h, g, now_ns) <= 1000);
    now_ns += 2 * NS_PER_S;
    CHECK(hosts_throttled(h, g, 0, 0, now_ns) >= 1000); /* at least the window */
    hosts_close(h);
}

static void test_impossible_limit(void)
{
    struct conf_rate_list bad = {.n = 1, .items = {{"y", {.rate = {70000, 1}}}}};
    struct hosts_params p = {.limits = &bad, .n_in_flight = 1};
    struct hosts *h = NULL;
    CHECK(!hosts_open(&p, &h, &e));
    CHECK(strstr(e.msg, "fetch.limit.y") != NULL);
}

/* ---------------------------------------------------------------- todo */

static char dir[] = "/tmp/refrain-test-todo-XXXXXX";

static struct catalog *fresh(void)
{
    char command[128];
    struct catalog *c = NULL;
    e = (struct err){0};
    snprintf(command, sizeof command, "rm -rf %s/catalog.mdb", dir);
    CHECK(system(command) == 0);
    CHECK_OK(catalog_open(dir, true, &c, &e), &e);
    return c;
}

/* Row i is of host "hK.example" with K = i / run_length % n_hosts. */
static void fill(struct catalog *c, int n, int n_hosts, int run_length)
{
    struct catalog_write *w;
    CHECK_OK(catalog_begin(c, &w, &e), &e);
    for (int i = 0; i < n; i++) {
        struct catalog_row row = {.state = ROW_DIRECT};
        snprintf(row.track_id, sizeof row.track_id, "t%d", i);
        snprintf(row.url, sizeof row.url, "http://h%d.example/%d", i / run_length % n_hosts, i);
        CHECK_OK(catalog_add(w, (struct span){row.track_id, strlen(row.track_id)}, &row, &e), &e);
    }
    CHECK_OK(catalog_commit(w, &e), &e);
}

static void put_states(struct catalog *c, const uint64_t *numbers, size_t n, enum row_state state,
                       int64_t due_ms)
{
    struct catalog_write *w;
    struct catalog_row row;
    CHECK_OK(catalog_begin(c, &w, &e), &e);
    for (size_t i = 0; i < n; i++) {
        CHECK_OK(catalog_read(w, numbers[i], &row, &e), &e);
        row.state = state;
        row.not_before_ms = due_ms;
        CHECK_OK(catalog_put(w, &row, &e), &e);
    }
    CHECK_OK(catalog_commit(w, &e), &e);
}

static void put_state(struct catalog *c, uint64_t number, enum row_state state, int64_t due_ms)
{
    put_states(c, &number, 1, state, due_ms);
}

static void refill(struct todo *t, int64_t now_ms)
{
    bool more;
    do
        CHECK_OK(todo_refill(t, now_ms, &more, &e), &e);
    while (more);
}

/* The first host's queue is full and nobody takes from it; the last host's rows come all the same.
 */
static void test_blocked_host_keeps_nobody_waiting(void)
{
    enum { N = 6000, AHEAD = 64 };
    struct catalog *c = fresh();
    struct hosts *h = open_hosts(false, 0);
    struct todo *t = todo_new(c, h, AHEAD, 0);
    fill(c, N, 2, N / 2);
    refill(t, 0);
    size_t first = hosts_find(h, "h0.example"), second = hosts_find(h, "h1.example");
    CHECK(todo_peek(t, first) != NULL);
    size_t n = 0;
    while (todo_peek(t, second) != NULL) {
        struct todo_item *items[AHEAD];
        uint64_t rows[AHEAD];
        size_t n_items = 0;
        for (; todo_peek(t, second) != NULL; n_items++) {
            items[n_items] = todo_take(t, second);
            rows[n_items] = items[n_items]->due.row;
            CHECK_U64(rows[n_items], N / 2 + ++n);
        }
        put_states(c, rows, n_items, ROW_DONE, 0);
        for (size_t i = 0; i < n_items; i++)
            todo_settle(t, items[i], false, 0);
        refill(t, 0);
    }
    CHECK_U64(n, N / 2);
    CHECK_U64(todo_taken(t), AHEAD);
    todo_free(t);
    hosts_close(h);
    catalog_close(c);
}

static void test_waiting_rows_come_when_due(void)
{
    struct catalog *c = fresh();
    struct hosts *h = open_hosts(false, 0);
    struct todo *t = todo_new(c, h, 16, 0);
    fill(c, 2, 1, 1);
    refill(t, 100);
    struct todo_item *a = todo_take(t, 0), *b = todo_take(t, 0);
    CHECK(todo_peek(t, 0) == NULL);
    CHECK_U64(todo_next_due_ms(t), INT64_MAX);
    put_state(c, 1, ROW_WAIT, 500);
    todo_settle(t, a, true, 500);
    CHECK_U64(todo_next_due_ms(t), 500);
    refill(t, 499);
    CHECK(todo_peek(t, 0) == NULL);
    refill(t, 500);
    CHECK(todo_peek(t, 0) != NULL);
    a = todo_take(t, 0);
    CHECK_U64(a->due.row, 1);
    /* A shorter wait that is committed after a longer one was taken is not forgotten. */
    put_state(c, 2, ROW_WAIT, 200);
    todo_settle(t, b, true, 200);
    refill(t, 500);
    CHECK(todo_peek(t, 0) != NULL && todo_peek(t, 0)->due.row == 2);
    b = todo_take(t, 0);
    refill(t, 500);
    CHECK(todo_peek(t, 0) == NULL); /* both are taken: neither comes twice */
    todo_untake(t, b);
    CHECK(todo_take(t, 0) == b);
    put_state(c, 1, ROW_DONE, 0);
    put_state(c, 2, ROW_DEAD, 0);
    todo_settle(t, a, false, 0);
    todo_settle(t, b, false, 0);
    CHECK_U64(todo_taken(t), 0);
    CHECK_U64(todo_next_due_ms(t), INT64_MAX);
    todo_free(t);
    hosts_close(h);
    catalog_close(c);
}

/* Random life: rows succeed or wait, are settled late and out of order, hosts are mixed. Each row
 * ends exactly once, none is taken twice at the same time, none is forgotten. */
static void test_every_row_ends_once(void)
{
    enum { N = 150, HOSTS = 7, HELD = 40 };
    struct catalog *c = fresh();
    struct hosts *h = open_hosts(false, 0);
    struct todo *t = todo_new(c, h, 8, 0);
    struct todo_item *held[HELD];
    uint8_t n_ended[N + 1] = {0}, is_taken[N + 1] = {0};
    size_t n_held = 0, n_done = 0;
    struct rng r;
    rng_init(&r, 5, 5, 5);
    fill(c, N, HOSTS, 3);
    int64_t now_ms = 0;
    for (int step = 0; step < 100000 && n_done < N; step++) {
        now_ms += (int64_t)rng_below(&r, 20);
        refill(t, now_ms);
        size_t group_i = rng_below(&r, HOSTS);
        if (n_held < HELD && group_i < hosts_count(h) && todo_peek(t, group_i) != NULL) {
            struct todo_item *item = held[n_held++] = todo_take(t, group_i);
            CHECK(!is_taken[item->due.row]);
            is_taken[item->due.row] = 1;
        }
        if (n_held == 0 || rng_below(&r, 3) == 0)
            continue;
        size_t i = rng_below(&r, n_held);
        struct todo_item *item = held[i];
        held[i] = held[--n_held];
        uint64_t row = item->due.row;
        bool waits = rng_below(&r, 2) == 0;
        int64_t due_ms = waits ? now_ms - 50 + (int64_t)rng_below(&r, 100) : 0;
        due_ms = due_ms < 0 ? 0 : due_ms;
        put_state(c, row, waits ? ROW_WAIT : ROW_DONE, due_ms);
        is_taken[row] = 0;
        n_ended[row] = (uint8_t)(n_ended[row] + !waits);
        n_done += !waits;
        todo_settle(t, item, waits, due_ms);
    }
    CHECK_U64(n_done, N);
    for (int i = 1; i <= N; i++)
        CHECK_U64(n_ended[i], 1);
    CHECK_U64(todo_taken(t), 0);
    todo_free(t);
    hosts_close(h);
    catalog_close(c);
}

static void test_rewind_sees_new_rows(void)
{
    struct catalog *c = fresh();
    struct hosts *h = open_hosts(false, 0);
    struct todo *t = todo_new(c, h, 16, 0);
    refill(t, 1000);
    CHECK_U64(todo_next_due_ms(t), INT64_MAX);
    fill(c, 3, 1, 1);
    todo_rewind(t);
    refill(t, 1000);
    CHECK_U64(todo_queued(t), 3);
    todo_rewind(t);
    refill(t, 1000);
    CHECK_U64(todo_queued(t), 3);
    todo_free(t);
    todo_free(NULL);
    hosts_close(h);
    catalog_close(c);
}

int main(void)
{
    if (mkdtemp(dir) == NULL)
        return 1;
    RUN(test_groups);
    RUN(test_too_many_hosts);
    RUN(test_hold_after_restart);
    RUN(test_throttle);
    RUN(test_backoff);
    RUN(test_impossible_limit);
    RUN(test_blocked_host_keeps_nobody_waiting);
    RUN(test_waiting_rows_come_when_due);
    RUN(test_every_row_ends_once);
    RUN(test_rewind_sees_new_rows);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) != 0 || test_done();
}
