enum { N_ROWS = 120, TRACKS_PER_COMMIT = 4 };

#include "tests/unit/store/crash.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

/*
 * The crash promise: after a kill at any instant, or a disk that is full, the store opens without
 * repair, holds exactly the tracks of the commits that returned, each whole, and the same command
 * again ends with the root of a run that nothing disturbed.
 */
enum { KILLS = 25, TIMED_KILL_MAX_US = 15000 };

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
        if (!fixture_write(dir, NULL, 0, 1, &e)) /* makes lock.mdb, which is larger */
            _exit(2);
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

/* ---------------------------------------------------------------- parts for store_faults.sh */

/* Writes all that is missing; the number of committed tracks goes to REPORT after each commit. */
static int part_write(const char *dir, const char *report)
{
    struct err e = {0};
    int fd = open(report, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    struct order order = {KILL_NEVER, 0, fd};
    if (write_all(dir, &order, &e))
        return 0;
    fprintf(stderr, "%s\n", e.msg);
    return e.kind == ERR_FATAL || e.kind == ERR_PERM ? 1 : 3;
}

/* What REPORT says is there, and all that is there is whole; prints how many tracks that are. */
static int part_check(const char *dir, const char *report)
{
    uint64_t committed = 0, n;
    int fd = open(report, O_RDONLY);
    while (fd >= 0 && read(fd, &n, sizeof n) == (ssize_t)sizeof n)
        committed = n;
    test_ok = true;
    struct store_stat st = check_whole(dir, committed);
    printf("%" PRIu64 " %016" PRIx64 "\n", st.tracks, st.root);
    return test_ok ? 0 : 1;
}

/* One flipped bit, or (odd seeds) the end cut off. */
static int part_damage(const char *dir, uint64_t seed)
{
    struct err e = {0};
    struct rng r;
    struct stat st;
    char path[PATH_BYTES];
    uint8_t byte;
    rng_init(&r, seed, FIXTURE_PURPOSE, 1);
    if (!path_join(path, dir, "features.mdb/data.mdb", &e))
        return 2;
    int fd = open(path, O_RDWR);
    if (fd < 0 || fstat(fd, &st) != 0)
        return 2;
    off_t at = (off_t)rng_below(&r, (uint64_t)st.st_size);
    if (seed % 2 == 1)
        return ftruncate(fd, at) == 0 ? 0 : 2;
    if (pread(fd, &byte, 1, at) != 1)
        return 2;
    byte ^= (uint8_t)(1U << rng_below(&r, 8));
    return pwrite(fd, &byte, 1, at) == 1 ? 0 : 2;
}

static int part(char **argv)
{
    if (strcmp(argv[1], "write") == 0)
        return part_write(argv[2], argv[3]);
    if (strcmp(argv[1], "check") == 0)
        return part_check(argv[2], argv[3]);
    if (strcmp(argv[1], "damage") == 0)
        return part_damage(argv[2], strtoull(argv[3], NULL, 10));
    fprintf(stderr, "usage: test_crash [write|check DIR REPORT | damage DIR SEED]\n");
    return 2;
}

int main(int argc, char **argv)
{
    if (argc == 4)
        return part(argv);
    RUN(test_killed_at_known_points);
    RUN(test_killed_at_any_moment);
    RUN(test_commits_are_kept);
    RUN(test_write_fails_in_a_commit);
    RUN(test_full_disk);
    RUN(test_disk_floor);
    return test_done();
}
