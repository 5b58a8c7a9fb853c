/*
 * A search in a large library: time of both passes, memory, and how often the first pass keeps what
 * the exhaustive search finds. Also makes such a library, for `refrain search`:
 *
 *     bench_catalogue                          4,000 songs (REFRAIN_BENCH_SONGS=50000: so many)
 *     bench_catalogue SOURCES                  of the songs of a data set with sequences
 *     bench_catalogue SOURCES make DIR N       N songs into the data set DIR
 *     bench_catalogue SOURCES recall DIR N     N queries: versions of songs in DIR, and borrowings
 *
 * Songs that were composed in two versions are each other's next row, as tests/corpus writes them.
 */
#include "match/search.h"
#include "tests/unit/match/catalogue.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { SONGS = 4000, MADE_UP = 200, QUERIES = 20, SEED = 1, THREADS = 2, BORROWED = 72 };

static double clock_s(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double now_s(void)
{
    return clock_s(CLOCK_MONOTONIC);
}

static double cpu_s(void)
{
    return clock_s(CLOCK_PROCESS_CPUTIME_ID);
}

static double anon_mb(void)
{
    char line[256];
    unsigned long kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "RssAnon:", 8) == 0)
            kb = strtoul(line + 8, NULL, 10);
    if (f != NULL)
        fclose(f);
    return (double)kb / 1024;
}

struct bench {
    struct library sources, library;
    struct cohort cohort;
    struct search search;
    double cohort_s;
};

static bool sources_open(const char *dir, struct bench *b, struct err *e)
{
    if (dir != NULL)
        return library_open(dir, &b->sources, e);
    catalogue_sources(SEED, MADE_UP, &b->sources);
    return true;
}

static bool bench_open(const char *dir, struct bench *b, struct err *e)
{
    double t0 = now_s();
    if (!library_open(dir, &b->library, e))
        return false;
    double t1 = now_s();
    library_close(&b->library);
    if (!library_open(dir, &b->library, e))
        return false;
    double t2 = now_s();
    if (!cohort_open(dir, &b->library, SEED, THREADS, NULL, NULL, &b->cohort, e))
        return false;
    printf("%zu songs: opened in %.2f s, again in %.3f s; cohort in %.1f s, E within a factor of "
           "%.2f\n",
           b->library.n_songs, t1 - t0, t2 - t1, now_s() - t2, b->cohort.evalue_factor);
    b->search = (struct search){&b->library, &b->cohort};
    return true;
}

static void bench_close(struct bench *b)
{
    cohort_release(&b->cohort);
    library_close(&b->library);
    library_close(&b->sources);
}

/* Whether the first n of what the first pass kept has the song. */
static bool is_among(const uint32_t *kept, size_t n, size_t song_i)
{
    for (size_t i = 0; i < n; i++)
        if (kept[i] == song_i)
            return true;
    return false;
}

struct recall {
    size_t n, n_kept;           /* songs that the exhaustive search has first */
    size_t n_sure, n_sure_kept; /* all that it has at E up to 0.01 */
    double first_s, exact_s, first_cpu_s, exact_cpu_s;
};

static bool ask(const struct bench *b, const struct search_query *q, struct recall *r,
                struct err *e)
{
    enum { TOP = 10 };
    uint32_t *kept = mem_alloc(b->library.n_songs, sizeof *kept);
    struct search_hit hits[TOP];
    size_t n = 0, n_hits = 0;
    double t0 = now_s(), cpu0 = cpu_s();
    bool ok = search_first_pass(&b->search, q, kept, &n, e);
    double t1 = now_s(), cpu1 = cpu_s();
    ok = ok && search_run(&b->search, q, TOP, hits, &n_hits, e);
    r->exact_s += now_s() - t1;
    r->exact_cpu_s += cpu_s() - cpu1;
    r->first_s += t1 - t0;
    r->first_cpu_s += cpu1 - cpu0;
    /* A small library keeps 256 at least, which would prove nothing. */
    n = size_min(n, size_max(1, b->library.n_songs / SEARCH_KEPT_SHARE));
    r->n++;
    r->n_kept += ok && n_hits > 0 && is_among(kept, n, hits[0].song_i);
    for (size_t i = 0; ok && i < n_hits && hits[i].evalue <= 0.01; i++) {
        r->n_sure++;
        r->n_sure_kept += is_among(kept, n, hits[i].song_i);
    }
    mem_free(kept);
    return ok;
}

static bool ask_all(const struct bench *b, size_t n, unsigned threads, bool versions,
                    struct recall *r, struct err *e)
{
    const struct library *l = &b->library;
    for (size_t i = 0; i < n; i++) {
        struct err why = {0};
        const size_t of = versions ? i * b->sources.n_songs / n
                                   : b->sources.n_songs + i * (l->n_songs - b->sources.n_songs) / n;
        struct sequence s = {0};
        struct search_query q = {&l->songs[of].sequence, of, threads, true};
        if (!versions) {
            s = catalogue_query(&b->sources, SEED + 1, i, &l->songs[of].sequence, BORROWED);
            q = (struct search_query){&s, SIZE_MAX, threads, true};
        }
        bool ok = ask(b, &q, r, &why);
        sequence_release(&s);
        if (!ok) {
            *e = why;
            return false;
        }
    }
    return true;
}

static void print_recall(const char *what, const struct recall *r)
{
    printf("%s: %zu of %zu first ones kept by the first pass (%.3f, goal 0.97), %zu of %zu with E "
           "up to 0.01; first pass %.3f s, exhaustive %.2f s\n",
           what, r->n_kept, r->n, (double)r->n_kept / (double)r->n, r->n_sure_kept, r->n_sure,
           r->first_s / (double)r->n, r->exact_s / (double)r->n);
    fflush(stdout);
}

static bool recall_run(const char *dir, size_t n, unsigned threads, struct bench *b, struct err *e)
{
    struct recall versions = {0}, borrowings = {0};
    bool ok = bench_open(dir, b, e) && ask_all(b, n, threads, false, &borrowings, e);
    if (!ok)
        return false;
    print_recall("borrowings of 10 s", &borrowings);
    if (b->sources.root != 0) { /* composed in versions */
        ok = ask_all(b, n, threads, true, &versions, e);
        print_recall("versions", &versions);
    }
    const double each = (double)borrowings.n * (double)b->library.n_songs;
    printf(
        "50,000 songs, half the processor time of these: first pass %.2f s (goal 1 on two cores), "
        "exhaustive %.1f s (goal 15); %.0f MB of own memory (goal 1,000 at 50,000)\n",
        borrowings.first_cpu_s / each * 25000, borrowings.exact_cpu_s / each * 25000, anon_mb());
    return ok;
}

static bool run(int argc, char **argv, struct bench *b, struct err *e)
{
    const char *many = getenv("REFRAIN_BENCH_SONGS"), *threads = getenv("REFRAIN_BENCH_THREADS");
    const unsigned n_threads = threads != NULL ? (unsigned)strtoul(threads, NULL, 10) : THREADS;
    char dir[] = "/tmp/refrain-bench-XXXXXX", command[64];
    if (!sources_open(argc > 1 ? argv[1] : NULL, b, e))
        return false;
    if (argc == 5 && strcmp(argv[2], "make") == 0) {
        catalogue_write(argv[3], &b->sources, SEED, strtoul(argv[4], NULL, 10));
        return true;
    }
    if (argc == 5 && strcmp(argv[2], "recall") == 0)
        return recall_run(argv[3], strtoul(argv[4], NULL, 10), n_threads, b, e);
    if (mkdtemp(dir) == NULL)
        return err_set(e, ERR_FATAL, "no temporary folder");
    catalogue_write(dir, &b->sources, SEED, many != NULL ? strtoul(many, NULL, 10) : SONGS);
    bool ok = recall_run(dir, QUERIES, n_threads, b, e);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) == 0 && ok;
}

int main(int argc, char **argv)
{
    struct bench b = {0};
    struct err e = {0};
    bool ok = run(argc, argv, &b, &e);
    if (!ok)
        fprintf(stderr, "bench_catalogue: %s\n", e.msg);
    bench_close(&b);
    return !ok;
}
