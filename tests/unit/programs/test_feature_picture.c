/* Pictures of a log-mel taken apart again: the cells, the marks on the axes, the SVG's labels. */
#include "programs/feature_picture.h"

#include "base/file.h"
#include "base/mem.h"
#include "programs/picture.h"
#include "programs/plot.h"
#include "tests/test.h"
#include "tests/unit/programs/fixture.h"

#include <stdlib.h>
#include <zlib.h>

enum { FILE_BYTES_MAX = 4 << 20 };
enum { LEFT = 84, TOP = 16, RIGHT = 40, BOTTOM = 44 }; /* of feature_picture.c */

static char dir[PATH_BYTES];

struct image {
    uint32_t width, height;
    uint8_t *rgb;
};

static uint32_t be32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* RGB rows, as they are or as the difference to the row above; one IDAT chunk. */
static struct image png_read(const char *path)
{
    struct err e = {0};
    struct buf file;
    buf_init(&file, FILE_BYTES_MAX);
    CHECK_OK(file_read_all(path, &file, &e), &e);
    struct image im = {be32(file.data + 16), be32(file.data + 20), NULL};
    size_t row_bytes = 3 * (size_t)im.width, at = 8;
    while (memcmp(file.data + at + 4, "IDAT", 4) != 0)
        at += 12 + be32(file.data + at);
    uLongf n = (row_bytes + 1) * im.height;
    uint8_t *rows = mem_alloc(n, 1);
    CHECK_U64(uncompress(rows, &n, file.data + at + 8, be32(file.data + at)), Z_OK);
    im.rgb = mem_zalloc(row_bytes, im.height);
    for (size_t y = 0; y < im.height; y++)
        for (size_t i = 0; i < row_bytes; i++) {
            uint8_t above = y > 0 ? im.rgb[(y - 1) * row_bytes + i] : 0;
            uint8_t filter = rows[y * (row_bytes + 1)];
            CHECK(filter == 0 || filter == 2);
            im.rgb[y * row_bytes + i] =
                (uint8_t)(rows[y * (row_bytes + 1) + 1 + i] + (filter == 2 ? above : 0));
        }
    mem_free(rows);
    buf_release(&file);
    return im;
}

static const uint8_t *pixel(const struct image *im, size_t x, size_t y)
{
    return im->rgb + 3 * (y * im->width + x);
}

static bool is_white(const uint8_t *rgb)
{
    return rgb[0] == 255 && rgb[1] == 255 && rgb[2] == 255;
}

/* 10 s, dark but for one bright cell: frame 215, band 100. */
enum { N_FRAMES = 431, N_MELS = 128, FRAME = 215, BAND = 100 };
static float *values_new(void)
{
    float *db = mem_alloc((size_t)N_FRAMES * N_MELS, sizeof *db);
    for (size_t i = 0; i < (size_t)N_FRAMES * N_MELS; i++)
        db[i] = -80;
    db[FRAME * N_MELS + BAND] = 0;
    return db;
}

static void test_png(void)
{
    struct err e = {0};
    struct feature_spec spec = feature_spec_of(FEATURE_LIBROSA_0_10);
    char path[PATH_BYTES];
    uint8_t palette[PNG_PALETTE_BYTES];
    float *db = values_new();
    CHECK_OK(path_join(path, dir, "mel.png", &e), &e);
    CHECK_OK(feature_picture_write(path, &spec, db, N_FRAMES, &e), &e);
    struct image im = png_read(path);
    picture_palette(palette);
    CHECK_U64(im.width, LEFT + 2 * N_FRAMES + RIGHT);
    CHECK_U64(im.height, TOP + 2 * N_MELS + BOTTOM);
    size_t y = TOP + 2 * (N_MELS - 1 - BAND), x = LEFT + 2 * FRAME;
    CHECK(memcmp(pixel(&im, x, y), palette + 3 * 255, 3) == 0);
    CHECK(memcmp(pixel(&im, x + 1, y + 1), palette + 3 * 255, 3) == 0);
    CHECK(memcmp(pixel(&im, x + 2, y), palette, 3) == 0);
    CHECK(memcmp(pixel(&im, x, y - 1), palette, 3) == 0);

    /* Marks: 1024 Hz beside the picture, 4 s below it, and nothing half way to 6 s. */
    double up = plot_mel_height(1024, FEATURE_MEL_SLANEY, 0, 11025, N_MELS);
    CHECK(!is_white(pixel(&im, LEFT - 4, TOP + (size_t)lround(2 * N_MELS * (1 - up)))));
    double second = 2 * 22050.0 / 512;
    size_t below = TOP + 2 * N_MELS + 4;
    CHECK(!is_white(pixel(&im, LEFT + (size_t)lround(4 * second), below)));
    CHECK(is_white(pixel(&im, LEFT + (size_t)lround(5 * second), below)));
    CHECK(is_white(pixel(&im, im.width - 1, 0)));
    size_t n_ink = 0; /* labels below the marks */
    for (size_t row = below + 8; row < im.height; row++)
        for (size_t column = 0; column < im.width; column++)
            n_ink += !is_white(pixel(&im, column, row));
    CHECK(n_ink > 200);
    mem_free(im.rgb);
    mem_free(db);
}

static void test_svg(void)
{
    struct err e = {0};
    struct feature_spec spec = feature_spec_of(FEATURE_LIBROSA_0_10);
    char path[PATH_BYTES];
    struct buf file;
    float *db = values_new();
    CHECK_OK(path_join(path, dir, "mel.svg", &e), &e);
    CHECK_OK(feature_picture_write(path, &spec, db, N_FRAMES, &e), &e);
    buf_init(&file, FILE_BYTES_MAX);
    CHECK_OK(file_read_all(path, &file, &e), &e);
    CHECK_OK(buf_append(&file, "", 1, &e), &e);
    const char *text = (const char *)file.data;
    CHECK(strncmp(text, "<svg xmlns=\"http://www.w3.org/2000/svg\"", 39) == 0);
    CHECK(strstr(text, ">10 s</text>") != NULL);
    CHECK(strstr(text, ">8192</text>") != NULL);
    CHECK(strstr(text, ">16384</text>") == NULL);
    CHECK(strstr(text, "data:image/png;base64,") != NULL);
    CHECK(strcmp(text + strlen(text) - 7, "</svg>\n") == 0);
    buf_release(&file);
    mem_free(db);
}

/* Values that are no decibels run from their smallest to their largest. */
static void test_range(void)
{
    static const float values[] = {-0.5F, 1.25F, 0};
    struct feature_spec spec = feature_spec_of(FEATURE_WHISPER);
    double low, high;
    picture_range(&spec, values, 3, &low, &high);
    CHECK(low == -0.5 && high == 1.25);
    picture_range(&spec, values, 1, &low, &high);
    CHECK(low < high);
    spec = feature_spec_of(FEATURE_LIBROSA_0_10);
    picture_range(&spec, values, 3, &low, &high);
    CHECK(low == -80 && high == 0);
}

static void test_names(void)
{
    CHECK(feature_picture_of("a/b.png") == FEATURE_PICTURE_PNG);
    CHECK(feature_picture_of("b.svg") == FEATURE_PICTURE_SVG);
    CHECK(feature_picture_of("png") == FEATURE_PICTURE_NONE);
    CHECK(feature_picture_of("x.png.npy") == FEATURE_PICTURE_NONE);
}

int main(void)
{
    fixture_dir(dir);
    RUN(test_png);
    RUN(test_svg);
    RUN(test_range);
    RUN(test_names);
    return test_done();
}
