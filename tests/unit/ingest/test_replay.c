/*
 * The whole fetch stage, as users run it, on a simulated network and a virtual clock: tens of hours
 * of Deezer and iTunes in seconds. REPLAY=full replays the full data set: 50,683 rows of 8,317
 * artists, and 40 hours of iTunes.
 */
#include "tests/unit/ingest/replay.h"

#include "base/file.h"
#include "base/log.h"
#include "ingest/spool.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

enum { FRAMES = 60, FRAME_BYTES = 313 };

static char dir[64];
static char csv_path[PATH_BYTES];
static struct err e;
static uint8_t preview[FRAMES * FRAME_BYTES];
static bool is_full;

static void empty_spool(void)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/spool/new", dir);
    DIR *d = opendir(path);
    CHECK(d != NULL);
    for (struct dirent *item; d != NULL && (item = readdir(d)) != NULL;)
        if (item->d_name[0] != '.')
            (void)unlinkat(dirfd(d), item->d_name, 0);
    if (d != NULL)
        closedir(d);
}

static void clean(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s/*", dir);
    CHECK(system(command) == 0);
}

/* As many artists as in the data set's proportions: two of five have one song, the first one 132.
 */
static uint32_t *make_songs(size_t n_artists, uint32_t n_songs)
{
    uint32_t *first = mem_alloc(n_artists + 1, sizeof *first), at = 0;
    size_t n_single = n_artists * 2 / 5, n_others = n_artists - n_single - 1;
    uint32_t rest = n_songs - 132 - (uint32_t)n_single;
    for (size_t a = 0; a < n_artists; a++) {
        first[a] = at;
        if (a == 0)
            at += 132;
        else if (a <= n_single)
            at++;
        else
            at += rest / (uint32_t)n_others + (a - n_single - 1 < rest % n_others);
    }
    first[n_artists] = at;
    CHECK_U64(at, n_songs);
    return first;
}

static void write_csv(size_t n_artists, const uint32_t *first)
{
    FILE *f = fopen(csv_path, "w");
    CHECK(f != NULL);
    if (f == NULL)
        return;
    fputs("track_id,name,artist,spotify_preview_url,duration_ms\n", f);
    for (size_t a = 0; a < n_artists; a++)
        for (uint32_t s = first[a]; s < first[a + 1]; s++)
            fprintf(f, "T%u,Song %u,Artist %zu,nan,200400\n", s, s, a);
    fclose(f);
}

static const struct conf_rate_list limits = {
    .n = 3,
    .items = {{"default", {.rate = {0}}},
              {"deezer.test", {.rate = {50, 5}}},
              {"itunes.test", {.rate = {20, 60}, .gap_s = 3}}},
};

static bool run(struct sim *s, enum source_id source, size_t n_in_flight,
                struct stage_result *result, struct catalog_totals *totals)
{
    struct catalog *c = NULL;
    struct spool *spool = NULL;
    const struct stage_params p = {
        .dataset_dir = dir,
        .csv_path = csv_path,
        .fetch = {.n_in_flight = n_in_flight, .max_bytes = 1 << 20, .allow_http = true},
        .limits = &limits,
        .seed = 1,
        .attempts = 5,
        .backoff_ms = 1000,
        .backoff_max_ms = 60000,
        .max_redirects = 5,
        .high_water_bytes = UINT64_MAX,
        .sources = {source},
        .n_sources = 1,
        .source_bases =
            {[SOURCE_DEEZER] = "http://deezer.test", [SOURCE_ITUNES] = "http://itunes.test"},
        .country = "US",
        .resolve_pages = 5,
        .stop_fd = -1,
        .world = &s->world,
    };
    e = (struct err){0};
    bool ok = catalog_open(dir, true, &c, &e) && spool_open(dir, &spool, &e) &&
              stage_run(&p, c, spool, result, &e);
    struct err later = {0};
    CHECK_OK(catalog_totals(c, totals, &later), &later);
    spool_close(spool);
    catalog_close(c);
    return ok;
}

static void report(const char *what, const struct sim *s, const struct stage_result *r)
{
    printf("# %s: %.2f h, %" PRIu64 " deezer, %" PRIu64 " itunes, %" PRIu64 " previews (%" PRIu64
           " stale), %" PRIu64 " throttled, violations %" PRIu64 "\n",
           what, (double)s->now_ns / 3.6e12, s->n_deezer, s->n_itunes, s->n_previews, s->n_stale,
           r->throttled, s->deezer.n_violations + s->itunes.n_violations);
}

/* One query an artist and one for each further page; quota used to 98 %. */
static void test_calls_are_what_the_artists_need(void)
{
    size_t n_artists = is_full ? 8317 : 416;
    uint32_t n_songs = is_full ? 50683 : 2534;
    uint32_t *first = make_songs(n_artists, n_songs);
    struct sim *s = sim_new(n_artists, first, (struct span){preview, sizeof preview});
    struct stage_result r;
    struct catalog_totals t;
    s->on_preview = empty_spool;
    clean();
    write_csv(n_artists, first);
    CHECK_OK(run(s, SOURCE_DEEZER, 32, &r, &t), &e);
    report("deezer", s, &r);
    CHECK_U64(t.states[ROW_DONE], n_songs);
    CHECK_U64(s->n_deezer, n_artists + 1); /* the artist with 132 has a second page */
    CHECK_U64(r.n_queries, s->n_deezer);
    CHECK_U64(r.n_resolved, n_songs);
    CHECK_U64(s->deezer.n_violations, 0);
    CHECK_U64(s->n_previews, n_songs);
    CHECK_U64(s->n_stale, 0);
    double best_s = (double)n_artists / 50 * 5.1;
    CHECK((double)s->now_ns / 1e9 < best_s * 1.1 + 30);
    mem_free(first);
    mem_free(s);
}

/* iTunes lets 20 a minute pass, is out for two hours, and all the while nothing is asked in vain
 * but for one request at a time, no row is charged and no answer is taken for "no such song". */
static void test_forty_hours_of_itunes(void)
{
    size_t n_artists = is_full ? 48000 : 2400; /* one song each: 40 hours, 2 hours */
    uint32_t *first = mem_alloc(n_artists + 1, sizeof *first);
    for (size_t a = 0; a <= n_artists; a++)
        first[a] = (uint32_t)a;
    struct sim *s = sim_new(n_artists, first, (struct span){preview, sizeof preview});
    struct stage_result r;
    struct catalog_totals t;
    s->on_preview = empty_spool;
    s->banned_from_ns = 3600 * NS_PER_S;
    s->banned_until_ns = 3 * 3600 * NS_PER_S;
    clean();
    write_csv(n_artists, first);
    CHECK_OK(run(s, SOURCE_ITUNES, 16, &r, &t), &e);
    report("itunes", s, &r);
    CHECK_U64(t.states[ROW_DONE], n_artists);
    CHECK_U64(s->itunes.n_violations, 0);
    CHECK(r.throttled >= 4 && r.throttled <= 16); /* pauses of 1, 2, 4 ... 30 minutes */
    CHECK_U64(s->n_itunes, n_artists + r.throttled);
    double quota_s = (double)n_artists * 3 + 7200;
    CHECK((double)s->now_ns / 1e9 > quota_s * 0.99);
    CHECK((double)s->now_ns / 1e9 < quota_s * 1.2 + 3600);
    mem_free(first);
    mem_free(s);
}

/* The power goes off time and again: no violation at the host, no row lost, no preview asked for
 * twice but for those that were on the way. */
static void test_restarts_in_the_middle(void)
{
    enum { ARTISTS = 300, SONGS = 1500 };
    static const size_t parallel[] = {1, 8, 64};
    uint32_t *first = make_songs(ARTISTS, SONGS);
    for (size_t k = 0; k < ARRAY_LEN(parallel); k++) {
        struct sim *s = sim_new(ARTISTS, first, (struct span){preview, sizeof preview});
        struct stage_result r;
        struct catalog_totals t = {0};
        size_t n_runs = 0;
        bool ok = false;
        s->jitter_ns = 500 * NS_PER_MS * k / 2;
        s->link_life_s = 60;
        clean();
        write_csv(ARTISTS, first);
        while (!ok && n_runs++ < 100) {
            s->crash_ns =
                n_runs <= 10 ? s->now_ns + 2 * NS_PER_S + rng_below(&s->rng, 8 * NS_PER_S) : 0;
            ok = run(s, SOURCE_DEEZER, parallel[k], &r, &t);
        }
        report("restarts", s, &r);
        CHECK(ok && n_runs > 2);
        CHECK_U64(t.states[ROW_DONE], SONGS);
        CHECK_U64(s->deezer.n_violations, 0);
        CHECK_U64(s->n_stale, 0);
        CHECK(s->n_previews <= SONGS + n_runs * parallel[k]);
        mem_free(s);
    }
    mem_free(first);
}

/* The machine's clock is hours ahead of the hosts', and then as much behind: limits do not look at
 * it, and links expire by the clock of those who signed them. */
static void test_the_clock_jumps(void)
{
    enum { ARTISTS = 300, SONGS = 1500 };
    uint32_t *first = make_songs(ARTISTS, SONGS);
    for (int sign = -1; sign <= 1; sign += 2) {
        struct sim *s = sim_new(ARTISTS, first, (struct span){preview, sizeof preview});
        struct stage_result r;
        struct catalog_totals t;
        s->clock_off_s = sign * 7200;
        s->jump_ns = s->now_ns + 15 * NS_PER_S;
        clean();
        write_csv(ARTISTS, first);
        CHECK_OK(run(s, SOURCE_DEEZER, 8, &r, &t), &e);
        report("clock jumps", s, &r);
        CHECK_U64(t.states[ROW_DONE], SONGS);
        CHECK_U64(s->deezer.n_violations, 0);
        CHECK_U64(s->n_stale, 0);
        CHECK(s->n_deezer <= ARTISTS + 64); /* asked again: what was queued when it jumped */
        CHECK(s->now_ns > s->jump_ns);
        mem_free(s);
    }
    mem_free(first);
}

/* The same run twice is the same to the nanosecond. */
static void test_a_replay_is_the_same_each_time(void)
{
    enum { ARTISTS = 60, SONGS = 400 };
    uint32_t *first = make_songs(ARTISTS, SONGS);
    uint64_t ended_ns[2];
    for (size_t i = 0; i < 2; i++) {
        struct sim *s = sim_new(ARTISTS, first, (struct span){preview, sizeof preview});
        struct stage_result r;
        struct catalog_totals t;
        s->jitter_ns = 300 * NS_PER_MS;
        clean();
        write_csv(ARTISTS, first);
        CHECK_OK(run(s, SOURCE_DEEZER, 4, &r, &t), &e);
        ended_ns[i] = s->now_ns;
        mem_free(s);
    }
    CHECK_U64(ended_ns[0], ended_ns[1]);
    mem_free(first);
}

int main(void)
{
    const char *replay = getenv("REPLAY");
    is_full = replay != NULL && strcmp(replay, "full") == 0;
    log_set_level(LOG_ERROR);
    for (size_t i = 0; i < FRAMES; i++) /* MPEG-1 layer III, 96 kbit/s, 44.1 kHz */
        memcpy(preview + i * FRAME_BYTES, "\xFF\xFB\x70\xC4", 4);
    /* In memory where there is such a place: the test is about time and not about disks. */
    snprintf(dir, sizeof dir, "%s/refrain-replay-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(dir) == NULL || !path_join(csv_path, dir, "m.csv", &e))
        return 1;
    RUN(test_calls_are_what_the_artists_need);
    RUN(test_forty_hours_of_itunes);
    RUN(test_restarts_in_the_middle);
    RUN(test_the_clock_jumps);
    RUN(test_a_replay_is_the_same_each_time);
    clean();
    return rmdir(dir) != 0 || test_done();
}
