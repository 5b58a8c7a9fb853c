/*
 * Histograms of distances: every triplet is counted once on each side, in its place, and shown.
 */
#include "base/buf.h"
#include "base/file.h"
#include "tests/test.h"
#include "tests/unit/train/synth.h"
#include "train/distances.h"

static void test_counts(void)
{
    const double positive[] = {0.0, 0.049, 0.05, 1.0}, negative[] = {1.99, 2.0, 2.0001, 1.0};
    struct distances d;
    distances_count(positive, negative, 4, &d);
    CHECK_U64(d.positive[0], 2);
    CHECK_U64(d.positive[1], 1);
    CHECK_U64(d.positive[DISTANCE_BINS / 2], 1);
    CHECK_U64(d.negative[DISTANCE_BINS - 1], 3);
    CHECK_U64(d.negative[DISTANCE_BINS / 2], 1);
}

static size_t count_of(const struct buf *text, const char *what)
{
    size_t n = 0;
    for (const char *at = (const char *)text->data; (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

static void test_picture(void)
{
    char dir[256], path[PATH_BYTES];
    struct err e = {0};
    struct buf svg;
    struct distances model = {0}, mel = {0};
    const struct distances_row rows[] = {{"model", &model}, {"<mel>", &mel}};
    model.positive[3] = 40; /* the highest: 0.15 to 0.2 of 2, up to the top of its row */
    model.negative[20] = 10;
    synth_dir(dir);
    buf_init(&svg, 1 << 20);
    CHECK_OK(path_join(path, dir, "distances.svg", &e) &&
                 distances_write(rows, 2, "a & b", path, &e) && file_read_all(path, &svg, &e) &&
                 buf_append(&svg, "", 1, &e),
             &e);
    CHECK_U64(count_of(&svg, "<path class=\"positive\""), 2);
    CHECK_U64(count_of(&svg, "<path class=\"negative\""), 2);
    CHECK_U64(count_of(&svg, "V78.0H191.6"), 1); /* the foot at 148 less the row's 70 */
    CHECK_U64(count_of(&svg, "&lt;mel&gt;"), 1);
    CHECK_U64(count_of(&svg, "a &amp; b"), 2);
    CHECK_U64(count_of(&svg, "<mel>"), 0);
    buf_release(&svg);
    synth_remove(dir);
}

int main(void)
{
    RUN(test_counts);
    RUN(test_picture);
    return test_done();
}
