/*
 * A run over the whole catalogue that is killed and goes on, again and again, ends with the same
 * bytes as one that nothing disturbs.
 */
#include "base/clock.h"
#include "programs/match_catalogue.h"
#include "tests/unit/match/catalogue.h"
#include "tests/unit/programs/fixture.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

enum { SONGS = 48, FRAMES = 90, KILLS = 6, WAIT_MAX_S = 120 };

/* Every third song is the one before it, five semitones up; every seventh borrows a passage. */
static void make_songs(struct library *out)
{
    catalogue_sources(1, SONGS, out);
    for (size_t i = 0; i < SONGS; i++) {
        struct sequence *s = &out->songs[i].sequence;
        sequence_release(s);
        *s = song_make(i + 1, FRAMES);
        if (i % 3 == 2)
            song_borrow(&out->songs[i - 1].sequence, 2, s, 0, FRAMES - 2, 5, 1, 1);
        else if (i % 7 == 6)
            song_borrow(&out->songs[i - 6].sequence, 10, s, 30, 36, 2, 1, 1);
    }
}

static void make_dataset(const struct library *songs, char dir[PATH_BYTES])
{
    struct err e = {0};
    char path[PATH_BYTES];
    fixture_dir(dir);
    CHECK_OK(path_join(path, dir, "refrain.conf", &e), &e);
    CHECK_OK(file_write_atomic(path, (struct span){"", 0}, &e), &e);
    catalogue_write(dir, songs, 1, SONGS);
}

static bool run_all(const char *dir, unsigned threads, struct all_report *r, struct err *e)
{
    static const struct all_request request = {.evalue = 0.01};
    struct match_catalogue c;
    if (!match_catalogue_open(dir, threads, &c, e))
        return false;
    bool ok = match_catalogue_all(&c, &request, r, e);
    match_catalogue_close(&c);
    return ok;
}

static void read_file(const char *dir, const char *name, struct buf *out)
{
    struct err e = {0};
    char path[PATH_BYTES];
    buf_init(out, 1 << 24);
    CHECK_OK(path_join(path, dir, name, &e), &e);
    CHECK_OK(file_read_all(path, out, &e), &e);
}

static size_t log_bytes(const char *dir)
{
    struct err e = {0};
    struct stat st;
    char path[PATH_BYTES];
    return path_join(path, dir, "matches.log", &e) && stat(path, &st) == 0 ? (size_t)st.st_size : 0;
}

/* Whether it was killed with at least so many bytes in the log, before it was done. */
static bool run_and_kill(const char *dir, unsigned threads, size_t bytes)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        struct all_report r;
        struct err e = {0};
        _exit(run_all(dir, threads, &r, &e) ? 0 : 1);
    }
    const uint64_t until_ns = clock_now_ns() + (uint64_t)WAIT_MAX_S * NS_PER_S;
    while (child > 0 && waitpid(child, &status, WNOHANG) == 0) {
        struct timespec pause = {.tv_nsec = 200 * 1000};
        if (log_bytes(dir) >= bytes || clock_now_ns() > until_ns) {
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            break;
        }
        nanosleep(&pause, NULL);
    }
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

/* What a crash of the machine may leave behind the last whole entry. */
static void append_rubbish(const char *dir, size_t n)
{
    struct err e = {0};
    char path[PATH_BYTES];
    CHECK_OK(path_join(path, dir, "matches.log", &e), &e);
    FILE *f = fopen(path, "ab");
    CHECK(f != NULL);
    for (size_t i = 0; f != NULL && i < n; i++)
        fputc((int)(i * 37 & 0xff), f);
    CHECK(f != NULL && fclose(f) == 0);
}

static void test_killed(void)
{
    static const char *const files[] = {"groups.csv", "pairs.csv", "matches.log"};
    struct err e = {0};
    struct library songs;
    struct all_report whole, rest;
    char undisturbed[PATH_BYTES], killed[PATH_BYTES];
    size_t n_killed = 0;
    make_songs(&songs);
    make_dataset(&songs, undisturbed);
    make_dataset(&songs, killed);
    CHECK_OK(run_all(undisturbed, 2, &whole, &e), &e);
    CHECK_U64(whole.n_searched, SONGS);
    CHECK(whole.n_groups > 0 && whole.n_pairs >= SONGS / 3);
    const size_t end = log_bytes(undisturbed);
    for (size_t i = 0; i < KILLS; i++) {
        n_killed += run_and_kill(killed, 1 + (unsigned)i % 3, end * (i + 1) / (KILLS + 3)) ? 1 : 0;
        append_rubbish(killed, 11 * i);
    }
    CHECK(n_killed >= KILLS / 2);
    CHECK(log_bytes(killed) < end);
    CHECK_OK(run_all(killed, 3, &rest, &e), &e);
    CHECK(rest.n_searched > 0 && rest.n_searched < SONGS);
    CHECK(rest.n_pairs == whole.n_pairs && rest.n_groups == whole.n_groups);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct buf want, got;
        read_file(undisturbed, files[i], &want);
        read_file(killed, files[i], &got);
        CHECK(want.len > 0 && want.len == got.len && memcmp(want.data, got.data, want.len) == 0);
        buf_release(&want);
        buf_release(&got);
    }
    library_close(&songs);
    fixture_remove(undisturbed);
    fixture_remove(killed);
}

/* A search says by which law its E-values are: that of the data set, where it is large enough. */
static void test_search_says_its_law(void)
{
    static const struct search_request request = {"S3", 2, false, true, 1700000000};
    struct library songs;
    struct match_catalogue c;
    struct err e = {0};
    char dir[PATH_BYTES], *text = NULL;
    size_t n;
    make_songs(&songs);
    make_dataset(&songs, dir);
    CHECK_OK(match_catalogue_open(dir, 1, &c, &e), &e);
    FILE *out = open_memstream(&text, &n);
    CHECK_OK(match_catalogue_search(&c, &request, out, &e), &e);
    fclose(out);
    CHECK(c.cohort.null.n_pairs > 1000);
    CHECK(strstr(text, "\"law\": \"fitted on ") != NULL);
    CHECK(strstr(text, "\"date\": \"2023-11-14T22:13:20Z\"") != NULL);
    CHECK(strstr(text, "\"file\": null") != NULL); /* it is a song of the data set */
    free(text);
    match_catalogue_close(&c);
    library_close(&songs);
    fixture_remove(dir);
}

int main(void)
{
    RUN(test_killed);
    RUN(test_search_says_its_law);
    return test_done();
}
