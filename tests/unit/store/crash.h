/*
 * What the tests of the crash promise share: a child that writes a store and dies in some way, and
 * the look at what it left. The test defines N_ROWS and TRACKS_PER_COMMIT before it includes this.
 */
#ifndef REFRAIN_STORE_CRASH_H
#define REFRAIN_STORE_CRASH_H

#include "base/clock.h"
#include "base/hash.h"
#include "tests/unit/store/fixture.h"

#include <signal.h>
#include <sys/wait.h>

/* Where a writing child kills itself. */
enum kill_point { KILL_NEVER, KILL_BEFORE_PUT, KILL_AFTER_PUT, KILL_AFTER_COMMIT };

struct order {
    enum kill_point point;
    uint64_t after_tracks; /* the point is taken after this many new ones */
    int report_fd;         /* the number of tracks that are committed, after each commit; or -1 */
};

static inline void maybe_die(const struct order *order, enum kill_point point, uint64_t n_new)
{
    if (order->point == point && n_new == order->after_tracks)
        kill(getpid(), SIGKILL);
}

static inline bool commit_and_tell(struct store_writer *w, const struct order *order,
                                   uint64_t n_tracks, struct err *e)
{
    if (!store_commit(w, e))
        return false;
    if (order->report_fd >= 0 &&
        write(order->report_fd, &n_tracks, sizeof n_tracks) != (ssize_t)sizeof n_tracks)
        return err_set(e, ERR_FATAL, "the parent is gone");
    return true;
}

/* Writes all rows that are not there yet, in an order that is not the keys'. */
static inline bool write_all(const char *dir, const struct order *order, struct err *e)
{
    struct store_recipe recipe = fixture_recipe();
    struct store_writer_params params = fixture_params();
    struct store_writer *w = NULL;
    struct record_encoder *enc = record_encoder_new(RECORD_U8, 1);
    uint64_t n_new = 0, n_there = 0;
    bool ok = store_writer_open(dir, &recipe, &params, &w, e);
    for (uint64_t i = 0; i < N_ROWS && ok; i++) {
        bool added = false;
        maybe_die(order, KILL_BEFORE_PUT, n_new);
        ok = fixture_put(w, enc, i * 37 % N_ROWS, &added, e);
        n_there++;
        n_new += added;
        if (added)
            maybe_die(order, KILL_AFTER_PUT, n_new);
        if (ok && n_new % TRACKS_PER_COMMIT == 0 && added) {
            ok = commit_and_tell(w, order, n_there, e);
            maybe_die(order, KILL_AFTER_COMMIT, n_new);
        }
    }
    ok = ok && commit_and_tell(w, order, n_there, e);
    store_writer_close(w);
    record_encoder_free(enc);
    return ok;
}

/* A child that writes; *out_committed is what it reported last. Returns waitpid's status. */
static inline int run_child(const char *dir, struct order order, uint64_t kill_after_us,
                            uint64_t *out_committed)
{
    int fds[2], status = 0;
    uint64_t n;
    if (pipe(fds) != 0)
        abort();
    pid_t child = fork();
    if (child == 0) {
        struct err e = {0};
        close(fds[0]);
        order.report_fd = fds[1];
        bool ok = write_all(dir, &order, &e);
        _exit(ok ? 0 : 1);
    }
    close(fds[1]);
    if (kill_after_us > 0) {
        clock_sleep_ns(kill_after_us * NS_PER_US);
        kill(child, SIGKILL);
    }
    while (read(fds[0], &n, sizeof n) == (ssize_t)sizeof n)
        *out_committed = n;
    close(fds[0]);
    waitpid(child, &status, 0);
    return status;
}

struct walk {
    uint64_t root, n;
    bool ok;
};

static inline bool walk_record(void *arg, uint64_t key, struct span record)
{
    struct walk *walk = arg;
    struct err e = {0};
    walk->ok = walk->ok && record_verify(record, &e);
    walk->root += hash64(record.ptr, record.len, key);
    walk->n++;
    return true;
}

/* Opens what a crash left: every track whole, totals and root those of the records. */
static inline struct store_stat check_whole(const char *dir, uint64_t committed_at_least)
{
    struct err e = {0};
    struct store *s = NULL;
    struct store_stat st = {0};
    struct walk walk = {.ok = true};
    if (!store_exists(dir)) {
        CHECK_U64(committed_at_least, 0);
        return st;
    }
    if (!store_open(dir, &s, &e)) {
        if (e.kind != ERR_PERM) /* not merely killed before its first commit */
            CHECK_OK(false, &e);
        CHECK_U64(committed_at_least, 0);
        return st;
    }
    CHECK_OK(store_stat(s, &st, &e) && store_each(s, walk_record, &walk, &e), &e);
    CHECK(walk.ok);
    CHECK_U64(walk.root, st.root);
    CHECK_U64(walk.n, st.clips);
    CHECK_U64(st.clips, st.tracks * FIXTURE_VIEWS);
    CHECK(st.tracks >= committed_at_least);
    store_close(s);
    return st;
}

static inline uint64_t undisturbed_root(void)
{
    struct err e = {0};
    struct order order = {KILL_NEVER, 0, -1};
    char dir[PATH_BYTES];
    fixture_dir(dir);
    CHECK_OK(write_all(dir, &order, &e), &e);
    uint64_t root = check_whole(dir, N_ROWS).root;
    fixture_remove(dir);
    return root;
}

static inline void finish_and_compare(const char *dir)
{
    struct err e = {0};
    struct order order = {KILL_NEVER, 0, -1};
    CHECK_OK(write_all(dir, &order, &e), &e);
    struct store_stat st = check_whole(dir, N_ROWS);
    CHECK_U64(st.tracks, N_ROWS);
    CHECK_U64(st.root, undisturbed_root());
}

#endif
