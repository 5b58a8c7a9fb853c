/* Whether E-values are true: counting, intervals, and catalogues that are cut out of a data set. */
#include "base/file.h"
#include "base/mem.h"
#include "programs/match_calibration.h"
#include "tests/unit/match/catalogue.h"
#include "tests/unit/programs/fixture.h"

enum { AT_1 = 3 }; /* eval_evalues[3] is 1 */

static void test_counts(void)
{
    enum { SONGS = 100 };
    struct chance_tally t;
    struct chance_point points[EVAL_EVALUES];
    uint64_t groups[SONGS];
    chance_tally_init(&t, SONGS);
    for (size_t i = 0; i < SONGS; i++) {
        groups[i] = i + 1;
        chance_tally_query(&t);
        for (size_t k = 0; k < SONGS; k++)
            if (k != i) /* each song has one that chance gives once a query, and no better one */
                chance_tally_add(&t, i, k, (i ^ k) == 1 ? 0.5 : 50, SONGS);
    }
    chance_tally_measure(&t, groups, 1, points);
    CHECK_NEAR(points[AT_1].unrelated.value, 1, 1e-12);
    CHECK_NEAR(points[AT_1].promised, 0.99, 1e-12);
    /* Every work is alike, so that the interval is Poisson's, of 50 pairs (tables: 37.1 to 65.9).
     */
    CHECK_NEAR(points[AT_1].unrelated.lo, 0.742, 0.002);
    CHECK_NEAR(points[AT_1].unrelated.hi, 1.318, 0.002);
    CHECK(points[AT_1 - 1].unrelated.value == 0 && points[AT_1 - 1].unrelated.lo == 0);
    CHECK_NEAR(points[AT_1 - 1].unrelated.hi, 3.69 * 2 / SONGS, 0.01); /* of no pair: 3.69 */
    CHECK_NEAR(points[AT_1 + 2].unrelated.value, SONGS - 1, 1e-9);
    chance_tally_release(&t);
    chance_tally_release(&t);
}

/* Hits that are all one work's say little of another draw of works, however many they are. */
static void test_one_work(void)
{
    enum { SONGS = 200 };
    struct chance_tally t;
    struct chance_point points[EVAL_EVALUES];
    uint64_t groups[SONGS];
    chance_tally_init(&t, SONGS);
    for (size_t i = 0; i < SONGS; i++) {
        groups[i] = i + 1;
        chance_tally_query(&t);
        for (size_t k = 0; k < SONGS; k++)
            if (k != i)
                chance_tally_add(&t, i, k, i == 0 || k == 0 ? 0.5 : 5000, SONGS);
    }
    chance_tally_measure(&t, groups, 1, points);
    CHECK_NEAR(points[AT_1].unrelated.value, 2.0 * (SONGS - 1) / SONGS, 1e-9);
    CHECK(points[AT_1].unrelated.lo < 0.1 && points[AT_1].unrelated.hi > 4);
    chance_tally_release(&t);
}

static void write_groups(const char *dir, size_t n, char path[PATH_BYTES])
{
    struct err e = {0};
    struct buf text;
    char line[64];
    buf_init(&text, 1 << 20);
    CHECK_OK(path_join(path, dir, "groups.csv", &e), &e);
    snprintf(line, sizeof line, "track_id,work_id\n");
    CHECK_OK(buf_append(&text, line, strlen(line), &e), &e);
    for (size_t i = 0; i < n; i++) { /* the last one is a version of S3 */
        snprintf(line, sizeof line, "S%zu,W%zu\n", i, i == n - 1 ? 3 : i);
        CHECK_OK(buf_append(&text, line, strlen(line), &e), &e);
    }
    CHECK_OK(file_write_atomic(path, buf_span(&text), &e), &e);
    buf_release(&text);
}

/* Two catalogues of 16 songs, each searched for the 18 others: as many queries and pairs as there
 * are, one of them a version, and E-values that are true within what so few songs can show. */
static void test_catalogues(void)
{
    enum { SONGS = 34, OF = 16 };
    struct library songs;
    struct calibration_result r;
    struct match_catalogue c;
    struct err e = {0};
    char dir[PATH_BYTES], path[PATH_BYTES];
    catalogue_sources(1, SONGS, &songs);
    song_borrow(&songs.songs[3].sequence, 2, &songs.songs[SONGS - 1].sequence, 0, 200, 5, 1, 1);
    song_borrow(&songs.songs[4].sequence, 2, &songs.songs[SONGS - 2].sequence, 0, 200, 5, 1, 1);
    fixture_dir(dir);
    CHECK_OK(path_join(path, dir, "refrain.conf", &e), &e);
    CHECK_OK(file_write_atomic(path, (struct span){"", 0}, &e), &e);
    catalogue_write(dir, &songs, 1, SONGS);
    write_groups(dir, SONGS, path);
    CHECK_OK(match_catalogue_open_library(dir, 2, &c, &e), &e);
    CHECK_OK(match_calibrate(&c, path, OF, &r, &e), &e);
    CHECK(r.n_songs == SONGS && r.n_catalogue == OF && r.n_catalogues == 2);
    CHECK(r.n_queries == 2 * (SONGS - OF));
    const double n_pairs = 2 * (SONGS - OF) * OF - 1; /* without the version of S3 */
    CHECK_NEAR(r.chance[AT_1].promised, n_pairs / OF / (double)r.n_queries, 1e-12);
    CHECK(r.chance[AT_1].unrelated.value > 0.3 && r.chance[AT_1].unrelated.value < 3);
    CHECK_NEAR(r.chance[AT_1 + 2].unrelated.value, n_pairs / (double)r.n_queries, 1e-9);
    /* The last but one has S4's melody and is said to be of another work: the one false match. */
    CHECK_NEAR(r.chance[0].unrelated.value * (double)r.n_queries, 1, 1e-9);
    for (size_t t = 0; t < EVAL_EVALUES; t++)
        CHECK(r.least[t] <= r.chance[t].unrelated.value + 1e-12 &&
              r.chance[t].unrelated.value <= r.most[t] + 1e-12);
    CHECK(!match_calibrate(&c, path, SONGS / 2 + 1, &r, &e) && strstr(e.msg, "half of the 34"));
    CHECK(!match_calibrate(&c, path, COHORT_LIBRARY_MIN - 1, &r, &e));
    match_catalogue_close(&c);
    library_close(&songs);
    fixture_remove(dir);
}

int main(void)
{
    RUN(test_counts);
    RUN(test_one_work);
    RUN(test_catalogues);
    return test_done();
}
