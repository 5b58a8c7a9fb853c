#include "base/clock.h"
#include "base/hash.h"
#include "tests/unit/store/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

/*
 * The crash promise: after a kill at any instant, or a disk that is full, the store opens without
 * repair, holds exactly the tracks of the commits that returned, each whole, and the same command
 * again ends with the root of a run that nothing disturbed.
 */
enum { N_ROWS = 120, TRACKS_PER_COMMIT = 4, KILLS = 25, TIMED_KILL_MAX_US = 15000 };

/* Where a writing child kills itself. */
enum kill_point { KILL_NEVER, KILL_BEFORE_PUT, KILL_AFTER_PUT, KILL_AFTER_COMMIT };

struct order {
    enum kill_point point;
    uint64_t after_tracks; /* the point is taken after this many new ones */
    int report_fd;         /* the number of tracks that are committed, after each commit; or -1 */
};

static void maybe_die(const struct order *order, enum kill_point point, uint64_t n_new)
{
    if (order->point == point && n_new == order->after_tracks)
        kill(getpid(), SIGKILL);
}

static bool commit_and_tell(struct store_writer *w, const struct order *order, uint64_t n_tracks,
                            struct err *e)
{
    if (!store_commit(w, e))
        return false;
    if (order->report_fd >= 0 &&
        write(order->report_fd, &n_tracks, sizeof n_tracks) != (ssize_t)sizeof n_tracks)
        return err_set(e, ERR_FATAL, "the parent is gone");
    return true;
}

/* Writes all rows that are not there yet, in an order that is not the keys'. */
static bool write_all(const char *dir, const struct order *order, struct err *e)
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
static int run_child(const char *dir, struct order order, uint64_t kill_after_us,
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

static bool walk_record(void *arg, uint64_t key, struct span record)
{
    struct walk *walk = arg;
    struct err e = {0};
    walk->ok = walk->ok && record_verify(record, &e);
    walk->root += hash64(record.ptr, record.len, key);
    walk->n++;
    return true;
}

/* Opens what a crash left: every track whole, totals and root those of the records. */
static struct store_stat check_whole(const char *dir, uint64_t committed_at_least)
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

static uint64_t undisturbed_root(void)
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

static void finish_and_compare(const char *dir)
{
    struct err e = {0};
    struct order order = {KILL_NEVER, 0, -1};
    CHECK_OK(write_all(dir, &order, &e), &e);
    struct store_stat st = check_whole(dir, N_ROWS);
    CHECK_U64(st.tracks, N_ROWS);
    CHECK_U64(st.root, undisturbed_root());
}

static void test_killed_at_known_points(void)
{
    static const struct {
        enum kill_point point;
        uint64_t after, want_tracks;
    } cases[] = {
        {KILL_BEFORE_PUT, 0, 0}, {KILL_AFTER_PUT, 3, 0},     {KILL_AFTER_COMMIT, 4, 4},
        {KILL_AFTER_PUT, 3, 4},  {KILL_AFTER_COMMIT, 8, 12}, {KILL_AFTER_PUT, 7, 16},
    };
    char dir[PATH_BYTES];
    fixture_dir(dir);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t committed = 0;
        int status =
            run_child(dir, (struct order){cases[i].point, cases[i].after, -1}, 0, &committed);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        CHECK_U64(check_whole(dir, cases[i].want_tracks).tracks, cases[i].want_tracks);
    }
    finish_and_compare(dir);
    fixture_remove(dir);
}

static void test_killed_at_any_moment(void)
{
    char dir[PATH_BYTES];
    struct rng r;
    uint64_t committed = 0;
    rng_init(&r, 11, FIXTURE_PURPOSE, 0);
    fixture_dir(dir);
    for (int i = 0; i < KILLS; i++) {
        run_child(dir, (struct order){KILL_NEVER, 0, -1}, 500 + rng_below(&r, TIMED_KILL_MAX_US),
                  &committed);
        check_whole(dir, 0);
    }
    finish_and_compare(dir);
    fixture_remove(dir);
}

/* What a commit said is there is there: the child's last report against the store. */
static void test_commits_are_kept(void)
{
    struct rng r;
    rng_init(&r, 12, FIXTURE_PURPOSE, 0);
    for (int i = 0; i < 30; i++) { /* most in the first instants, when the files are made */
        uint64_t life_us = i < 5 ? 3000 + rng_below(&r, 20000) : 1 + rng_below(&r, 1500);
        char dir[PATH_BYTES];
        uint64_t committed = 0;
        fixture_dir(dir);
        run_child(dir, (struct order){KILL_NEVER, 0, -1}, life_us, &committed);
        struct store_stat st = check_whole(dir, committed);
        CHECK(st.tracks <= committed + TRACKS_PER_COMMIT);
        fixture_remove(dir);
    }
}

/* ---------------------------------------------------------------- full disks */

/* A limit on the file's size fails the write of a commit in the middle, as a full disk does. */
static void test_write_fails_in_a_commit(void)
{
    char dir[PATH_BYTES];
    int status = 0;
    fixture_dir(dir);
    pid_t child = fork();
    if (child == 0) {
        struct err e = {0};
        struct order order = {KILL_NEVER, 0, -1};
        struct rlimit limit = {150 << 10, 150 << 10};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        bool ok = write_all(dir, &order, &e);
        bool told = e.kind == ERR_FATAL && strstr(e.msg, "KiB") && strstr(e.msg, "is safe");
        if (!told)
            printf("# %s\n", e.msg);
        fflush(stdout);
        _exit(!ok && told ? 0 : 1);
    }
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    struct store_stat st = check_whole(dir, TRACKS_PER_COMMIT);
    CHECK(st.tracks < N_ROWS);
    CHECK_U64(st.tracks % TRACKS_PER_COMMIT, 0);
    finish_and_compare(dir);
    fixture_remove(dir);
}

/* A tmpfs of 3 MiB in a mount namespace of our own; false where that is not allowed. */
static bool mount_small(const char *dir)
{
    if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
        return false;
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", dir, "tmpfs", 0, "size=3m") == 0;
}

static void fill_disk(const char *dir)
{
    char path[PATH_BYTES];
    static const char zeros[4096];
    snprintf(path, sizeof path, "%.3000s/filler", dir);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    while (fd >= 0 && write(fd, zeros, sizeof zeros) > 0)
        continue;
    close(fd);
}

static void empty_disk(const char *dir)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%.3000s/filler", dir);
    unlink(path);
}

enum { CHILD_OK = 0, CHILD_WRONG = 1, CHILD_SKIPPED = 77 };

static void full_disk_child(const char *dir)
{
    struct err e = {0}, refused = {0};
    struct store_recipe recipe = fixture_recipe();
    struct store_writer_params params = fixture_params();
    struct store_writer *w = NULL;
    struct record_encoder *enc = record_encoder_new(RECORD_U8, 1);
    bool added;
    if (!mount_small(dir))
        _exit(CHILD_SKIPPED);
    bool ok = store_writer_open(dir, &recipe, &params, &w, &e) &&
              fixture_put(w, enc, 1, &added, &e) && store_commit(w, &e) &&
              fixture_put(w, enc, 2, &added, &e);
    fill_disk(dir);
    /* Refused before the put where it can be seen coming, at the commit where not. */
    ok = ok && !fixture_put(w, enc, 3, &added, &refused) && refused.kind == ERR_FATAL &&
         strstr(refused.msg, "full");
    bool commit_failed = ok && !store_commit(w, &refused) && refused.kind == ERR_FATAL;
    /* With room again the same writer goes on; the batch that failed is not in its totals. */
    empty_disk(dir);
    ok = ok && fixture_put(w, enc, 4, &added, &e) && added && store_commit(w, &e);
    store_writer_close(w);
    record_encoder_free(enc);
    if (!ok || !commit_failed || !strstr(refused.msg, "no room")) {
        printf("# %s / %s\n", e.msg, refused.msg);
        fflush(stdout);
        _exit(CHILD_WRONG);
    }
    _exit(check_whole(dir, 2).tracks == 2 && test_ok ? CHILD_OK : CHILD_WRONG);
}

static void test_full_disk(void)
{
    char dir[PATH_BYTES];
    int status = 0;
    fixture_dir(dir);
    pid_t child = fork();
    if (child == 0)
        full_disk_child(dir);
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status));
    if (WEXITSTATUS(status) == CHILD_SKIPPED)
        printf("# no mount namespace here: the tmpfs part is left out\n");
    else
        CHECK_U64(WEXITSTATUS(status), CHILD_OK);
    fixture_remove(dir);
}

static void test_disk_floor(void)
{
    struct err e = {0};
    struct store_recipe recipe = fixture_recipe();
    struct store_writer_params params = fixture_params();
    struct store_writer *w = NULL;
    struct record_encoder *enc = record_encoder_new(RECORD_U8, 1);
    char dir[PATH_BYTES];
    bool added;
    fixture_dir(dir);
    params.disk_floor_bytes = UINT64_C(1) << 60;
    CHECK_OK(store_writer_open(dir, &recipe, &params, &w, &e), &e);
    CHECK(!fixture_put(w, enc, 1, &added, &e));
    CHECK(e.kind == ERR_FATAL && strstr(e.msg, "floor"));
    store_writer_close(w);
    record_encoder_free(enc);
    fixture_remove(dir);
}

int main(void)
{
    RUN(test_killed_at_known_points);
    RUN(test_killed_at_any_moment);
    RUN(test_commits_are_kept);
    RUN(test_write_fails_in_a_commit);
    RUN(test_full_disk);
    RUN(test_disk_floor);
    return test_done();
}
