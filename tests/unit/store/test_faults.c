enum { N_ROWS = 12, TRACKS_PER_COMMIT = 3 };

#include "tests/unit/store/crash.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

/*
 * The crash promise with a disk that fails: at each single write and sync that a run makes, in
 * turn, the call is refused (no space, I/O error), comes back short or is never made, because the
 * process is killed. But for that the run must end with a sentence; what it left must be whole and
 * go on to the same root.
 *
 * LMDB finds the functions below instead of libc's, because the program's symbols come first.
 */
enum fault { FAULT_NONE, FAULT_ENOSPC, FAULT_EIO, FAULT_SHORT, FAULT_KILL };

static struct {
    enum fault fault; /* what happens */
    long at_call;     /* and when, counted from 1 */
    long n_calls;
    bool hit;
    bool unsynced;      /* pages of records were written since the last sync */
    uint32_t n_commits; /* meta pages, each of which makes a commit what counts */
    uint32_t n_early;   /* of these, before what they lead to was safe, or not waited for */
} disk;

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t offset);
ssize_t writev(int fd, const struct iovec *pieces, int n_pieces);
int fdatasync(int fd);

/* True when this call shall fail with errno; *n is cut when it shall be short. */
static bool faulty(size_t *n)
{
    if (disk.fault == FAULT_NONE || ++disk.n_calls != disk.at_call)
        return false;
    disk.hit = true;
    if (disk.fault == FAULT_KILL)
        kill(getpid(), SIGKILL);
    if (disk.fault == FAULT_SHORT) {
        *n /= 2;
        return false;
    }
    errno = disk.fault == FAULT_ENOSPC ? ENOSPC : EIO;
    return true;
}

/* LMDB's two meta pages are the first of the file; a commit writes 120 bytes of one. (Less than
 * LOCK_BYTES_MAX is the process id in writer.lock.) */
static void note_write(int fd, size_t n, off_t offset)
{
    enum { LOCK_BYTES_MAX = 32 };
    long page_bytes = sysconf(_SC_PAGESIZE);
    if (n < LOCK_BYTES_MAX)
        return;
    if (offset < 2 * page_bytes && n < (size_t)page_bytes) {
        disk.n_commits++;
        disk.n_early += disk.unsynced || !(fcntl(fd, F_GETFL) & O_DSYNC);
    } else {
        disk.unsynced = true;
    }
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t offset)
{
    note_write(fd, n, offset);
    return faulty(&n) ? -1 : syscall(SYS_pwrite64, fd, bytes, n, offset);
}

ssize_t writev(int fd, const struct iovec *pieces, int n_pieces)
{
    size_t n = (size_t)n_pieces;
    disk.unsynced = true;
    return faulty(&n) ? -1 : syscall(SYS_writev, fd, pieces, n);
}

int fdatasync(int fd)
{
    size_t n = 0;
    disk.unsynced = false;
    return faulty(&n) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

enum {
    RUN_WHOLE = 0,
    RUN_FAILED_WELL = 1,
    RUN_FAILED_BADLY = 2,
    RUN_DID_NOT_NOTICE = 3,
    RUN_KILLED = 128 + SIGKILL
};

/* Writes all rows with one fault; says through its exit code how it went. */
static int run_with_fault(const char *dir, enum fault fault, long at_call, uint64_t *out_committed)
{
    int fds[2], status = 0;
    uint64_t n;
    if (pipe(fds) != 0)
        abort();
    pid_t child = fork();
    if (child == 0) {
        struct err e = {0};
        struct order order = {KILL_NEVER, 0, fds[1]};
        disk.fault = fault;
        disk.at_call = at_call;
        bool ok = write_all(dir, &order, &e);
        if (ok)
            _exit(disk.hit ? RUN_DID_NOT_NOTICE : RUN_WHOLE);
        _exit(disk.hit && e.kind == ERR_FATAL && e.msg[0] ? RUN_FAILED_WELL : RUN_FAILED_BADLY);
    }
    close(fds[1]);
    while (read(fds[0], &n, sizeof n) == (ssize_t)sizeof n)
        *out_committed = n;
    close(fds[0]);
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void check_each_call(enum fault fault)
{
    enum { CALLS_MAX = 500 };
    uint64_t root = undisturbed_root();
    long call = 1, n_failed = 0;
    for (; call < CALLS_MAX; call++) {
        char dir[PATH_BYTES];
        struct err e = {0};
        struct order order = {KILL_NEVER, 0, -1};
        uint64_t committed = 0;
        fixture_dir(dir);
        int result = run_with_fault(dir, fault, call, &committed);
        check_whole(dir, committed);
        /* Half of one piece is the whole of it: a fault that changes nothing need not be noticed.
         */
        CHECK(result == RUN_WHOLE || result == RUN_FAILED_WELL ||
              (fault == FAULT_SHORT && result == RUN_DID_NOT_NOTICE) ||
              (fault == FAULT_KILL && result == RUN_KILLED));
        CHECK_OK(write_all(dir, &order, &e), &e);
        CHECK_U64(check_whole(dir, N_ROWS).root, root);
        fixture_remove(dir);
        n_failed += result == RUN_FAILED_WELL || result == RUN_KILLED;
        if (result == RUN_WHOLE)
            break;
    }
    printf("# %ld calls, %ld of the faults ended the run\n", call - 1, n_failed);
    CHECK(call > 10 && call < CALLS_MAX);
    CHECK(n_failed > 5);
}

static void test_no_space_at_each_call(void)
{
    check_each_call(FAULT_ENOSPC);
}

static void test_io_error_at_each_call(void)
{
    check_each_call(FAULT_EIO);
}

static void test_short_write_at_each_call(void)
{
    check_each_call(FAULT_SHORT);
}

static void test_killed_at_each_call(void)
{
    check_each_call(FAULT_KILL);
}

/* What a loss of power may not undo: each commit's pages are synced before the meta page that leads
 * to them is written, and that write is waited for. */
static void test_commits_are_synced(void)
{
    struct err e = {0};
    struct order order = {KILL_NEVER, 0, -1};
    char dir[PATH_BYTES];
    fixture_dir(dir);
    disk.n_commits = disk.n_early = 0;
    CHECK_OK(write_all(dir, &order, &e), &e);
    CHECK(disk.n_commits >= N_ROWS / TRACKS_PER_COMMIT);
    CHECK_U64(disk.n_early, 0);
    fixture_remove(dir);
}

int main(void)
{
    RUN(test_commits_are_synced);
    RUN(test_no_space_at_each_call);
    RUN(test_io_error_at_each_call);
    RUN(test_short_write_at_each_call);
    RUN(test_killed_at_each_call);
    return test_done();
}
