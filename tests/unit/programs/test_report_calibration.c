/* What eval leaves for the report: read back, drawn, and not trusted. */
#include "base/file.h"
#include "programs/report_calibration.h"
#include "tests/test.h"

#include <stdlib.h>
#include <unistd.h>

static char dir[] = "/tmp/refrain-calibration.XXXXXX";

static char *drawn(const struct calibration_point *points, size_t n)
{
    char *text = NULL;
    size_t n_bytes;
    FILE *out = open_memstream(&text, &n_bytes);
    report_calibration(points, n, out);
    fclose(out);
    return text;
}

static void put_file(const char *text)
{
    char path[PATH_BYTES];
    struct err e = {0};
    CHECK_OK(path_join(path, dir, "calibration.csv", &e), &e);
    CHECK_OK(file_write_atomic(path, (struct span){text, strlen(text)}, &e), &e);
}

static void test_there_and_back(void)
{
    static const struct calibration_point points[] = {{0.01, 0.0099, 0.012, 0, 0.02},
                                                      {1, 0.97, 1.25, 0.9, 1.6}};
    struct calibration_point got[CALIBRATION_POINTS_MAX];
    struct err e = {0};
    CHECK_U64(calibration_read(dir, got), 0); /* none yet */
    CHECK_OK(calibration_write(dir, points, 2, &e), &e);
    CHECK_U64(calibration_read(dir, got), 2);
    CHECK(memcmp(got, points, sizeof points) == 0);
    char *text = drawn(got, 2);
    const char *first = strstr(text, "<circle");
    CHECK(first != NULL && strstr(first + 1, "<circle") != NULL);
    free(text);
    text = drawn(got, 0);
    CHECK_STR(text, "");
    free(text);
}

static void test_lines_that_are_none(void)
{
    struct calibration_point got[CALIBRATION_POINTS_MAX];
    put_file("evalue,expected,observed,low,high\n1,2,3\nnan,1,1,1,1\n<script>\n1,2,3,4,5\n\n");
    CHECK_U64(calibration_read(dir, got), 1);
    CHECK(got[0].evalue == 1 && got[0].high == 5);
    char many[4096] = "";
    for (int i = 0; i < CALIBRATION_POINTS_MAX + 5; i++)
        strcat(many, "1,1,1,1,1\n");
    put_file(many);
    CHECK_U64(calibration_read(dir, got), CALIBRATION_POINTS_MAX);
}

int main(void)
{
    if (mkdtemp(dir) == NULL)
        return 1;
    RUN(test_there_and_back);
    RUN(test_lines_that_are_none);
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/calibration.csv", dir);
    unlink(path);
    rmdir(dir);
    return test_done();
}
